"""genscene data VERB: reports; embedded, prepared and packed sets; index lists, boxes, camera poses."""

import math
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional

from genscene.cli.shared.options import parse, parse_size, print_line
from genscene.data.prepare.boxes import suggest_boxes
from genscene.data.prepare.cameras import Preparation
from genscene.data.prepare.inspect import inspect
from genscene.data.prepare.pack import pack_pictures
from genscene.data.prepare.pictures import prepare_pictures
from genscene.data.prepare.poses import ADVICE, Matching, estimate_poses
from genscene.data.prepare.select import Selection, select_pictures
from genscene.data.progress import log_line
from genscene.data.synthetic import PICTURES, camera_of
from genscene.data.synthetic.heads.write import write_heads
from genscene.data.synthetic.write import write_set
from genscene.errors import BadInput, suggest
from genscene.experiment.validation import validate
from genscene.io.files import user_path
from genscene.ranges import Extent, NonNegative, Range, Side

HEADS = "heads"
VERBS = ("inspect", "synthesize", "prepare", "pack", "select", "boxes", "poses")
USAGE = """usage: genscene data inspect PATH
       genscene data synthesize NAME --out FOLDER [--count N] [--size N] [--seed N]
                                          [--camera clevr|narrow|circle] [--fov DEGREES]
       genscene data synthesize heads --assets FOLDER --out FOLDER [--count N] [--size N] [--seed N]
       genscene data prepare PATH --out FOLDER [--size N] [--masks|--no-masks] [--mirror]
                [--cameras FILE | --landmarks FILE --template FILE [--focal eg3d|estimate|F]]
                [--largest-error E]
       genscene data pack --source PATH --dest FILE.zip|FOLDER [--size N] [--background COLOR]
       genscene data select PATH --out FILE.json [--scores FILE.csv ...] [--keep CONDITION ...]
                [--balance COLUMN ...] [--bins N] [--repeats N] [--index FILE.json] [--seed N]
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
class Prepare:
    """All options of data prepare."""

    path: Positional[str]  # a folder or zip of pictures
    out: Path  # folder to write to; it must be new or empty
    size: Side = 512  # side of the written pictures, in pixels
    # cameras in EG3D's format (dataset.json), by name, or in that of render --path FILE, in the order of the
    # names; default: the dataset.json among the pictures
    cameras: Path | None = None
    # 68 points of a face in each picture, in pixels: CSV of rows name,x0,y0,x1,..., JSON or .npz by name, or
    # a folder of a file for each
    landmarks: Path | None = None
    template: Path | None = None  # the same 68 points of a head in space: CSV, JSON, .npy or .npz of 68 x 3
    # focal length: eg3d: 4.2647 sides of the result; else that of the photographs: estimate, or a number of
    # longer sides
    focal: str = "eg3d"
    # pictures are left out whose landmarks are off by more, on average, in distances of the eyes
    largest_error: NonNegative = 0.15
    masks: bool = True  # masks/NAME.png, where there are any, become transparency
    mirror: bool = False  # write every picture and its camera mirrored, too

    def __post_init__(self) -> None:
        """Raise BadInput for numbers out of range."""
        validate(self)


@dataclass(frozen=True)
class Pack:
    """All options of data pack."""

    source: str  # a folder or zip of pictures, and dataset.json where it has labels
    dest: Path  # FILE.zip, or a folder, which must be new or empty
    size: Side = 256  # side of the written pictures, in pixels; other programs want a power of two
    background: str = "white"  # behind transparency: white, black, or R,G,B from 0 to 255

    def __post_init__(self) -> None:
        """Raise BadInput for numbers out of range."""
        validate(self)


@dataclass(frozen=True)
class Select:
    """All options of data select."""

    path: Positional[str]  # a folder or zip of pictures
    out: Path  # a JSON list of names with repeats: --images.index of training; histograms beside it
    # CSV files with a column name and columns of numbers; yaw and pitch (degrees, of dataset.json), sharpness
    # and brightness need none
    scores: tuple[Path, ...] = ()
    keep: tuple[str, ...] = ()  # conditions that must hold, like "occlusion<0.3" "|yaw|<=45"
    balance: tuple[str, ...] = ()  # columns whose joint histogram is made even by repeats
    bins: Annotated[int, Range(1, 1000)] = 10  # of each column
    repeats: Annotated[int, Range(1, 1000)] = 16  # of a picture, at most
    index: str = ""  # begin with the pictures of this list
    seed: int = 0  # of the pictures of a bin that are repeated once more

    def __post_init__(self) -> None:
        """Raise BadInput for numbers out of range."""
        validate(self)


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
    elif words[0] == "prepare":
        about = "Write square pictures with a camera each: cropped to heads by landmarks, or as labelled."
        _run_prepare(parse(Prepare, words[1:], "genscene data prepare", description=about))
    elif words[0] == "pack":
        about = (
            "Write square pictures of one size and their labels to a zip or folder, as StyleGAN reads them."
        )
        _run_pack(parse(Pack, words[1:], "genscene data pack", description=about))
    elif words[0] == "select":
        about = "Write an index list: pictures that meet conditions, repeated to even their histograms."
        asked = parse(Select, words[1:], "genscene data select", description=about)
        columns = (asked.scores, asked.keep, asked.balance, asked.bins)
        chosen_by = Selection(*columns, asked.repeats, asked.index, asked.seed)
        print_line("\n".join(select_pictures(asked.path, asked.out, chosen_by)))
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


def _run_prepare(options: Prepare) -> None:
    """Write a prepared set, and report what became of the pictures."""
    focal = {"eg3d": None, "estimate": 0.0}.get(options.focal, -1.0)
    if focal == -1.0:
        try:
            focal = float(options.focal)
        except ValueError:
            focal = math.nan
        if not 0.1 <= focal <= 100:
            raise BadInput(f"--focal {options.focal}: wanted eg3d, estimate, or 0.1 to 100 longer sides")
    given = (options.size, options.cameras, options.landmarks, options.template)
    how = Preparation(*given, focal, options.largest_error, options.masks, options.mirror)
    found = prepare_pictures(options.path, options.out, how)
    count = len(found.rows)
    print_line(f"{options.out}: {count * (1 + options.mirror)} pictures, {len(found.refused)} left out")
    if options.landmarks:
        errors = sorted(framed.error for _, framed in found.rows)
        shown = f"median {100 * errors[count // 2]:.1f} %, largest {100 * errors[-1]:.1f} %"
        print_line(f"  reprojection error of landmarks: {shown} of the distance of the eyes (report.csv)")
    if found.enlarged:
        print_line(
            f"  {found.enlarged} have fewer pixels than {options.size}x{options.size} and were enlarged"
        )


def _run_pack(options: Pack) -> None:
    """Write a packed set, and report what is in it."""
    found = pack_pictures(options.source, options.dest, options.size, options.background)
    kinds = {"cameras": found.cameras, "classes": found.classes}
    labels = next((f", labels: {kind}" for kind, count in kinds.items() if count), ", no labels")
    left = f", {len(found.unreadable)} left out" if found.unreadable else ""
    size = f"{options.size}x{options.size}"
    print_line(f"{options.dest}: {len(found.names)} pictures of {size}{labels}{left}")
    if found.enlarged:
        print_line(f"  {found.enlarged} have fewer pixels than {size} and were enlarged")
    if options.size & (options.size - 1):
        print_line(f"  StyleGAN's programs want a power of two, {options.size} is none")


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
