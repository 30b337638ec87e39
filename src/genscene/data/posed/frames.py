"""The JSON files that list frames, as Blender's scenes, nerfstudio and instant-ngp have them."""

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from genscene.data.posed.values import filename, shown
from genscene.errors import BadInput
from genscene.geometry.camera_files import matrix

ENDINGS = ("", ".png", ".jpg", ".jpeg", ".PNG", ".JPG", ".JPEG")


def document(path: Path) -> dict[str, Any]:
    """The JSON object of a file, which has at least one frame; BadInput, naming the file, where it is none."""
    try:
        found = json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise BadInput(f"no {path.name} in {path.parent} ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not JSON ({error})") from None
    if not isinstance(found, dict):
        raise BadInput(f"{path} holds a {type(found).__name__}, wanted an object with frames")
    frames = found.get("frames", [])
    if not isinstance(frames, list):
        raise BadInput(f"{path}: frames is {shown(frames)}, wanted a list")
    if not frames:
        raise BadInput(f"{path} lists no frames")
    for index, frame in enumerate(frames):
        if not isinstance(frame, dict):
            raise BadInput(f"{path}: frame {index} is a {type(frame).__name__}, wanted an object")
    return found


def named(path: Path, index: int, frame: dict[str, Any], key: str = "file_path") -> str:
    """The file a frame names, with forward slashes."""
    if key not in frame:
        raise BadInput(f"{path}: frame {index} is without {key}")
    return filename(frame[key], f"{path}: frame {index}: {key}").replace("\\", "/")


def motion(frame: dict[str, Any], where: str) -> Tensor:
    """The pose of a frame as it stands there [4, 4], float64."""
    return matrix(frame, "transform_matrix", where)


def picture(folder: Path, name: str) -> Path | None:
    """The picture of a name, with or without its ending; None where there is none."""
    return next((place for end in ENDINGS if (place := folder / f"{name}{end}").is_file()), None)
