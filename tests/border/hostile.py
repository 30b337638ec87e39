"""Hostile inputs by kind: good files of every kind, and what chance and malice make of them."""

import io
import json
import os
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from PIL import Image

from border.bombs import bombs
from genscene.data.images.decode import DecodeOptions
from genscene.data.images.files import list_images
from genscene.data.images.load import decode_files
from genscene.data.posed import load_posed
from genscene.data.posed.decode import decode_posed
from genscene.data.prepare.inspect import inspect
from genscene.experiment.schema import ImageConfig
from genscene.export.splats import read_splat
from genscene.geometry.camera_files import load_cameras
from genscene.io.foreign_pickles import read_checkpoint
from genscene.io.json_file import read_json
from genscene.io.tensors import read_tensors

Case = Callable[[Path, random.Random], Callable[[], object]]  # writes into a folder; what reads it
WORDS = (b"null", b"-1", b"1e999", b"NaN", b"[]", b"{}", b'""', b"true", b'"\\ud800"', b"9" * 500)
NUMBERS = (-1, 0, 1e308, float("nan"), float("inf"), 10**400, 1e-300)
VALUES = (*NUMBERS, None, True, "", "x" * 2000, "\0", "/", [], {}, [[]])
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\nshowpage\n"
PLACES = ("/dev/zero", "/dev/random", "/dev/full", "/proc/self/maps", "/proc/self/mem", ".")


def damage(content: bytes, chance: random.Random) -> bytes:
    """The bytes of a good file, cut, flipped, repeated, mixed or with numbers replaced."""
    data, place = bytearray(content), chance.randrange(len(content) or 1)
    match chance.randrange(8):
        case 0:
            del data[place:]
        case 1:
            for _ in range(chance.choice((1, 3, 30))):
                data[chance.randrange(len(data))] = chance.randrange(256)
        case 2:
            data[place:place] = data[: chance.randrange(200)]
        case 3:
            data[place : place + 4] = struct.pack("<I", chance.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF)))
        case 4:
            data[place : place + 8] = struct.pack(">Q", chance.choice((0, 1 << 40, (1 << 64) - 1)))
        case 5:
            data[place : place + chance.randrange(1, 9)] = chance.choice(WORDS)
        case 6:
            data = bytearray(
                chance.choice((b"", POSTSCRIPT, b"\0" * 4096, b"[" * 99_999, chance.randbytes(500)))
            )
        case _:
            del data[place : place + chance.randrange(1, 50)]
    return bytes(data)


def damage_value(value: object, chance: random.Random) -> object:
    """A JSON value in which one value, at any depth, is replaced, removed or renamed."""
    if not isinstance(value, dict | list) or not value or chance.random() < 0.1:
        return chance.choice(VALUES)
    if isinstance(value, list):
        place = chance.randrange(len(value))
        if chance.random() < 0.1:
            return value[:place] + value[place + 1 :] * chance.choice((1, 2))
        return [*value[:place], damage_value(value[place], chance), *value[place + 1 :]]
    key = chance.choice(list(value))
    rest = {name: part for name, part in value.items() if name != key}
    if chance.random() < 0.2:
        return rest | ({key + "x": value[key]} if chance.random() < 0.5 else {})
    return rest | {key: damage_value(value[key], chance)}


def picture(chance: random.Random) -> tuple[str, bytes]:
    """A small good picture of any known format: its suffix and bytes."""
    kind, mode = chance.choice(
        [("PNG", "RGBA"), ("PNG", "P"), ("PNG", "I;16"), ("JPEG", "RGB"), ("JPEG", "CMYK"), ("WEBP", "RGBA"),
         ("TIFF", "F"), ("TIFF", "RGB"), ("BMP", "RGB"), ("GIF", "P"), ("PPM", "RGB")]
    )  # fmt: skip
    pixels = np.random.default_rng(chance.randrange(1 << 30)).integers(0, 255, (12, 12, 3), np.uint8)
    image, content = Image.fromarray(pixels), io.BytesIO()
    image = Image.new(mode, (12, 12), 3) if mode in ("I;16", "F") else image.convert(mode)
    options = {"compression": chance.choice((None, "tiff_lzw", "tiff_deflate"))} if kind == "TIFF" else {}
    exif = Image.Exif()
    exif[0x0112] = chance.randrange(10)
    if kind in ("JPEG", "PNG", "WEBP"):
        options["exif"] = exif
    image.save(content, kind, **options)
    return "." + kind.lower(), content.getvalue()


def images(folder: Path, chance: random.Random) -> Callable[[], object]:
    """A folder or zip with one good picture and three damaged ones, whose zip may be damaged, too."""
    files = {"good.png": png()}
    for name in "abc":
        suffix, content = picture(chance)
        files[name + chance.choice((suffix, ".png", ".eps", ".jpg"))] = damage(content, chance)
    if chance.random() < 0.3:
        files["dataset.json"] = damage(json.dumps({"labels": [["good.png", [0.0] * 25]]}).encode(), chance)
    root = folder / "set"
    if chance.random() < 0.5:
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", chance.choice((0, 8, 12, 14))) as archive:
            for name, part in files.items():
                archive.writestr(name, part)
        root.write_bytes(damage(content.getvalue(), chance) if chance.random() < 0.7 else content.getvalue())
    else:
        root.mkdir()
        for name, part in files.items():
            (root / name).write_bytes(part)
        if chance.random() < 0.2:
            (root / "link.png").symlink_to(chance.choice(PLACES))

    def read() -> object:
        inspect(root)
        found = list_images(root)
        chosen = list(range(len(found.names)))
        return decode_files(found, chosen, DecodeOptions((8, 8), ImageConfig()), True, np.empty)

    return read


def png(width: int = 12) -> bytes:
    """A good picture of 12 x 8 pixels, or of another width."""
    content = io.BytesIO()
    Image.new("RGB", (width, 8), 77).save(content, "PNG")
    return content.getvalue()


def frames(chance: random.Random) -> dict[str, object]:
    """A good transforms.json of three photographs."""
    listed = []
    for i in range(3):
        pose = np.eye(4)
        pose[:3, 3] = i, 1, 4
        listed.append({"file_path": f"images/{i}.png", "transform_matrix": pose.tolist()})
    top = {"fl_x": 12.0, "w": 12, "h": 8, "k1": 0.01, "aabb_scale": 4, "camera_model": "OPENCV"}
    return (top if chance.random() < 0.5 else {"camera_angle_x": 0.7}) | {"frames": listed}


def scene(folder: Path, chance: random.Random) -> Callable[[], object]:
    """Photographs with cameras in one of the formats, of which one file is damaged."""
    (folder / "images").mkdir()
    for i in range(3):
        (folder / "images" / f"{i}.png").write_bytes(png())
    kind = chance.choice(("json", "json", "split", "llff", "deepvoxels", "picture"))
    if kind in ("json", "split", "picture"):
        value = frames(chance)
        text = json.dumps(value if kind == "picture" else damage_value(value, chance)).encode()
        text = damage(text, chance) if chance.random() < 0.2 else text
        (folder / f"transforms{'_train' if kind == 'split' else ''}.json").write_bytes(text)
    if kind == "picture":
        path = folder / "images" / "1.png"
        path.write_bytes(damage(png(), chance))
    elif kind == "llff":
        row = [*np.array([[0, 1, 0, 0, 8], [1, 0, 0, 0, 12], [0, 0, -1, 0, 10.0]]).ravel(), 2.0, 8.0]
        table, content = np.array([row] * 3), io.BytesIO()
        table[:, 3] = range(3)
        table[chance.randrange(3), chance.randrange(17)] = chance.choice(
            (0, -1, np.nan, np.inf, 1e300, 1e-300)
        )
        np.save(content, table)
        (folder / "poses_bounds.npy").write_bytes(damage(content.getvalue(), chance))
    elif kind == "deepvoxels":
        (folder / "images").rename(folder / "rgb")
        (folder / "pose").mkdir()
        for i in range(3):
            text = damage(f"1 0 0 {i} 0 1 0 0 0 0 1 -4 0 0 0 1".encode(), chance)
            (folder / "pose" / f"{i}.txt").write_bytes(text)
        text = damage(b"12. 6. 4. 0.\n0. 0. 0.\n0.\n1.\n8 12\n", chance)
        (folder / "intrinsics.txt").write_bytes(text)
    return lambda: decode_posed(load_posed(folder, holdout=0))


def cameras(folder: Path, chance: random.Random) -> Callable[[], object]:
    """A file of cameras: our own, nerfstudio's, or EG3D's labels."""
    row = {"camera_to_world": np.eye(4).tolist(), "fov": 40.0, "pixel_aspect": 1.0, "shift": [0.0, 0.0]}
    label = [*np.eye(4).ravel().tolist(), *np.eye(3).ravel().tolist()]
    good = chance.choice(({"frames": [row, row]}, {"camera_path": [row]}, {"labels": [["a.png", label]]}))
    (folder / "cameras.json").write_text(json.dumps(damage_value(good, chance)))
    return lambda: load_cameras(folder / "cameras.json")


def weights(folder: Path, chance: random.Random) -> Callable[[], object]:
    """A checkpoint, .npz or .safetensors that is damaged, or a bomb."""
    path = folder / f"a{chance.choice(('.pth', '.pth', '.npz', '.safetensors'))}"
    if chance.random() < 0.1:
        path.write_bytes(chance.choice(list(bombs().values())))
        return lambda: read_tensors(path)
    tensors, content = {"a": torch.rand(2, 3), "b": torch.arange(5)}, io.BytesIO()
    if path.suffix == ".npz":
        (np.savez if chance.random() < 0.5 else np.savez_compressed)(content, **tensors)
    elif path.suffix == ".pth":
        torch.save(tensors, content, _use_new_zipfile_serialization=chance.random() < 0.5)
    else:
        content.write(safetensors.torch.save(tensors))
    path.write_bytes(damage(content.getvalue(), chance))
    return lambda: (read_checkpoint(path), read_tensors(path))[1]


def places(folder: Path, chance: random.Random) -> Callable[[], object]:
    """A file that is a device, a pipe, a folder or has no end, for every reader."""
    path = folder / "place"
    match chance.randrange(3):
        case 0:
            path.symlink_to(chance.choice(PLACES))
        case 1:
            os.mkfifo(path)
        case _:
            with path.open("wb") as file:
                file.truncate(10 << 30)
    readers = (read_checkpoint, read_tensors, load_cameras, list_images, inspect, read_splat)
    read = chance.choice(readers)
    return lambda: read(path)


def documents(folder: Path, chance: random.Random) -> Callable[[], object]:
    """JSON, damaged as bytes."""
    (folder / "a.json").write_bytes(damage(json.dumps(frames(chance)).encode(), chance))
    return lambda: read_json(folder / "a.json", "document")


KINDS: dict[str, Case] = {
    "images": images,
    "scene": scene,
    "cameras": cameras,
    "weights": weights,
    "places": places,
    "documents": documents,
}
