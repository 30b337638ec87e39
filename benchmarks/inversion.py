"""Inversion of cars that no training has seen: python -m benchmarks.inversion RUN [--count N] [--out FILE]

Each car of the embedded set is traced from five cameras. The first picture is inverted without its pose; the
other four are compared with renderings of what was found, whose camera is moved as the true ones are. Beside
it the nearest of 2,000 renderings of the generator's own scenes. A generator trained without poses has a
frame of its own: before rotations are compared, all yaws are turned by the mean difference that the encoder
has on other pictures.
"""

import argparse
import json
import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from genscene.apps.inversion.candidates import Candidates, Problem
from genscene.apps.inversion.encoder import EncoderOptions, guess, small_size, train
from genscene.apps.inversion.invert import SIDE, InvertOptions, invert
from genscene.apps.inversion.poses import OrbitPoses, rotation_error
from genscene.apps.inversion.search import codes_starts
from genscene.apps.inversion.similarity import Similarity, Target, distance
from genscene.apps.inversion.styles import StyleSpace, heading
from genscene.cli.shared.progress import timed_progress
from genscene.contract import Generator
from genscene.data.synthetic import synthesize, views_of_one
from genscene.devices import pick_device
from genscene.experiment.schedules import largest_size
from genscene.geometry.cameras import Size
from genscene.geometry.priors import CameraPrior, wrap_angles
from genscene.io.generator_file import read
from genscene.metrics.image import psnr

FIRST, UNSEEN, CALIBRATION = 7_000_000, 4, 64  # seed of the first car; views beside; pictures for the frame
BACKS = 90.0  # degrees of rotation error above which a front is taken for a back


@dataclass
class Measured:
    """What is measured of all pictures after some of the steps."""

    seconds: float  # for each picture
    psnr: list[float]
    distance: list[float]
    unseen_psnr: list[float]
    unseen_distance: list[float]
    rotation: list[float]  # degrees

    def summary(self) -> dict[str, float]:
        """Means, the median rotation error, and the share of fronts taken for backs."""
        names = ("psnr", "distance", "unseen_psnr", "unseen_distance")
        found = {name: float(torch.tensor(getattr(self, name)).mean()) for name in names}
        rotation = torch.tensor(self.rotation)
        found |= {"rotation_median": float(rotation.median())}
        return found | {"backs": float((rotation > BACKS).float().mean()), "seconds": self.seconds}


@dataclass
class Bench:
    """The true pictures, and how what was found is compared with them."""

    generator: Generator
    poses: OrbitPoses
    space: StyleSpace
    images: Tensor  # [P, 1 + UNSEEN, 3, H, W]
    yaw: Tensor  # [P, 1 + UNSEEN]
    pitch: Tensor  # the same
    offset: float = 0.0  # of the generator's frame from the true one, in radians
    began: float = 0.0
    paused: float = 0.0  # seconds that measuring has taken
    steps: dict[int, Measured] = field(default_factory=dict)

    def watch(self, step: int, found: Candidates) -> None:
        """Measure the best candidates after some of the steps."""
        start = time.perf_counter()
        spent = start - self.began - self.paused
        self.steps[step] = self.measure(found, spent / len(self.images))
        self.paused += time.perf_counter() - start

    @torch.no_grad()
    def measure(self, found: Candidates, seconds: float) -> Measured:
        """Compare candidates, one for each picture in order, with all true views."""
        size = (self.images.shape[-2], self.images.shape[-1])
        problem = Problem(
            self.generator, self.space, Similarity(), Target(self.images[:, 0], self.images[:, 0, :1])
        )
        numbers: list[list[float]] = [[], [], [], []]
        for view in range(1 + UNSEEN):
            pose = found.pose.clone()
            pose[:, 0] += self.yaw[found.picture, view] - self.yaw[found.picture, 0]
            pose[:, 1] += self.pitch[found.picture, view] - self.pitch[found.picture, 0]
            images = problem.images(replace(found, pose=pose), size)
            true = self.images[found.picture, view]
            decibels = psnr((images - true).square().mean(dim=(1, 2, 3)))
            for column, values in zip(
                numbers[2 * (view > 0) :], (decibels, distance(images, true)), strict=False
            ):
                column += values.tolist()
        one, two, three, four = numbers
        return Measured(seconds, one, two, three, four, self.rotation(found).tolist())

    def rotation(self, found: Candidates) -> Tensor:
        """The angle between the rotation found and the true one [P], in degrees."""
        size, rows = (1, 1), found.picture
        yaw = found.pose[:, 0] - heading(self.space.styles(found.codes, found.like))
        ours = self.poses.prior.camera_at(yaw, found.pose[:, 1], size)
        true = self.poses.prior.camera_at(self.yaw[rows, 0] + self.offset, self.pitch[rows, 0], size)
        return rotation_error(ours, true)


def true_views(name: str, count: int, size: Size, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures [P, V, 3, H, W], yaw and pitch [P, V] of P things of an embedded set, each from V cameras."""
    found = [views_of_one(name, range(1 + UNSEEN), size, FIRST + i) for i in range(count)]
    columns = (
        [each.on_white() for each in found],
        [each.yaw for each in found],
        [each.pitch for each in found],
    )
    images, yaw, pitch = (torch.stack(column).float().to(device) for column in columns)
    return images, yaw, pitch


def nearest_start(starts: Candidates, count: int) -> Candidates:
    """Of each picture the nearest of the generator's own renderings: the first start after the encoder's."""
    each = len(starts) // count
    return starts.take(torch.arange(count, device=starts.scene.device) * each + 1)


def run(path: Path, name: str, count: int, options: InvertOptions, device: Any) -> dict[str, Any]:
    """All numbers of one generator."""
    content = read(path)
    generator = content.generator.to(pick_device(device))
    assert isinstance(generator.prior, CameraPrior), "wanted a generator with cameras"
    trained_size = largest_size(content.experiment)
    size = small_size(generator, trained_size, options.side or min(SIDE, *trained_size))
    poses, place = OrbitPoses.of(generator.prior), next(generator.parameters()).device
    progress = partial(timed_progress, advice="shorter: --steps, --count")
    began = time.perf_counter()
    trained = train(generator, size, poses, options.encoder, progress)
    teaching = time.perf_counter() - began
    images, yaw, pitch = true_views(name, count, size, place)
    others = synthesize(name, range(CALIBRATION), size, FIRST - 1)
    read_yaw = guess(trained.encoder, others.on_white().float().to(place)).yaw.cpu()
    between = wrap_angles(read_yaw - others.yaw)
    offset = torch.atan2(between.sin().mean(), between.cos().mean())
    agreement = float(torch.hypot(between.sin().mean(), between.cos().mean()))
    bench = Bench(generator, poses, trained.space, images, yaw, pitch, float(offset))
    coarse = Target(images[:, 0], torch.ones_like(images[:, 0, :1])).resized(small_size(generator, size))
    first = guess(trained.encoder, coarse.images)
    nearest = bench.measure(nearest_start(codes_starts(generator, trained, first, poses, coarse), count), 0.0)
    bench.began = time.perf_counter()
    found = invert(generator, images[:, 0], options, progress=progress, watch=bench.watch)
    steps = {str(step): each for step, each in bench.steps.items() if step in (0, 10, 30)}
    steps["end"] = bench.steps[max(bench.steps)]
    return {
        "generator": str(path), "set": name, "pictures": count, "size": size, "device": str(place),
        "encoder_seconds": teaching, "frame_degrees": float(offset.rad2deg()), "frame_agreement": agreement,
        "ties": len(found.ties), "nearest": nearest.summary(),
        "steps": {step: each.summary() for step, each in steps.items()},
        "rotation": steps["end"].rotation,
    }  # fmt: skip


def show(found: dict[str, Any]) -> None:
    """Print the table of one generator."""
    table = Table(title=f"{found['generator']}: {found['pictures']} of {found['set']}, {found['size']}")
    names = ("psnr", "distance", "unseen_psnr", "unseen_distance", "rotation_median", "backs", "seconds")
    for name in ("steps", *names):
        table.add_column(name.replace("_", " "))
    for step, each in (("nearest", found["nearest"]), *found["steps"].items()):
        table.add_row(step, *(f"{each[name]:.3f}" for name in names))
    console = Console()
    console.print(table)
    console.print(
        f"frame turned by {found['frame_degrees']:.1f} degrees (agreement {found['frame_agreement']:.2f}),"
        f" {found['ties']} ties, encoder and renderings {found['encoder_seconds']:.0f} s, {found['device']}"
    )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("generators", type=Path, nargs="+", help=".safetensors files, or folders of runs")
    parser.add_argument("--set", default="cars", help="embedded set whose cameras differ: cars, objects")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--steps", type=int, default=InvertOptions.steps)
    parser.add_argument("--side", type=int, default=0)
    parser.add_argument("--renderings", type=int, default=EncoderOptions.renderings)
    parser.add_argument("--encoder-steps", type=int, default=EncoderOptions.encoder_steps)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, help="FILE.json of all numbers")
    given = parser.parse_args()
    encoder = EncoderOptions(given.renderings, given.encoder_steps)
    options = InvertOptions(given.side, given.steps, encoder=encoder)
    results = []
    for path in given.generators:
        results.append(run(path, given.set, given.count, options, given.device))
        show(results[-1])
        if given.out is not None:
            given.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
