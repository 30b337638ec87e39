"""DeepVoxels' rendered shapes: rgb/*.png beside pose/*.txt and one intrinsics.txt, in train|validation|test/SHAPE."""

from pathlib import Path

import numpy as np
import torch

from genscene.data.images import listed
from genscene.data.posed import Posed, in_sides, pinhole_matrix, size_of, undistorted
from genscene.errors import BadInput

FOLDERS = {"train": "train", "val": "validation", "test": "test"}
EVERY = 8  # of the photographs for testing, as NeRF takes them


def there(folder: Path) -> bool:
    """Whether a folder is one shape of one split."""
    return (folder / "intrinsics.txt").is_file() and (folder / "pose").is_dir()


def sibling(folder: Path, split: str) -> Path:
    """The folder of the same shape in another split."""
    return folder.resolve().parent.parent / FOLDERS[split] / folder.resolve().name


def read(folder: Path, split: str = "train") -> Posed:
    """The cameras and photographs of a split; of those for testing every eighth.

    Raises BadInput, naming the file, for numbers that are none and for photographs without a pose.
    """
    place = folder if split == "train" else sibling(folder, split)
    files = listed(place / "rgb")
    names = files.names if split == "train" else files.names[::EVERY]
    paths = [files.root / name for name in names]
    sizes = [size_of(path) for path in paths]
    (focal, centre_x, centre_y), (full_height, full_width), inverted = lens(place / "intrinsics.txt")
    scales = [(height / full_height, width / full_width) for height, width in sizes]
    matrices = [pinhole_matrix(focal * x, focal * y, centre_x * x, centre_y * y) for y, x in scales]
    pose = torch.stack([pose_of(place / "pose" / f"{Path(name).stem}.txt") for name in names])
    pose = torch.linalg.inv(pose) if inverted else pose
    distance = float(pose[:, :3, 3].norm(dim=-1).mean())
    bounds = torch.tensor([[distance - 1, distance + 1]], dtype=torch.float64).repeat(len(paths), 1)
    intrinsics = in_sides(torch.stack(matrices), sizes)
    return Posed(tuple(paths), tuple(sizes), pose, intrinsics, undistorted(len(paths)), bounds)


def lens(path: Path) -> tuple[tuple[float, float, float], tuple[float, float], bool]:
    """Focal length and centre in pixels, (height, width) they are meant for, and whether poses are world to camera."""
    rows = [[float(x) for x in line.split()] for line in numbers(path)]
    if len(rows) < 5 or len(rows[0]) < 3 or len(rows[4]) != 2 or min(rows[0][0], *rows[4]) <= 0:
        raise BadInput(f"{path}: wanted lines of f cx cy, centre, near, scale, height width")
    focal, centre_x, centre_y = rows[0][:3]
    height, width = rows[4]
    return (focal, centre_x, centre_y), (height, width), len(rows) > 5 and bool(rows[5][0])


def pose_of(path: Path) -> torch.Tensor:
    """Camera to world [4, 4], OpenCV axes."""
    found = torch.tensor([float(x) for line in numbers(path) for x in line.split()], dtype=torch.float64)
    if found.numel() != 16 or not found.isfinite().all():
        raise BadInput(f"{path}: wanted 4x4 finite numbers, got {found.numel()}")
    return found.view(4, 4)


def numbers(path: Path) -> list[str]:
    """The lines of a text of numbers that are not empty."""
    try:
        lines = [line for line in path.read_text().splitlines() if line.strip()]
        np.array(" ".join(lines).split(), dtype=np.float64)
    except (OSError, ValueError) as error:
        raise BadInput(f"cannot read {path} ({error})") from None
    return lines
