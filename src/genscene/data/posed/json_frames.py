"""JSON files that list frames: those of Blender scenes, nerfstudio and instant-ngp."""

from pathlib import Path
from typing import Any

from torch import Tensor

from genscene.data.posed.checks import format_value, parse_file_name
from genscene.errors import BadInput
from genscene.geometry.camera_files import matrix
from genscene.io.json_file import read_json

SUFFIXES = ("", ".png", ".jpg", ".jpeg", ".PNG", ".JPG", ".JPEG")  # a frame may leave out that of its image


def read_document(path: Path) -> dict[str, Any]:
    """The JSON object of a file with at least one frame; BadInput, naming the file, for all else."""
    if not path.exists():
        raise BadInput(f"no {path.name} in {path.parent}")
    found = read_json(path, "list of frames")
    if not isinstance(found, dict):
        raise BadInput(f"{path} holds {format_value(found)}, wanted an object with frames")
    frames = found.get("frames", [])
    if not isinstance(frames, list):
        raise BadInput(f"{path}: frames is {format_value(frames)}, wanted a list")
    if not frames:
        raise BadInput(f"{path} lists no frames: wanted one for each photograph")
    for index, frame in enumerate(frames):
        if not isinstance(frame, dict):
            raise BadInput(f"{path}: frame {index} is {format_value(frame)}, wanted an object")
    return found


def frame_file(path: Path, index: int, frame: dict[str, Any], key: str = "file_path") -> str:
    """The file name a frame gives under a key, with forward slashes."""
    if key not in frame:
        raise BadInput(f"{path}: frame {index} is without {key}")
    return parse_file_name(frame[key], f"{path}: frame {index}: {key}").replace("\\", "/")


def frame_pose(frame: dict[str, Any], where: str) -> Tensor:
    """The transform_matrix of a frame [4, 4], float64; errors begin with `where`."""
    return matrix(frame, "transform_matrix", where)


def find_image(folder: Path, name: str) -> Path | None:
    """The image file of a name, with or without its suffix; None where there is none."""
    return next((path for suffix in SUFFIXES if (path := folder / f"{name}{suffix}").is_file()), None)
