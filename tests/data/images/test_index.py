"""Index lists with repeats, masks as transparency, and the layout of CGS-GAN's data."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from data.folders import zip_folder
from genscene.contract import PosedImageBatch
from genscene.data.batches import image_batches
from genscene.data.images import load_images
from genscene.errors import BadInput
from genscene.experiment.schema import Experiment, ImageConfig, Stage
from genscene.geometry.priors import CameraPrior
from genscene.randomness import RandomStreams
from genscene.systems.pigan.system import PiGANConfig

SIZE = (8, 8)


@dataclass(frozen=True)
class PosedPiGANConfig(PiGANConfig):
    """A GAN that is trained on posed images."""

    batch = "posed_images"


def face_set(root, count=4, labels="{:05d}.png", mask=(16, 16)):
    """ROOT/8/NNNNN.png of brightness 40 i, ROOT/mask/NNNNN.png, white on the left, ROOT/dataset.json."""
    (root / "8").mkdir(parents=True)
    (root / "mask").mkdir()
    half = np.zeros(mask, np.uint8)
    half[:, : mask[1] // 2] = 255
    for i in range(count):
        Image.new("RGB", (8, 8), (40 * i,) * 3).save(root / "8" / f"{i:05d}.png")
        Image.fromarray(half).save(root / "mask" / f"{i:05d}.png")
    rows = CameraPrior().sample(RandomStreams(range(count)), SIZE).label().tolist()
    document = {"labels": [[labels.format(i), row] for i, row in enumerate(rows)]}
    (root / "dataset.json").write_text(json.dumps(document))
    return root, torch.tensor(rows)


def write_index(path, entries):
    path.write_text(json.dumps(entries))
    return str(path)


@pytest.mark.parametrize("labels", ["{:05d}.png", "8/{:05d}.png"])
@pytest.mark.parametrize("inner", ["", "8"])
def test_a_set_of_cgs_gan_is_read_whole_or_by_its_resolution(tmp_path, labels, inner):
    root, rows = face_set(tmp_path / "set", labels=labels, mask=(40, 24))
    config = ImageConfig(masks=True)
    found = load_images(str(root / inner), config, SIZE, quiet=True, cameras=True)
    assert_close(found.cameras.label(), rows)
    assert found.pixels[1, 0, 0].tolist() == [40] * 3
    assert found.pixels[1, 0, 7].tolist() == [255] * 3


def test_masks_in_a_zip_are_transparency_on_random_colors(tmp_path):
    root, rows = face_set(tmp_path / "set")
    source = str(zip_folder(root, tmp_path / "set.zip"))
    config = ImageConfig(masks=True, background="random")
    images = load_images(source, config, SIZE, quiet=True, cameras=True)
    assert images.pixels[2, 0, [0, 7], 3].tolist() == [255, 0]
    experiment = Experiment(PosedPiGANConfig(), source, config, (Stage(0, SIZE, 4),), steps=2)
    first, second = image_batches(experiment, images, 0)
    assert isinstance(first, PosedImageBatch)
    assert_close(first.cameras.label().sort(dim=0).values, rows.sort(dim=0).values)
    left, right = first.images[..., 0], first.images[..., 7]
    assert_close(left, left[:, :1, :1].expand_as(left))  # grey
    assert right.flatten(1).std(dim=0).min() > 0.05  # another color for each picture
    assert not torch.equal(right[:, :, 0].sort(dim=0).values, second.images[:, :, 0, 7].sort(dim=0).values)


def test_an_index_repeats_and_drops_images(tmp_path):
    root, rows = face_set(tmp_path / "set")
    for entries in ([0, 3, 3], ["8/00000.png", "00003.png", "00003"]):
        config = ImageConfig(index=write_index(tmp_path / "i.json", entries))
        found = load_images(str(root), config, SIZE, quiet=True, cameras=True, masks=True)
        assert len(found) == len(found.masks) == 3
        assert len(found.pixels) == 2
        assert (found.take(slice(None))[:, 0, 0, 0] * 255).round().tolist() == [0, 120, 120]
        assert_close(found.cameras.label(), rows[[0, 3, 3]])
    first = load_images(str(root), ImageConfig(index=config.index, limit=1), SIZE, quiet=True)
    assert len(first) == 1


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([1, 9], r"i\.json: 1 of 2 names .* the first: '9' \(none has it\)"),
        (["x.png"], r"the first: 'x\.png'"),
        ([], "wanted a list of names"),
        ({"a": 1}, "wanted a list of names"),
        ([1, 1.5], "holds 1.5, wanted names or numbers"),
    ],
)
def test_a_wrong_index_is_one_line(tmp_path, entries, words):
    root, _ = face_set(tmp_path / "set")
    config = ImageConfig(index=write_index(tmp_path / "i.json", entries))
    with pytest.raises(BadInput, match=words):
        load_images(str(root), config, SIZE, quiet=True)


def test_numbers_that_two_images_share_are_refused(tmp_path):
    for folder in "ab":
        (tmp_path / "set" / folder).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "set" / folder / "7.png")
    config = ImageConfig(index=write_index(tmp_path / "i.json", [7]))
    with pytest.raises(BadInput, match="several has it"):
        load_images(str(tmp_path / "set"), config, SIZE, quiet=True)
    with pytest.raises(BadInput, match="not synthetic:cars"):
        load_images("synthetic:cars", config, SIZE, quiet=True)


def test_missing_and_damaged_masks(tmp_path, capsys):
    root, _ = face_set(tmp_path / "set")
    (root / "mask" / "00001.png").write_bytes(b"no mask")
    found = load_images(str(root), ImageConfig(masks=True), SIZE)
    assert len(found) == 3
    assert "8/00001.png: its mask: no whole picture" in capsys.readouterr().err
    (root / "mask" / "00002.png").unlink()
    with pytest.raises(BadInput, match=r"no masks for 1 images, the first: mask/00002\.png"):
        load_images(str(root), ImageConfig(masks=True), SIZE, quiet=True)


def test_embedded_sets_have_transparency_on_random_colors():
    config = ImageConfig(limit=2, background="random")
    found = load_images("synthetic:cars", config, (16, 16), quiet=True)
    white = load_images("synthetic:cars", ImageConfig(limit=2), (16, 16), quiet=True)
    assert found.pixels.shape == (2, 16, 16, 4)
    assert found.masks is None
    on_white = found.pixels[..., :3].astype(int) + 255 - found.pixels[..., 3:]
    assert np.array_equal(on_white, white.pixels)
