"""NumPy's arrays from outside: their type and size are checked before their numbers are read."""

import math
import os
from pathlib import Path
from typing import IO

import numpy as np

from genscene.errors import BadInput, describe_error
from genscene.io.archives import open_zip
from genscene.io.files import MIB, format_size, open_regular

KINDS = "biuf"  # of dtypes: truth, integers, floating point; no objects, which are pickles
MAX_HEADER = 4096  # characters of the description of an array
RATIO, SPARE_BYTES = 8, 64 * MIB  # an .npz may inflate to so many times its size, and so much more


def read_array(path: str | Path, what: str, wanted: str = "numbers") -> np.ndarray:
    """The array of numbers in a .npy; BadInput, naming the file and what was wanted, for all else."""
    with open_regular(path, what) as file:
        try:
            return _read(file, os.fstat(file.fileno()).st_size, wanted)
        except BadInput as error:
            raise BadInput(f"cannot read {path} as an array: it {error}") from None
        except Exception as error:  # NumPy raises a dozen kinds for damaged files
            raise BadInput(f"cannot read {path} as an array ({describe_error(error)})") from None


def read_arrays(path: str | Path, what: str, kinds: str = KINDS) -> dict[str, np.ndarray]:
    """The arrays of an .npz by name; BadInput, naming file and member, for all else.

    kinds: of their dtypes: those of numbers, and U for texts.
    """
    found, left = {}, RATIO * _size(path, what) + SPARE_BYTES
    with open_zip(path, f"{what} (.npz)") as archive:
        for entry in archive.infolist():
            try:
                with archive.open(entry) as member:
                    array = _read(member, min(left, entry.file_size), kinds=kinds)
            except BadInput as error:
                raise BadInput(f"{path}: {entry.filename} {error}") from None
            except Exception as error:  # those of NumPy, of zlib and of damaged directories
                raise BadInput(
                    f"{path}: {entry.filename} is no whole array ({describe_error(error)})"
                ) from None
            found[entry.filename.removesuffix(".npy")] = array
            left -= array.nbytes
    return found


def _size(path: str | Path, what: str) -> int:
    with open_regular(path, what) as file:
        return os.fstat(file.fileno()).st_size


def _read(file: IO[bytes], limit: int, wanted: str = "numbers", kinds: str = KINDS) -> np.ndarray:
    """The array at the start of an open file that has at most `limit` bytes."""
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in read:
        raise BadInput(f"is of version {version[0]}.{version[1]} of NumPy's format, wanted 1.0 or 2.0")
    shape, column_major, dtype = read[version](file, max_header_size=MAX_HEADER)
    if dtype.kind not in kinds:
        raise BadInput(f"holds an array of {str(dtype)[:40]}, wanted {wanted}")
    size = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or size > limit:
        raise BadInput(f"announces an array of {format_size(size)}, but has at most {format_size(limit)}")
    data = file.read(size)
    if len(data) < size:
        raise BadInput(f"is cut short: {len(data)} of {size} bytes of numbers")
    array: np.ndarray = np.ndarray(shape, dtype, bytearray(data), order="F" if column_major else "C")
    return array.astype(dtype.newbyteorder("="), copy=False)
