"""Several scenes at once: files in a folder, grids, films with depth, several meshes; error lines."""

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image, ImageSequence

from conftest import tiny
from genscene.apps.inversion.latents_file import Latents, write_latents
from genscene.cli import main
from genscene.cli.shared.depth import measure_depths
from genscene.cli.shared.rendering import render_frames, render_rows
from genscene.contract import RenderOptions
from genscene.experiment.serialise import build_seeded
from genscene.export.pictures import DEPTH_COLORS, depth_colors
from genscene.geometry.trajectories import trajectory
from genscene.io.generator_file import GeneratorFile, read, write
from genscene.randomness import RandomStreams

SMALL = "--size 12 --samples 6 --device cpu"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A generator of random weights, whose scenes are dense enough to be seen."""
    path = tmp_path_factory.mktemp("several") / "g.safetensors"
    experiment = tiny("pigan-demo")
    generator = build_seeded(experiment).generator
    with torch.no_grad():
        for name, weights in generator.named_parameters():
            if "density" in name and name.endswith("bias"):
                weights.fill_(30.0)
    write(path, GeneratorFile(generator, experiment))
    return path


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A generator of a single scene."""
    path = tmp_path_factory.mktemp("single") / "g.safetensors"
    experiment = tiny("nerf-grid-demo")
    write(path, GeneratorFile(build_seeded(experiment).generator, experiment))
    return path


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_a_folder_gets_a_file_for_each_seed(model, tmp_path, capsys):
    assert main(f"render {model} --out {tmp_path}/each --seeds 0,7,12 {SMALL}".split()) == 0
    assert capsys.readouterr().out == f"{tmp_path}/each: 3 pictures\n"
    names = sorted(path.name for path in (tmp_path / "each").iterdir())
    assert names == ["seed0000.png", "seed0007.png", "seed0012.png"]
    assert main(f"render {model} --out {tmp_path}/one.png --seeds 7 --frames 1 {SMALL}".split()) == 0
    assert (pixels(tmp_path / "each" / "seed0007.png") == pixels(tmp_path / "one.png")).all()


def test_several_views_have_a_file_each(model, scene, tmp_path):
    given = f"--frames 3 {SMALL}".split()
    assert main(["render", str(model), "--out", str(tmp_path), "--seeds", "4", *given]) == 0
    assert main(["render", str(model), "--out", f"{tmp_path}/row.png", "--seeds", "4", *given]) == 0
    for view in range(3):
        row = pixels(tmp_path / "row.png")[:, 12 * view : 12 * view + 12]
        assert (pixels(tmp_path / f"seed0004_view{view:04d}.png") == row).all()


def test_a_grid_is_filled_in_rows_and_its_rest_is_white(model, tmp_path):
    assert main(f"render {model} --out {tmp_path}/each --seeds 0-4 {SMALL}".split()) == 0
    assert main(f"render {model} --out {tmp_path}/grid.png --seeds 0-4 --grid 3x2 {SMALL}".split()) == 0
    grid = pixels(tmp_path / "grid.png")
    assert grid.shape == (24, 36, 3)
    for seed in range(5):
        top, left = 12 * (seed // 3), 12 * (seed % 3)
        cell = grid[top : top + 12, left : left + 12]
        assert (cell == pixels(tmp_path / "each" / f"seed{seed:04d}.png")).all()
    assert (grid[12:, 24:] == 255).all()
    assert main(f"render {model} --out {tmp_path}/all.png --grid 2x3 --depth {SMALL}".split()) == 0
    assert pixels(tmp_path / "all.png").shape == (2 * 3 * 12, 2 * 12, 3)
    assert (pixels(tmp_path / "all.png")[:12, :12] == grid[:12, :12]).all()


def test_a_film_has_its_scenes_in_a_grid_with_depth_below(model, tmp_path):
    words = f"render {model} --out {tmp_path}/a.gif --grid 3x1 --frames 4 --depth {SMALL}"
    assert main(words.split()) == 0
    with Image.open(tmp_path / "a.gif") as film:
        assert [frame.size for frame in ImageSequence.Iterator(film)] == [(36, 24)] * 4
    words = f"interpolate {model} --out {tmp_path}/b.gif --seeds 0,1 --frames 3 --depth {SMALL}"
    assert main(words.split()) == 0
    assert pixels(tmp_path / "b.gif").shape == (24, 12, 3)


@torch.no_grad()
def test_colors_of_depth_are_the_same_in_all_frames(model):
    generator, how = read(model).generator, RenderOptions(samples=6)
    w = generator.style(generator.latents(RandomStreams([0, 1])))
    views = trajectory("dolly", generator.prior, 6, (12, 12))
    near, far = measure_depths(generator, w, views, how)
    assert 0 < near < far
    film = [*render_frames(generator, w[:1], views, "image", how, (near, far))]
    for i in (0, 5):
        (row,) = render_rows(generator, w[:1], views[i : i + 1], "image", how, (near, far))
        assert torch.equal(film[i], row[0])
        rendering = generator.render(generator.bind(w[:1]), views[i : i + 1], how)
        colors = depth_colors(rendering.depth, rendering.alpha, (near, far))
        torch.testing.assert_close(film[i][:, 12:], colors[0].clamp(0, 1))
    seen = [generator.render(generator.bind(w), views[[i, i]], how) for i in range(6)]
    depths = torch.cat([each.depth[each.alpha > 0.5] for each in seen])
    assert near < depths.quantile(0.02)
    assert far > depths.quantile(0.98)


def test_near_is_yellow_far_is_violet_and_empty_is_black():
    depth = torch.tensor([1.0, 2.0, 3.0, 9.0, 2.0]).view(1, 1, 1, 5)
    alpha = torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0]).view(1, 1, 1, 5)
    colors = (255 * depth_colors(depth, alpha, (1.0, 3.0))[0, :, 0].T).round().int().tolist()
    first, middle, last = (list(DEPTH_COLORS[i]) for i in (-1, 2, 0))
    assert colors == [first, middle, last, last, [0, 0, 0]]


def test_several_scenes_are_exported_to_a_folder(model, tmp_path):
    words = f"export mesh {model} --out {tmp_path}/m --seeds 2-3 --format ply --resolution 8 --level 30"
    assert main(words.split()) == 0
    assert main(f"export mesh {model} --out {tmp_path}/3.ply --seed 3 --resolution 8 --level 30".split()) == 0
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == ["seed0002.ply", "seed0003.ply"]
    assert (tmp_path / "m" / "seed0003.ply").read_bytes() == (tmp_path / "3.ply").read_bytes()
    assert len(trimesh.load(tmp_path / "3.ply").vertices)
    small = "--splats 8 --steps 1 --views 1 --side 8"
    assert main(f"export splats {model} --out {tmp_path}/s --seeds 0-1 {small}".split()) == 0
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == ["seed0000.ply", "seed0001.ply"]


def test_files_of_latents_are_named_by_their_places(model, tmp_path):
    generator = read(model).generator
    w = generator.style(generator.latents(RandomStreams([5, 8])))
    write_latents(tmp_path / "w.safetensors", Latents(w), generator)
    words = f"render {model} --latents {tmp_path}/w.safetensors --out {tmp_path}/out {SMALL}"
    assert main(words.split()) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["latent0000.png", "latent0001.png"]
    assert main(f"render {model} --seeds 8 --frames 1 --out {tmp_path}/8.png {SMALL}".split()) == 0
    assert (pixels(tmp_path / "out" / "latent0001.png") == pixels(tmp_path / "8.png")).all()
    words = f"export mesh {model} --latents {tmp_path}/w.safetensors --seeds 0,1 --out {tmp_path}/m"
    assert main([*words.split(), "--resolution", "8", "--level", "30", "--format", "ply"]) == 0
    assert main(f"export mesh {model} --seed 8 --out {tmp_path}/8.ply --resolution 8 --level 30".split()) == 0
    assert (tmp_path / "m" / "latent0001.ply").read_bytes() == (tmp_path / "8.ply").read_bytes()


WRONG = {
    "render MODEL --out OUT/a.png --seeds 0-3 --grid 2x1": "--grid 2x1: wanted 4 places",
    "render MODEL --out OUT/a.png --grid 2x": "--grid '2x': wanted columns x rows like 4x3",
    "render MODEL --out OUT/a.png --grid 0x3": "--grid '0x3': wanted columns x rows like 4x3",
    "render MODEL --out OUT/a --grid 2x2": "a folder: wanted FILE.png, FILE.mp4 or FILE.gif",
    "render MODEL --out OUT/a --seeds 1,1": "--seeds: 1 is twice, wanted each seed once",
    "render MODEL --out OUT/a --program rotate": "a folder: of --blend, --program",
    "render MODEL --out OUT/a.jpg": "wanted a file ending with .png, .mp4, .gif",
    "export mesh MODEL --out OUT/a.glb --seeds 0-1": "wanted a folder, a name without an ending",
    "export mesh MODEL --out OUT/a --seeds 0-1 --seed 3": "--seed 3 and --seeds 0-1: wanted one of them",
    "export mesh SCENE --out OUT/a --seeds 0-1": "holds a single scene, wanted --out FILE",
    "export splats MODEL --out OUT/a": "wanted a file ending with .ply",
}


@pytest.mark.parametrize(("words", "line"), WRONG.items(), ids=WRONG)
def test_bad_input_is_one_line_and_leaves_nothing(words, line, model, scene, tmp_path, capsys):
    out = tmp_path / "out"
    places = {"MODEL": str(model), "SCENE": str(scene)}
    given = [places.get(word, word.replace("OUT", str(out))) for word in words.split()]
    assert main([*given, *(SMALL.split() if words.startswith("render") else ())]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert line in err
    assert not out.exists()


def test_pictures_of_one_color_are_not_written(model, tmp_path, capsys):
    content = read(model)
    content.generator.field.density.bias.fill_(-1e3)
    write(tmp_path / "empty.safetensors", content)
    assert main(f"render {tmp_path}/empty.safetensors --out {tmp_path}/out --seeds 0-2 {SMALL}".split()) == 2
    assert "every picture is one color" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
