"""Data sources: the background of photographs, cameras and the transform to the files, held-out views."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from genscene.data.posed.decode import detect_background
from genscene.data.sources import data_source, posed_images
from genscene.errors import BadInput
from genscene.experiment.schema import ImageConfig, PosedConfig
from genscene.geometry.cameras import look_at
from genscene.systems import PRESETS

SIDE = 20


def scene(folder, pixels):
    """A Blender scene of three photographs with the same pixels."""
    frames = []
    for i in range(3):
        eye = 4 * torch.tensor([[0.8 * math.cos(i), 0.8 * math.sin(i), 0.6]])
        pose = look_at(eye, (0.0, 0.0, 1.0))[0] * torch.tensor([1.0, -1, -1, 1])
        frames.append({"file_path": f"./r_{i}", "transform_matrix": pose.tolist()})
        Image.fromarray(pixels).save(folder / f"r_{i}.png")
    (folder / "transforms_train.json").write_text(json.dumps({"camera_angle_x": 0.7, "frames": frames}))
    return str(folder)


def adapted(data, background="white", preset="nerf-grid-demo"):
    experiment = replace(
        PRESETS[preset],
        data=data,
        images=ImageConfig(background=background),
        posed=PosedConfig(holdout=0),
    )
    return data_source(experiment).experiment


def opaque(background):
    picture = np.full((SIDE, SIDE, 3), background, np.uint8)
    picture[5:15, 5:15] = (200, 30, 90)
    return picture


def transparent():
    alpha = np.zeros((SIDE, SIDE, 1), np.uint8)
    alpha[5:15] = 255
    return np.concatenate([opaque(0), alpha], axis=-1)


@pytest.mark.parametrize("preset", ["nerf-grid-demo", "nerf-grid-photos", "nerf-blender"])
@pytest.mark.parametrize(("background", "wanted"), [(5, "black"), (250, "white"), (128, None)])
def test_background_of_opaque_photographs_is_that_of_their_borders(
    tmp_path, background, wanted, preset, capsys
):
    default = PRESETS[preset].system.generator.background
    experiment = adapted(scene(tmp_path, opaque(background)), preset=preset)
    assert experiment.system.generator.background == (wanted or default)
    assert experiment.images.background == (wanted or "white")
    assert (f"have a {wanted} background" in capsys.readouterr().err) == (wanted not in (None, default))


@pytest.mark.parametrize("name", ["black", "white"])
def test_background_of_transparent_photographs_is_the_configured_one(tmp_path, name):
    data = scene(tmp_path, transparent())
    experiment = adapted(data, name)
    assert experiment.system.generator.background == experiment.images.background == name
    assert posed_images(experiment, "train").pixels[0, 0, 0].tolist() == [255 * (name == "white")] * 3
    assert data_source(experiment).experiment == experiment  # adapting twice changes nothing


def test_transparent_photographs_on_other_colors_are_refused(tmp_path):
    with pytest.raises(BadInput, match=r"background '90,0,0'.*white or black"):
        adapted(scene(tmp_path, transparent()), "90,0,0")
    (tmp_path / "other").mkdir()
    adapted(scene(tmp_path / "other", opaque(0)), "90,0,0")  # nothing is composited


def test_one_border_pixel_in_twenty_may_have_another_color():
    pixels = np.zeros((10, SIDE, SIDE, 3), np.uint8)
    border = 10 * 4 * (SIDE - 1)
    pixels[:2, :, 0, 1] = 9  # 40 of 760 pixels: more than one in twenty
    assert detect_background(pixels) is None
    pixels[:2, :2, 0, 1] = 0
    assert (pixels != 0).sum() == 36 <= 0.05 * border
    assert detect_background(pixels) == "black"
    assert detect_background(255 - pixels) == "white"
    pixels[:, 5, 5] = 200  # the foreground
    assert detect_background(pixels) == "black"
