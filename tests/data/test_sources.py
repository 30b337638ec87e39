"""Data sources: the background of photographs, cameras and the transform to the files, held-out views."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from data.scenes import write_scene
from genscene.data.sources import data_source, posed_images
from genscene.errors import BadInput
from genscene.evaluation.held_out_views import view_fields
from genscene.experiment.schema import ImageConfig, PosedConfig
from genscene.experiment.serialise import with_overrides
from genscene.experiment.validation import validate
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
    source = data_source(experiment)
    print("\n".join(source.notes))
    return source.experiment


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
    if preset != "nerf-blender":
        assert experiment.system.generator.ground == (round(background / 255, 4),) * 3
    other = "of another color:" if preset != "nerf-blender" else f"{default}, the preset's: only"
    said = f"background {wanted}: 100 %" if wanted else f"background {other} 100 %"
    assert (
        f"{said} of the border pixels are within 16 of {background},{background},{background}"
        in capsys.readouterr().out
    )


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


def test_a_chosen_background_and_bounds_are_kept(tmp_path):
    data = scene(tmp_path, opaque(5))
    experiment = with_overrides(
        replace(PRESETS["nerf-grid-demo"], data=data), background="white", bounds=(0.5,)
    )
    source = data_source(experiment)
    found = source.experiment
    assert found.system.generator.background == found.images.background == "white"
    assert found.system.generator.ground is None
    assert found.system.generator.voxels.box == (0.5, 0.5, 0.5)
    said = "\n".join(source.notes)
    assert "background white, as given; 100 % of the border pixels are within 16 of 5,5,5" in said
    assert "bounds 0.5 0.5 0.5 (half sides, in the files' units): as given" in said
    assert data_source(found, quiet=True).experiment == found  # adapting twice changes nothing
    (tmp_path / "other").mkdir()
    fields = view_fields(found)
    assert fields["background"] == "white"  # what views are compared on, however it was chosen
    assert fields == view_fields(replace(found, posed=PosedConfig(side=found.posed.side)))
    behind = with_overrides(
        replace(experiment, data=scene(tmp_path / "other", transparent())), background="black"
    )
    assert data_source(behind, quiet=True).train.pixels[0, 0, 0].tolist() == [0, 0, 0]


def test_bounds_are_in_the_units_of_the_files(tmp_path):
    write_scene(tmp_path, ground=8, count=12, side=24, unit=50.0)
    experiment = replace(
        PRESETS["nerf-grid-demo"], data=str(tmp_path), posed=PosedConfig(bounds=(45.0, 30.0, 60.0))
    )
    source = data_source(experiment, quiet=True)
    scale = 1 / float(source.to_files[:3, :3].norm(dim=0).mean())
    assert scale == pytest.approx(math.tan(math.radians(4)) / 45, rel=1e-3)  # the farthest camera is at 1
    box = source.experiment.system.generator.voxels.box
    assert box == pytest.approx((45 * scale, 30 * scale, 60 * scale), rel=1e-3)
    measured = data_source(replace(experiment, posed=PosedConfig()), quiet=True).experiment.system.generator
    assert 20 < max(measured.voxels.box) / scale < 50  # the figure is between 33 and 45 units tall
    assert measured.ground == pytest.approx((8 / 255,) * 3, abs=0.004)


@pytest.mark.parametrize("preset", ["nerf-grid-photos", "nerf-blender"])
def test_bounds_are_refused_by_presets_that_have_none(tmp_path, preset):
    experiment = with_overrides(replace(PRESETS[preset], data=scene(tmp_path, opaque(5))), bounds=(0.5,))
    with pytest.raises(BadInput, match=r"--bounds 0.5: this preset's scenes have no box"):
        data_source(experiment)


def test_overrides_that_make_no_sense_are_refused():
    for words, preset in (({"bounds": (1.0,)}, "pigan-demo"), ({"background": "1,2,3"}, "nerf-grid-demo")):
        with pytest.raises(BadInput, match=f"--{next(iter(words))}"):
            with_overrides(PRESETS[preset], **words)
    assert with_overrides(PRESETS["pigan-demo"], background="1,2,3").images.background == "1,2,3"
    with pytest.raises(BadInput, match=r"--posed.bounds \(1.0, 2.0\): wanted 0, 1 or 3 values"):
        validate(with_overrides(PRESETS["nerf-grid-demo"], bounds=(1.0, 2.0)))


@pytest.mark.parametrize(("half", "carved"), [(3, True), (11, False)])
def test_masks_of_the_object_carve_the_box(tmp_path, half, carved):
    checks = np.indices((24, 24)).sum(axis=0)[..., None] // 3 % 2 * np.array([200, 120, 40])
    write_scene(tmp_path, ground=checks, count=12, side=24)
    mask = np.zeros((24, 24), np.uint8)
    mask[12 - half : 12 + half, 12 - half : 12 + half] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    document = json.loads((tmp_path / "transforms.json").read_text())
    for frame in document["frames"]:
        frame["mask_path"] = "mask.png"
    (tmp_path / "transforms.json").write_text(json.dumps(document))
    experiment = replace(PRESETS["nerf-grid-demo"], data=str(tmp_path))
    source = data_source(experiment, quiet=True)
    assert ("what the cameras see in the masks" in source.notes[1]) == carved
    box = source.experiment.system.generator.voxels.box
    assert (max(box) < 0.6 * math.tan(math.radians(4))) == carved


def test_fewer_images_than_a_batch_are_refused_in_one_line(experiment):
    two = replace(experiment, images=replace(experiment.images, limit=2))
    with pytest.raises(BadInput, match=r"synthetic:cars has 2 images, fewer than a batch of 4, which would"):
        next(data_source(two, quiet=True).batches(0))
    fits = replace(two, stages=(replace(two.stages[0], batch=2),))
    assert len(next(data_source(fits, quiet=True).batches(0))) == 2
    later = replace(fits, stages=(*fits.stages, replace(two.stages[0], start=two.steps)))
    assert len(next(data_source(later, quiet=True).batches(0))) == 2
