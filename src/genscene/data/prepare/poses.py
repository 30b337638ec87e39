"""Camera poses of unposed photographs by structure from motion (pycolmap), written in COLMAP's layout."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image, ImageOps

from genscene.data.images.decode import ORIENTATION, to_premultiplied
from genscene.data.images.files import list_images, require_new_folder
from genscene.data.images.load import log_unreadable
from genscene.data.progress import progress_bar
from genscene.errors import BadInput
from genscene.io.atomic import atomic_folder
from genscene.io.files import user_path
from genscene.io.pictures import UnreadableImage, collect_warnings, decode_picture, read_picture, reason

Matching = Literal["exhaustive", "sequential"]
COPIED = {
    ".jpg": ("JPEG", "MPO"),
    ".jpeg": ("JPEG", "MPO"),
    ".png": ("PNG",),
}  # suffix: formats copied unchanged
MIN_IMAGES = 3  # of a scene
OFFSETS = sorted(
    {*range(1, 11), *(2**i for i in range(10))}
)  # sequential: each image is matched with these later
IMAGES_AT_ONCE, PAIRS_AT_ONCE = 8, 100  # between two steps of the progress bar
ADVICE = "take them from positions side by side, each overlapping most of the next one, of textured things"
OTHER_MATCHING = {
    "exhaustive": "frames of a video: --matching sequential",
    "sequential": "not a video: --matching exhaustive",
}


@dataclass(frozen=True)
class PoseEstimate:
    """The result of structure from motion."""

    count: int  # photographs that could be read
    missing: tuple[str, ...]  # names of those among them without a pose
    points: int  # triangulated points
    error: float  # mean reprojection error, in pixels


def estimate_poses(
    folder: Path, out: Path, matching: Matching = "exhaustive", shared: bool = True, side: int = 1600
) -> PoseEstimate:
    """Estimate the cameras of a folder's photographs; write images/ and sparse/0/ to a new folder `out`.

    shared: all have one focal length and distortion. The longer side of the written images is at most `side`
    pixels; 0: as it is. Raises BadInput where the photographs do not make a scene; then nothing is written.
    """
    root, target = user_path(folder), user_path(out)
    if side and side < 64:
        raise BadInput(f"side {side}: wanted 64 pixels or more, or 0 for photographs as large as they are")
    if not root.is_dir():
        raise BadInput(f"no such folder: {root}")
    require_new_folder(target)
    if target.resolve().is_relative_to(root.resolve()):
        raise BadInput(f"{target} lies in {root}, where all photographs are read; wanted a folder outside")
    files = sorted(list_images(root).names, key=natural_key)
    colmap = _import_pycolmap()
    with atomic_folder(target) as partial:
        names = _write_images(root, files, partial / "images", side, shared)
        model = _reconstruct(colmap, root, partial, list(names), matching, shared)
        (partial / "sparse" / "0").mkdir(parents=True)
        model.write_binary(partial / "sparse" / "0")
    registered = {model.image(number).name for number in model.reg_image_ids()}
    missing = tuple(name for written, name in names.items() if written not in registered)
    return PoseEstimate(len(names), missing, model.num_points3D(), model.compute_mean_reprojection_error())


def natural_key(name: str) -> list[str | int]:
    """A sort key that orders numbers in names by value: 2 before 10."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+)", name))]


def write_image(source: Path, path: Path, side: int, transpose: bool) -> tuple[int, int]:
    """Copy a photograph, or write it transposed by its EXIF orientation and downsampled -> (width, height).

    EXIF is kept, for COLMAP reads the focal length from it.
    """
    try:
        with decode_picture(read_picture(source)) as image:
            exif, kind = image.getexif(), image.format
            decoded = ImageOps.exif_transpose(image) if transpose else image.copy()
    except Exception as error:  # Pillow raises a dozen kinds for damaged files
        raise UnreadableImage(reason(error)) from None
    path.parent.mkdir(parents=True, exist_ok=True)
    factor = min(1.0, side / max(decoded.size)) if side else 1.0
    if factor == 1 and exif.get(ORIENTATION, 1) == 1 and kind in COPIED[path.suffix.lower()]:
        shutil.copyfile(source, path)
        return decoded.size
    size = (max(1, round(decoded.width * factor)), max(1, round(decoded.height * factor)))
    resized = to_premultiplied(decoded).resize(size, Image.Resampling.BICUBIC).convert("RGBA")
    exif[ORIENTATION] = 1
    opaque = resized.getchannel("A").getextrema() == (255, 255) or path.suffix.lower() != ".png"
    resized.convert("RGB" if opaque else "RGBA").save(path, quality=95, exif=exif)
    return size


def _import_pycolmap() -> Any:
    """pycolmap, silenced. Pillow must be imported before it: otherwise writing a PNG crashes."""
    try:
        import pycolmap
    except ImportError:
        raise BadInput("estimating poses needs pycolmap: pip install 'genscene[sfm]'") from None
    pycolmap.logging.minloglevel = pycolmap.logging.FATAL.value
    return pycolmap


def _write_images(root: Path, files: list[str], folder: Path, side: int, shared: bool) -> dict[str, str]:
    """Write the images that COLMAP reads -> their names in `folder`: those of their files.

    They are transposed as EXIF says, unless they have one size only as stored: one camera held both ways.
    """
    for transpose in (True, False, True):  # where neither gives one size, transposed
        names, unreadable, sizes = dict[str, str](), dict[str, str](), set[tuple[int, int]]()
        with progress_bar("reading photographs", len(files)) as advance, collect_warnings():
            for file in files:
                name = "_".join(file.split())  # blanks separate the names in COLMAP's list of pairs
                name = name if Path(name).suffix.lower() in COPIED else f"{name}.png"
                while name in names:
                    name = f"_{name}"
                try:
                    sizes.add(write_image(root / file, folder / name, side, transpose))
                    names[name] = file
                except UnreadableImage as error:
                    unreadable[file] = str(error)
                advance()
        if len(sizes) < 2:
            break
    if unreadable:
        log_unreadable(unreadable, len(files))
    if len(names) < MIN_IMAGES:
        raise BadInput(
            f"{root} holds {len(names)} photographs: wanted {MIN_IMAGES} or more of one scene; {ADVICE}"
        )
    if shared and len(sizes) > 1:
        two = " and ".join(f"{width}x{height}" for width, height in sorted(sizes)[:2])
        raise BadInput(
            f"{root} holds photographs of {two} pixels, wanted one size for one lens; or --no-shared-lens"
        )
    return names


def _reconstruct(
    colmap: Any, root: Path, folder: Path, names: list[str], matching: Matching, shared: bool
) -> Any:
    """The model with most of the images in images/ of a folder, by incremental mapping."""
    work = folder / "work"
    work.mkdir()
    pairs = _match(colmap, folder / "images", work, names, matching, shared)
    if not pairs:
        raise BadInput(
            f"{root}: no two of {len(names)} photographs match; {ADVICE}; {OTHER_MATCHING[matching]}"
        )
    options = colmap.IncrementalPipelineOptions(min_model_size=MIN_IMAGES, random_seed=0)
    with progress_bar("registering photographs", len(names)) as advance:
        calls = {"initial_image_pair_callback": lambda: advance(2), "next_image_callback": advance}
        models = colmap.incremental_mapping(work / "database.db", folder / "images", work, options, **calls)
    shutil.rmtree(work)
    best = max(
        models.values(), key=lambda model: (model.num_reg_images(), model.num_points3D()), default=None
    )
    if best is None or best.num_reg_images() < MIN_IMAGES:
        raise BadInput(
            f"{root}: {pairs} pairs of {len(names)} photographs match, but they make no scene; {ADVICE},"
            f" and do not only rotate on the spot; {OTHER_MATCHING[matching]}"
        )
    return best


def _match(colmap: Any, images: Path, work: Path, names: list[str], matching: Matching, shared: bool) -> int:
    """Extract features and match them, into work/database.db -> the number of image pairs that match."""
    database, listing = work / "database.db", work / "pairs.txt"
    pairing = colmap.ImportedPairingOptions(match_list_path=listing)
    seeded = colmap.TwoViewGeometryOptions(ransac=colmap.RANSACOptions(random_seed=0))
    mode = colmap.CameraMode.SINGLE if shared else colmap.CameraMode.PER_IMAGE
    reader = colmap.ImageReaderOptions(camera_model="OPENCV" if shared else "SIMPLE_RADIAL")
    colmap.Database.open(database).close()
    colmap.import_images(database, images, mode, names, reader)
    with progress_bar("extracting features", len(names)) as advance:
        for i in range(0, len(names), IMAGES_AT_ONCE):
            colmap.extract_features(database, images, names[i : i + IMAGES_AT_ONCE], mode, reader)
            advance(IMAGES_AT_ONCE)
    later = OFFSETS if matching == "sequential" else range(1, len(names))
    pairs = [f"{name} {names[i + k]}" for i, name in enumerate(names) for k in later if i + k < len(names)]
    with progress_bar("matching pairs of photographs", len(pairs)) as advance:
        for i in range(0, len(pairs), PAIRS_AT_ONCE):
            listing.write_text("\n".join(pairs[i : i + PAIRS_AT_ONCE]))
            colmap.match_image_pairs(database, pairing_options=pairing, verification_options=seeded)
            advance(PAIRS_AT_ONCE)
    with colmap.Database.open(database) as written:
        return sum(count > 0 for count in written.read_two_view_geometry_num_inliers()[1])
