"""What the verbs that show something share: options, loading, filming with a bar."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from genscene.apps.film import Look
from genscene.apps.interpolate import styles
from genscene.cli.options import bounded, seeds_of, size_of
from genscene.contract import Generator
from genscene.errors import BadInput
from genscene.export.pictures import Show, to_bytes
from genscene.export.video import save_video
from genscene.geometry.cameras import Camera, Size
from genscene.geometry.priors import CameraPrior
from genscene.geometry.trajectories import along, between, ellipse, fan, winding
from genscene.io.generator_file import load, opened
from genscene.training.devices import Device, pick_device

T = TypeVar("T")

ALIGNED = 0.8  # length of the mean viewing direction above which photographs face one way
PSI, FPS, FRAMES = (-10, 10), (0.01, 1000), 100_000  # what can be asked for
PHOTOGRAPHS = "photographs"  # the path along the cameras of the photographs a scene was learnt from


@dataclass(frozen=True)
class Shot:
    """How scenes are shown."""

    size: str = ""  # side, or height x width, in pixels; default: what was trained on
    psi: float = 1.0  # truncation: 1 as trained, towards 0 closer to the average
    show: Show = "image"  # what is shown; opacity is another word for alpha, normals for normal
    view_lock: bool = False  # colours as seen from the front, wherever the camera is (pi-GAN)
    samples: int = 0  # samples along each ray in each pass; more is finer; default: what was trained with
    fps: float = 30.0  # frames a second of a film
    memory: float = 0.25  # GiB that intermediate results may take; less is slower, never different
    device: Device = "auto"  # auto: cuda where there is one, else mps, else cpu

    def __post_init__(self) -> None:
        bounded("--psi", self.psi, *PSI)
        bounded("--samples", self.samples, 0, 65_536)
        bounded("--fps", self.fps, *FPS)
        bounded("--memory", self.memory, 1e-6, 1024)

    def look(self) -> Look:
        """What is shown, and what it may cost."""
        return Look(self.show, self.view_lock, int(self.memory * 2**30))


def find(path: Path, shot: Shot) -> tuple[Generator, CameraPrior, Size]:
    """The generator in a file, on the device, its orbit, and the size of its pictures."""
    generator = load(path).to(pick_device(shot.device))
    if shot.samples:
        generator = generator.resampled(shot.samples)
    if generator.orbit is None:
        raise BadInput(f"{path}: this generator has no cameras to move")
    if shot.size:
        return generator, generator.orbit, size_of(shot.size)
    if generator.photographed is not None and len(generator.photographed.pose):
        return generator, generator.orbit, generator.photographed.camera().size
    return generator, generator.orbit, opened(path)[0].largest()


def scenes_of(generator: Generator, seeds: str, psi: float) -> Tensor:
    """The styles of seeds; of a generator that is one scene, that one."""
    chosen = seeds_of(seeds)
    return styles(generator, chosen if generator.latent_dim else [0], psi)


def path_of(generator: Generator, path: str, count: int, size: Size, moving: bool = False) -> Camera:
    """The cameras of a path, or, where none is named, some that show the scene: of its prior or its photographs.

    A film goes around, unless the photographs were all taken in about one direction.
    """
    assert generator.orbit is not None
    taken = generator.photographed
    given = taken.camera().reframed(size) if taken is not None and len(taken.pose) else None
    aligned = given is not None and float(given.pose[:, :3, 2].mean(dim=0).norm()) > ALIGNED
    if not path and moving:
        path = "spiral" if aligned else "orbit"
    tour = TOURS.get(path) or (through if not path and given is not None else None)
    if path == "spiral" and aligned:
        tour = winding
    if tour is not None:
        if given is None:
            raise BadInput(f"--path {path}: this generator was not learnt from photographs with cameras")
        return tour(given, count)
    if not path:
        return fan(generator.orbit, count, size)
    to_files, also = (taken.to_files, TOURS) if taken is not None and given is not None else (None, ())
    return along(path, generator.orbit, count, size, to_files, also)


def through(cameras: Camera, count: int) -> Camera:
    """From camera to camera in order, in so many frames; where there are more cameras than frames, some of them."""
    if count <= len(cameras):
        return cameras[torch.linspace(0, len(cameras) - 1, count).round().long()]
    return between(cameras, count)


def bar(things: Iterable[T], count: int, what: str) -> Iterable[T]:
    """The same things, with a bar on the terminal where there is one."""
    return track(
        things,
        what,
        total=count,
        transient=True,
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )


def save_film(path: Path, frames: Iterable[Tensor], count: int, fps: float) -> None:
    """Write frames [3, H, W] in [0, 1] as a film."""
    save_video(path, (to_bytes(frame).numpy() for frame in bar(frames, count, "filming")), fps)


TOURS = {PHOTOGRAPHS: through, "ellipse": ellipse}  # paths that only photographs give
