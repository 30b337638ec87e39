"""DeepVoxels scenes: rgb/*.png, pose/*.txt and intrinsics.txt, in the folders train|validation|test/SHAPE."""

from pathlib import Path

import torch
from torch import Tensor

from genscene.data.images.files import list_images
from genscene.data.posed.checks import abbreviate
from genscene.data.posed.posed_files import PosedFiles, image_size, pinhole_matrix
from genscene.errors import BadInput
from genscene.io.files import MIB, read_bytes

FOLDERS = {"train": "train", "val": "validation", "test": "test"}
TEST_SKIP = 8  # every so many-th image of val and test is used, as in NeRF's loader


def is_scene(folder: Path) -> bool:
    """Whether a folder is one shape of one split."""
    return (folder / "intrinsics.txt").is_file() and (folder / "pose").is_dir()


def split_folder(folder: Path, split: str) -> Path:
    """The folder of the same shape in another split."""
    return folder.resolve().parent.parent / FOLDERS[split] / folder.resolve().name


def read(folder: Path, split: str = "train") -> PosedFiles:
    """The cameras and image files of a split; of val and test every eighth.

    Bounds are the mean distance of the cameras from the origin, minus and plus 1. Raises BadInput, naming the
    file, for unusable numbers and for images without a pose.
    """
    place = folder if split == "train" else split_folder(folder, split)
    files = list_images(place / "rgb")
    names = files.names if split == "train" else files.names[::TEST_SKIP]
    paths = [files.root / name for name in names]
    sizes = [image_size(path) for path in paths]
    (focal, center_x, center_y), (full_height, full_width), inverted = _read_intrinsics(
        place / "intrinsics.txt"
    )
    scales = [(height / full_height, width / full_width) for height, width in sizes]
    matrices = [pinhole_matrix(focal * x, focal * y, center_x * x, center_y * y) for y, x in scales]
    pose = torch.stack([_read_pose(place / "pose" / f"{Path(name).stem}.txt") for name in names])
    pose = torch.linalg.inv(pose) if inverted else pose
    distance = float(pose[:, :3, 3].norm(dim=-1).mean())
    bounds = torch.tensor([[distance - 1, distance + 1]], dtype=torch.float64).repeat(len(paths), 1)
    return PosedFiles.pinhole(paths, sizes, pose, torch.stack(matrices), bounds)


def _read_intrinsics(path: Path) -> tuple[tuple[float, float, float], tuple[float, float], bool]:
    """(focal, center x, center y) in pixels of a (height, width); whether poses are world to camera."""
    rows = _read_numbers(path)
    if len(rows) < 5 or len(rows[0]) < 3 or len(rows[4]) != 2 or min(rows[0][0], *rows[4]) <= 0:
        raise BadInput(f"{path}: wanted lines of f cx cy, centre, near, scale, height width")
    focal, center_x, center_y = rows[0][:3]
    height, width = rows[4]
    return (focal, center_x, center_y), (height, width), len(rows) > 5 and bool(rows[5][0])


def _read_pose(path: Path) -> Tensor:
    """Camera to world [4, 4], OpenCV axes."""
    found = torch.tensor([x for row in _read_numbers(path) for x in row], dtype=torch.float64)
    if found.numel() != 16 or not found.isfinite().all():
        raise BadInput(f"{path}: wanted 4x4 finite numbers, got {found.numel()}")
    return found.view(4, 4)


def _read_numbers(path: Path) -> list[list[float]]:
    """The numbers of every line that is not empty."""
    rows = []
    text = read_bytes(path, "list of numbers", MIB).decode(errors="replace")
    for number, line in enumerate(text.splitlines(), 1):
        try:
            rows.append([float(x) for x in line.split()])
        except ValueError:
            raise BadInput(f"{path}: line {number}: wanted numbers, got {abbreviate(line)!r}") from None
    return [row for row in rows if row]
