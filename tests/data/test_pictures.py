"""Pictures of every kind out of folders and zips; broken files; the cache; the order of batches."""

import io
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from genscene.data import load_images
from genscene.data.decode import Broken, Treatment, background, decode
from genscene.data.images import listed, spread
from genscene.data.inspect import inspect
from genscene.data.pictures import ImageSet
from genscene.data.stream import order, stream
from genscene.errors import BadInput
from genscene.experiment.schema import ImageConfig, Stage
from genscene.geometry.priors import CameraPrior
from genscene.io.atomic import cache_folder
from genscene.randomness import RandomStreams


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def treat(size=(8, 8), **options):
    return Treatment(size, ImageConfig(**options))


RED = Image.new("RGB", (8, 8), (255, 0, 0))


def kinds():
    grey = Image.new("L", (8, 8), 128)
    palette = RED.convert("P", palette=Image.Palette.ADAPTIVE)
    see_through = Image.new("RGBA", (8, 8), (255, 0, 0, 128))
    grey_alpha = Image.new("LA", (8, 8), (0, 0))
    wide = Image.fromarray(np.full((8, 8), 32896, np.uint16))
    floating = Image.fromarray(np.full((8, 8), 0.5, np.float32))
    keyed = RED.convert("P", palette=Image.Palette.ADAPTIVE)
    return {
        "rgb": (encoded(RED), (255, 0, 0)),
        "jpeg": (encoded(RED, "JPEG", quality=100), (254, 0, 0)),
        "grey": (encoded(grey), (128, 128, 128)),
        "bilevel": (encoded(grey.convert("1", dither=Image.Dither.NONE)), (255, 255, 255)),
        "16-bit": (encoded(wide), (128, 128, 128)),
        "floating": (encoded(floating, "TIFF"), (128, 128, 128)),
        "palette": (encoded(palette), (255, 0, 0)),
        "cmyk": (encoded(RED.convert("CMYK"), "TIFF"), (255, 0, 0)),
        "half transparent": (encoded(see_through), (255, 127, 127)),
        "wholly transparent": (encoded(grey_alpha), (255, 255, 255)),
        "palette with a key": (encoded(keyed, transparency=0), (255, 255, 255)),
        "webp": (encoded(RED, "WEBP", lossless=True), (255, 0, 0)),
    }


@pytest.mark.parametrize("name", kinds())
def test_every_kind_of_file_becomes_the_colours_one_sees(name):
    content, color = kinds()[name]
    pixels = decode(content, treat())
    assert pixels.shape == (8, 8, 3)
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - color).max() <= 2


def test_exif_turns_the_picture():
    image = Image.new("RGB", (4, 8), (0, 0, 0))
    image.paste((255, 255, 255), (0, 0, 4, 4))  # the top half is white
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned clockwise
    pixels = decode(encoded(image, "JPEG", exif=exif, quality=100), treat((4, 8), fit="stretch"))
    assert pixels[:, :3].mean() < 20  # what was at the top is at the right now
    assert pixels[:, 5:].mean() > 235


def test_making_small_averages_and_never_fringes():
    stripes = Image.fromarray((np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8))
    assert np.abs(decode(encoded(stripes), treat((8, 8))).astype(int) - 128).max() < 12
    dot = Image.new("RGBA", (64, 64), (0, 255, 0, 0))  # green, but transparent
    dot.paste((255, 0, 0, 255), (16, 16, 48, 48))
    pixels = decode(encoded(dot), treat((16, 16), background="white")).astype(int)
    assert (pixels[..., 0] > 250).all()  # red or white everywhere, no green or dark edge
    assert (np.abs(pixels[..., 1] - pixels[..., 2]) <= 1).all()


@pytest.mark.parametrize(
    ("fit", "middle", "left"), [("cover", 100, 100), ("contain", 100, 255), ("stretch", 100, 0)]
)
def test_fitting_cuts_pads_or_stretches(fit, middle, left):
    wide = Image.new("RGB", (40, 20), (0, 0, 0))
    wide.paste((100, 100, 100), (10, 0, 30, 20))
    tall = wide.rotate(90, expand=True)
    pixels = decode(encoded(wide), treat((20, 20), fit=fit))
    assert abs(int(pixels[10, 10, 0]) - middle) <= 1
    top = decode(encoded(tall), treat((20, 20), fit=fit))
    if fit == "contain":
        assert (pixels[:4] == 255).all()
        assert (top[:, :4] == 255).all()
    else:
        assert abs(int(pixels[10, 0, 0]) - left) <= 2
        assert abs(int(top[0, 10, 0]) - left) <= 2


def test_keeping_the_middle():
    image = Image.new("RGB", (100, 120), (0, 0, 0))
    image.paste((200, 200, 200), (10, 20, 90, 100))
    assert (decode(encoded(image), treat((16, 16), center_crop=0.8)) > 160).all()


def test_random_backgrounds_keep_alpha():
    pixels = decode(encoded(Image.new("RGBA", (8, 8), (200, 100, 0, 51))), treat(background="random"))
    assert pixels.shape == (8, 8, 4)
    assert np.abs(pixels[0, 0].astype(int) - (40, 20, 0, 51)).max() <= 1  # premultiplied


def test_backgrounds_by_name_and_number():
    assert background("10, 20,30") == (10, 20, 30)
    for bad in ("pink", "1,2", "1,2,300", "-1,0,0", ""):
        with pytest.raises(BadInput, match="wanted white"):
            background(bad)


@pytest.mark.parametrize("content", [b"", b"no picture", encoded(RED)[:40], encoded(RED, "JPEG")[:-200]])
def test_broken_files_say_so(content):
    with pytest.raises(Broken):
        decode(content, treat())


def folder_of_pictures(root, count=5):
    (root / "inner").mkdir(parents=True)
    for i in range(count):
        Image.new("RGB", (10, 8), (10 * i, 0, 0)).save(root / "inner" / f"{i}.png")
    (root / "broken.jpg").write_bytes(b"not at all")
    (root / "notes.txt").write_text("no picture")
    (root / ".hidden.png").write_bytes(b"nothing")
    return root


def zipped(folder, path):
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*"):
            archive.write(file, file.relative_to(folder))
        archive.writestr("__MACOSX/._a.png", b"")
    return path


def test_folder_and_zip_give_the_same_and_name_what_is_broken(tmp_path, capsys):
    folder = folder_of_pictures(tmp_path / "pictures")
    sets = []
    for source in (folder, zipped(folder, tmp_path / "p.zip")):
        sets.append(load_images(str(source), ImageConfig(), (4, 4)))
        said = capsys.readouterr().err
        assert "1 of 6 pictures" in said
        assert "broken.jpg" in said
    assert len(sets[0]) == len(sets[1]) == 5
    assert np.array_equal(sets[0].pixels, sets[1].pixels)


def test_pictures_are_decoded_once(tmp_path, monkeypatch):
    folder = folder_of_pictures(tmp_path / "pictures")
    first = load_images(str(folder), ImageConfig(), (4, 4), quiet=True)
    monkeypatch.setattr("genscene.data.decoded", lambda *_: pytest.fail("decoded again"))
    again = load_images(str(folder), ImageConfig(), (4, 4), quiet=True)
    assert np.array_equal(first.pixels, again.pixels)
    assert isinstance(again.pixels, np.memmap)
    assert cache_folder().is_dir()


def test_a_changed_file_is_decoded_again(tmp_path):
    folder = folder_of_pictures(tmp_path / "pictures")
    load_images(str(folder), ImageConfig(), (4, 4), quiet=True)
    Image.new("RGB", (10, 8), (0, 255, 0)).save(folder / "inner" / "0.png")
    assert load_images(str(folder), ImageConfig(), (4, 4), quiet=True).pixels[0, 0, 0, 1] == 255


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("GENSCENE_CACHE", str(tmp_path / "file"))
    assert len(load_images(str(folder_of_pictures(tmp_path / "p")), ImageConfig(), (4, 4), quiet=True)) == 5


def test_what_is_no_set_of_pictures_is_one_clear_line(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("x")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_bytes(b"x")
    cases = {
        "nowhere": "no such folder",
        "empty": "holds no pictures",
        "file.txt": "neither a folder nor a zip",
        "bad": r"none of the 1 pictures.*a\.png",
    }
    for name, words in cases.items():
        with pytest.raises(BadInput, match=words):
            load_images(str(tmp_path / name), ImageConfig(), (4, 4), quiet=True)
    with pytest.raises(BadInput, match="did you mean 'cars'"):
        load_images("synthetic:car", ImageConfig(), (4, 4), quiet=True)
    with pytest.raises(BadInput, match="wanted white"):
        load_images(str(tmp_path), ImageConfig(background="pink"), (4, 4), quiet=True)


def test_labels_are_read_and_must_be_whole(tmp_path):
    folder = folder_of_pictures(tmp_path / "pictures")
    for source in (folder, zipped(folder, tmp_path / "p.zip")):
        with pytest.raises(BadInput, match=r"no dataset\.json"):
            load_images(str(source), ImageConfig(labels=True), (4, 4), quiet=True)
    label = CameraPrior().sample(RandomStreams(range(5)), (4, 4)).label().tolist()
    import json

    rows = [[f"inner/{i}.png", row] for i, row in enumerate(label)]
    (folder / "dataset.json").write_text(json.dumps({"labels": rows[:4]}))
    with pytest.raises(BadInput, match=r"no camera for 1 pictures, first inner/4\.png"):
        load_images(str(folder), ImageConfig(labels=True), (4, 4), quiet=True)
    (folder / "dataset.json").write_text(json.dumps({"labels": rows}))
    found = load_images(str(folder), ImageConfig(labels=True), (4, 4), quiet=True)
    assert_close(found.cameras.label(), torch.tensor(label))


def test_inspecting_tells_what_is_there(tmp_path):
    folder = folder_of_pictures(tmp_path / "pictures")
    for source in (folder, zipped(folder, tmp_path / "p.zip")):
        text = "\n".join(inspect(source))
        for words in ("6 pictures, 1 other files", "10x8 (5)", "RGB (5)", "broken.jpg", "genscene train"):
            assert words in text


def test_an_epoch_shows_every_picture_once_in_an_order_of_its_own():
    first, second = order(np.arange(50), 50, 3), order(np.arange(50, 100), 50, 3)
    assert sorted(first) == sorted(second) == list(range(50))
    assert not np.array_equal(first, second)
    assert np.array_equal(order(np.arange(20, 70), 50, 3), np.concatenate([first[20:], second[:20]]))


def test_processes_see_the_parts_of_one_batch(experiment):
    pictures = ImageSet(np.arange(40 * 48, dtype=np.uint32).astype(np.uint8).reshape(40, 4, 4, 3))
    run = replace(experiment, stages=(Stage(0, (4, 4), 8),), images=ImageConfig(flip=True), steps=3)
    whole = [batch.images for batch in stream(run, pictures, 0)]
    parts = [[b.images for b in stream(run, pictures, 0, rank, 2)] for rank in range(2)]
    for step in range(3):
        assert torch.equal(whole[step], torch.cat([parts[0][step], parts[1][step]]))
    assert torch.equal(next(stream(run, pictures, 2)).images, whole[2])


def test_flipping_mirrors_cameras_too(experiment):
    cameras = CameraPrior().sample(RandomStreams(range(40)), (4, 4))
    pictures = ImageSet(np.random.default_rng(0).integers(0, 255, (40, 4, 4, 3), dtype=np.uint8), cameras)
    run = replace(experiment, stages=(Stage(0, (4, 4), 40),), images=ImageConfig(flip=True), steps=1)
    batch = next(stream(run, pictures, 0))
    indices = order(np.arange(40), 40, run.seed)
    flipped = ~torch.isclose(batch.images, pictures.take(indices)).flatten(1).all(1)
    assert 8 < flipped.sum() < 32
    moved = (batch.cameras.pose - cameras.pose[torch.from_numpy(indices)]).abs().amax((1, 2)) > 1e-6
    assert torch.equal(moved, flipped)


def test_spreading_a_limit():
    assert spread(10, 0) == list(range(10))
    assert spread(10, 3) == [0, 3, 6]
    assert spread(3, 10) == [0, 1, 2]


def test_listing_ignores_what_is_hidden(tmp_path):
    files = listed(folder_of_pictures(tmp_path / "p"))
    assert files.names == ("broken.jpg", *(f"inner/{i}.png" for i in range(5)))


def test_what_is_forgotten_of_a_mapped_file_is_read_again(tmp_path):
    pixels = np.lib.format.open_memmap(tmp_path / "a.npy", mode="w+", dtype=np.uint8, shape=(9, 4, 4, 3))
    pixels[:] = np.arange(9)[:, None, None, None]
    pictures = ImageSet(pixels[:7])
    before = pictures.take(slice(None))
    pictures.forget()
    assert torch.equal(pictures.take(slice(None)), before)
    ImageSet(np.zeros((2, 4, 4, 3), np.uint8)).forget()  # of what lies in memory: nothing
