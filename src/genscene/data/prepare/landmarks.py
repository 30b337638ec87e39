"""Files of the 68 landmarks of pictures, and of a template's 68 points: CSV, JSON, NumPy."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from genscene.errors import BadInput, printable
from genscene.geometry.face_landmarks import POINTS
from genscene.io.arrays import read_array, read_arrays
from genscene.io.files import read_bytes, user_path
from genscene.io.json_file import read_json

KINDS = (".csv", ".json", ".npy", ".npz")
Table = dict[str, np.ndarray]  # name -> [68, 2], in pixels


def read_landmarks(path: Path) -> Table:
    """Landmarks by name: of a folder of files with 68 points each, or one file of all; BadInput for others.

    A CSV has a row for each picture, its name and 136 numbers x0, y0, x1, ...; JSON an object of lists of
    pairs by name; an .npz an array by name. Points that are not finite are none: detectors write them.
    """
    root = user_path(path)
    if root.is_dir():
        files = sorted(file for file in root.rglob("*") if file.suffix in KINDS)
        found = {file.relative_to(root).with_suffix("").as_posix(): read_points(file, 2) for file in files}
    elif root.suffix == ".csv":
        found = {row[0]: _to_points(row[1:], 2, f"{root}: {row[0]}") for row in _rows(root) if row}
    elif root.suffix == ".json":
        document = read_json(root, "landmarks")
        if not isinstance(document, dict):
            raise BadInput(f"{root}: wanted an object of {POINTS} points by name")
        found = {name: _to_points(value, 2, f"{root}: {name}") for name, value in document.items()}
    elif root.suffix == ".npz":
        arrays = read_arrays(root, "landmarks")
        found = {name: _to_points(array, 2, f"{root}: {name}") for name, array in arrays.items()}
    else:
        raise BadInput(f"{root}: wanted landmarks, a folder or a file ending with .csv, .json or .npz")
    if not found:
        raise BadInput(f"{root} holds no landmarks")
    return found


def read_points(path: Path, dimensions: int) -> np.ndarray:
    """The 68 points of a file [68, 2 or 3]; a CSV has one in each row, below any header."""
    file, what = user_path(path), f"{POINTS} points"
    if file.suffix == ".csv":
        given: Any = _rows(file)
    elif file.suffix == ".json":
        given = read_json(file, what)
    elif file.suffix == ".npy":
        given = read_array(file, what)
    elif file.suffix == ".npz":
        arrays = read_arrays(file, what)
        given = next(iter(arrays.values())) if len(arrays) == 1 else arrays
    else:
        raise BadInput(f"{file}: wanted {what}, a file ending with {', '.join(KINDS)}")
    return _to_points(given, dimensions, str(file))


def _rows(path: Path) -> list[list[str]]:
    """The rows of a CSV of numbers; the first is left out where it is a header."""
    text = read_bytes(path, "landmarks").decode("utf-8-sig", "replace")
    try:
        rows = [row for row in csv.reader(io.StringIO(text)) if row]
    except csv.Error as error:
        raise BadInput(f"{path} is no CSV ({error})") from None
    return rows[1:] if rows and not _is_number(rows[0][-1]) else rows


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _to_points(given: Any, dimensions: int, where: str) -> np.ndarray:
    """Any nesting of 68 x 2 (or 3) numbers -> float64 [68, 2 or 3]; BadInput, beginning with where, else."""
    try:
        points = np.asarray(given, np.float64)
    except (TypeError, ValueError, OverflowError):
        got = printable(json.dumps(given, default=str), 60)
        raise BadInput(f"{where}: {got}, wanted {POINTS} x {dimensions} numbers") from None
    if points.size != POINTS * dimensions:
        got = " x ".join(map(str, points.shape))
        raise BadInput(f"{where}: {got} numbers, wanted {POINTS} x {dimensions} numbers")
    return points.reshape(POINTS, dimensions)
