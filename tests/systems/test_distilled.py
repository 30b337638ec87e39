"""Distilled generators: cells of a field's surface, Gaussians near them, files that hold two generators."""

import json
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from conftest import tiny
from genscene.apps.scene_views import render_views
from genscene.errors import BadInput
from genscene.experiment.schema import EMA, Experiment, Optim, Stage
from genscene.experiment.serialise import build_seeded, dumps, loads
from genscene.io import generator_file
from genscene.io.generator_file import GeneratorFile
from genscene.layers.mapping import take_styles
from genscene.randomness import RandomStreams
from genscene.render.splatting import render_gaussians
from genscene.scenes import SceneViews
from genscene.systems import KINDS
from genscene.systems.distilled.cells import (
    INPUTS,
    cell_counts,
    cell_side,
    neighbors,
    surface_cells,
    transmittances,
)
from genscene.systems.distilled.system import DistilledConfig
from genscene.training.loop import TrainState, train_step
from genscene.training.optimizers import build_optimizers

BOX = (1.0, 0.5, 0.5)


def experiment_of(name="pigan-demo"):
    """A small decoder of a small generator."""
    config = DistilledConfig(tiny(name).system, splats=20, cells=6, width=4)
    return Experiment(
        config, stages=(Stage(0, (8, 8), 1),), steps=3, optim={"generator": Optim(1e-2)}, ema=EMA(decay=0.0)
    )


def styles(generator, count):
    """Styles of so many seeds."""
    return generator.style(generator.latents(RandomStreams(range(count))))


def test_cells_are_nearly_cubes():
    assert cell_counts(BOX, 48) == (48, 24, 24)
    assert cell_side(BOX, 48) == pytest.approx(2 / 48)
    assert cell_counts((1.0, 0.01, 0.5), 8) == (8, 1, 4)


def test_light_is_stopped_by_the_cells_before():
    opacity = torch.zeros(4, 1, 1)
    opacity[1], opacity[2] = 0.5, 1.0
    passed = transmittances(opacity)[:, :, 0, 0]
    assert_close(passed[0], torch.tensor([1.0, 1.0, 0.5, 0.5 * 1e-4]), atol=1e-6, rtol=1e-2)
    assert_close(passed[1], torch.tensor([0.5e-4, 1e-4, 1.0, 1.0]), atol=1e-6, rtol=1e-2)
    assert_close(passed[2:], torch.ones(4, 4), atol=1e-6, rtol=0)


def test_neighbors_are_in_order_and_empty_outside():
    values = torch.arange(24.0).view(2, 3, 4) + 1
    found = neighbors(values, torch.tensor([0, 23]))
    assert found[0, 13] == 1
    assert found[1, 13] == 24
    assert found[0, [0, 1, 3, 9]].tolist() == [0, 0, 0, 0]
    assert found[0, 14] == values[0, 0, 1]
    assert found[0, 22] == values[1, 0, 0]


def test_the_chosen_cells_are_the_visible_surface():
    def ball(points, directions):
        inside = points.norm(dim=-1) < 0.4
        return (points > 0).to(points), torch.where(inside, 1e4, -1e4)

    cells = surface_cells(ball, torch.relu, (0.5, 0.5, 0.5), 20, 600, torch.zeros(()))
    radii = cells.centers[0].norm(dim=-1)
    assert (radii < 0.4).float().mean() > 0.9  # there are some 600 of such cells
    seen = radii[cells.opacities[0] > 0.5]
    assert seen.min() > 0.25
    assert cells.inputs.shape == (1, 600, INPUTS)
    assert cells.inputs.abs().max() <= 1
    assert_close(cells.colors[0], (cells.centers[0] > 0).float())


def test_cells_are_evaluated_in_parts(monkeypatch):
    def field(points, directions):
        return points.abs(), points.sum(dim=-1) + directions[..., 0]

    wanted = surface_cells(field, torch.relu, BOX, 8, 50, torch.zeros(()))
    monkeypatch.setattr("genscene.systems.distilled.cells.CHUNK", 7)
    parts = surface_cells(field, torch.relu, BOX, 8, 50, torch.zeros(()))
    assert_close(parts.inputs, wanted.inputs)


def test_a_cloud_does_not_depend_on_the_others_of_its_batch():
    generator = build_seeded(experiment_of()).generator.eval()
    w = styles(generator, 3)
    with torch.no_grad():
        clouds, second = generator.bind(w), generator.bind(take_styles(w, slice(1, 2)))
        none = generator.bind(take_styles(w, slice(0, 0)))
    assert clouds.means.shape == (3, 20, 3)
    for name in ("means", "quats", "scales", "opacities", "colors"):
        assert_close(getattr(clouds, name)[1:2], getattr(second, name))
    assert len(none.means) == 0
    assert (clouds.means.abs() <= torch.tensor(generator.bounds) + 0.5).all()
    picture = generator.render(clouds, generator.prior.sweep(3, (6, 9)))
    assert picture.image.shape == (3, 3, 6, 9)
    assert picture.image.isfinite().all()


def test_styles_have_gradients_where_they_are_wanted():
    generator = build_seeded(experiment_of()).generator.eval().requires_grad_(False)
    w = styles(generator, 1).requires_grad_()
    generator.bind(w).colors.sum().backward()
    assert w.grad.abs().sum() > 0


def test_a_step_moves_the_decoder_alone():
    experiment = experiment_of()
    system = build_seeded(experiment)
    state = TrainState(experiment, system, system.generator, build_optimizers(system, experiment))
    before = {name: x.clone() for name, x in system.named_parameters()}
    teacher = system.generator.teacher
    z = teacher.latents(RandomStreams([0]))
    views = render_views(teacher, teacher.scene(z), teacher.prior.sweep(2, (8, 8)))
    stats = train_step(state, SceneViews(z, views), 0)
    assert stats["psnr"].isfinite()
    moved = {n for n, x in system.named_parameters() if not torch.equal(x, before[n])}
    assert moved
    assert all(name.startswith("generator.decoder.") for name in moved)


@pytest.mark.parametrize("name", ["pigan-demo", "graf-demo"])
def test_a_file_holds_both_generators(name, tmp_path):
    experiment = experiment_of(name)
    assert loads(dumps(experiment), KINDS, "here") == experiment
    generator = build_seeded(experiment).generator.eval()
    generator_file.write(tmp_path / "g.safetensors", GeneratorFile(generator, experiment))
    again = generator_file.read(tmp_path / "g.safetensors")
    assert again.experiment == experiment
    camera = generator.prior.sweep(1, (8, 8))
    with torch.no_grad():
        pictures = [
            render_gaussians(each.bind(styles(each, 1)), camera).image
            for each in (generator, again.generator)
        ]
    assert_close(*pictures, atol=1e-6, rtol=0)


def test_other_teachers_are_refused():
    for name, words in (("cips-demo", "no fields in a box"), ("nerf-llff", "no fields in a box")):
        config = DistilledConfig(tiny(name).system)
        with pytest.raises(BadInput, match=words):
            config.build_generator()
    generator = build_seeded(experiment_of("giraffe-demo")).generator
    with pytest.raises(BadInput, match="features: wanted 3, colors"):
        generator.bind(styles(generator, 1))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda system: system.pop("teacher"), "system.teacher: null, wanted the fields of a system"),
        (lambda system: system.update(teacher=7), "system.teacher: 7, wanted the fields"),
        (lambda system: system["teacher"].update(kind="Other"), 'teacher.kind: "Other", wanted one of'),
        (
            lambda system: system.update(teacher=dict(system)),
            'teacher.kind: "DistilledConfig", wanted one of',
        ),
        (lambda system: system["teacher"].update(more=1), "system.teacher.more: 1, wanted no such field"),
    ],
)
def test_headers_of_other_teachers_are_refused(change, words):
    document = json.loads(dumps(experiment_of()))
    change(document["system"])
    with pytest.raises(BadInput, match=words):
        loads(json.dumps(document), KINDS, "here")


def test_a_shrunk_one_is_small():
    config = replace(experiment_of().system, splats=4000, cells=48).shrunk()
    assert (config.splats, config.cells) == (20, 6)
    config.check((8, 8))
