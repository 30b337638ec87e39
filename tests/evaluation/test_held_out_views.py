"""Held-out views of scenes fitted to photographs: splits, sizes, and the estimate while training."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from genscene import load
from genscene.cli import main
from genscene.data.posed.loader import load_posed
from genscene.data.sources import posed_images
from genscene.data.synthetic import views_of_one
from genscene.evaluation.held_out_views import estimate_psnr, render_held_out
from genscene.experiment.schema import Stage
from genscene.geometry.transforms import WorldTransform
from genscene.io.generator_file import read
from genscene.systems import PRESETS
from genscene.training.run import Run, train

SIDE = 24  # of the photographs; the scene is trained at half of it
OFFSET = torch.tensor([5.0, -2.0, 1.0])  # of the world of the files: not centered


def write_split(folder, split, indices):
    """Views of an embedded scene as a split in Blender's format, the world moved by `OFFSET`."""
    truth = views_of_one("cars", indices, (SIDE, SIDE), 0)
    pose = truth.cameras.pose * torch.tensor([1.0, -1.0, -1.0, 1.0])
    pose[:, :3, 3] += OFFSET
    (folder / split).mkdir(parents=True)
    frames = []
    for i, (image, matrix) in enumerate(zip(truth.pixels().numpy(), pose.tolist(), strict=True)):
        Image.fromarray(image).save(folder / split / f"{i}.png")
        frames.append({"file_path": f"./{split}/{i}", "transform_matrix": matrix})
    angle = 2 * float(torch.atan(0.5 / truth.cameras.intrinsics[0, 0, 0]))
    content = {"camera_angle_x": angle, "frames": frames}
    (folder / f"transforms_{split}.json").write_text(json.dumps(content))


@pytest.fixture(scope="module")
def there(tmp_path_factory):
    """A scene fitted to photographs with splits train and test, and a folder with the latter alone."""
    root = tmp_path_factory.mktemp("there")
    write_split(root / "photos", "train", range(12))
    write_split(root / "photos", "test", range(20, 24))
    shutil.copytree(root / "photos" / "test", root / "test_only" / "test")
    shutil.copy(root / "photos" / "transforms_test.json", root / "test_only")
    preset = PRESETS["nerf-grid-demo"]
    small = replace(preset, system=preset.system.shrunk(), data=str(root / "photos"), steps=30)
    small = replace(small, stages=(Stage(0, (SIDE, SIDE), 256),), posed=replace(small.posed, side=SIDE // 2))
    train(small, Run(root / "run", device="cpu", grid_every=0))
    return root


def evaluated(there, tmp_path, *words):
    """The summary, mean PSNR and notes of `genscene evaluate`."""
    out = tmp_path / "x.json"
    assert main(["evaluate", str(there / "run"), "--device", "cpu", "--out", str(out), *words]) == 0
    found = json.loads(out.read_text())
    return found["protocol"], found["generators"]["run"]["psnr"]["value"], found["notes"]


def refused(words, capsys):
    assert main(words) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err


def test_a_folder_with_test_views_alone_is_in_the_world_of_the_scene(there, tmp_path):
    _, wanted, _ = evaluated(there, tmp_path, "--split", "test")
    _, found, _ = evaluated(there, tmp_path, "--split", "test", "--data", str(there / "test_only"))
    assert found == pytest.approx(wanted, abs=0.02)
    assert wanted > 12  # in another world these views would show nothing of the scene


def test_a_missing_split_names_one_that_is_there(there, capsys):
    run = str(there / "run")
    for words in (["evaluate", run], ["compare", run, run], ["evaluate", run, "--split", "val"]):
        assert "no photographs for val; it has some for train, test: --split test" in refused(words, capsys)
    words = ["evaluate", run, "--data", str(there / "test_only")]
    assert "it has some for test: --split test" in refused(words, capsys)


def test_scenes_are_compared_on_a_split(there, capsys):
    run = str(there / "run")
    assert main(["compare", run, f"{run}/generator.safetensors", "--split", "test", "--device", "cpu"]) == 0
    assert "4 held-out views (test)" in capsys.readouterr().out


def test_photographs_that_are_reduced_are_noted_and_scored_at_another_size(there, tmp_path, capsys):
    protocol, reduced, notes = evaluated(there, tmp_path, "--split", "test")
    assert protocol["size"] == "12x12"
    assert sum("of 24x24 pixels, reduced to 12x12 as in training; --size 24" in note for note in notes) == 1
    protocol, full, notes = evaluated(there, tmp_path, "--split", "test", "--size", "24")
    assert protocol["size"] == "24x24"
    assert not any("reduced" in note for note in notes)
    assert full != reduced
    words = ["evaluate", str(there / "run"), "--split", "test", "--size"]
    assert "--size 32x32: wanted a longer side of at most 24" in refused([*words, "32"], capsys)
    assert "--size 12x24: wanted a longer side of at most 24, or 24x24" in refused([*words, "12x24"], capsys)


def test_the_estimate_while_training_is_that_of_evaluate(there):
    experiment = read(there / "run").experiment
    generator, posed = load(there / "run" / "generator.safetensors"), posed_images(experiment, "test")
    wanted = [view.scores["psnr"] for view in render_held_out(generator, posed)]
    found = estimate_psnr(generator, posed, experiment.system)
    assert found == pytest.approx(wanted, abs=1e-3)  # every pixel
    some = estimate_psnr(generator, posed, experiment.system, sampled=4 * 72)
    assert np.mean(some) == pytest.approx(np.mean(wanted), abs=1.0)


def test_the_line_while_training_says_what_was_averaged(there, tmp_path, capsys):
    experiment = replace(read(there / "run").experiment, steps=2)
    train(experiment, Run(tmp_path / "run", device="cpu", grid_every=2))
    assert "dB, mean of 4 held-out views" in capsys.readouterr().err


def test_a_world_is_read_from_its_matrix(there):
    transform = load_posed(there / "photos").transform
    again = WorldTransform.from_matrix(transform.inverse().matrix().float()).inverse()
    points = torch.randn(5, 3, dtype=torch.float64)
    assert torch.allclose(again.points(points), transform.points(points), atol=1e-5)
