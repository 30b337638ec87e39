"""The contract, on every preset and on systems defined here: a canvas, Gaussians, and other games."""

from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from conftest import tiny
from genscene.apps import splat_fitting
from genscene.cli import main
from genscene.contract import (
    DEFAULT_OPTIONS,
    Generator,
    Rendering,
    RenderOptions,
    map_tensors,
    style_count,
    take_styles,
)
from genscene.data.sources import data_source
from genscene.distributed import ProcessGroup
from genscene.evaluation.generator_metrics import pose_accuracy
from genscene.experiment.schema import Experiment, ImageConfig, Optim, Stage
from genscene.experiment.serialise import build_seeded, dumps, loads
from genscene.experiment.validation import validate
from genscene.export.mesh import sample_density
from genscene.geometry.priors import CameraPrior, PlanePrior
from genscene.io import generator_file
from genscene.io.generator_file import GeneratorFile
from genscene.layers.mapping import update_w_avg
from genscene.objectives.adversarial import AdversarialConfig, AdversarialSystem, DiscriminatorOutput
from genscene.objectives.gan_loss import GANLoss
from genscene.randomness import RandomStreams
from genscene.render.march import activate_density
from genscene.render.patches import PatchSampler
from genscene.render.volume import VolumeGenerator
from genscene.scenes import Gaussians
from genscene.systems import KINDS, PRESETS
from genscene.training.checkpoint import Retention, read_state, restore, save
from genscene.training.image_grids import save_grid
from genscene.training.loop import train_player, train_step
from genscene.training.run import Run, check, init_state, train


@dataclass(frozen=True)
class CanvasStyle:
    """An affine function of the plane: a style that is a dataclass of tensors."""

    offset: torch.Tensor  # [B, 3]
    slope: torch.Tensor  # [B, 3, 2]


class CanvasGenerator(Generator):
    """z -> affine colors of the plane."""

    latent_dim, prior, bounds = 4, PlanePrior(), None

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 9)

    def latents(self, randomness):
        """Normal codes -> [B, 4]."""
        return randomness.normal(4)

    def style(self, z, psi=1.0, camera=None):
        """z [B, 4] -> the affine function."""
        w = psi * self.layer(z)
        return CanvasStyle(w[:, :3], w[:, 3:].unflatten(1, (3, 2)))

    def bind(self, w):
        """The style is the scene."""
        return w

    def render(self, scene, view, options=DEFAULT_OPTIONS):
        """Evaluate on the grid."""
        plane = torch.einsum("bcd,bdhw->bchw", scene.slope, view.coords())
        return Rendering((plane + scene.offset[..., None, None]).sigmoid())


class GaussiansGenerator(Generator):
    """z -> six isotropic Gaussians."""

    latent_dim, bounds = 4, (1.0, 1.0, 1.0)
    prior = CameraPrior("uniform", radius=2.6, fov=42.0)

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 36)

    def latents(self, randomness):
        """Normal codes -> [B, 4]."""
        return randomness.normal(4)

    def style(self, z, psi=1.0, camera=None):
        """z [B, 4] -> w [B, 6, 6], means and colors."""
        return psi * self.layer(z).unflatten(1, (6, 6))

    def bind(self, w):
        """w -> Gaussians."""
        ones = torch.ones_like(w[..., 0])
        quats = torch.nn.functional.pad(ones[..., None], (0, 3))
        return Gaussians(
            w[..., :3].tanh(),
            quats,
            0.3 * ones[..., None].expand(*w.shape[:2], 3),
            0.5 * ones,
            w[..., 3:].sigmoid(),
        )

    def render(self, scene, view, options=DEFAULT_OPTIONS):
        """Add up projected blobs: no depth, no rays."""
        inside = (scene.means - view.pose[:, None, :3, 3]) @ view.pose[:, :3, :3]
        places = inside @ view.intrinsics.mT
        places = 2 * places[..., :2] / places[..., 2:].clamp_min(0.1) - 1
        height, width = view.size
        v, u = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
        apart = (torch.stack([u, v], -1)[None, None].to(places) - places[:, :, None, None]).square().sum(-1)
        blobs = scene.opacities[..., None, None] * (-8 * apart).exp()
        alpha = 1 - (1 - blobs).prod(dim=1, keepdim=True)
        return Rendering(torch.einsum("bnhw,bnc->bchw", blobs, scene.colors) + 1 - alpha, alpha=alpha)


@dataclass(frozen=True)
class CanvasConfig(AdversarialConfig):
    """A canvas trained on images."""

    make: ClassVar[type[Generator]] = CanvasGenerator
    loss: GANLoss = GANLoss(gamma=1.0)

    def build_generator(self):
        """New weights."""
        return self.make()

    def build(self):
        """New weights."""
        return ToySystem(self)

    def check(self, size):
        """Images of any size."""

    def shrunk(self):
        """It is small."""
        return self


@dataclass(frozen=True)
class GaussiansConfig(CanvasConfig):
    """Gaussians trained on images with cameras."""

    batch = "posed_images"
    make = GaussiansGenerator


class ToySystem(AdversarialSystem):
    """A discriminator of one layer, conditioned on cameras where there are any."""

    def __init__(self, config):
        posed = config.batch == "posed_images"
        super().__init__(config, config.build_generator(), nn.Linear(3 * 4 * 4 + 25 * posed, 1))

    def discriminate(self, images, view, windows, context):
        """Images [B, 3, H, W] in [-1, 1] -> logits [B]."""
        x = nn.functional.adaptive_avg_pool2d(images, 4).flatten(1)
        if self.config.batch == "posed_images":
            x = torch.cat([x, view.label()], dim=1)
        return DiscriminatorOutput(self.discriminator(x)[:, 0])


def toy(config):
    """A run of three steps on embedded images."""
    optim = {player: Optim(lr=1e-2) for player in ("generator", "discriminator")}
    stages = (Stage(0, (16, 16), 4),)
    return Experiment(config, "synthetic:cars", ImageConfig(limit=8), stages, 3, optim)


TOYS = {
    "canvas": toy(CanvasConfig()),
    "gaussians": toy(GaussiansConfig()),
    "lazy r1": toy(CanvasConfig(loss=GANLoss(gamma=1.0, penalty_every=2, penalty_turn=True))),
    "relativistic": toy(
        GaussiansConfig(loss=GANLoss("relativistic", gamma=1.0, gamma_fake=1.0), share_fakes=True)
    ),
    "hinge": toy(CanvasConfig(loss=GANLoss("hinge", gamma=0.0))),
    "patches of the plane": toy(CanvasConfig(patches=PatchSampler(size=8))),
}
EVERY = [*PRESETS, *TOYS]


@pytest.fixture(autouse=True)
def toys_are_known(monkeypatch):
    """Generator files of the toys can be read."""
    for kind in (CanvasConfig, GaussiansConfig):
        monkeypatch.setitem(KINDS, kind.__name__, kind)


def experiment_of(name):
    return TOYS[name] if name in TOYS else tiny(name)


def state_of(experiment):
    state = init_state(experiment, torch.device("cpu"), ProcessGroup(), "fp32")
    return state, data_source(experiment, quiet=True).batches(0, 0, 1)


def views_of(generator, count, size):
    return generator.prior.sample(RandomStreams(range(count)), size)


@pytest.mark.parametrize("name", EVERY)
def test_experiments_are_valid_and_survive_json(name):
    experiment = experiment_of(name)
    check(experiment, Run(), ProcessGroup())
    validate(experiment)
    assert loads(dumps(experiment), KINDS, "here") == experiment


@pytest.mark.parametrize("name", EVERY)
def test_training_moves_every_player_and_stays_finite(name):
    state, batches = state_of(experiment_of(name))
    before = {n: p.clone() for n, p in state.system.named_parameters()}
    for step, batch in zip(range(2), batches, strict=False):
        stats = train_step(state, batch, step)
        assert stats
        assert all(value.isfinite().all() for value in stats.values())
    moved = [n for n, p in state.system.named_parameters() if not torch.equal(p, before[n])]
    assert {n.split(".")[0] for n in moved} == {n for n, _ in state.system.named_children()}
    assert all(p.isfinite().all() for p in state.system.parameters())


@pytest.mark.parametrize("name", EVERY)
def test_a_turn_moves_one_player_only(name):
    state, batches = state_of(experiment_of(name))
    batch, shared = next(batches), {}
    for turn in state.system.turns():
        before = {n: p.clone() for n, p in state.system.named_parameters()}
        train_player(state, turn, batch, 0, shared)
        moved = {n.split(".")[0] for n, p in state.system.named_parameters() if not torch.equal(p, before[n])}
        assert moved <= {turn.player}
        assert all(p.grad is None for p in state.system.parameters())
    assert not shared


@pytest.mark.parametrize("name", EVERY)
def test_a_generator_file_gives_the_same_pictures_in_any_memory(name, tmp_path):
    experiment = experiment_of(name)
    generator = build_seeded(experiment).generator.eval()
    update_w_avg(generator)
    generator_file.write(tmp_path / "g.safetensors", GeneratorFile(generator, experiment))
    again = generator_file.load(tmp_path / "g.safetensors")
    views = views_of(generator, 2, (6, 10))
    with torch.no_grad():
        z = generator.latents(RandomStreams([0, 1]))
        for psi in (1.0, 0.5):
            scene, other = generator.scene(z, psi), again.scene(z, psi)
            first = generator.render(scene, views)
            assert first.image.shape == (2, 3, 6, 10)
            assert first.image.isfinite().all()
            for part in (first.depth, first.alpha):
                assert part is None or part.shape == (2, 1, 6, 10)
            # where weights lie in memory decides on the rounding of products on some CPUs
            for rendering in (generator.render(scene, views), again.render(other, views)):
                assert_close(rendering.image, first.image, atol=1e-6, rtol=0)
            for options in (RenderOptions(max_bytes=1), RenderOptions(recompute=True, max_bytes=1)):
                assert_close(generator.render(scene, views, options).image, first.image, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", EVERY)
def test_styles_are_edited_through_their_tensors(name):
    generator = build_seeded(experiment_of(name)).generator.eval()
    w = generator.style(generator.latents(RandomStreams([0, 1, 2])))
    assert style_count(w) == 3
    doubled = map_tensors(torch.add, w, w)
    one = take_styles(doubled, slice(1, 2))
    with torch.no_grad():
        rendering = generator.render(generator.bind(one), views_of(generator, 1, (4, 4)))
    assert rendering.image.shape == (1, 3, 4, 4)


@pytest.mark.parametrize("name", EVERY)
def test_fields_have_a_density_to_export(name):
    generator = build_seeded(experiment_of(name)).generator.eval()
    if not isinstance(generator, VolumeGenerator):
        return
    field = generator.scene(generator.latents(RandomStreams([0])))
    lattice = sample_density(field, lambda raw: activate_density(raw, generator.march), generator.bounds, 6)
    assert max(lattice.density.shape) == 7
    assert (lattice.density >= 0).all()


@pytest.mark.parametrize("name", EVERY)
def test_accumulated_parts_have_the_gradient_of_the_whole(name):
    experiment = experiment_of(name)
    legacy = getattr(getattr(experiment.system, "generator", None), "legacy", None)
    if getattr(legacy, "sum_accumulation", False):
        pytest.skip("the official code takes top-k and sums over each part: they differ by design")
    systems = []
    for parts in (1, 2):
        cut = replace(experiment, stages=(replace(experiment.stages[0], accumulation=parts),))
        state, batches = state_of(cut)
        train_step(state, next(batches), 0)
        systems.append(state.system)
    for whole, accumulated in zip(*(system.parameters() for system in systems), strict=True):
        # Adam's first step is the gradient's sign: rounding errors show where it is almost 0
        assert_close(whole, accumulated, atol=5e-5, rtol=1e-4)


@pytest.mark.parametrize("name", [*TOYS, "pigan-demo", "nerf-grid-demo"])
def test_checkpoints_restore_the_whole_state(name, tmp_path):
    experiment = experiment_of(name)
    state, batches = state_of(experiment)
    batch = next(batches)
    train_step(state, batch, 0)
    save(tmp_path, state, GeneratorFile(state.ema, experiment), 1, Retention())
    other, _ = state_of(experiment)
    assert restore(tmp_path, other, read_state(tmp_path)) == 1
    for one in (state, other):
        train_step(one, batch, 1)
    for a, b in zip(state.system.parameters(), other.system.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", [*TOYS, "pigan-demo"])
def test_grids_show_what_there_is(name, tmp_path):
    save_grid(tmp_path / "grid.png", build_seeded(experiment_of(name)).generator.eval(), (6, 6), range(2))
    assert (tmp_path / "grid.png").exists()


@pytest.mark.parametrize("name", ["canvas", "gaussians", "pigan-demo"])
def test_verbs_work_or_refuse_in_one_line(name, tmp_path, capsys, monkeypatch):
    run = tmp_path / "run"
    generator = train(experiment_of(name), Run(run, grid_every=0))
    cameras = isinstance(generator.prior, CameraPrior)
    field = isinstance(generator, VolumeGenerator)
    size = ["--size", "8"]
    fit = ("--steps", "2", "--views", "2", "--side", "8", "--splats", "20") if field else ()
    monkeypatch.setattr(splat_fitting, "EMPTY", 0.0)  # new weights have hardly a density
    verbs = {
        ("render", "--out", "sheet.png", "--seeds", "0-1", *size): True,
        ("render", "--out", "video.gif", "--seeds", "0", "--frames", "2", *size): cameras,
        ("render", "--out", "alpha.png", "--seeds", "0", "--show", "alpha", *size): cameras,
        ("render", "--out", "depth.png", "--seeds", "0", "--show", "depth", *size): field,
        ("interpolate", "--seeds", "0,1", "--frames", "2", "--out", "film.gif", *size): True,
        ("export", "mesh", "--resolution", "4", "--level", "0.1", "--out", "mesh.ply"): field,
        ("export", "cameras", "--frames", "2", "--out", "path.json"): cameras,
        ("export", "prior", "--count", "9", "--out", "prior.png"): cameras,
        ("export", "pointcloud", "--out", "points.ply"): False,
        ("export", "splats", *fit, "--out", "splats.ply"): cameras,
        ("export", "splats", *fit, "--seed", "3", "--out", "splats.html"): cameras,
        ("export", "splats", "--steps", "0", "--out", "fitted.ply"): False,
    }
    for words, works in verbs.items():
        verb = words[:2] if words[0] == "export" else words[:1]
        options = list(words[len(verb) :])
        out = tmp_path / options[options.index("--out") + 1]
        options[options.index("--out") + 1] = str(out)
        code = main([*verb, str(run), *options])
        error = capsys.readouterr().err.strip()
        assert (code == 0) == works == out.exists(), f"{words}: {error}"
        assert works or (code == 2 and len(error.splitlines()) == 1), f"{words}: {error}"


@pytest.mark.parametrize("name", ["canvas", "gaussians", "pigan-demo"])
def test_evaluation_computes_what_a_scene_allows(name, tmp_path, capsys, monkeypatch):
    run, small = tmp_path / "run", partial(pose_accuracy.pose_reference, images=200, steps=10)
    monkeypatch.setattr(pose_accuracy, "pose_reference", small)
    train(experiment_of(name), Run(run, grid_every=0))
    words = ["evaluate", str(run), "--data", "synthetic:cars", "--count", "8", "--reals", "8"]
    assert main([*words, "--out", str(tmp_path / "numbers.json")]) == 0, capsys.readouterr().err
    assert (tmp_path / "numbers.json").exists()
