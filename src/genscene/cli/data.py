"""genscene data inspect|synthesize|boxes|poses: reports, embedded sets, ranges of boxes, camera poses."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional

from genscene.cli.shared.options import parse, parse_size, print_line
from genscene.data.prepare.boxes import suggest_boxes
from genscene.data.prepare.inspect import inspect
from genscene.data.prepare.poses import ADVICE, Matching, estimate_poses
from genscene.data.progress import log_line
from genscene.data.synthetic import PICTURES, camera_of
from genscene.data.synthetic.heads.write import write_heads
from genscene.data.synthetic.write import write_set
from genscene.errors import BadInput, suggest
from genscene.experiment.validation import validate
from genscene.io.files import user_path
from genscene.ranges import Extent, Range

HEADS = "heads"
VERBS = ("inspect", "synthesize", "boxes", "poses")
USAGE = """usage: genscene data inspect PATH
       genscene data synthesize NAME --out FOLDER [--count N] [--size N] [--seed N]
                                          [--camera clevr|narrow|circle] [--fov DEGREES]
       genscene data synthesize heads --assets FOLDER --out FOLDER [--count N] [--size N] [--seed N]
       genscene data boxes PATH [--objects N] [--fov DEGREES] [--radius R] [--elevation DEGREES]
       genscene data poses FOLDER [--out FOLDER] [--matching exhaustive|sequential] [--no-shared-lens]
                                  [--side N]
"""


@dataclass(frozen=True)
class Inspect:
    """All options of data inspect."""

    path: Positional[Path]  # a folder or zip of images


@dataclass(frozen=True)
class Synthesize:
    """All options of data synthesize."""

    # an embedded set: cars, objects, rooms (2 objects), rooms-2-5, rooms-clevr, rooms-2-5-clevr, landscapes;
    # or heads, of a model of faces
    name: Positional[str]
    out: Path  # folder to write to; it must be new or empty
    count: int = 1000  # images
    size: str = "128"  # side, or height x width, in pixels
    seed: int = 0  # of the scenes and cameras
    # clevr: GIRAFFE's of CLEVR; narrow: that of rooms; circle: any yaw, as cars have; default: the set's
    camera: Literal["clevr", "narrow", "circle"] | None = None
    fov: float | None = None  # field of view across the shorter side, in degrees; default: the camera's
    assets: Path | None = None  # of heads: the folder of ICT-FaceKit's light model


@dataclass(frozen=True)
class SuggestedBoxes:
    """All options of data boxes."""

    path: Positional[str]  # a folder or zip of images, or synthetic:NAME
    objects: Annotated[int, Range(1, 100)] = 1  # in a picture
    fov: Annotated[float, Range(0.1, 170)] = 10.0  # field of view of the cameras, in degrees
    radius: Extent = 2.732  # their distance from the origin, in world units
    # degrees that they look down; from 10 on objects stand on a plane
    elevation: Annotated[float, Range(0, 85)] = 0.0

    def __post_init__(self) -> None:
        """Raise BadInput for numbers out of range."""
        validate(self)


@dataclass(frozen=True)
class Poses:
    """All options of data poses."""

    folder: Positional[Path]  # photographs of one static scene
    out: Path | None = None  # folder to write to, new or empty; FOLDER-posed if not given
    matching: Matching = "exhaustive"  # match all pairs, or (video frames) each with the next ones by name
    shared_lens: bool = True  # all photographs have one focal length and distortion
    side: int = 1600  # largest longer side of the written images, in pixels; 0: as it is


def main(words: list[str]) -> None:
    """Run the verb."""
    if not words or words[0] in ("-h", "--help"):
        print_line(USAGE)
        if not words:
            raise BadInput(f"data: wanted {', '.join(VERBS[:-1])} or {VERBS[-1]}")
    elif words[0] == "inspect":
        options = parse(
            Inspect, words[1:], "genscene data inspect", description="Report on images and cameras."
        )
        print_line("\n".join(inspect(options.path)))
    elif words[0] == "synthesize":
        about = "Write images of an embedded set with their cameras, masks, depths and objects."
        _run_synthesize(parse(Synthesize, words[1:], "genscene data synthesize", description=about))
    elif words[0] == "boxes":
        about = "Suggest ranges of GIRAFFE's boxes and cameras for pictures, and say why."
        chosen = parse(SuggestedBoxes, words[1:], "genscene data boxes", description=about)
        print_line("\n".join(suggest_boxes(*vars(chosen).values())))
    elif words[0] == "poses":
        about = "Estimate the cameras of photographs by structure from motion (COLMAP's)."
        _run_poses(parse(Poses, words[1:], "genscene data poses", description=about))
    else:
        raise BadInput(f"data: no verb {words[0]!r}; {suggest(words[0], VERBS)}")


def _run_synthesize(given: Synthesize) -> None:
    """Write an embedded set, or heads."""
    size, own_camera = parse_size(given.size), given.camera is not None or given.fov is not None
    if given.name == HEADS:
        if own_camera:
            raise BadInput("--camera and --fov: heads have the cameras of EG3D's labels")
        write_heads(given.assets, given.out, given.count, size, given.seed)
    elif given.assets is not None:
        raise BadInput(f"--assets {given.assets}: wanted with the set {HEADS}, not with {given.name}")
    else:
        camera = None
        if given.name not in PICTURES or own_camera:
            camera = camera_of(given.name, given.camera, given.fov)
        write_set(given.name, given.out, given.count, size, given.seed, camera)
    print_line(f"{given.out}: {given.count} images")


def _run_poses(options: Poses) -> None:
    """Estimate poses, and report which photographs have one."""
    folder = user_path(options.folder).resolve()
    out = options.out or folder.with_name(f"{folder.name}-posed")
    found = estimate_poses(options.folder, out, options.matching, options.shared_lens, options.side)
    posed = found.count - len(found.missing)
    if found.missing:
        log_line(f"no pose for: {', '.join(found.missing)}")
    if 2 * posed < found.count:
        log_line(f"fewer than half have a pose: the scene may be incomplete or wrong; {ADVICE}")
    print_line(
        f"{out}: poses of {posed} of {found.count} photographs, {found.points} points,"
        f" reprojection error {found.error:.2f} pixels"
    )
    print_line(f"train on them: genscene train nerf-grid-photos --data {shlex.quote(str(out))}")
