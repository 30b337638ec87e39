"""What stands behind the things in photographs is found, and rendered behind them."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from genscene.data.posed.photographs import surroundings
from genscene.data.sources import album_of, source_of
from genscene.errors import BadInput
from genscene.experiment.schema import ImageConfig, PosedConfig
from genscene.geometry.cameras import look_at
from genscene.systems import PRESETS

SIDE = 20


def scene(folder, picture):
    """Three photographs in Blender's format, each the same picture."""
    frames = []
    for i in range(3):
        eye = 4 * torch.tensor([[0.8 * math.cos(i), 0.8 * math.sin(i), 0.6]])
        pose = look_at(eye, (0.0, 0.0, 1.0))[0] * torch.tensor([1.0, -1, -1, 1])
        frames.append({"file_path": f"./r_{i}", "transform_matrix": pose.tolist()})
        Image.fromarray(picture).save(folder / f"r_{i}.png")
    (folder / "transforms_train.json").write_text(json.dumps({"camera_angle_x": 0.7, "frames": frames}))
    return str(folder)


def found(data, background="white", preset="nerf-grid-demo"):
    experiment = replace(
        PRESETS[preset],
        data=data,
        images=ImageConfig(background=background),
        posed=PosedConfig(holdout=0),
    )
    return source_of(experiment).experiment


def opaque(behind):
    picture = np.full((SIDE, SIDE, 3), behind, np.uint8)
    picture[5:15, 5:15] = (200, 30, 90)
    return picture


def clear():
    alpha = np.zeros((SIDE, SIDE, 1), np.uint8)
    alpha[5:15] = 255
    return np.concatenate([opaque(0), alpha], axis=-1)


@pytest.mark.parametrize("preset", ["nerf-grid-demo", "nerf-grid-photos", "nerf-blender"])
@pytest.mark.parametrize(("behind", "wanted"), [(5, "black"), (250, "white"), (128, None)])
def test_opaque_photographs_say_by_their_borders_what_is_behind(tmp_path, behind, wanted, preset, capsys):
    kept = PRESETS[preset].system.generator.background
    experiment = found(scene(tmp_path, opaque(behind)), preset=preset)
    assert experiment.system.generator.background == (wanted or kept)
    assert experiment.images.background == (wanted or "white")
    assert (f"stands before {wanted}" in capsys.readouterr().err) == (wanted not in (None, kept))


@pytest.mark.parametrize("name", ["black", "white"])
def test_behind_transparency_is_what_it_was_put_on(tmp_path, name):
    data = scene(tmp_path, clear())
    experiment = found(data, name)
    assert experiment.system.generator.background == experiment.images.background == name
    assert album_of(experiment, "train").pixels[0, 0, 0].tolist() == [255 * (name == "white")] * 3
    assert source_of(experiment).experiment == experiment  # so that a run goes on


def test_transparency_before_what_cannot_be_rendered_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"background '90,0,0'.*white or black"):
        found(scene(tmp_path, clear()), "90,0,0")
    (tmp_path / "other").mkdir()
    found(scene(tmp_path / "other", opaque(0)), "90,0,0")  # nothing is put on it


def test_one_border_in_twenty_may_be_something_else():
    pixels = np.zeros((10, SIDE, SIDE, 3), np.uint8)
    border = 10 * 4 * (SIDE - 1)
    pixels[:2, :, 0, 1] = 9  # 40 of 760 pixels: more than one in twenty
    assert surroundings(pixels) is None
    pixels[:2, :2, 0, 1] = 0
    assert (pixels != 0).sum() == 36 <= 0.05 * border
    assert surroundings(pixels) == "black"
    assert surroundings(255 - pixels) == "white"
    pixels[:, 5, 5] = 200  # what is shown
    assert surroundings(pixels) == "black"
