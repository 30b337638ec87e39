"""Where pictures come from: folders, zips, and embedded sets made on the spot."""

import dataclasses
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from genscene.data.cache import Blank, Made, cached
from genscene.data.decode import Broken, Treatment, background
from genscene.data.images import Files, decoded, listed, spread
from genscene.data.pictures import ImageSet
from genscene.data.synthetic import SETS, synthesize
from genscene.errors import BadInput, suggest
from genscene.experiment.schema import ImageConfig
from genscene.geometry.camera_files import read_labels
from genscene.geometry.cameras import Camera, Size

SYNTHETIC = "synthetic:"
EMBEDDED = 5000  # pictures of an embedded set where no number is asked for
LOT = 20  # pictures a thread traces at once


def load_images(
    source: str, pictures: ImageConfig, size: Size, quiet: bool = False, cameras: bool = False
) -> ImageSet:
    """All pictures of a folder, zip or embedded set at a size; decoded once, kept on disk.

    Broken files are named and left out. Raises BadInput where there is nothing to load, or a label is missing.
    """
    if pictures.background != "random":
        background(pictures.background)
    if source.startswith(SYNTHETIC):
        return embedded(source.removeprefix(SYNTHETIC), pictures.limit or EMBEDDED, size, quiet)
    files = listed(source)
    chosen = spread(len(files.names), pictures.limit)
    treatment = Treatment(size, pictures)
    untreated = dataclasses.replace(pictures, flip=False)  # both are for later
    key = [str(files.root.resolve()), files.names, files.stamps, size, dataclasses.asdict(untreated)]

    def make(blank: Blank) -> Made:
        pixels, whole, broken, small = decoded(
            files, chosen, treatment, quiet or not sys.stderr.isatty(), blank
        )
        return pixels, {"whole": whole, "broken": broken, "enlarged": small}

    pixels, notes = cached(key, make)
    if notes["broken"] and not quiet:
        report(notes["broken"], len(chosen))
    found = labelled(files, notes["whole"], size) if cameras else None
    return ImageSet(pixels, found, tuple(notes["enlarged"]))


def embedded(name: str, count: int, size: Size, quiet: bool) -> ImageSet:
    """Pictures of an embedded set on white, with their true cameras."""
    if name not in SETS:
        raise BadInput(f"no embedded set {name!r}; {suggest(name, SETS)}")

    def make(blank: Blank) -> Made:
        if not quiet and not sys.stderr.isatty():
            say(f"ray-tracing {count} pictures of {name}")
        shown = track(
            traced(name, count, size), f"ray-tracing {name}", total=count, disable=quiet, transient=True
        )
        pixels, labels = blank((count, *size, 3)), []
        for i, (picture, label) in enumerate(shown):
            pixels[i] = picture
            labels.append(label)
        return pixels, {"labels": labels}

    pixels, notes = cached(["synthetic", name, count, size], make)
    return ImageSet(pixels, Camera.from_label(torch.tensor(notes["labels"]), size))


def traced(name: str, count: int, size: Size) -> Iterator[tuple[np.ndarray, list[float]]]:
    """Pictures of an embedded set, uint8 [H, W, 3], and their labels, made on all cores: one thread for each."""
    lots = [range(i, min(i + LOT, count)) for i in range(0, count, LOT)]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small tensors: threads inside an operation would wait for one another
    try:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for truth in pool.map(lambda lot: synthesize(name, lot, size), lots):
                pixels = (truth.on_white() * 255).round().byte().movedim(1, -1).numpy()
                yield from zip(pixels, truth.camera.label().tolist(), strict=True)
    finally:
        torch.set_num_threads(threads)


def labelled(files: Files, whole: list[int], size: Size) -> Camera:
    """The cameras of files, from the dataset.json among them."""
    with files.open() as reader:
        try:
            content = reader.read("dataset.json")
        except Broken as error:
            raise BadInput(f"{files.root} has no dataset.json to read cameras from ({error})") from None
    labels = read_labels(content, f"{files.root}/dataset.json", size)
    missing = [files.names[i] for i in whole if files.names[i] not in labels]
    if missing:
        raise BadInput(
            f"{files.root}/dataset.json has no camera for {len(missing)} pictures, first {missing[0]}"
        )
    rows = [labels[files.names[i]] for i in whole]
    return Camera(
        torch.cat([c.pose for c in rows]).float(), torch.cat([c.intrinsics for c in rows]).float(), size
    )


def report(broken: dict[str, str], count: int) -> None:
    """Name the files that could not be read."""
    say(f"{len(broken)} of {count} pictures cannot be read and are left out:")
    for name, reason in list(broken.items())[:5]:
        say(f"  {name}: {reason}")
    if len(broken) > 5:
        say(f"  and {len(broken) - 5} more; see them all with: genscene data inspect")


def say(line: str) -> None:
    """A line for the person who watches."""
    Console(stderr=True).print(line, highlight=False, soft_wrap=True, markup=False)
