"""Image sets loaded from folders and zips: unreadable files, the cache, cameras, error lines."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from data.folders import image_folder, zip_folder
from genscene.data.images import ImageSet, list_images, load_images
from genscene.data.images.load import evenly_spaced
from genscene.errors import BadInput
from genscene.experiment.schema import ImageConfig
from genscene.geometry.priors import CameraPrior
from genscene.io.atomic import cache_folder
from genscene.randomness import RandomStreams


def load(source, **options):
    return load_images(str(source), ImageConfig(), (4, 4), quiet=True, **options)


def test_folder_and_zip_give_the_same_images_and_log_unreadable_files(tmp_path, capsys):
    folder = image_folder(tmp_path / "images")
    sets = []
    for source in (folder, zip_folder(folder, tmp_path / "i.zip")):
        sets.append(load_images(str(source), ImageConfig(), (4, 4)))
        log = capsys.readouterr().err
        assert "1 of 6 images" in log
        assert "broken.jpg" in log
    assert len(sets[0]) == len(sets[1]) == 5
    assert np.array_equal(sets[0].pixels, sets[1].pixels)


def test_images_are_decoded_once(tmp_path, monkeypatch):
    folder = image_folder(tmp_path / "images")
    first = load(folder)
    monkeypatch.setattr("genscene.data.images.load.decode_files", lambda *_: pytest.fail("decoded again"))
    again = load(folder)
    assert np.array_equal(first.pixels, again.pixels)
    assert isinstance(again.pixels, np.memmap)
    assert cache_folder().is_dir()


def test_a_changed_file_is_decoded_again(tmp_path):
    folder = image_folder(tmp_path / "images")
    load(folder)
    Image.new("RGB", (10, 8), (0, 255, 0)).save(folder / "inner" / "0.png")
    assert load(folder).pixels[0, 0, 0, 1] == 255


def test_images_load_without_a_writable_cache(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("GENSCENE_CACHE", str(tmp_path / "file"))
    assert len(load(image_folder(tmp_path / "images"))) == 5


def test_what_cannot_be_loaded_is_refused_in_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("x")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_bytes(b"x")
    cases = {
        "nowhere": "no such folder",
        "empty": "holds no images",
        "file.txt": "neither a folder nor a complete zip",
        "bad": r"none of the 1 images.*a\.png",
    }
    for name, words in cases.items():
        with pytest.raises(BadInput, match=words):
            load(tmp_path / name)
    with pytest.raises(BadInput, match="did you mean 'cars'"):
        load("synthetic:car")
    with pytest.raises(BadInput, match="wanted white"):
        load_images(str(tmp_path), ImageConfig(background="pink"), (4, 4), quiet=True)


def test_cameras_are_read_and_must_be_complete(tmp_path):
    folder = image_folder(tmp_path / "images")
    assert load(folder).cameras is None
    for source in (folder, zip_folder(folder, tmp_path / "i.zip")):
        with pytest.raises(BadInput, match=r"no dataset\.json"):
            load(source, cameras=True)
    labels = CameraPrior().sample(RandomStreams(range(5)), (4, 4)).label().tolist()
    rows = [[f"inner/{i}.png", row] for i, row in enumerate(labels)]
    (folder / "dataset.json").write_text(json.dumps({"labels": rows[:4]}))
    with pytest.raises(BadInput, match=r"no camera for 1 images, the first: inner/4\.png"):
        load(folder, cameras=True)
    (folder / "dataset.json").write_text(json.dumps({"labels": rows}))
    found = load(folder, cameras=True)
    assert_close(found.cameras.label(), torch.tensor(labels))


def test_limited_indices_are_evenly_spaced():
    assert evenly_spaced(10, 0) == list(range(10))
    assert evenly_spaced(10, 3) == [0, 3, 6]
    assert evenly_spaced(3, 10) == [0, 1, 2]


def test_hidden_files_are_not_listed(tmp_path):
    files = list_images(image_folder(tmp_path / "images"))
    assert files.names == ("broken.jpg", *(f"inner/{i}.png" for i in range(5)))


def test_released_memory_of_a_mapped_file_is_read_again(tmp_path):
    pixels = np.lib.format.open_memmap(tmp_path / "a.npy", mode="w+", dtype=np.uint8, shape=(9, 4, 4, 3))
    pixels[:] = np.arange(9)[:, None, None, None]
    images = ImageSet(pixels[:7])
    before = images.take(slice(None))
    images.release_memory()
    assert torch.equal(images.take(slice(None)), before)
    ImageSet(np.zeros((2, 4, 4, 3), np.uint8)).release_memory()  # in memory: no effect
