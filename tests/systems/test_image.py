"""Pictures as functions: what is fitted, sizes, derivatives, weights by content, and what is refused."""

import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from conftest import tiny
from genscene.cli import main
from genscene.contract import RenderOptions, StepContext
from genscene.data.pictures import load_picture, target_values
from genscene.data.sources import data_source
from genscene.evaluation.fitted_pictures import picture_psnr, render_at
from genscene.experiment.schema import Stage
from genscene.experiment.serialise import build_seeded, with_overrides
from genscene.export.pictures import derivative_pictures
from genscene.geometry.cameras import Grid
from genscene.layers.coordinate_network import CoordinateNetworkConfig
from genscene.scenes import PointBatch
from genscene.systems import PRESETS
from genscene.systems.image.generator import ImageGenerator, ImageGeneratorConfig
from genscene.systems.image.system import ImageSystemConfig, bits_per_pixel, derivatives, png_bytes
from genscene.training.run import Run, train

NOTHING = torch.zeros(1, 0)  # the style of a generator of a single scene
SMALL = CoordinateNetworkConfig(width=32, depth=2)


def waves(height=20, width=32):
    """A smooth picture [3, H, W] with its gradient by pixel [3, 2, H, W] and Laplacian [3, H, W]."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    fx, fy = torch.tensor([0.1, 0.2, 0.15]), torch.tensor([0.15, 0.05, 0.1])
    angle = fx[:, None, None] * x + fy[:, None, None] * y
    slope = 0.4 * angle.cos()
    gradient = torch.stack([fx[:, None, None] * slope, fy[:, None, None] * slope], dim=1)
    return 0.5 + 0.4 * angle.sin(), gradient, -0.4 * (fx**2 + fy**2)[:, None, None] * angle.sin()


def save(path, pixels, mode="RGB"):
    """Write [C, H, W] in [0, 1] as a picture."""
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.fromarray((pixels * 255).round().byte().movedim(0, -1).numpy(), mode).save(path)
    return path


def experiment_of(path, steps=300, **system):
    """A small SIREN of a picture, all pixels in each step."""
    preset = PRESETS["image-siren"]
    config = ImageSystemConfig(generator=ImageGeneratorConfig(SMALL), **system)
    return replace(preset, system=config, data=str(path), stages=(Stage(0, (8, 8), 10**6),), steps=steps)


def test_a_smooth_picture_is_fitted_and_evaluated(tmp_path, capsys):
    pixels, _, _ = waves()
    path = save(tmp_path / "waves.png", pixels)
    generator = train(experiment_of(path), Run(tmp_path / "run", grid_every=300))
    assert picture_psnr(render_at(generator, pixels), pixels) > 30
    assert main(["evaluate", str(tmp_path / "run"), "--out", str(tmp_path / "strip.png")]) == 0
    printed = capsys.readouterr().out
    assert "PSNR" in printed
    assert "SSIM" in printed
    assert "bits of weights a pixel" in printed
    with Image.open(tmp_path / "strip.png") as strip:
        assert strip.size == (64, 20)
    assert main(["render", str(tmp_path / "run"), "--out", str(tmp_path / "same.png")]) == 0
    with Image.open(tmp_path / "same.png") as same:
        assert same.size == (32, 20)  # that of the picture
        error = np.asarray(same) / 255 - pixels.movedim(0, -1).numpy()
        assert np.abs(error).mean() < 0.02


@pytest.mark.parametrize(("target", "steps", "least"), [("gradient", 300, 28), ("laplacian", 100, 10)])
def test_a_picture_is_recovered_from_its_derivatives_alone(target, steps, least, tmp_path):
    """Poisson reconstruction (SIREN, sec. 4.1): the mean color is that of the picture."""
    pixels, _, _ = waves()
    path = save(tmp_path / "waves.png", pixels)
    generator = train(experiment_of(path, steps, target=target), Run(tmp_path / "run", grid_every=0))
    image = render_at(generator, pixels)
    assert_close(image.mean(dim=(1, 2)), pixels.mean(dim=(1, 2)), atol=0.03, rtol=0)
    assert picture_psnr(image, pixels) > least


def test_targets_are_central_differences():
    pixels, gradient, laplacian = waves()
    inner = (..., slice(1, -1), slice(1, -1))
    found = target_values(pixels, "gradient").mT.view(3, 2, 20, 32)
    assert_close(found[inner], gradient[inner], atol=1e-3, rtol=0)
    found = target_values(pixels, "laplacian").mT.view(3, 20, 32)
    assert_close(found[inner], laplacian[inner], atol=3e-4, rtol=0)
    assert_close(target_values(pixels, "color").mT.view_as(pixels), pixels)


def test_derivatives_by_pixel_are_differences_of_the_function():
    generator = ImageGenerator(ImageGeneratorConfig(SMALL, (20, 32))).double()
    scene = generator.bind(NOTHING.double())
    points = (torch.rand(1, 5, 2, dtype=torch.float64) - 0.5).requires_grad_()
    found = derivatives(scene.pixels(points), points, (20, 32), "gradient").view(1, 5, 3, 2)
    step = 1e-4
    for axis, side in enumerate((32, 20)):
        shift = torch.zeros(2, dtype=torch.float64)
        shift[axis] = 2 / side * step
        wanted = (scene.pixels(points + shift) - scene.pixels(points - shift)) / (2 * step)
        assert_close(found[..., axis], wanted, atol=1e-5, rtol=1e-4)


def test_derivative_pictures_are_the_same_in_any_memory():
    generator = ImageGenerator(ImageGeneratorConfig(SMALL, (20, 32)))
    scene, view = generator.bind(NOTHING), Grid.whole(1, (10, 16))
    for show in ("gradient", "laplacian"):
        with torch.no_grad():
            whole = derivative_pictures(generator, scene, view, show, RenderOptions())
            parts = derivative_pictures(generator, scene, view, show, RenderOptions(max_bytes=1))
        assert whole.shape == (1, 3, 10, 16)
        assert_close(whole, parts, atol=1e-5, rtol=0)
    assert whole.std() > 0.01


@torch.no_grad()
def test_derivatives_of_a_window_are_those_of_its_part_of_the_whole():
    """Whatever its shape: pixels that are narrower than high count as such."""
    generator = ImageGenerator(ImageGeneratorConfig(SMALL, (20, 32))).double()
    scene, options = generator.bind(NOTHING.double()), RenderOptions()
    for show in ("gradient", "laplacian"):
        whole = derivative_pictures(generator, scene, Grid.whole(1, (20, 32)), show, options)
        half = Grid.whole(1, (20, 32)).crop(torch.tensor([[1.0, 0.5, 0.0, 0.5]]), (20, 16))
        part = derivative_pictures(generator, scene, half, show, options)
        ratio = part / whole[..., 16:] if show == "gradient" else (part - 0.5) / (whole[..., 16:] - 0.5)
        inside = (part < 0.99) & (part > 0.01) & (whole[..., 16:] < 0.99) & (whole[..., 16:] > 0.01)
        assert_close(ratio[inside], ratio[inside].median().expand_as(ratio[inside]), atol=0, rtol=1e-3)


@pytest.mark.parametrize("show", ["gradient", "laplacian"])
def test_derivatives_are_rendered_where_there_are_some(show, tmp_path, capsys):
    """A network that is linear between its folds has no Laplacian."""
    kinds = {"image-siren": True, "image": show == "gradient", "cips-ffhq-256": True, "pigan-demo": False}
    for name, works in kinds.items():
        run = tmp_path / name
        train(tiny(name, steps=1), Run(run, grid_every=0))
        out = tmp_path / f"{name}.png"
        code = main(["render", str(run), "--out", str(out), "--show", show, "--size", "8", "--seeds", "0"])
        assert (code == 0) == out.exists() == works, capsys.readouterr().err


def test_a_larger_picture_and_windows_show_the_same_plane():
    generator = ImageGenerator(ImageGeneratorConfig(SMALL, (20, 32)))
    scene = generator.bind(NOTHING)
    with torch.no_grad():
        large = generator.render(scene, Grid.whole(1, (60, 96))).image
        small = generator.render(scene, Grid.whole(1, (20, 32))).image
        window = Grid.whole(1, (20, 32)).crop(torch.tensor([[0.5, 0.25, 0.5]]), (30, 48))
        part = generator.render(scene, window).image
    assert_close(large[..., 1::3, 1::3], small, atol=1e-5, rtol=0)
    assert_close(part, large[..., 30:60, 24:72], atol=1e-5, rtol=0)


def test_batches_are_functions_of_seed_and_step_and_cut_between_ranks(tmp_path):
    path = save(tmp_path / "waves.png", waves()[0])
    experiment = replace(experiment_of(path, steps=4), stages=(Stage(0, (8, 8), 50),))
    source = data_source(experiment, quiet=True)
    assert source.experiment.stages[0].size == (20, 32)
    whole = list(source.batches(0))
    again = list(source.batches(2))
    halves = [list(source.batches(0, rank, 2)) for rank in (0, 1)]
    for one, other in zip(whole[2:], again, strict=True):
        assert torch.equal(one.points, other.points)
    for one, *parts in zip(whole, *halves, strict=True):
        assert torch.equal(one.points, torch.cat([part.points for part in parts], dim=1))
        assert torch.equal(one.values, torch.cat([part.values for part in parts], dim=1))
    assert not torch.equal(whole[0].points, whole[1].points)
    pixels = load_picture(source.experiment).pixels
    x, y = whole[0].points[0].unbind(-1)
    at = ((y + 1) / 2 * 20 - 0.5).round().long(), ((x + 1) / 2 * 32 - 0.5).round().long()
    assert_close(whole[0].values[0], pixels[:, at[0], at[1]].mT)


def test_a_batch_as_large_as_the_picture_is_all_of_it(tmp_path):
    path = save(tmp_path / "waves.png", waves()[0])
    source = data_source(experiment_of(path, steps=1), quiet=True)
    (batch,) = source.batches(0)
    assert len(batch) == 640 == source.experiment.stages[0].batch
    assert_close(batch.points[0], Grid.whole(1, (20, 32)).coords().flatten(2)[0].mT)


def test_pictures_are_loaded_from_files_folders_and_zips_of_one(tmp_path):
    pixels = waves()[0]
    alpha = torch.ones(1, 20, 32)
    alpha[..., :16] = 0
    path = save(tmp_path / "set" / "a.png", torch.cat([pixels, alpha]), "RGBA")
    (tmp_path / "set" / "notes.txt").write_text("no picture")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.write(path, "inner/a.png")
    for source in (path, path.parent, tmp_path / "set.zip"):
        for background, color in (("white", 1.0), ("black", 0.0)):
            experiment = with_overrides(experiment_of(source), background=background)
            found = load_picture(experiment).pixels
            assert found.shape == (3, 20, 32)
            assert (found[..., :16] == color).all()
            assert_close(found[..., 16:], pixels[..., 16:], atol=1 / 255, rtol=0)
    assert load_picture(with_overrides(experiment_of(path), size=16)).shape == (10, 16)
    assert load_picture(with_overrides(experiment_of(path), size=64)).shape == (40, 64)


def test_what_is_no_single_picture_is_refused_in_one_line(tmp_path, capsys):
    path = save(tmp_path / "two" / "a.png", waves()[0])
    save(tmp_path / "two" / "b.png", waves()[0])
    (tmp_path / "text.png").write_text("this is no picture")
    (tmp_path / "empty").mkdir()
    (tmp_path / "no.zip").write_bytes(b"PK no zip")
    bad = {
        ("--data", str(tmp_path / "two")): "holds 2 pictures, wanted one",
        ("--data", str(tmp_path / "text.png")): "no whole picture of a known format",
        ("--data", str(tmp_path / "empty")): "holds no images",
        ("--data", str(tmp_path / "no.zip")): "zip",
        ("--data", str(tmp_path / "missing.png")): "no such",
        ("--data", str(path), "--size", "0"): "--size 0: wanted 1 or more",
        ("--data", str(path), "--posed.side", "1000000"): "1000000x625000 pixels takes about",
        ("--data", str(path), "--background", "random"): "wanted one color",
        ("--data", str(path), "--bounds", "1"): "have a box",
        ("--data", str(path), "--evaluate-every", "1"): "nothing is held out",
        ("--data", str(path), "--system.target", "curl"): "laplacian",
        ("--data", str(path), "--system.content", "-1"): "wanted 0 or more",
        (): "wants --data PATH: one picture",
    }
    for words, message in bad.items():
        assert main(["train", "image", *words, "--out", str(tmp_path / "run"), "--steps", "1"]) == 2
        error = capsys.readouterr().err.strip()
        assert message in error.splitlines()[-1], error
        assert not (tmp_path / "run" / "generator.safetensors").exists()


@pytest.mark.parametrize("name", ["image", "image-siren", "image-grid"])
def test_weights_follow_the_content(name):
    """A flat picture gets fewer weights than a noisy one: bytes of its PNG times `content`, if it can be."""
    noise = torch.rand(3, 64, 48)
    flat = torch.nn.functional.interpolate(noise[None, :, :8, :6], (64, 48))[0]
    sizes = []
    for pixels in (flat, noise):
        preset = PRESETS[name].system
        config = replace(preset, content=8.0).adapt(pixels)
        count = sum(
            p.numel() for p in build_seeded(replace(PRESETS[name], system=config)).generator.parameters()
        )
        assert bits_per_pixel(config) == pytest.approx(32 * count / (64 * 48))
        sizes.append(count)
        least = 8 if name == "image-siren" else 6000  # bytes that a network without a table takes
        assert 4 * count <= max(8 * png_bytes(pixels), 4 * least)
    assert sizes[0] < sizes[1]


def test_cells_of_grids_are_square_and_as_many_as_pixels(tmp_path):
    config = PRESETS["image-grid"].system.adapt(torch.rand(3, 40, 100))
    assert config.generator.size == (40, 100)
    assert config.generator.network.grid.finest == 100
    generator = config.build_generator()
    seen = []
    generator.network.forward = lambda points: seen.append(points) or points.new_zeros(*points.shape[:-1], 3)
    generator.render(generator.bind(NOTHING), Grid.whole(1, (40, 100)))
    steps = seen[0].view(40, 100, 2)
    assert_close(steps[0, 1] - steps[0, 0], torch.tensor([0.02, 0.0]))
    assert_close(steps[1, 0] - steps[0, 0], torch.tensor([0.0, 0.02]))


def test_only_functions_of_the_same_picture_are_compared(tmp_path, capsys):
    runs = []
    for side in (20, 24):
        path = save(tmp_path / f"{side}.png", waves(side)[0])
        train(experiment_of(path, steps=1), Run(tmp_path / str(side), grid_every=0))
        runs.append(str(tmp_path / str(side)))
    assert main(["compare", runs[0], runs[0]]) == 0
    capsys.readouterr()
    assert main(["compare", *runs]) == 2
    assert "wanted as many" in capsys.readouterr().err
    assert main(["evaluate", runs[0], "--count", "5"]) == 2
    assert "--count" in capsys.readouterr().err


@pytest.mark.parametrize(("target", "channels"), [("color", 3), ("gradient", 6), ("laplacian", 3)])
def test_the_memory_of_a_step_is_estimated_as_it_is(target, channels):
    """By the tensors that its graph keeps."""
    kept = {}
    config = ImageSystemConfig(target=target).adapt(torch.rand(3, 16, 16))
    system = build_seeded(replace(PRESETS["image-siren"], system=config))
    batch = PointBatch(2 * torch.rand(1, 512, 2) - 1, torch.rand(1, 512, channels))

    def keep(x):
        kept[x.untyped_storage().data_ptr()] = x  # none is freed, whose place another could have
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        loss, _ = system.generator_loss(batch, StepContext(0))
    held = sum(x.untyped_storage().nbytes() for x in kept.values())
    weights = sum(4 * parameter.numel() for parameter in system.parameters())
    estimated = len(batch) * system.generator.pixel_bytes() * config.graph_factor
    assert loss.isfinite()
    assert held - 2 * weights < 1.2 * estimated < 3 * held


def test_the_loss_is_the_mean_squared_error(tmp_path):
    path = save(tmp_path / "waves.png", waves()[0])
    source = data_source(experiment_of(path, steps=1), quiet=True)
    system = build_seeded(source.experiment)
    (batch,) = source.batches(0)
    loss, stats = system.generator_loss(batch, StepContext(0))
    with torch.no_grad():
        image = system.generator.render(system.generator.bind(NOTHING), Grid.whole(1, (20, 32))).image[0]
    assert_close(loss, (image - source.points.pixels).square().mean())
    assert_close(stats["psnr"], -10 * loss.detach().log10())
