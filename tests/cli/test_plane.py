"""Verbs on pictures without cameras: windows, what is beyond the frame, films, foveated synthesis."""

import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageSequence

from conftest import tiny
from genscene.cli import main
from genscene.experiment.serialise import build_seeded
from genscene.io.generator_file import GeneratorFile, write
from genscene.layers.mapping import update_w_avg


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Generators with embeddings, without, with the released lookup, and one with cameras."""
    folder, demo = tmp_path_factory.mktemp("files"), tiny("cips-ffhq-256")
    generator = demo.system.generator
    legacy = replace(generator, network=replace(generator.network, legacy_grid_sample=True))
    experiments = {
        "plane": demo,
        "ne": tiny("cips-ffhq-256-ne"),
        "legacy": replace(demo, system=replace(demo.system, generator=legacy)),
        "cameras": tiny("pigan-carla"),
    }
    for name, experiment in experiments.items():
        generator = build_seeded(experiment).generator
        update_w_avg(generator)
        write(folder / f"{name}.safetensors", GeneratorFile(generator, experiment))
    return folder


@pytest.fixture
def run(files, tmp_path, capsys):
    """Run a verb on one of the generators -> exit code, lines of output and of errors, the written pixels."""

    def call(verb, name, *words, out="a.png"):
        out = tmp_path / out
        code = main([verb, str(files / f"{name}.safetensors"), "--out", str(out), *words])
        printed = capsys.readouterr()
        return code, printed.out.splitlines(), printed.err, read(out)

    return call


def read(path):
    """All frames [F, H, W, 3] of a film, the pixels [H, W, 3] of a picture; None where there is no file."""
    if not path.exists():
        return None
    with Image.open(path) as image:
        frames = [np.asarray(frame.convert("RGB")).astype(int) for frame in ImageSequence.Iterator(image)]
    return frames[0] if path.suffix == ".png" else np.stack(frames)


def pixels(run, *words, name="plane"):
    """The rendered pictures of two seeds."""
    code, _, err, found = run("render", name, "--seeds", "0-1", *words)
    assert (code, err) == (0, "")
    return found


@pytest.mark.parametrize("name", ["plane", "ne", "legacy"])
def test_windows_are_parts_of_the_whole_and_of_what_is_beyond(run, name):
    whole = pixels(run, "--size", "16", name=name)
    part = pixels(run, "--size", "8", "--window", "0.25,0.25,0.75,0.75", name=name)
    beyond = pixels(run, "--size", "32", "--window", "-0.5,-0.5,1.5,1.5", name=name)
    strip = pixels(run, "--size", "4x24", "--window", "-0.25,0.5,1.25,0.75", name=name)
    assert whole.std() > 5
    assert np.abs(strip[:4, 4:20] - whole[8:12]).max() <= 1
    assert np.abs(whole[4:12, 4:12] - part[:8]).max() <= 1
    assert np.abs(beyond[8:24, 8:24] - whole[:16]).max() <= 1
    assert np.abs(beyond[40:56, 8:24] - whole[16:]).max() <= 1


def test_a_picture_is_the_same_in_any_memory(run):
    whole = pixels(run, "--size", "20x14")
    assert np.abs(pixels(run, "--size", "20x14", "--memory", "2e-6") - whole).max() <= 1


def test_what_is_beyond_the_frame_is_chosen(run):
    window = ["--size", "16", "--window", "-0.5,-0.5,1.5,1.5"]
    found = {way: pixels(run, *window, "--outside", way) for way in ("border", "reflection", "zeros", "wrap")}
    assert np.array_equal(found["border"], pixels(run, *window))
    inside = [picture[5:11, 5:11] for picture in found.values()]
    assert all(np.abs(each - inside[0]).max() <= 1 for each in inside)
    assert len({picture.tobytes() for picture in found.values()}) == 4


def test_a_film_goes_from_one_style_to_the_next(run):
    words = ["--seeds", "0,1", "--frames", "4", "--size", "12", "--psi", "0.7"]
    code, _, err, film = run("interpolate", "plane", *words, out="a.gif")
    assert (code, err, film.shape) == (0, "", (4, 12, 12, 3))
    ends = pixels(run, "--size", "12", "--psi", "0.7").reshape(2, 12, 12, 3)
    assert np.abs(film[::2] - ends).mean() < 16 < np.abs(film[2::-2] - ends).mean()
    assert np.abs(film[1] - film[0]).mean() > 8
    window = ["--window", "0,0,0.5,0.5"]
    corner = run("interpolate", "plane", *words, *window, "--size", "6", out="b.gif")[3]
    assert np.abs(corner - film[:, :6, :6]).mean() < 16  # of two palettes


def test_foveated_pictures_say_what_was_evaluated(run):
    code, lines, err, found = run("foveate", "plane", "--seeds", "0-1", "--size", "16", "--percent", "25,100")
    assert (code, err) == (0, "")
    pattern = r"25 %: 64 of 256 pixels evaluated, [\d.]+ s, [\d.]+ of the time of all"
    assert re.fullmatch(pattern, lines[0])
    assert re.fullmatch(r"100 %: 256 of 256 pixels evaluated, [\d.]+ s", lines[1])
    assert found.shape == (32, 32, 3)
    assert np.abs(found[:, 16:] - pixels(run, "--size", "16")).max() <= 1
    once = run("foveate", "plane", "--size", "16", "--percent", "30", "--center", "-1,-1")
    again = run("foveate", "plane", "--size", "16", "--percent", "30", "--center", "-1,-1", out="b.png")
    assert np.array_equal(once[3], again[3])
    assert "time of all" not in once[1][0]


REFUSED = {
    "no window": ("render plane --window x", "--window 'x': wanted left,top,right,bottom"),
    "three sides": ("render plane --window 0,0,1", "--window '0,0,1': wanted left,top,right,bottom"),
    "empty": ("render plane --window 0,0,0,1", "--window '0,0,0,1' is empty: wanted"),
    "turned": ("foveate plane --window 1,1,0,0", "--window '1,1,0,0' is empty: wanted"),
    "far": ("render plane --window 0,0,1e4,1e4", "wanted numbers from -1000 to 1000"),
    "not finite": ("render plane --window 0,0,nan,1", "--window '0,0,nan,1': wanted left,top"),
    "no size": ("render plane --size 0", "--size '0': wanted a side like 128"),
    "no size of a window": ("render plane --size 0x8 --window 0,0,1,1", "--size '0x8'"),
    "no such way": (
        "render plane --outside mirror",
        "--outside mirror: wanted one of 'border', 'reflection'",
    ),
    "released lookup": ("render legacy --outside wrap", "--outside wrap: wanted border, reflection or zeros"),
    "no embeddings": ("render ne --outside zeros", "--outside zeros: wanted border, there are no embeddings"),
    "window of cameras": ("render cameras --window 0,0,1,1", "--window: the scenes of"),
    "beyond cameras": ("interpolate cameras --seeds 0,1 --outside zeros", "--outside: the scenes of"),
    "video": ("render plane", "its scenes are pictures, wanted --out FILE.png, or genscene interpolate"),
    "path": ("render plane --path orbit", "are pictures, without cameras"),
    "path of a film": ("interpolate plane --seeds 0,1 --path front", "are pictures, without cameras"),
    "mix": ("interpolate plane --seeds 0,1 --mix 0", "--mix 0: the styles of this generator are not by"),
    "fovea of cameras": ("foveate cameras", "wanted a generator whose pixels are evaluated one by one"),
    "nothing": ("foveate plane --percent 0", "--percent '0': wanted numbers above 0, up to 100"),
    "too much": ("foveate plane --percent 5,101", "--percent '5,101': wanted numbers above 0"),
    "no center": ("foveate plane --center 1", "--center '1': wanted x,y"),
    "no deviation": ("foveate plane --deviation 0", "--deviation 0: wanted a number from 1e-06"),
    "depth": ("foveate plane --show depth", "--show depth: wanted image"),
}


@pytest.mark.parametrize(("words", "expected"), REFUSED.values(), ids=REFUSED)
def test_what_pictures_do_not_allow_is_one_line(run, words, expected, request):
    verb, name, *rest = words.split()
    film = verb == "interpolate" or "video" in request.node.name
    code, out, err, there = run(verb, name, *rest, out="a.gif" if film else "a.png")
    assert (code, out, err.count("\n"), there) == (2, [], 1, None)
    assert err.startswith("genscene: ")
    assert expected in err
