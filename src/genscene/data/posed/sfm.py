"""Photographs without cameras -> a folder `look` reads: structure from motion by pycolmap, in COLMAP's layout."""

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal

from PIL import Image

from genscene.data import report
from genscene.data.images import listed
from genscene.errors import BadInput, nearest

T = TypeVar("T")
Matching = Literal["exhaustive", "sequential"]
MATCHINGS = ("exhaustive", "sequential")
ENDINGS = {"JPEG": (".jpg", ".jpeg"), "MPO": (".jpg", ".jpeg"), "PNG": (".png",)}  # what is left as it is
ORIENTATION = 0x0112  # of EXIF: 1 upright, from 5 on lying on a side
FEWEST = 3  # photographs that make a scene
OFFSETS = sorted({*range(1, 11), *(2**i for i in range(10))})  # sequential: which later ones each is compared with
LOT = 100  # pairs matched between two steps of the bar
FATAL = 3  # COLMAP's log level
ADVICE = "take them from places side by side, each showing most of what the next one shows, of things with texture"
OTHER = {"exhaustive": "frames of a film: --matching sequential", "sequential": "no film: --matching exhaustive"}


@dataclass(frozen=True)
class Placed:
    """What structure from motion found."""

    count: int  # photographs that could be read
    missing: tuple[str, ...]  # names of those among them that have no camera
    points: int
    error: float  # mean distance of points in photographs from where they were found, in pixels


@dataclass(frozen=True)
class Photo:
    """A picture file before it is decoded."""

    path: Path
    name: str  # in the folder
    target: str  # what it is to be called, which COLMAP can read: without blanks
    kind: str  # Pillow's name of the format
    size: tuple[int, int]  # (width, height) as stored
    angle: int  # EXIF's orientation

    def shown(self, turn: bool) -> tuple[int, int]:
        """(width, height), turned as EXIF says or as stored."""
        return self.size[::-1] if turn and self.angle >= 5 else self.size


def place(
    folder: str | Path, out: str | Path, matching: Matching = "exhaustive", shared_lens: bool = True, side: int = 1600
) -> Placed:
    """Find the cameras of a folder's photographs; write images/ and sparse/0/ to `out`, which must be new or empty.

    The longer side of what is written is at most `side` pixels, 0 for as it is. Raises BadInput where there is no way
    from the photographs to a scene; then nothing is written.
    """
    root, target = Path(folder).expanduser(), Path(out).expanduser()
    if matching not in MATCHINGS:
        raise BadInput(f"{matching!r}: {nearest(matching, MATCHINGS)}")
    if side and side < 64:
        raise BadInput(f"side {side}: wanted 64 pixels or more, or 0 for photographs as they are")
    if not root.is_dir():
        raise BadInput(f"no such folder: {root}")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BadInput(f"{target} is there already and not an empty folder; nothing was written")
    if target.resolve().is_relative_to(root.resolve()):
        raise BadInput(f"{target} lies in {root}, whose photographs are read; wanted a folder outside")
    photos, broken = surveyed(root)
    if broken:
        report(broken, len(photos) + len(broken))
    turn = upright(root, photos, shared_lens)
    colmap = module()
    with whole(target) as partial, silent(colmap):
        names = prepared(photos, partial / "images", side, turn)
        enough(root, len(names))
        model = reconstructed(colmap, root, partial, names, matching, shared_lens)
        placed = {model.image(number).name for number in model.reg_image_ids()}
        (partial / "sparse" / "0").mkdir(parents=True)
        model.write_binary(partial / "sparse" / "0")
    missing = tuple(name for target, name in names.items() if target not in placed)
    return Placed(len(names), missing, model.num_points3D(), model.compute_mean_reprojection_error())


def module() -> ModuleType:
    """pycolmap. Pillow is imported before it by now: the other way round it takes pycolmap's zlib and crashes."""
    try:
        import pycolmap
    except ImportError:
        raise BadInput("finding cameras needs pycolmap: pip install 'genscene[sfm]'") from None
    return pycolmap


def surveyed(root: Path) -> tuple[list[Photo], dict[str, str]]:
    """The photographs of a folder in the order a person counts, and why others cannot be read."""
    photos, broken, taken = [], dict[str, str](), set[str]()
    for name in sorted(listed(root).names, key=counted):
        try:
            with Image.open(root / name) as image:
                kind, size, angle = image.format or "", image.size, image.getexif().get(ORIENTATION, 1)
        except Exception as error:  # Pillow raises a dozen kinds for damaged files
            broken[name] = str(error)[:120]
            continue
        plain = "_".join(name.split())
        endings = ENDINGS.get(kind, (".png",))
        target = plain if plain.lower().endswith(endings) else plain + endings[0]
        while target in taken:
            target = f"_{target}"
        taken.add(target)
        photos.append(Photo(root / name, name, target, kind, size, angle))
    enough(root, len(photos))
    return photos, broken


def counted(name: str) -> list[str | int]:
    """A key to sort names by: 2 before 10."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+)", name))]


def upright(root: Path, photos: list[Photo], shared_lens: bool) -> bool:
    """Whether to turn photographs as EXIF says: not where they are of one size only as stored, some taken sideways."""
    turn = one_size(photos, True) or not one_size(photos, False)
    if not one_size(photos, turn):
        first, other = photos[0], next(p for p in photos if p.shown(turn) != photos[0].shown(turn))
        sizes = [f"{photo.name} is {'x'.join(map(str, photo.shown(turn)))} pixels" for photo in (first, other)]
        if shared_lens:
            raise BadInput(f"{root}: {', '.join(sizes)}: one lens wants one size; --no-shared-lens allows many")
        say(f"{root}: {', '.join(sizes)}; training wants one size, cameras are found all the same")
    return turn


def one_size(photos: list[Photo], turn: bool) -> bool:
    """Whether all photographs are of one size."""
    return len({photo.shown(turn) for photo in photos}) == 1


def enough(root: Path, count: int) -> None:
    """Refuse what cannot make a scene."""
    if count < FEWEST:
        raise BadInput(f"{root} holds {count} whole photographs: wanted {FEWEST} or more of one scene; {ADVICE}")


def prepared(photos: list[Photo], folder: Path, side: int, turn: bool) -> dict[str, str]:
    """Write photographs for COLMAP -> the names they have now and those they had, without the broken ones."""
    names, broken = dict[str, str](), dict[str, str]()
    with steps("reading photographs", len(photos)) as step:
        for photo in photos:
            path = folder / photo.target
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                write(photo, path, side, turn)
                names[photo.target] = photo.name
            except Broken as error:
                broken[photo.name] = str(error)
            step()
    if broken:
        report(broken, len(photos))
    return names


def write(photo: Photo, path: Path, side: int, turn: bool) -> None:
    """A photograph as it is, if it may be; else made smaller and turned, with its EXIF, which knows the focal length."""
    try:
        with Image.open(photo.path) as image:
            image.load()
            exif = image.getexif()
            picture = ImageOps.exif_transpose(image) if turn else image
    except Exception as error:  # Pillow raises a dozen kinds for damaged files
        raise Broken(str(error)[:120]) from None
    factor = min(1.0, side / max(photo.size)) if side else 1.0
    if factor == 1 and photo.angle == 1 and photo.target.lower().endswith(ENDINGS.get(photo.kind, "?")):
        shutil.copyfile(photo.path, path)
        return
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    made = colored(picture).resize(size, Image.Resampling.BICUBIC).convert("RGBA")
    exif[ORIENTATION] = 1
    if made.getextrema()[3] == (255, 255):
        made = made.convert("RGB")
    made.save(path, quality=95, exif=exif)


def reconstructed(
    colmap: Any, root: Path, folder: Path, names: dict[str, str], matching: Matching, shared_lens: bool
) -> Any:
    """The largest model of the photographs in images/ of a folder."""
    work = folder / "work"
    (work / "models").mkdir(parents=True)
    pairs = features(colmap, folder / "images", work, list(names), matching, shared_lens)
    if not pairs:
        raise BadInput(f"{root}: no two of {len(names)} photographs match; {ADVICE}; {OTHER[matching]}")
    options = colmap.IncrementalPipelineOptions(min_model_size=FEWEST, random_seed=0)
    with steps("placing photographs", len(names)) as step:
        models = colmap.incremental_mapping(
            work / "database.db",
            folder / "images",
            work / "models",
            options,
            initial_image_pair_callback=step,
            next_image_callback=step,
        )
    shutil.rmtree(work)
    best = max(models.values(), key=lambda model: (model.num_reg_images(), model.num_points3D()), default=None)
    if best is None or best.num_reg_images() < FEWEST:
        found = f"{root}: {pairs} pairs of {len(names)} photographs match, but make no scene"
        raise BadInput(f"{found}; {ADVICE}, not turning on the spot; {OTHER[matching]}")
    return best


def features(colmap: Any, pictures: Path, work: Path, names: list[str], matching: Matching, shared_lens: bool) -> int:
    """Find and compare features into work/database.db -> how many pairs of photographs match."""
    database, listing = work / "database.db", work / "pairs.txt"
    mode = colmap.CameraMode.SINGLE if shared_lens else colmap.CameraMode.PER_IMAGE
    lens = colmap.ImageReaderOptions(camera_model="OPENCV" if shared_lens else "SIMPLE_RADIAL")
    geometry = colmap.TwoViewGeometryOptions(ransac=colmap.RANSACOptions(random_seed=0))
    colmap.Database.open(database).close()
    colmap.import_images(database, pictures, mode, names, lens)
    with steps("finding features", len(names)) as step:
        for some in lots(names, os.cpu_count() or 1):
            colmap.extract_features(database, pictures, some, mode, lens)
            step(len(some))
    pairs = list(combinations(names, 2))
    if matching == "sequential":
        pairs = [(name, names[i + k]) for i, name in enumerate(names) for k in OFFSETS if i + k < len(names)]
    with steps("comparing photographs", len(pairs)) as step:
        for part in lots(pairs, LOT):
            listing.write_text("".join(f"{one} {other}\n" for one, other in part))
            chosen = colmap.ImportedPairingOptions(match_list_path=listing)
            colmap.match_image_pairs(database, pairing_options=chosen, verification_options=geometry)
            step(len(part))
    opened = colmap.Database.open(database)
    count: int = opened.num_verified_image_pairs()
    opened.close()
    return count


def lots(things: list[T], size: int) -> list[list[T]]:
    """So many at a time."""
    return [things[i : i + size] for i in range(0, len(things), size)]


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


@contextmanager
def silent(colmap: ModuleType) -> Iterator[None]:
    """Without COLMAP's own words, hundreds of lines."""
    level = colmap.logging.minloglevel
    colmap.logging.minloglevel = FATAL
    try:
        yield
    finally:
        colmap.logging.minloglevel = level
