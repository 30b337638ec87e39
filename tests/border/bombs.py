"""Checkpoints made to exhaust memory or time, each of a few kilobytes."""

import io
import pickle
import struct
import zipfile
from functools import lru_cache

import torch

STORAGE = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0\x30X\x03\0\0\0cpuK\x04tQ"  # 4 numbers


def tensor(shape, stride, offset=0):
    """The pickled call that rebuilds a tensor of the storage of 4 numbers."""
    rows = [
        b"(" + b"".join(b"\x8a\x08" + struct.pack("<q", n) for n in part) + b"t" for part in (shape, stride)
    ]
    start = b"\x8a\x08" + struct.pack("<q", offset)
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + STORAGE + start + rows[0] + rows[1] + b"\x89)tR"


def tuples(depth):
    """A tuple of two of the tuple before it, so many times: 2^depth leaves."""
    return b"\x80\x02)" + b"".join(b"q\0h\0\x86" for _ in range(depth))


PICKLES = {
    "memo": b"\x80\x02Nr\xff\xff\xff\xfe.",
    "long text": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40) + b".",
    "long bytes": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b".",
    "long array": b"\x80\x05\x96" + struct.pack("<Q", 1 << 34) + b".",
    "hashed tuples": b"\x80\x02}" + tuples(60)[2:] + b"K\x01s.",
    "set of tuples": b"\x80\x04\x8f(" + tuples(60)[2:] + b"\x90.",
    "persistent tuples": tuples(60) + b"Q.",
    "dicts": b"\x80\x02}" + b"q\0}(X\x01\0\0\0ah\0X\x01\0\0\0bh\0u" * 60 + b".",
    "itself": b"\x80\x02}q\0X\x01\0\0\0ah\0s.",
    "deep": b"\x80\x02" + b"}X\x01\0\0\0a" * 100_000 + b"N" + b"s" * 100_000 + b".",
    "names": b"\x80\x02" + b"}X\x00\x04\0\0" * 500 + b"a" * 1024 + b"N" + b"s" * 500 + b".",
    "sets": b"\x80\x04(" + b"\x8f" * 5_000_000 + b"l.",
    "classes": b"\x80\x02(" + b"".join(b"cm\nx%d\n" % i for i in range(50_000)) + b"l.",
    "expanded": b"\x80\x02" + tensor((1 << 40,), (0,)) + b".",
    "huge": b"\x80\x02" + tensor((1 << 31, 1 << 31, 1 << 31), (0, 0, 0)) + b".",
    "outside": b"\x80\x02" + tensor((4,), (1,), 1 << 40) + b".",
    "negative": b"\x80\x02" + tensor((-4,), (1,)) + b".",
    "backwards": b"\x80\x02" + tensor((4,), (-1,), 3) + b".",
    "state of a function": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x01\0\0\0aK\x01sb.",
    "state of a tensor": b"\x80\x02" + tensor((4,), (1,)) + b"(K\x01K\x02K\x03K\x04tb.",
    "digits": b"\x80\x02L" + b"9" * 100_000 + b"L\n.",
}


def zipped(content, storage=b"\0" * 16):
    """A checkpoint of torch with this data.pkl and one storage, compressed."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/data/0", storage)
    return file.getvalue()


def legacy(count):
    """A checkpoint of the older format whose storage announces so many numbers and has four."""
    file = io.BytesIO()
    torch.save(torch.arange(4.0), file, _use_new_zipfile_serialization=False)
    whole = file.getvalue()
    return whole[:-24] + struct.pack("<Q", count) + whole[-16:]


@lru_cache
def bombs():
    """Name -> bytes of a file."""
    found = {f"zip: {name}": zipped(content) for name, content in PICKLES.items()}
    found |= {f"plain: {name}": content for name, content in PICKLES.items()}
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2)
    found |= {f"legacy: {name}": magic + content for name, content in PICKLES.items()}
    inflated = STORAGE.replace(b"K\x04tQ", b"\x8a\x05\0\0\0\x10\0tQ")
    found["zip: inflated storage"] = zipped(b"\x80\x02" + inflated + b".", b"\0" * (1 << 28))
    found["zip: inflated pickle"] = zipped(b"\x80\x02" + b"N0" * (1 << 25) + b".")
    found |= {f"legacy: {count} numbers": legacy(count) for count in (5, 1 << 40, (1 << 64) - 1)}
    return found
