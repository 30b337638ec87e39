"""Packed sets: read by StyleGAN's rules and by training, labels of crops, the same bytes, error lines."""

import io
import json
import os
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from data.folders import image_folder, zip_folder
from genscene.cli import main
from genscene.data.images import load_images
from genscene.data.prepare.pack import pack_pictures, packed_name
from genscene.experiment.schema import ImageConfig
from genscene.geometry.cameras import Camera
from genscene.geometry.priors import CameraPrior
from genscene.randomness import RandomStreams

SIZES = ((20, 12), (12, 12), (9, 30), (16, 16))  # width, height


def pictures(root, labels=None):
    """Pictures of noise, one of them transparent, one grey, with labels by name."""
    (root / "b").mkdir(parents=True)
    noise = np.random.default_rng(0)
    for i, (width, height) in enumerate(SIZES):
        channels = (3, 4, 3, 1)[i]
        pixels = noise.integers(0, 256, (height, width, channels), np.uint8)
        Image.fromarray(pixels.squeeze()).save(root / ("b" if i % 2 else "") / f"{i}.png")
    names = ["0.png", "b/1.png", "2.png", "b/3.png"]
    if labels is not None:
        rows = [[name, label] for name, label in zip(names, labels, strict=True)]
        (root / "dataset.json").write_text(json.dumps({"labels": rows}))
    return root


def cameras():
    return CameraPrior("uniform", (1.5, 0.5), (1.4, 0.2), 2.7, fov=20.0).sample(
        RandomStreams(range(4)), (1, 1)
    )


def read_as_stylegan(path):
    """The pictures and labels of a set, by the rules of StyleGAN's ImageFolderDataset."""
    with zipfile.ZipFile(path) as archive:
        known = Image.registered_extensions()
        names = sorted(n for n in archive.namelist() if os.path.splitext(n)[1].lower() in known)
        images = [np.asarray(Image.open(io.BytesIO(archive.read(name)))) for name in names]
        assert {image.shape for image in images} == {images[0].shape}
        assert images[0].shape[0] == images[0].shape[1]
        assert images[0].shape[2:] == (3,)
        labels = json.loads(archive.read("dataset.json"))["labels"]
        if labels is None:
            return images, None
        labels = dict(labels)
        found = np.array([labels[name] for name in names])
        return images, found.astype({1: np.int64, 2: np.float32}[found.ndim])


def test_training_reads_the_same_pixels_from_the_packed_set(tmp_path):
    root = pictures(tmp_path / "set")
    found = pack_pictures(str(root), tmp_path / "set.zip", 8)
    assert found.names == tuple(f"00000/img0000000{i}.png" for i in range(4))
    assert (found.enlarged, found.cameras, found.classes) == (0, 0, 0)
    direct = load_images(str(root), ImageConfig(), (8, 8)).pixels
    again = load_images(str(tmp_path / "set.zip"), ImageConfig(), (8, 8)).pixels
    assert (direct == again).all()
    images, labels = read_as_stylegan(tmp_path / "set.zip")
    assert (np.stack(images) == direct).all()
    assert labels is None
    assert packed_name(70_001) == "00070/img00070001.png"


def test_a_zip_and_a_folder_of_the_same_files_and_bytes(tmp_path):
    root = pictures(tmp_path / "set", [3, 1, 0, 2])
    zipped = zip_folder(root, tmp_path / "source.zip")
    for source, dest in ((root, "a.zip"), (root, "folder"), (zipped, "b.zip")):
        words = ["data", "pack", "--source", str(source), "--dest", str(tmp_path / dest), "--size", "8"]
        assert main(words) == 0
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert {each.compress_type for each in archive.infolist()} == {zipfile.ZIP_STORED}
        for name in archive.namelist():
            assert archive.read(name) == (tmp_path / "folder" / name).read_bytes()
    written = sorted(
        p.relative_to(tmp_path / "folder").as_posix() for p in (tmp_path / "folder").rglob("*.*")
    )
    assert written == [*(packed_name(i) for i in range(4)), "dataset.json"]


def test_classes_are_carried_over_in_the_order_of_the_names(tmp_path):
    pack_pictures(str(pictures(tmp_path / "set", [3, 1, 0, 2])), tmp_path / "a.zip", 4, "0,0,0")
    images, labels = read_as_stylegan(tmp_path / "a.zip")
    assert labels.tolist() == [3, 0, 1, 2]  # 0.png, 2.png, b/1.png, b/3.png
    assert labels.dtype == np.int64
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        document = json.loads(archive.read("dataset.json"))
    assert document["sources"] == ["0.png", "2.png", "b/1.png", "b/3.png"]
    assert len(images) == 4


def test_cameras_are_those_of_the_squares(tmp_path):
    given = cameras()
    rows = given.label().tolist()
    pack_pictures(str(pictures(tmp_path / "set", rows)), tmp_path / "a.zip", 8)
    found = load_images(str(tmp_path / "a.zip"), ImageConfig(), (8, 8), cameras=True).cameras
    order = [0, 2, 1, 3]
    assert_close(found.pose, given.pose[order])
    points = torch.tensor([[0.05, 0.02, 0.1], [-0.1, 0.1, -0.05]], dtype=torch.float64)
    for place, i in enumerate(order):
        width, height = SIZES[i]
        side = min(width, height)
        seen = project(given[i : i + 1], points) * torch.tensor([width, height])  # pixels of the source
        middle = torch.tensor([(width - side) / 2, (height - side) / 2])
        assert_close(project(found[place : place + 1], points), (seen - middle) / side, atol=1e-6, rtol=0)
        if width == height:
            assert torch.equal(found.intrinsics[place], given.intrinsics[i])


def project(camera: Camera, points):
    """Points [N, 3] -> where a camera [1] sees them, in sides of its picture [N, 2]."""
    pose = camera.pose[0].double()
    local = (points - pose[:3, 3]) @ pose[:3, :3] @ camera.intrinsics[0].double().T
    return local[:, :2] / local[:, 2:]


def test_broken_pictures_are_named_and_left_out(tmp_path, capsys):
    root = image_folder(tmp_path / "set", 3)
    words = ["data", "pack", "--source", str(root), "--dest", str(tmp_path / "a.zip"), "--size", "12"]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert "1 of 4 images cannot be read and are left out" in err
    assert "broken.jpg" in err
    assert f"{tmp_path / 'a.zip'}: 3 pictures of 12x12, no labels, 1 left out" in out
    assert "3 have fewer pixels than 12x12 and were enlarged" in out
    assert "StyleGAN's programs want a power of two, 12 is none" in out
    assert len(read_as_stylegan(tmp_path / "a.zip")[0]) == 3


def broken(root):
    image_folder(root, 0)
    (root / "inner").rmdir()


WRONG = {
    "no picture": (broken, "out.zip", "", "none of the 1 images in"),
    "inside": (pictures, "set/packed", "", "lies in"),
    "ending": (pictures, "out.tar", "", "wanted FILE.zip, or a folder"),
    "random": (pictures, "out.zip", "--background random", "wanted one color, white, black or R,G,B"),
    "color": (pictures, "out.zip", "--background blue", "background 'blue': wanted white, black"),
    "size": (pictures, "out.zip", "--size 0", "0: wanted a number from 1 to 16384"),
    "no set": (lambda root: None, "out.zip", "", "no such folder or zip"),
    "labels": (lambda root: pictures(root, [0, 1, -2, 3]), "out.zip", "", "none of 0, 1, 2"),
    "numbers": (lambda root: pictures(root, [[1.0] * 7] * 4), "out", "", "wanted 25 numbers"),
}


@pytest.mark.parametrize(("make", "dest", "more", "line"), WRONG.values(), ids=WRONG)
def test_bad_input_is_one_line_and_nothing_is_written(make, dest, more, line, tmp_path, capsys):
    make(tmp_path / "set")
    before = sorted(tmp_path.rglob("*"))
    words = ["data", "pack", "--source", f"{tmp_path}/set", "--dest", f"{tmp_path}/{dest}", *more.split()]
    assert main(words) == 2
    err = capsys.readouterr().err.splitlines()
    assert err[-1].startswith("genscene: ")
    assert line in err[-1]
    assert sorted(tmp_path.rglob("*")) == before


def test_a_label_that_is_missing_is_named(tmp_path, capsys):
    root = pictures(tmp_path / "set", [0, 1, 2, 3])
    (root / "dataset.json").write_text(json.dumps({"labels": [["0.png", 5]]}))
    assert main(["data", "pack", "--source", str(root), "--dest", str(tmp_path / "out.zip")]) == 2
    assert "has no label for 3 images, the first: 2.png" in capsys.readouterr().err
