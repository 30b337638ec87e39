"""The report of genscene data inspect."""

import json
import math
import shlex

import numpy as np
import pytest
from PIL import Image

from data.folders import image_folder, zip_folder
from data.scenes import write_scene
from genscene.cli import main
from genscene.data.prepare.inspect import inspect
from genscene.data.synthetic.write import write_set
from genscene.geometry.priors import CameraPrior
from genscene.randomness import RandomStreams


@pytest.mark.parametrize("zipped", [False, True])
def test_report_on_images(tmp_path, zipped):
    folder = image_folder(tmp_path / "images")
    text = "\n".join(inspect(zip_folder(folder, tmp_path / "i.zip") if zipped else folder))
    for words in ("6 images, 1 other files", "10x8 (5)", "RGB (5)", "broken.jpg", "genscene train"):
        assert words in text


def test_report_on_labels(tmp_path):
    folder = image_folder(tmp_path / "images")
    labels = CameraPrior().sample(RandomStreams(range(4)), (4, 4)).label().tolist()
    rows = [[f"inner/{i}.png", row] for i, row in enumerate(labels)]
    (folder / "dataset.json").write_text(json.dumps({"labels": rows}))
    text = "\n".join(inspect(folder))
    for words in (
        "cameras for 4 of 6 images",
        "distance 1.000 +- 0.000, field of view 12.000 +- 0.000 degrees",
    ):
        assert words in text


def command(lines):
    """The words of the recommended command."""
    (line,) = [line for line in lines if "train on them: " in line]
    return shlex.split(line.split("train on them: genscene ")[1])


CHECKS = np.indices((24, 24)).sum(axis=0)[..., None] // 3 % 2 * np.array([200, 120, 40])
SCENES = {
    "transparent cut-outs on an orbit": ({}, "nerf-grid-demo", "transparent around it"),
    "the same, wide": ({"fov": 40.0}, "nerf-grid-demo", "transparent around it"),
    "a long lens, dark cloth": (
        {"ground": 8},
        "nerf-grid-demo",
        "an object on a ground: 100 % of the border",
    ),
    "grey cloth": ({"ground": 128, "fov": 30.0}, "nerf-grid-demo", "an object on a ground"),
    "around, opaque": ({"ground": CHECKS, "fov": 50.0}, "nerf-grid-photos", "a place: "),
    "forward-facing": ({"ground": CHECKS, "fov": 50.0, "yaw": 0.1}, "nerf-grid-photos", "a place: "),
}


@pytest.mark.parametrize("case", SCENES)
def test_the_recommended_preset_is_that_for_objects_or_places(tmp_path, case, capsys):
    words, preset, reason = SCENES[case]
    folder = write_scene(tmp_path / "a scene", count=20, side=24, **words)
    lines = inspect(folder)
    assert reason in "\n".join(lines)
    assert command(lines) == ["train", preset, "--data", str(folder)]
    assert ("transparent pixels in 20" in "\n".join(lines)) == ("ground" not in words)
    assert main([*command(lines), "--dry-run"]) == 0
    capsys.readouterr()


def test_distances_are_in_the_units_of_the_files(tmp_path):
    text = "\n".join(inspect(write_scene(tmp_path, 8, count=20, side=24, unit=10.0)))
    distance = 9 / math.tan(math.radians(4))
    assert f"distance {distance:.3f} +- 0.000, field of view 8.000 +- 0.000 degrees" in text
    assert f"(in the files' units; training scales them by {1 / distance:.3g})" in text


def test_photographs_of_some_size_are_learned_whole(tmp_path):
    lines = inspect(write_scene(tmp_path / "a", 8, count=5, side=160))
    assert command(lines)[-2:] == ["--size", "160"]
    lines = inspect(write_scene(tmp_path / "b", 8, count=5, side=240))
    assert command(lines)[-2:] == ["--data", str(tmp_path / "b")]
    assert f"genscene train nerf-grid --data {tmp_path / 'b'}" in lines[-1]


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_folder_with_held_out_photographs_only_is_a_scene(tmp_path, split):
    lines = inspect(write_scene(tmp_path, 8, count=5, side=24, name=f"transforms_{split}.json"))
    assert f"{split}: 5 photographs" in lines[-2]
    assert lines[-1].endswith(f"genscene evaluate RUN --data {tmp_path} --split {split}")


def test_alpha_without_transparent_pixels_is_not_transparency(tmp_path):
    for i in range(3):
        Image.new("RGBA", (64, 64), (9, 9, i, 255 - (i == 2))).save(tmp_path / f"{i}.png")
    assert "transparent pixels in 1:" in "\n".join(inspect(tmp_path))


@pytest.mark.parametrize(
    ("side", "option"), [(32, ["--size", "32"]), (64, []), (50, ["--size", "32"]), (100, [])]
)
def test_small_images_get_a_size_that_they_have(tmp_path, side, option, capsys):
    Image.new("RGB", (side + 3, side)).save(tmp_path / "a.png")
    words = command(inspect(tmp_path))
    assert words == ["train", "pigan-pictures", "--data", str(tmp_path), *option]
    assert main([*words, "--dry-run"]) == 0
    capsys.readouterr()


def test_images_without_a_common_layout_are_told(tmp_path):
    write_set("cars", tmp_path / "cars", 12, (16, 16), 0)
    assert "no common layout" not in "\n".join(inspect(tmp_path / "cars"))
    random = np.random.default_rng(0)
    (tmp_path / "other").mkdir()
    for i in range(12):
        blurred = Image.fromarray(random.integers(0, 255, (4, 4, 3), np.uint8)).resize((64, 64))
        blurred.save(tmp_path / "other" / f"{i}.png")
    assert "no common layout (likeness 0.0" in "\n".join(inspect(tmp_path / "other")).replace("-0.0", "0.0")
