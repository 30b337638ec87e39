"""Distillation of a generator: the decoder agrees better after training; who cannot be distilled."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from apps.test_splat_fitting import BallGenerator, content_of
from conftest import tiny
from genscene.apps.distill import DistillOptions, distill
from genscene.apps.interpolate import styles_of_seeds
from genscene.cli import main
from genscene.contract import DEFAULT_OPTIONS, Generator, SystemConfig
from genscene.errors import BadInput
from genscene.experiment.serialise import build_seeded
from genscene.export.splats import from_gaussians, write_ply
from genscene.io import generator_file
from genscene.io.generator_file import GeneratorFile
from genscene.render.march import March
from genscene.render.volume import VolumeGenerator, render_view
from genscene.scenes import Gaussians

SMALL = DistillOptions(splats=300, cells=14, steps=1, views=2, side=20)


class Balls(VolumeGenerator, Generator):
    """Balls of the color and size of their latent code."""

    latent_dim, bounds, prior = 4, (0.6, 0.6, 0.6), BallGenerator.prior

    def __init__(self):
        super().__init__()
        self.march, self.layer = March(1.2, 2.8, 24, "relu", last_interval=0.1), nn.Linear(4, 4)

    def latents(self, randomness):
        """Normal codes."""
        return randomness.normal(4)

    def style(self, z, psi=1.0, camera=None):
        """Color and radius."""
        return psi * self.layer(z)

    def bind(self, w):
        """The field of each."""
        color, radius = w[:, None, :3].sigmoid(), 0.3 + 0.2 * w[:, 3:].sigmoid()
        return lambda points, directions: (
            color.expand(*points.shape[:2], 3),
            60 * (radius - points.norm(dim=-1)),
        )

    def render(self, scene, view, options=DEFAULT_OPTIONS):
        """March along the rays."""
        rays, size = self.rays(view)
        return render_view(scene, rays.unit(), size, self.march, options, 4)


class BallsConfig(SystemConfig):
    """Of the balls."""

    def build_generator(self):
        """New weights."""
        return Balls()

    build = check = shrunk = None


def balls_content():
    """What a file of the balls would hold."""
    torch.manual_seed(0)
    experiment = replace(tiny("pigan-demo"), system=BallsConfig())
    return GeneratorFile(Balls().eval().requires_grad_(False), experiment)


def test_a_decoder_agrees_better_after_training_with_scenes_that_it_has_not_seen():
    content = balls_content()
    few, many = (distill(content, replace(SMALL, steps=steps)) for steps in (1, 60))
    assert many.psnr > few.psnr + 2
    assert many.psnr > 24
    assert many.size == (20, 20)
    assert many.milliseconds > 0
    scene = many.content.generator.bind(styles_of_seeds(many.content.generator, [5, 6]))
    assert isinstance(scene, Gaussians)
    assert scene.means.shape == (2, 300, 3)
    again = distill(content, replace(SMALL, steps=60))
    assert again.psnr == many.psnr


def test_a_lattice_that_no_memory_holds_is_refused(monkeypatch):
    monkeypatch.setattr("genscene.apps.distill.BYTES", 1 << 50)
    with pytest.raises(BadInput, match="a lattice of 2744 cells"):
        distill(balls_content(), SMALL)


def test_one_scene_is_not_distilled():
    with pytest.raises(BadInput, match="one scene: wanted one of many"):
        distill(content_of(BallGenerator()), SMALL)


def test_a_distilled_generator_is_rendered_and_exported_like_any_other(tmp_path, capsys):
    experiment = tiny("pigan-demo")
    source, out = tmp_path / "g.safetensors", tmp_path / "d.safetensors"
    generator = build_seeded(experiment).generator.eval()
    generator_file.write(source, GeneratorFile(generator, experiment))
    numbers = ["--splats", "30", "--cells", "6", "--steps", "2", "--views", "1", "--side", "8"]
    assert main(["export", "distilled", str(source), "--out", str(out), *numbers]) == 0
    assert "30 Gaussians a scene" in capsys.readouterr().out
    assert main(["export", "splats", str(out), "--seed", "2", "--out", str(tmp_path / "a.ply")]) == 0
    words = ["render", str(out), "--seeds", "0-1", "--frames", "2", "--size", "8"]
    main([*words, "--out", str(tmp_path / "a.png")])  # may be refused: nothing of new weights is seen
    assert "bug" not in capsys.readouterr().err


def test_what_cannot_be_distilled_is_refused_in_one_line(tmp_path, capsys):
    experiment = tiny("cips-demo")
    pictures = tmp_path / "p.safetensors"
    generator_file.write(pictures, GeneratorFile(build_seeded(experiment).generator, experiment))
    cloud = Gaussians(*(torch.rand(1, 3, n) for n in (3, 4, 3)), torch.rand(1, 3), torch.rand(1, 3, 3))
    write_ply(tmp_path / "a.ply", from_gaussians(cloud))
    refused = {
        ("p.safetensors",): "pictures, without cameras",
        ("a.ply",): "not a whole safetensors file",
        ("missing",): "no generator at",
        ("p.safetensors", "--cells", "0"): "--cells 0: wanted a number from 1 to 512",
        ("p.safetensors", "--steps", "0"): "--steps 0",
        ("p.safetensors", "--cell", "9"): "did you mean --cells?",
    }
    out = tmp_path / "d.safetensors"
    for (name, *options), words in refused.items():
        code = main(["export", "distilled", str(tmp_path / name), "--out", str(out), *options])
        error = capsys.readouterr().err.strip()
        assert (code, len(error.splitlines()), out.exists()) == (2, 1, False), f"{name} {options}: {error}"
        assert words in error, error
    code = main(["export", "distilled", str(pictures), "--out", str(tmp_path / "d.ply")])
    assert (code, "wanted a file ending with .safetensors" in capsys.readouterr().err) == (2, True)
