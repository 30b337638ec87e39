"""Where the camera of each picture comes from: labels, a file of cameras, or landmarks."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from genscene.data.images.files import ImageFiles
from genscene.data.images.names import entries, lookup
from genscene.data.prepare.framing import Framed, frame_camera, frame_head, frame_photograph, place_template
from genscene.data.prepare.landmarks import read_landmarks, read_points
from genscene.data.progress import log_line
from genscene.errors import BadInput
from genscene.geometry.camera_files import MAX_LABELS, check_cameras, load_cameras, read_labels
from genscene.geometry.cameras import Camera, Size
from genscene.io.files import read_bytes, user_path
from genscene.io.pictures import UnreadableImage

FARTHEST = 1e6  # pixels from the corner at which a landmark can be
GUESS = 1.2  # focal length of photographs, in longer sides, where an estimate begins


@dataclass(frozen=True)
class Preparation:
    """How pictures are prepared."""

    size: int  # side of the written pictures, in pixels
    cameras: Path | None = None  # a file of cameras; None, without landmarks: the set's dataset.json
    landmarks: Path | None = None
    template: Path | None = None  # the 68 points of a head
    focal: float | None = None  # of photographs, in longer sides; 0: estimated; None: EG3D's of the result
    largest_error: float = 0.15  # of landmarks, in distances of the eyes
    masks: bool = True  # those of the set become transparency
    mirror: bool = False


@dataclass(frozen=True)
class Framing:
    """Where the window of each picture comes from: a camera, or landmarks."""

    how: Preparation
    cameras: list[Camera] | None = None
    landmarks: list[np.ndarray | None] | None = None
    template: np.ndarray | None = None

    def frame(self, index: int, size: Size) -> Framed | None:
        """The window and camera of a picture of (height, width); None without finite landmarks."""
        if self.cameras is not None:
            return frame_camera(self.cameras[index], size)
        assert self.landmarks is not None
        assert self.template is not None
        points, focal = self.landmarks[index], self.how.focal
        if points is None or not np.abs(points).max() < FARTHEST:
            return None
        if focal is None:
            return frame_head(self.template, points)
        return frame_photograph(self.template, points, size, focal or GUESS, not focal)


def from_landmarks(files: ImageFiles, how: Preparation) -> Framing:
    """Windows around heads; pictures without landmarks have none."""
    if how.template is None or how.landmarks is None:
        raise BadInput("--landmarks: wanted --template FILE, too: the 68 points of a head")
    if how.cameras is not None:
        raise BadInput("--cameras and --landmarks: wanted one of them")
    template = place_template(read_points(how.template, 3))
    table, indices = read_landmarks(how.landmarks), range(len(files.names))
    found = lookup(files, indices, table)
    if all(points is None for points in found):
        raise BadInput(f"{how.landmarks}: its names, like {next(iter(table))!r}, are those of no picture")
    return Framing(how, landmarks=found, template=template)


def from_cameras(files: ImageFiles, how: Preparation) -> Framing:
    """The cameras of a file, or of dataset.json: by name, or in the order of the names."""
    if how.template is not None:
        raise BadInput(f"--template {how.template}: wanted with --landmarks")
    count, path = len(files.names), str(how.cameras or f"{files.root}/{files.labels}")
    if how.cameras is None:
        with files.open() as reader:
            try:
                content = reader.read(files.labels)
            except UnreadableImage:
                wanted = "--cameras FILE, --landmarks FILE with --template FILE, or that file"
                raise BadInput(f"{files.root} has no dataset.json with cameras: wanted {wanted}") from None
    else:
        content = read_bytes(user_path(how.cameras), "camera file", MAX_LABELS)
    labels = read_labels(content, path, (1, 1))
    if labels:
        found = entries(files, range(count), labels, f"{path} has no camera")
        if len(labels) > count:
            log_line(f"{path}: {len(labels) - count} labels are of no picture, the rest is used")
    else:
        read = load_cameras(user_path(path))
        if len(read) != count:
            raise BadInput(
                f"{path} has {len(read)} cameras without names, wanted {count}, one of each picture"
            )
        found = [read[i : i + 1] for i in range(count)]
    pose, intrinsics = torch.cat([c.pose for c in found]), torch.cat([c.intrinsics for c in found])
    check_cameras(Camera(pose, intrinsics, (1, 1)), path)
    return Framing(how, cameras=found)
