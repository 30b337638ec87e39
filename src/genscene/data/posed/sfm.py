"""Photographs without cameras -> a folder `look` reads: structure from motion by pycolmap, in COLMAP's layout."""

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image, ImageOps
from rich.console import Console
from rich.progress import Progress

from genscene.data import report, say
from genscene.data.decode import Broken, colored
from genscene.data.images import listed
from genscene.errors import BadInput

Matching = Literal["exhaustive", "sequential"]
ENDINGS = {".jpg": ("JPEG", "MPO"), ".jpeg": ("JPEG", "MPO"), ".png": ("PNG",)}  # of what may stay as it is
ORIENTATION = 0x0112  # in EXIF; 1 is upright
FEWEST = 3  # photographs that make a scene
OFFSETS = sorted({*range(1, 11), *(2**i for i in range(10))})  # sequential: later ones each is compared with
FEW, MANY = 8, 100  # photographs, and pairs of them, between two steps of the bar
ADVICE = (
    "take them from places side by side, each showing most of what the next one shows, of things with texture"
)
OTHERWISE = {
    "exhaustive": "frames of a film: --matching sequential",
    "sequential": "no film: --matching exhaustive",
}


@dataclass(frozen=True)
class Placed:
    """What structure from motion found."""

    count: int  # photographs that could be read
    missing: tuple[str, ...]  # names of those among them that got no camera
    points: int
    error: float  # mean distance of points in photographs from where features are, in pixels


def place(
    folder: Path, out: Path, matching: Matching = "exhaustive", shared: bool = True, side: int = 1600
) -> Placed:
    """Find the cameras of a folder's photographs; write images/ and sparse/0/ to `out`, which must be new or empty.

    Photographs that share a lens have one focal length and distortion. The longer side of what is written is at most
    `side` pixels, 0 for all there are. Raises BadInput where the photographs make no scene; nothing is written then.
    """
    root, target = folder.expanduser(), out.expanduser()
    if side and side < 64:
        raise BadInput(f"side {side}: wanted 64 pixels or more, or 0 for photographs as large as they are")
    if not root.is_dir():
        raise BadInput(f"no such folder: {root}")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BadInput(f"{target} is there already and not an empty folder; nothing was written")
    if target.resolve().is_relative_to(root.resolve()):
        raise BadInput(f"{target} lies in {root}, where all photographs are read; wanted a folder outside")
    files = sorted(listed(root).names, key=counted)
    colmap = module()
    with whole(target) as partial:
        names = prepared(root, files, partial / "images", side, shared)
        model = reconstructed(colmap, root, partial, list(names), matching, shared)
        (partial / "sparse" / "0").mkdir(parents=True)
        model.write_binary(partial / "sparse" / "0")
    found = {model.image(number).name for number in model.reg_image_ids()}
    missing = tuple(name for written, name in names.items() if written not in found)
    return Placed(len(names), missing, model.num_points3D(), model.compute_mean_reprojection_error())


def module() -> Any:
    """pycolmap, silent. It comes after Pillow: with the two the other way round, writing a PNG crashes."""
    try:
        import pycolmap
    except ImportError:
        raise BadInput("finding cameras needs pycolmap: pip install 'genscene[sfm]'") from None
    pycolmap.logging.minloglevel = pycolmap.logging.FATAL.value
    return pycolmap


def counted(name: str) -> list[str | int]:
    """A key that sorts names as a person counts, 2 before 10."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+)", name))]


def prepared(root: Path, files: list[str], folder: Path, side: int, shared: bool) -> dict[str, str]:
    """Write what COLMAP is to read -> names in `folder`, of files; turned as EXIF says, or one size only if not."""
    for turn in (
        True,
        False,
        True,
    ):  # a sensor has one size, however it was held; if that helps nothing, upright
        names, broken, sizes = dict[str, str](), dict[str, str](), set[tuple[int, int]]()
        with steps("reading photographs", len(files)) as step:
            for file in files:
                name = "_".join(file.split())  # blanks part the names in COLMAP's list of pairs
                name = name if Path(name).suffix.lower() in ENDINGS else f"{name}.png"
                while name in names:
                    name = f"_{name}"
                try:
                    sizes.add(write(root / file, folder / name, side, turn))
                    names[name] = file
                except Broken as error:
                    broken[file] = str(error)
                step()
        if len(sizes) < 2:
            break
    if broken:
        report(broken, len(files))
    if len(names) < FEWEST:
        raise BadInput(
            f"{root} holds {len(names)} photographs: wanted {FEWEST} or more of one scene; {ADVICE}"
        )
    if shared and len(sizes) > 1:
        two = " and ".join(f"{width}x{height}" for width, height in sorted(sizes)[:2])
        raise BadInput(
            f"{root} holds photographs of {two} pixels, wanted one size of one lens; or --no-shared-lens"
        )
    return names


def write(source: Path, path: Path, side: int, turn: bool) -> tuple[int, int]:
    """A photograph as it is if it may be, else turned and made smaller, with its EXIF for the focal length -> size."""
    try:
        with Image.open(source) as image:
            exif, kind = image.getexif(), image.format
            picture = ImageOps.exif_transpose(image) if turn else image.copy()
    except Exception as error:  # Pillow raises a dozen kinds for damaged files
        raise Broken(str(error)[:120]) from None
    path.parent.mkdir(parents=True, exist_ok=True)
    factor = min(1.0, side / max(picture.size)) if side else 1.0
    if factor == 1 and exif.get(ORIENTATION, 1) == 1 and kind in ENDINGS[path.suffix.lower()]:
        shutil.copyfile(source, path)
        return picture.size
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    made = colored(picture).resize(size, Image.Resampling.BICUBIC).convert("RGBA")
    exif[ORIENTATION] = 1
    opaque = made.getchannel("A").getextrema() == (255, 255) or path.suffix.lower() != ".png"
    made.convert("RGB" if opaque else "RGBA").save(path, quality=95, exif=exif)
    return size


def reconstructed(
    colmap: Any, root: Path, folder: Path, names: list[str], matching: Matching, shared: bool
) -> Any:
    """The largest model of the photographs in images/ of a folder."""
    work = folder / "work"
    work.mkdir()
    pairs = compared(colmap, folder / "images", work, names, matching, shared)
    if not pairs:
        raise BadInput(f"{root}: no two of {len(names)} photographs match; {ADVICE}; {OTHERWISE[matching]}")
    options = colmap.IncrementalPipelineOptions(min_model_size=FEWEST, random_seed=0)
    with steps("placing photographs", len(names)) as step:
        calls = {"initial_image_pair_callback": lambda: step(2), "next_image_callback": step}
        models = colmap.incremental_mapping(work / "database.db", folder / "images", work, options, **calls)
    shutil.rmtree(work)
    best = max(
        models.values(), key=lambda model: (model.num_reg_images(), model.num_points3D()), default=None
    )
    if best is None or best.num_reg_images() < FEWEST:
        some = f"{root}: {pairs} pairs of {len(names)} photographs match, but they make no scene"
        raise BadInput(f"{some}; {ADVICE}, and do not only turn on the spot; {OTHERWISE[matching]}")
    return best


def compared(
    colmap: Any, images: Path, work: Path, names: list[str], matching: Matching, shared: bool
) -> int:
    """Find features and compare them, into work/database.db -> how many pairs of photographs match."""
    database, listing = work / "database.db", work / "pairs.txt"
    chosen = colmap.ImportedPairingOptions(match_list_path=listing)
    seeded = colmap.TwoViewGeometryOptions(ransac=colmap.RANSACOptions(random_seed=0))
    mode = colmap.CameraMode.SINGLE if shared else colmap.CameraMode.PER_IMAGE
    lens = colmap.ImageReaderOptions(camera_model="OPENCV" if shared else "SIMPLE_RADIAL")
    colmap.Database.open(database).close()
    colmap.import_images(database, images, mode, names, lens)
    with steps("finding features", len(names)) as step:
        for i in range(0, len(names), FEW):
            colmap.extract_features(database, images, names[i : i + FEW], mode, lens)
            step(FEW)
    later = OFFSETS if matching == "sequential" else range(1, len(names))
    pairs = [f"{name} {names[i + k]}" for i, name in enumerate(names) for k in later if i + k < len(names)]
    with steps("comparing pairs of photographs", len(pairs)) as step:
        for i in range(0, len(pairs), MANY):
            listing.write_text("\n".join(pairs[i : i + MANY]))
            colmap.match_image_pairs(database, pairing_options=chosen, verification_options=seeded)
            step(MANY)
    with colmap.Database.open(database) as written:
        return sum(count > 0 for count in written.read_two_view_geometry_num_inliers()[1])


@contextmanager
def steps(what: str, count: int) -> Iterator[Callable[..., None]]:
    """A bar on stderr, or a line where nobody watches; called after each step."""
    if not sys.stderr.isatty():
        say(f"{what}: {count}")
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=count)
        yield lambda done=1: bar.advance(task, done)


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """A folder to write to, beside `folder`; renamed to it when all is written, removed if not."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        partial.mkdir()
        yield partial
        if folder.exists():
            folder.rmdir()  # empty
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
