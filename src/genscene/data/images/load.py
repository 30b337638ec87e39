"""Image sets loaded from folders, zips and embedded sets: decoded once, then mapped from the cache."""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from itertools import zip_longest

import numpy as np
import torch

from genscene.data.images.cache import Allocate, Cached, cached_array
from genscene.data.images.decode import (
    DecodeOptions,
    decode_compared,
    parse_color,
)
from genscene.data.images.files import FileReader, ImageFiles, list_images
from genscene.data.images.image_set import RESIDENT, ImageSet, release
from genscene.data.images.names import entries, mask_names, read_index
from genscene.data.progress import log_line, track_progress
from genscene.data.synthetic import PICTURES, check_name, synthesize, synthesize_pictures, synthetic_set
from genscene.errors import BadInput
from genscene.experiment.schema import ImageConfig
from genscene.geometry.camera_files import read_labels
from genscene.geometry.cameras import Camera, Size
from genscene.io.files import MIB
from genscene.io.pictures import UnreadableImage, collect_warnings, within
from genscene.kernels.threads import side_by_side

SYNTHETIC = "synthetic:"  # prefix of a source that names an embedded set
EMBEDDED = 5000  # images of an embedded set where the configuration gives no limit
TRACED_TOGETHER = 20  # images that one thread ray-traces at once
QUEUED, HELD = 64, 64 * MIB  # files, and bytes of them, in memory while they wait to be decoded
Decoded = tuple[np.ndarray, bool]  # an image, and whether it was enlarged


def load_images(
    source: str,
    config: ImageConfig,
    size: Size,
    quiet: bool = False,
    cameras: bool = False,
    masks: bool = False,
) -> ImageSet:
    """The images of a folder, zip or embedded set (synthetic:NAME) at one size, without unreadable files.

    cameras: read them from dataset.json (EG3D's labels); embedded sets always have theirs. masks: of objects,
    too. Raises BadInput where no image can be loaded, or where one has no camera or mask.
    """
    if config.background != "random":
        parse_color(config.background)
    if source.startswith(SYNTHETIC):
        return _load_embedded(source, config, size, quiet, cameras, masks)
    files = list_images(source)
    listed = chosen_images(files, config)
    pixels, notes = decode_cached(files, sorted(set(listed)), config, size, quiet)
    readable: list[int] = notes["readable"]
    place = {index: row for row, index in enumerate(readable)}
    kept = [index for index in listed if index in place]
    labels = read_cameras(files, kept, size) if cameras else None
    found = load_masks(files, readable, config, size, quiet) if masks else None
    small = {readable[row] for row in notes["enlarged"]}
    enlarged = tuple(i for i, index in enumerate(kept) if index in small)
    if kept == readable:
        return ImageSet(pixels, labels, found, enlarged)
    rows = np.array([place[index] for index in kept])
    return ImageSet(pixels, labels, found and replace(found, rows=rows), enlarged, rows)


def chosen_images(files: ImageFiles, config: ImageConfig) -> list[int]:
    """Indices of the files that a configuration uses, with repeats."""
    listed = read_index(files, config.index) if config.index else list(range(len(files.names)))
    return [listed[i] for i in evenly_spaced(len(listed), config.limit)]


def _load_embedded(
    source: str, config: ImageConfig, size: Size, quiet: bool, cameras: bool, masks: bool
) -> ImageSet:
    """The images of an embedded set: on white, or with transparency where the background is random."""
    name = source.removeprefix(SYNTHETIC)
    if cameras:
        synthetic_set(name)
    if config.index or config.masks:
        raise BadInput(f"--images.index and --images.masks: wanted a folder or zip, not {source}")
    clear = config.background == "random" and name not in PICTURES
    found = _load_synthetic(name, config.limit or EMBEDDED, size, quiet, masks or clear)
    return replace(found.cut_out(), masks=found.masks if masks else None) if clear else found


def decode_cached(
    files: ImageFiles, chosen: list[int], config: ImageConfig, size: Size, quiet: bool
) -> Cached:
    """The pixels of the chosen files and notes on them, from the cache if possible; logs what is wrong."""
    options = DecodeOptions(size, config)
    behind = mask_names(files, chosen) if config.masks else None
    marks = [files.masks[name] for name in behind or ()]
    as_read = asdict(replace(config, flip=False, index="", limit=0))
    key = [str(files.root.resolve()), files.names, files.fingerprints, chosen, size, as_read, marks]

    def compute(allocate: Allocate) -> Cached:
        with collect_warnings() as findings:
            pixels, readable, unreadable, enlarged = decode_files(
                files, chosen, options, quiet, allocate, behind
            )
        notes = {"readable": readable, "unreadable": unreadable, "enlarged": enlarged}
        return pixels, notes | {"findings": list(findings.lines())}

    pixels, notes = cached_array(key, compute)
    if notes["unreadable"] and not quiet:
        log_unreadable(notes["unreadable"], len(chosen))
    for line in () if quiet else notes.get("findings", ()):
        log_line(f"images: {line}")
    return pixels, notes


def load_masks(
    files: ImageFiles, indices: list[int], config: ImageConfig, size: Size, quiet: bool
) -> ImageSet:
    """Masks of the files at N indices: those of the folder `masks`, where there are any, else transparency.

    Raises BadInput where an image has none.
    """
    names = mask_names(files, indices) if files.masks else [files.names[i] for i in indices]
    marks = dict(files.masks) or dict(zip(files.names, files.fingerprints, strict=True))
    background = "black" if files.masks else "random"
    config = replace(config, background=background, flip=False, masks=False, index="", limit=0)
    beside = replace(files, names=tuple(names), fingerprints=tuple(marks[name] for name in names))
    key = ["masks", str(files.root.resolve()), beside.names, beside.fingerprints, size, asdict(config)]

    def compute(allocate: Allocate) -> Cached:
        with collect_warnings():
            options, everything = DecodeOptions(size, config), list(range(len(names)))
            pixels, _, unreadable, _ = decode_files(beside, everything, options, quiet, allocate)
        for name, reason in unreadable.items():
            raise BadInput(f"{files.root}/{name}: a mask that cannot be read: {reason}")
        return pixels, {}

    pixels, _ = cached_array(key, compute)
    masks = pixels[..., -1:]
    if not files.masks and masks.min() == 255:
        raise BadInput(f"{files.root}: no masks: wanted transparency, or masks/NAME.png, white at objects")
    return ImageSet(masks)


def evenly_spaced(count: int, limit: int) -> list[int]:
    """At most `limit` of `count` indices, evenly spaced; all of them for 0."""
    if not limit or limit >= count:
        return list(range(count))
    return [i * count // limit for i in range(limit)]


def log_unreadable(reasons: dict[str, str], count: int) -> None:
    """Log the first names of unreadable files, out of `count`, with the reasons."""
    log_line(f"{len(reasons)} of {count} images cannot be read and are left out:")
    for name, reason in list(reasons.items())[:5]:
        log_line(f"  {name}: {reason}")
    if len(reasons) > 5:
        log_line(f"  and {len(reasons) - 5} more; list them all with: genscene data inspect")


def decode_files(
    files: ImageFiles,
    chosen: list[int],
    options: DecodeOptions,
    quiet: bool,
    allocate: Allocate,
    masks: list[str] | None = None,
) -> tuple[np.ndarray, list[int], dict[str, str], list[int]]:
    """Decode the chosen files -> pixels uint8 [N, H, W, C], N readable indices, reasons by unreadable name.

    Fourth: the rows among the N whose files were enlarged. masks: names of the files of their transparency.
    """
    pixels = allocate((len(chosen), *options.size, 4 if options.keep_alpha else 3))
    often = max(1, RESIDENT // max(1, pixels[0].nbytes))
    readable: list[int] = []
    enlarged: list[int] = []
    unreadable: dict[str, str] = {}
    with files.open() as reader, ThreadPoolExecutor(os.cpu_count()) as pool:
        results = decode_in_order(pool, reader, [files.names[i] for i in chosen], options, masks)
        for index, (name, result) in zip(
            chosen, track_progress(results, "decoding images", len(chosen), quiet), strict=True
        ):
            if isinstance(result, UnreadableImage):
                unreadable[name] = str(result)
            else:
                pixels[len(readable)], upsampled = result
                enlarged += [len(readable)] if upsampled else []
                readable.append(index)
                if len(readable) % often == 0:
                    release(pixels)
    if not readable:
        name, reason = next(iter(unreadable.items()))
        raise BadInput(
            f"none of the {len(chosen)} images in {files.root} can be read; the first: {name}: {reason}"
        )
    return pixels[: len(readable)], readable, unreadable, enlarged


def decode_in_order(
    pool: ThreadPoolExecutor,
    reader: FileReader,
    names: list[str],
    options: DecodeOptions,
    masks: list[str] | None,
) -> Iterator[tuple[str, Decoded | UnreadableImage]]:
    """Decode files in parallel, and yield them in order; at most QUEUED, or HELD bytes, of them in memory."""
    queue: list[tuple[str, int, Future[Decoded | UnreadableImage]]] = []
    for name, mask in zip_longest(names, masks or ()):
        try:
            content: bytes | UnreadableImage = reader.read(name)
            behind = None if mask is None else reader.read(mask)
        except UnreadableImage as error:
            content, behind = error, None
        size = 0 if isinstance(content, UnreadableImage) else len(content)
        queue.append((name, size, pool.submit(_decode, name, content, options, behind)))
        while len(queue) >= QUEUED or (queue and sum(size for _, size, _ in queue) > HELD):
            first, _, job = queue.pop(0)
            yield first, job.result()
    for name, _, job in queue:
        yield name, job.result()


def _decode(
    name: str, content: bytes | UnreadableImage, options: DecodeOptions, mask: bytes | None
) -> Decoded | UnreadableImage:
    if isinstance(content, UnreadableImage):
        return content
    try:
        with within(name):
            return decode_compared(content, options, mask)
    except UnreadableImage as error:
        return error


def read_cameras(files: ImageFiles, indices: list[int], size: Size) -> Camera:
    """The cameras of the files at N indices, from the dataset.json among them."""
    path = f"{files.root}/{files.labels}"
    with files.open() as reader:
        try:
            content = reader.read(files.labels)
        except UnreadableImage as error:
            raise BadInput(f"{files.root} has no dataset.json to read cameras from ({error})") from None
    rows = entries(files, indices, read_labels(content, path, size), f"{path} has no camera")
    pose, intrinsics = torch.cat([c.pose for c in rows]), torch.cat([c.intrinsics for c in rows])
    return Camera(pose.float(), intrinsics.float(), size)


def _load_synthetic(name: str, count: int, size: Size, quiet: bool, masks: bool) -> ImageSet:
    """The first `count` images of an embedded set on white, with their true cameras, and masks."""
    check_name(name)
    if masks and name in PICTURES:
        raise BadInput(f"the pictures of the embedded set {name} have no masks of objects")

    def compute(allocate: Allocate) -> Cached:
        doing = f"{'synthesizing' if name in PICTURES else 'ray-tracing'} {name}"
        if not quiet and not sys.stderr.isatty():
            log_line(f"{doing}: {count} images")
        found = track_progress(_synthetic_images(name, count, size, masks), doing, count, quiet)
        pixels, labels = allocate((count, *size, 4 if masks else 3)), []
        for i, (image, label) in enumerate(found):
            pixels[i] = image
            labels.append(label)
        return pixels, {"labels": labels}

    pixels, notes = cached_array(["synthetic", name, count, size] + ["masks"] * masks, compute)
    cameras = None if name in PICTURES else Camera.from_label(torch.tensor(notes["labels"]), size)
    return ImageSet(pixels[..., :3], cameras, ImageSet(pixels[..., 3:]) if masks else None)


def _synthetic_images(
    name: str, count: int, size: Size, masks: bool
) -> Iterator[tuple[np.ndarray, list[float]]]:
    """The first images of an embedded set, uint8 [H, W, 3 or, with masks, 4], and their labels [25] or [].

    One thread per core.
    """
    parts = [range(i, min(i + TRACED_TOGETHER, count)) for i in range(0, count, TRACED_TOGETHER)]
    threads = os.cpu_count() or 1
    if name in PICTURES:
        for pictures in side_by_side(lambda part: synthesize_pictures(name, part, size), parts, threads):
            yield from ((image, []) for image in pictures.numpy())
        return
    for truth in side_by_side(lambda part: synthesize(name, part, size), parts, threads):
        pixels = (torch.cat([truth.pixels(), truth.masks()], -1) if masks else truth.pixels()).numpy()
        yield from zip(pixels, truth.cameras.label().tolist(), strict=True)
