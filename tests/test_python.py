"""The contract as it is called from Python: empty batches, truncation, shapes, memory, torch's state."""

import re
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from conftest import tiny
from genscene.contract import RenderOptions
from genscene.errors import BadInput
from genscene.experiment.serialise import build_seeded
from genscene.geometry.cameras import Camera, Grid, Rays
from genscene.io import generator_file
from genscene.io.generator_file import GeneratorFile, load
from genscene.layers.mapping import update_w_avg
from genscene.randomness import CounterStreams, RandomStreams
from genscene.systems import PRESETS

FAMILIES = ("pigan-demo", "nerf-blender", "nerf-grid-demo")


def generator_of(name):
    """A small generator of a preset, with a mean style."""
    generator = build_seeded(tiny(name)).generator.eval()
    update_w_avg(generator)
    return generator


def views_of(generator, count, size=(4, 6)):
    return generator.prior.sample(RandomStreams(range(count)), size)


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("name", PRESETS)
def test_a_batch_of_none_gives_no_pictures(name, grad):
    generator, none = generator_of(name), RandomStreams([])
    with torch.set_grad_enabled(grad):
        z = generator.latents(none)
        assert z.shape == (0, generator.latent_dim)
        for options in (
            RenderOptions(),
            RenderOptions(randomness=none, max_bytes=1),
            RenderOptions(recompute=True, distortion=True),
        ):
            rendering = generator.render(generator.scene(z, 0.5), views_of(generator, 0), options)
            assert rendering.image.shape == (0, 3, 4, 6)
            if generator.bounds is not None:
                assert rendering.depth.shape == rendering.alpha.shape == (0, 1, 4, 6)
            assert rendering.coarse is None or rendering.coarse.shape == (0, 3, 4, 6)
            assert rendering.distortion is None or rendering.distortion.shape == (0, 1, 4, 6)


@pytest.mark.parametrize("name", FAMILIES)
def test_truncation_is_one_number_or_one_for_each_picture(name):
    generator = generator_of(name)
    z = generator.latents(RandomStreams([0, 1, 2]))
    psi = torch.tensor([1.0, 0.5, 0.0])
    with torch.no_grad():
        w = generator.style(z, psi)
        for i, each in enumerate(psi.tolist()):
            assert torch.equal(w[i], generator.style(z, each)[i])
        assert torch.equal(generator.style(z, torch.tensor(0.5)), generator.style(z, 0.5))
        views = views_of(generator, 3)
        together = generator.render(generator.scene(z, psi), views).image
        alone = [
            generator.render(generator.scene(z[i : i + 1], float(psi[i])), views[i : i + 1]).image
            for i in range(3)
        ]
    assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)
    with pytest.raises(BadInput, match=re.escape("psi has shape [2], wanted [3]")):
        generator.scene(z, psi[:2])


@pytest.mark.parametrize("name", FAMILIES)
def test_wrong_shapes_are_refused_with_both(name):
    generator = generator_of(name)
    z, three = generator.latents(RandomStreams([0, 1])), views_of(generator, 3)
    w, two = generator.style(z), three[:2]
    scene, wide = generator.bind(w), torch.zeros(2, generator.latent_dim + 1)
    rays = two.rays()
    wrong = {
        f"z has shape [2, {wide.shape[1]}], wanted [B, {generator.latent_dim}]": lambda: generator.scene(
            wide
        ),
        f"z has shape [{generator.latent_dim}], wanted [B, {generator.latent_dim}]": lambda: generator.scene(
            z[0]
        ),
        "z is no tensor (list), wanted [B": lambda: generator.scene([[0.0]]),
        "3 cameras for z [2": lambda: generator.style(z, 1.0, three),
        f"w has shape {[1, *w.shape]}, wanted [B, ": lambda: generator.bind(w[None]),
        f"w has shape {[*w.shape[:-1], w.shape[-1] + 1]}, wanted [B, ": lambda: generator.bind(
            w.new_zeros(*w.shape[:-1], w.shape[-1] + 1)
        ),
        "2 scenes (w [2": lambda: generator.render(scene, three),
        "for 3 views: wanted as many": lambda: generator.render(scene, three),
        "pose has shape [4, 4], wanted [B, 4, 4]": lambda: generator.render(
            scene, Camera(two.pose[0], two.intrinsics[0], (4, 6))
        ),
        "intrinsics has shape [1, 3, 3], wanted [2, 3, 3]": lambda: generator.render(
            scene, replace(two, intrinsics=two.intrinsics[:1])
        ),
        f"directions has shape [2, 1, 3], wanted [2, {4 * 6}, 3]": lambda: generator.render(
            scene, Rays(rays.origins, rays.directions[:, :1])
        ),
        "the view is a Grid, wanted a Camera or Rays": lambda: generator.render(scene, Grid.whole(2, (4, 6))),
        "the view is a Tensor, wanted a Camera, a Grid or Rays": lambda: generator.render(scene, two.pose),
        "samples is -1, wanted 0 or more": lambda: generator.render(scene, two, RenderOptions(samples=-1)),
        "density_noise is nan, wanted 0 or more": lambda: generator.render(
            scene, two, RenderOptions(density_noise=float("nan"))
        ),
        "1 random streams for 2 views": lambda: generator.render(
            scene, two, RenderOptions(randomness=RandomStreams([0]))
        ),
        "1 random streams for 3 views": lambda: generator.render(
            generator.bind(w[[0, 0, 0]]), three, RenderOptions(CounterStreams(0, 0, 20))
        ),
    }
    for words, call in wrong.items():
        with pytest.raises(BadInput, match=re.escape(words)):
            call()


def test_one_scene_is_not_spread_over_views_but_where_there_is_only_one():
    for name in FAMILIES:
        generator = generator_of(name)
        scene = generator.scene(generator.latents(RandomStreams([0])))
        if generator.latent_dim:
            with pytest.raises(BadInput, match=r"1 scenes .* for 2 views"):
                generator.render(scene, views_of(generator, 2))
        else:
            assert generator.render(scene, views_of(generator, 2)).image.shape == (2, 3, 4, 6)


def test_a_field_of_the_wrong_shape_is_refused():
    generator = generator_of("pigan-demo")
    views = views_of(generator, 2)
    with pytest.raises(
        BadInput, match=re.escape("features has shape [1, ") + r"\d+, 3\], wanted \[2, \d+, C\]"
    ):
        generator.render(lambda points, _: (points[:1], points[:1, :, 0]), views)
    with pytest.raises(BadInput, match=r"density has shape \[2, \d+, 1\], wanted \[2, \d+\]"):
        generator.render(lambda points, _: (points, points[..., :1]), views)


@pytest.mark.parametrize("name", FAMILIES)
def test_loading_leaves_torch_as_it_was(name, tmp_path):
    experiment = tiny(name)
    made = build_seeded(experiment).generator.eval()
    generator_file.write(tmp_path / "g.safetensors", GeneratorFile(made, experiment))
    torch.manual_seed(5)
    state = torch.get_rng_state()
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        generator = load(tmp_path / "g.safetensors")
        assert torch.get_default_dtype() == torch.float64
        assert torch.empty(0).device.type == "meta"
        with pytest.raises(BadInput):
            load(tmp_path / "no.safetensors")
        assert torch.get_default_dtype() == torch.float64
        assert torch.empty(0).device.type == "meta"
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    assert torch.equal(torch.get_rng_state(), state)
    for key, value in generator.state_dict().items():
        assert value.device.type == "cpu"
        assert value.dtype == made.state_dict()[key].dtype
        assert torch.equal(value, made.state_dict()[key])


@pytest.mark.parametrize("name", [*FAMILIES, "cips-demo"])
def test_pictures_do_not_depend_on_the_default_dtype(name):
    generator = generator_of(name)

    def picture():
        z = generator.latents(RandomStreams([3]))
        with torch.no_grad():
            views = (views_of(generator, 1), generator.prior.sweep(1, (4, 6)))
            return [generator.render(generator.scene(z, 0.7), view).image for view in views]

    wanted = picture()
    torch.set_default_dtype(torch.float64)
    try:
        found = picture()
    finally:
        torch.set_default_dtype(torch.float32)
    for a, b in zip(wanted, found, strict=True):
        assert_close(a, b, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", FAMILIES)
def test_less_memory_changes_only_the_last_bits(name):
    generator = generator_of(name)
    with torch.no_grad():
        for weight in generator.parameters():  # new scenes are nearly empty
            weight += 0.1 * torch.rand_like(weight)
    views, z = views_of(generator, 2, (24, 20)), generator.latents(RandomStreams([0, 1]))
    with torch.no_grad():
        scene = generator.scene(z)
        whole = generator.render(scene, views)
        assert whole.alpha.max() > 0.1
        for max_bytes in (1, 10_000, 100_000, 1_000_000):
            for recompute in (False, True):
                options = RenderOptions(max_bytes=max_bytes, recompute=recompute)
                parts = generator.render(scene, views, options)
                for key in ("image", "alpha", "depth"):
                    assert_close(vars(parts)[key], vars(whole)[key], atol=5e-7, rtol=5e-7)
