"""The contract of every preset, shrunk: build, two steps, finite, one player at a time, render twice, save, load."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from conftest import tiny
from genscene.data.sources import source_of
from genscene.distributed import ProcessGroup
from genscene.experiment.serialise import build_seeded
from genscene.export.mesh import sample_density
from genscene.io.generator_file import load, save_generator
from genscene.randomness import RandomStreams
from genscene.render.volume import activate_density
from genscene.systems import PRESETS
from genscene.systems.pigan.system import PiGANConfig
from genscene.training.loop import TrainState, train_player, train_step
from genscene.training.optimizers import build_optimizers
from genscene.training.run import init_state


def game_of(name):
    experiment = tiny(name)
    game = init_state(experiment, torch.device("cpu"), ProcessGroup(), "fp32")
    return game, source_of(experiment, quiet=True).batches(0, 0, 1)


@pytest.mark.parametrize("name", PRESETS)
def test_it_trains_and_stays_finite(name):
    game, batches = game_of(name)
    before = {n: p.clone() for n, p in game.system.named_parameters()}
    for step, batch in zip(range(2), batches, strict=False):
        stats = train_step(game, batch, step)
        assert stats
        assert all(value.isfinite().all() for value in stats.values())
    moved = [n for n, p in game.system.named_parameters() if not torch.equal(p, before[n])]
    assert {n.split(".")[0] for n in moved} == {n for n, _ in game.system.named_children()}
    assert all(p.isfinite().all() for p in game.system.parameters())


@pytest.mark.parametrize("name", PRESETS)
def test_a_turn_moves_one_player_only(name):
    game, batches = game_of(name)
    batch = next(batches)
    for turn in game.system.turns():
        before = {n: p.clone() for n, p in game.system.named_parameters()}
        train_player(game, turn, batch, 0)
        moved = {n.split(".")[0] for n, p in game.system.named_parameters() if not torch.equal(p, before[n])}
        assert moved <= {turn.player}
        assert all(p.grad is None for p in game.system.parameters())


@pytest.mark.parametrize("name", PRESETS)
def test_one_scene_many_pictures_the_same_every_time(name, tmp_path):
    experiment = tiny(name)
    generator = build_seeded(experiment).generator.eval()
    generator.settle()
    save_generator(tmp_path / "g.safetensors", generator, experiment)
    again = load(tmp_path / "g.safetensors")
    with torch.no_grad():
        z = generator.latents(RandomStreams([0, 1]))
        camera = generator.orbit.sample(RandomStreams([0, 1]), (6, 10))
        for psi in (1.0, 0.5):
            scene, other = generator.scene(z, psi), again.scene(z, psi)
            first = generator.render(scene, camera)
            assert first.image.shape == (2, 3, 6, 10)
            assert first.depth.shape == first.alpha.shape == (2, 1, 6, 10)
            assert first.image.isfinite().all()
            for rendering in (generator.render(scene, camera), again.render(other, camera)):
                assert torch.equal(rendering.image, first.image)
            small = generator.render(scene, camera, budget=1)
            assert_close(small.image, first.image, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", PRESETS)
def test_a_scene_can_be_exported(name):
    generator = build_seeded(tiny(name)).generator.eval()
    field = generator.scene(generator.latents(RandomStreams([0])))
    lattice = sample_density(field, lambda raw: activate_density(raw, generator.march), generator.reach, 6)
    assert max(lattice.density.shape) == 7
    assert (lattice.density >= 0).all()


@pytest.mark.parametrize("name", PRESETS)
def test_slices_of_a_batch_have_the_gradient_of_the_whole(name):
    experiment = tiny(name)
    if isinstance(experiment.system, PiGANConfig) and experiment.system.generator.legacy.chunk_sum:
        pytest.skip("the released code's top-k and sums are taken over each slice: they differ by design")
    stats = []
    for slices in (1, 2):
        cut = replace(experiment, stages=(replace(experiment.stages[0], accumulation=slices),))
        game = init_state(cut, torch.device("cpu"), ProcessGroup(), "fp32")
        batch = next(source_of(cut, quiet=True).batches(0, 0, 1))
        for turn in game.system.turns():
            train_player(game, turn, batch, 0)
        stats.append(game)
    for a, b in zip(stats[0].system.parameters(), stats[1].system.parameters(), strict=True):
        assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_a_game_knows_its_players():
    game, _ = game_of("pigan-celeba")
    assert isinstance(game, TrainState)
    assert set(build_optimizers(game.system, game.experiment)) == {"generator", "discriminator"}
