"""pi-GAN's networks: sizes, initial values, variants, folding in low precision."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from genscene import kernels
from genscene.contract import RenderOptions
from genscene.layers.mapping import update_w_avg
from genscene.randomness import RandomStreams
from genscene.render.march import EMPTY
from genscene.systems import PRESETS
from genscene.systems.pigan.generator import FieldConfig, PiGANGenerator, PiGANGeneratorConfig


def generator(**field):
    return PiGANGenerator(PiGANGeneratorConfig(field=FieldConfig(**field)))


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_number_of_parameters_is_as_published():
    assert count(generator()) == 1_910_788
    grids = {name: PRESETS[f"pigan-celeba-{name}"].system.generator for name in ("grid128", "grid256")}
    assert count(PiGANGenerator(grids["grid128"])) == 29_238_660
    assert count(PiGANGenerator(grids["grid256"])) == 10_307_588


def test_values_at_initialisation_are_those_of_the_official_code():
    made = generator()
    w = made.style(made.latents(RandomStreams(range(400))))
    assert abs(w[:, 0].std() - 0.35) < 0.03
    assert abs(w[:, 1].std() - 0.35) < 0.03
    points = 0.24 * torch.rand(8, 500, 3) - 0.12
    colors, density = made.scene(made.latents(RandomStreams(range(8))))(points, torch.zeros(8, 500, 3))
    assert abs(density.mean()) < 0.06
    assert density.std() < 0.1
    assert abs(colors.mean() - 0.49) < 0.03
    assert colors.std() < 0.05


VARIANTS = {
    "film": {},
    "relu": {"activation": "relu", "octaves": 4, "frequency": (1.0, 1.0)},
    "concat": {"conditioning": "concat"},
    "relu concat": {"activation": "relu", "octaves": 4, "conditioning": "concat"},
    "grid": {"grid_channels": 3, "grid_size": 5},
    "no view": {"view_dependent": False},
    "box": {"box": (0.5, 0.4, 0.3)},
}


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_scenes_of_every_variant_differ_and_every_weight_has_a_gradient(options):
    made = generator(width=16, depth=3, **options)
    z = made.latents(RandomStreams([0, 1]))
    points, directions = (
        2 * torch.rand(2, 40, 3) - 1,
        torch.nn.functional.normalize(torch.randn(2, 40, 3), dim=-1),
    )
    same = points[:1].expand(2, -1, -1)
    colors, density = made.scene(z)(same, directions)
    assert colors.shape == (2, 40, 3)
    assert density.shape == (2, 40)
    assert ((colors > 0) & (colors < 1) | (density == EMPTY)[..., None]).all()
    assert not torch.equal(colors[0], colors[1])
    (colors.sum() + density.sum()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in made.parameters())


def test_a_scene_of_a_batch_does_not_depend_on_the_others():
    made = generator(width=16, depth=3, box=(0.6, 0.6, 0.6))
    z, points = made.latents(RandomStreams([0, 1, 2])), 2 * torch.rand(3, 40, 3) - 1
    together = made.scene(z)(points, points)
    for i in range(3):
        alone = made.scene(z[i : i + 1])(points[i : i + 1], points[i : i + 1])
        for a, b in zip(together, alone, strict=True):
            assert_close(a[i], b[0], atol=1e-6, rtol=1e-5)


def test_space_outside_the_box_is_empty_and_inside_unchanged():
    box = (0.5, 0.25, 0.75)
    made = generator(width=16, depth=3, box=box)
    points = 2 * torch.rand(2, 200, 3) - 1
    scene = made.scene(made.latents(RandomStreams([0, 1])))
    colors, density = scene(points, points)
    inside = (points.abs() <= torch.tensor(box)).all(-1)
    assert (density[~inside] == EMPTY).all()
    whole = replace(scene.network.config, box=None)
    scene.network.config = whole
    free_colors, free_density = scene(points, points)
    assert_close(density[inside], free_density[inside])
    assert_close(colors[inside], free_colors[inside])
    nowhere = torch.full((1, 5, 3), 9.0)
    assert (made.scene(made.latents(RandomStreams([0])))(nowhere, nowhere)[1] < 1).all()


def test_truncation_interpolates_from_the_mean_style():
    made = generator(width=16, depth=3)
    update_w_avg(made)
    z = made.latents(RandomStreams([0]))
    w, average = made.style(z), made.mapping.w_avg[None]
    assert_close(made.style(z, 0.0), average)
    assert_close(made.style(z, 0.25), average + 0.25 * (w - average))
    before = made.mapping.w_avg.clone()
    update_w_avg(made)
    assert torch.equal(made.mapping.w_avg, before)  # computed from fixed latents, not new ones each time


def test_colors_of_a_fixed_direction_do_not_depend_on_the_camera():
    made = generator(width=16, depth=3)
    scene = made.scene(made.latents(RandomStreams([0])))
    views = made.prior.sweep(2, (4, 4))
    fixed = RenderOptions(fixed_direction=(0.0, 0.0, -1.0))
    directions = []

    def recorded(points, given):
        directions.append(given)
        return scene(points, given)

    with torch.no_grad():
        made.render(recorded, views[:1], fixed)
        made.render(recorded, views[1:], fixed)
    assert len(directions) == 4  # two passes each
    for given in directions:
        assert torch.equal(given, torch.tensor([0.0, 0.0, -1.0]).expand_as(given))
    points = torch.rand(1, 30, 3)
    same = torch.tensor([0.0, 0.0, -1.0]).expand_as(points)
    assert not torch.equal(scene(points, same)[0], scene(points, -same)[0])


def test_bf16_does_not_round_the_first_layer_and_stays_close():
    made = generator(width=64, depth=4)
    points = 2 * torch.rand(2, 300, 3) - 1
    scene = made.scene(made.latents(RandomStreams([0, 1])))
    with torch.no_grad():
        exact = scene(points, points)
        with torch.autocast("cpu", torch.bfloat16):
            rough = scene(points, points)
    assert rough[0].dtype == rough[1].dtype == torch.float32
    assert (rough[0] - exact[0]).abs().max() < 0.03
    assert (rough[1] - exact[1]).abs().max() < 0.05


def test_the_folded_field_agrees_with_the_oracle():
    made = generator().double()
    points = torch.rand(2, 50, 3, dtype=torch.float64)
    scene = made.scene(made.latents(RandomStreams([0, 1])).double())
    folded = scene(points, points)
    with kernels.oracle():
        for a, b in zip(scene(points, points), folded, strict=True):
            assert_close(a, b)
