"""Scores of pictures: columns of CSV files, and those that are computed from labels and pixels."""

import csv
import io
import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import laplace

from genscene.data.images.decode import open_image, to_premultiplied
from genscene.data.images.files import ImageFiles
from genscene.data.images.names import entries, rows_by_key
from genscene.data.progress import log_line, track_progress
from genscene.errors import BadInput, printable, suggest
from genscene.geometry.camera_files import read_labels
from genscene.geometry.cameras import Camera
from genscene.geometry.priors import camera_angles
from genscene.io.files import read_bytes, user_path
from genscene.io.pictures import UnreadableImage, collect_warnings

ANGLES, OF_PIXELS = ("yaw", "pitch"), ("sharpness", "brightness")
COMPUTED = (*ANGLES, *OF_PIXELS)
LUMA = (0.299, 0.587, 0.114)
COMPARE: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
CONDITION = re.compile(r"\s*(\|?)([^|<>=!]+)(\|?)\s*(<=|>=|==|!=|<|>)\s*(\S+)\s*")
Scores = dict[str, np.ndarray]  # column -> [N], of N pictures


@dataclass(frozen=True)
class Condition:
    """A comparison of a column with a number."""

    column: str
    absolute: bool
    comparison: str
    number: float

    def holds(self, scores: Scores) -> np.ndarray:
        """Whether it is true of each of N pictures -> bool [N]."""
        values = scores[self.column]
        return COMPARE[self.comparison](np.abs(values) if self.absolute else values, self.number)


def parse_condition(text: str) -> Condition:
    """COLUMN < NUMBER, or |COLUMN| < NUMBER, with any of < <= > >= == != ; BadInput for all else."""
    found = CONDITION.fullmatch(text)
    if found and found[1] == found[3]:
        try:
            number = float(found[5])
        except ValueError:
            number = math.nan
        if math.isfinite(number):
            return Condition(found[2].strip(), bool(found[1]), found[4], number)
    raise BadInput(
        f"--keep {printable(text, 60)!r}: wanted a column, < <= > >= == or !=, and a number: yaw<30"
    )


def read_scores(files: ImageFiles, paths: Sequence[Path], columns: Iterable[str]) -> Scores:
    """The wanted columns, from the files or computed; BadInput for unknown ones and pictures without."""
    tables = dict[str, tuple[Path, dict[str, float]]]()
    for path in paths:
        for column, table in read_table(user_path(path), set(columns)).items():
            tables[column] = (path, table)
    missing = [column for column in dict.fromkeys(columns) if column not in tables]
    unknown = next((column for column in missing if column not in COMPUTED), None)
    if unknown is not None:
        known = {*(name for path in paths for name in header(user_path(path))[1:]), *COMPUTED}
        raise BadInput(f"no column {unknown!r}; {suggest(unknown, known)}")
    scores = {}
    for column, (path, table) in tables.items():
        found = entries(files, range(len(files.names)), table, f"{path}: no {column}")
        scores[column] = np.array(found)
    for path in dict.fromkeys(path for path, _ in tables.values()):
        _report_others(files, path, next(table for other, table in tables.values() if other == path))
    if any(column in ANGLES for column in missing):
        scores |= {name: each for name, each in angles(files).items() if name in missing}
    if any(column in OF_PIXELS for column in missing):
        scores |= {name: each for name, each in of_pixels(files).items() if name in missing}
    return scores


def header(path: Path) -> list[str]:
    """The first row of a CSV, which must begin with name."""
    first = next(_rows(path), None)
    if first is None or first[0] != "name":
        raise BadInput(f"{path}: wanted a CSV whose first row begins with the column name")
    return first


def read_table(path: Path, wanted: set[str]) -> dict[str, dict[str, float]]:
    """The wanted columns of a CSV: number by name of picture; BadInput, with the row, for what is none."""
    columns, tables = header(path), dict[str, dict[str, float]]()
    used = [(i, column) for i, column in enumerate(columns) if i and column in wanted]
    for line, row in enumerate(_rows(path), 1):
        if line == 1:
            continue
        if len(row) != len(columns):
            raise BadInput(f"{path}: row {line} has {len(row)} columns, wanted {len(columns)}")
        for i, column in used:
            table = tables.setdefault(column, {})
            if row[0] in table:
                raise BadInput(f"{path}: row {line}: {printable(row[0], 60)} was there before")
            table[row[0]] = _number(row[i], f"{path}: row {line}: {column}")
    return tables


def _rows(path: Path) -> Iterator[list[str]]:
    """The rows of a CSV but empty ones."""
    text = read_bytes(path, "scores").decode("utf-8-sig", "replace")
    try:
        yield from (row for row in csv.reader(io.StringIO(text), skipinitialspace=True) if row)
    except csv.Error as error:
        raise BadInput(f"{path} is no CSV ({error})") from None


def _number(text: str, where: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise BadInput(f"{where} is {printable(text, 40)!r}, wanted a finite number")
    return number


def _report_others(files: ImageFiles, path: Path, table: dict[str, float]) -> None:
    """Log how many names of a table are those of no picture, and the first."""
    known = rows_by_key(files)
    others = [name for name in table if name not in known]
    if others:
        log_line(f"{path}: {len(others)} names are of no picture, the first: {printable(others[0], 80)}")


def angles(files: ImageFiles) -> Scores:
    """Degrees of the cameras from the front: yaw towards the person's right, pitch upwards."""
    path = f"{files.root}/{files.labels}"
    with files.open() as reader:
        try:
            content = reader.read(files.labels)
        except UnreadableImage:
            raise BadInput(f"yaw and pitch: wanted cameras in {path}, or a column of --scores") from None
    labels = read_labels(content, path, (1, 1))
    found = entries(files, range(len(files.names)), labels, f"{path} has no camera")
    pose, intrinsics = torch.cat([c.pose for c in found]), torch.cat([c.intrinsics for c in found])
    yaw, pitch = camera_angles(Camera(pose, intrinsics, (1, 1)), math.pi / 2)
    return {"yaw": np.degrees(yaw.numpy()) - 90, "pitch": 90 - np.degrees(pitch.numpy())}


def of_pixels(files: ImageFiles) -> Scores:
    """Of every picture the mean brightness, 0 to 1, and the deviation of its Laplacian: low where blurred."""
    rows = []
    with files.open() as reader, collect_warnings():
        for name in track_progress(files.names, "measuring pictures"):
            try:
                pixels = np.asarray(to_premultiplied(open_image(reader.read(name))), np.float32) / 255
            except UnreadableImage as error:
                raise BadInput(f"{files.root}/{name} cannot be read: {error}") from None
            rows.append(_of_pixels(pixels))
    return dict(zip(OF_PIXELS, np.array(rows).T, strict=True))


def _of_pixels(pixels: np.ndarray) -> tuple[float, float]:
    """Premultiplied RGBA [H, W, 4] -> sharpness and brightness of what is not transparent."""
    grey, alpha = pixels[..., :3] @ np.array(LUMA, np.float32), pixels[..., 3]
    mean = float(grey.sum() / max(float(alpha.sum()), 1e-6))
    edges = laplace(grey + (1 - alpha) * mean)[alpha > 0]
    return float(edges.std()) if edges.size else 0.0, mean
