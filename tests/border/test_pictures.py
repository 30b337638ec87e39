"""Pictures start no program, whatever they hold; bombs are refused; Pillow's warnings become findings."""

import io
import json
import os
import time
import warnings
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

from border.watch import watched
from genscene.data.images import load_images
from genscene.data.images.files import common_size
from genscene.data.posed import load_posed
from genscene.data.posed.decode import decode_posed
from genscene.data.prepare.inspect import inspect
from genscene.errors import BadInput
from genscene.experiment.schema import ImageConfig
from genscene.io import pictures
from genscene.io.pictures import FORMATS, UnreadableImage, decode_picture, picture_header

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"
NAMES = ("a.png", "b.jpg", "c.eps", "d.ps", "e.tif", "f.bmp", "g.webp", "h.gif", "i.ppm")


def png(size=(8, 8), mode="RGB", **options):
    """A PNG of one colour."""
    content = io.BytesIO()
    Image.new(mode, size, 77).save(content, "PNG", **options)
    return content.getvalue()


@pytest.fixture
def fake_gs(tmp_path, monkeypatch):
    """A program `gs` that is first on PATH, and the file that it writes when started."""
    marker, folder = tmp_path / "started", tmp_path / "bin"
    folder.mkdir()
    for name in ("gs", "gswin32c", "gswin64c"):
        (folder / name).write_text(f"#!/bin/sh\necho x >> {marker}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)
    return marker


def test_the_watch_sees_what_pillow_does_with_all_its_formats(fake_gs, tmp_path):
    with watched(tmp_path) as events, suppress(OSError):
        Image.open(io.BytesIO(POSTSCRIPT)).load()
    assert fake_gs.exists()
    assert any(event == "subprocess.Popen" for event, _ in events)


@pytest.mark.parametrize("packed", [False, True])
def test_postscript_starts_nothing_in_a_folder_or_zip(packed, fake_gs, tmp_path):
    root = tmp_path / "set"
    root.mkdir()
    for name in NAMES:
        (root / name).write_bytes(POSTSCRIPT)
    (root / "good.png").write_bytes(png())
    if packed:
        with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
            for path in root.iterdir():
                archive.write(path, path.name)
        root = tmp_path / "set.zip"
    with watched(tmp_path, os.environ.get("GENSCENE_CACHE", tmp_path)) as events:
        images = load_images(str(root), ImageConfig(), (8, 8), quiet=True)
        lines = inspect(root)
        assert common_size(str(root)) == (8, 8)
    assert len(images) == 1
    assert sum("unreadable" in line for line in lines) == len(NAMES)
    assert not events
    assert not fake_gs.exists()


def test_postscript_starts_nothing_as_photograph_or_mask(fake_gs, tmp_path):
    pose = np.eye(4).tolist()
    frames = [{"file_path": name, "transform_matrix": pose} for name in ("a.png", "b.png")]
    frames[1]["transform_matrix"] = [[1, 0, 0, 1], *pose[1:]]
    for frame in frames:
        (tmp_path / frame["file_path"]).write_bytes(png())
    (tmp_path / "mask.png").write_bytes(POSTSCRIPT)
    masked = [frame | {"mask_path": "mask.png"} for frame in frames]
    text = {"camera_angle_x": 1, "k1": 0, "frames": masked}
    (tmp_path / "transforms.json").write_text(json.dumps(text))
    with watched(tmp_path) as events, pytest.raises(BadInput, match=r"mask\.png"):
        decode_posed(load_posed(tmp_path, holdout=0))
    (tmp_path / "a.png").write_bytes(POSTSCRIPT)
    with watched(tmp_path) as more, pytest.raises(BadInput, match=r"a\.png.*known format"):
        load_posed(tmp_path, holdout=0)
    assert not events + more
    assert not fake_gs.exists()


def test_the_known_formats_are_read():
    for kind in FORMATS:
        content = io.BytesIO()
        Image.new("RGB", (8, 8), (9, 99, 199)).save(content, kind)
        assert decode_picture(content.getvalue()).size == (8, 8)


@pytest.mark.parametrize("size", [(5000, 4000), (12000, 9000), (30000, 30000)])
def test_bombs_are_refused_by_their_header(size):
    small = png(compress_level=9)
    width, height = (n.to_bytes(4, "big") for n in size)
    header = b"IHDR" + width + height + small[24:29]
    bomb = small[:12] + header + zlib.crc32(header).to_bytes(4, "big") + small[33:]
    with pytest.raises(UnreadableImage, match="pixels"):
        decode_picture(bomb)


def test_warnings_become_counted_findings(tmp_path):
    damaged = b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12"  # announces five entries
    for i in range(3):
        Image.new("RGB", (8, 8), i).save(tmp_path / f"{i}.jpg", exif=damaged if i else b"")
    Image.fromarray(np.full((8, 8), np.nan, np.float32)).save(tmp_path / "nan.tif")
    with warnings.catch_warnings(record=True) as shown:
        lines = inspect(tmp_path)
        images = load_images(str(tmp_path), ImageConfig(), (8, 8), quiet=True)
    assert not shown
    assert len(images) == 3
    assert any("damaged metadata (EXIF), ignored in 2, the first: 1.jpg" in line for line in lines)
    assert any("unreadable: nan.tif" in line and "not finite" in line for line in lines)


def test_large_jpegs_are_decoded_at_half_the_size_and_other_pictures_refused(monkeypatch):
    content = io.BytesIO()
    Image.new("RGB", (80, 60), (9, 99, 199)).save(content, "JPEG")
    monkeypatch.setattr(pictures, "MAX_PIXELS", 2400)
    assert decode_picture(content.getvalue(), halved=True).size == (40, 30)
    assert decode_picture(content.getvalue()).size == (80, 60)
    monkeypatch.setattr(pictures, "MAX_JPEG", 2400)
    with pytest.raises(UnreadableImage, match="80x60 pixels, wanted at most 2400"):
        decode_picture(content.getvalue(), halved=True)


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 50}, {"exif": Image.Exif()}], ids=str)
def test_a_large_webp_is_refused_before_pillow_opens_it(options, monkeypatch, tmp_path):
    content, mode = io.BytesIO(), "RGBA" if "exif" in options else "RGB"
    Image.new(mode, (80, 60), 9).save(content, "WEBP", **options)
    assert decode_picture(content.getvalue()).size == (80, 60)
    monkeypatch.setattr(pictures, "MAX_WIDE", 2400)
    (tmp_path / "a.webp").write_bytes(content.getvalue())
    for read in (lambda: decode_picture(content.getvalue()), lambda: picture_header(tmp_path / "a.webp")):
        with pytest.raises(UnreadableImage, match="80x60 pixels of WebP, wanted at most 2400"):
            read()


def test_pictures_are_decoded_in_turn_so_that_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(pictures, "MAX_PIXELS", 100)
    most, active = [], []

    def work(pixels):
        with pictures.in_turn(pixels):
            active.append(min(pixels, 100))
            most.append(sum(active))
            time.sleep(0.002)
            active.remove(min(pixels, 100))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [30, 60, 1000, 10, 50, 50, 100, 1] * 3))
    assert max(most) <= 100
    assert len(most) == 24
