"""Whether a generator's scenes stay what they are from another side: colours, depth, and who one takes them for."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from genscene.contract import Generator
from genscene.errors import BadInput
from genscene.evaluation.sides import finite
from genscene.geometry.camera_files import read_cameras
from genscene.geometry.cameras import Camera, Size
from genscene.geometry.priors import CameraPrior
from genscene.metrics.networks.extractor import Extractor
from genscene.metrics.views import Agreement, RenderedView, reproject
from genscene.randomness import RandomStreams, derive_seed
from genscene.scenes import Scene

LOT = 8  # pictures drawn at once
VIEWS = 31  # use of the seed here


@dataclass(frozen=True)
class Consistency:
    """How well two views of one scene agree, on average over pairs; the first four as in `Agreement`."""

    psnr: float  # decibels, of each pair, then averaged
    absolute: float  # mean absolute error of colours, 0 to 1
    visible: float  # share of the opaque pixels that are compared; 0 of a pair without any
    depth: float  # median relative difference of the distances
    degrees: float  # between the two cameras' axes
    pairs: int  # that had anything to compare; the errors are averaged over these


@dataclass(frozen=True)
class Identity:
    """Mean cosine similarity of features."""

    same: float  # of one latent code seen from two cameras
    other: float  # of different latent codes seen from different cameras: what the extractor finds alike in any two


@torch.no_grad()
def consistency(
    generator: Generator,
    count: int = 64,
    size: Size = (64, 64),
    angle: float = 15.0,
    psi: float = 1.0,
    seed: int = 0,
    tolerance: float = 0.05,
    cameras: Camera | None = None,
) -> Consistency:
    """Render `count` scenes from two cameras about `angle` degrees apart, and carry one picture into the other.

    A scene learnt from photographs is seen from where these were taken; tolerance is that of `reproject`.
    """
    if not 0 < angle < 90:
        raise BadInput(f"cameras {angle:g} degrees apart, wanted more than 0 and less than 90")
    found, turns = [], []
    for draws in lots(count, seed):
        scene = drawn(generator, draws, psi)
        first, second = pair(generator, draws, size, angle, cameras)
        found.append(reproject(shot(generator, scene, first), shot(generator, scene, second), tolerance))
        turns.append(between(first, second))
    every = Agreement(*(torch.cat(column) for column in zip(*(vars(x).values() for x in found), strict=True)))
    pairs = int(every.squared.isfinite().sum())
    if not pairs:
        raise BadInput(
            f"nothing opaque in the first of {count} pairs of pictures is seen in the second: no consistency"
        )
    psnr, absolute, depth = (float(x.nanmean()) for x in (every.psnr, every.absolute, every.depth))
    visible = float(every.visible.nan_to_num().mean())
    return Consistency(psnr, absolute, visible, depth, float(torch.cat(turns).mean()), pairs)


@torch.no_grad()
def identity(
    generator: Generator,
    extractor: Extractor,
    count: int = 256,
    size: Size = (64, 64),
    psi: float = 1.0,
    seed: int = 0,
) -> Identity:
    """Render `count` latent codes from two cameras of the prior each, and compare what the extractor makes of them."""
    if generator.latent_dim == 0 or count < 2:
        said = "a generator of one scene" if generator.latent_dim == 0 else f"a count of {count}"
        raise BadInput(f"identity of {said}: wanted at least two different latent codes")
    prior, looks = cameras_of(generator), extractor.on(device_of(generator))
    features: tuple[list[Tensor], list[Tensor]] = ([], [])
    for draws in lots(count, seed):
        scene = drawn(generator, draws, psi)
        for side in features:
            image = generator.render(scene, prior.sample(draws, size).to(device_of(generator))).image
            side.append(looks((255 * finite(image).clamp(0, 1)).round().byte()))
    first, second = (normalize(torch.cat(side).double(), dim=-1) for side in features)
    alike = first @ second.mT
    same = alike.diagonal().mean()
    return Identity(float(same), float((alike.sum() - alike.trace()) / (count * (count - 1))))


def lots(count: int, seed: int) -> Iterator[RandomStreams]:
    """The streams of `count` scenes, a few at a time; each depends on its number and the seed alone."""
    for start in range(0, count, LOT):
        yield RandomStreams([derive_seed(VIEWS, seed, i) for i in range(start, min(start + LOT, count))])


def drawn(generator: Generator, draws: RandomStreams, psi: float) -> Scene:
    """One scene for each stream; the numbers are those of the CPU, wherever the generator is."""
    return generator.scene(generator.latents(draws).to(device_of(generator)), psi)


def shot(generator: Generator, scene: Scene, camera: Camera) -> RenderedView:
    """B scenes from B cameras, with their depth; BadInput where the renderer knows none."""
    camera = camera.to(device_of(generator))
    seen = generator.render(scene, camera)
    if seen.depth is None or seen.alpha is None or seen.rays is None:
        raise BadInput(
            "this generator's renderer knows no depth: its views cannot be carried into one another"
        )
    return RenderedView(finite(seen.image).clamp(0, 1), seen.depth, seen.alpha, seen.rays.unit(), camera.pose)


def pair(
    generator: Generator, draws: RandomStreams, size: Size, angle: float, taken: Camera | None = None
) -> tuple[Camera, Camera]:
    """Two cameras for each stream, about `angle` degrees apart: two photographs', or two of the prior."""
    prior = cameras_of(generator)
    if taken is not None and len(taken) > 1:
        return neighbours(taken.to("cpu").resized(size), draws, angle)
    if prior.distribution == "file":
        return neighbours(read_cameras(prior.file, size), draws, angle)
    return turned(prior, draws, size, angle)


def turned(prior: CameraPrior, draws: RandomStreams, size: Size, angle: float) -> tuple[Camera, Camera]:
    """A camera of the prior, and one turned in yaw towards the prior's middle by two to four thirds of the angle.

    Where the prior's spread is less, by that: so the second stands within it, too.
    """
    if prior.distribution == "fixed" or prior.yaw[1] <= 0:
        raise BadInput(
            f"the prior of cameras (law {prior.distribution}) has no spread in yaw: there is no second view to take"
        )
    yaw, pitch = prior.sample_angles(draws)
    step = (math.radians(angle) * (2 + 2 * draws.uniform()) / 3).clamp_max(prior.yaw[1])
    other = torch.where(yaw > prior.yaw[0], yaw - step, yaw + step)
    return prior.camera_at(yaw, pitch, size), prior.camera_at(other, pitch, size)


def neighbours(cameras: Camera, draws: RandomStreams, angle: float) -> tuple[Camera, Camera]:
    """For each stream one of the cameras, and that other one whose axis stands off by nearest to `angle` degrees."""
    if len(cameras) < 2:
        raise BadInput("there is one camera only: wanted another view to compare with")
    chosen = (draws.uniform() * len(cameras)).long()
    apart = degrees(cameras.pose[chosen, None, :3, 2], cameras.pose[None, :, :3, 2])
    off = (apart - angle).abs().scatter(1, chosen[:, None], torch.inf)
    return cameras[chosen], cameras[off.argmin(dim=1)]


def between(first: Camera, second: Camera) -> Tensor:
    """How far apart the axes of B pairs of cameras are -> [B] in degrees."""
    return degrees(first.pose[:, :3, 2], second.pose[:, :3, 2])


def degrees(a: Tensor, b: Tensor) -> Tensor:
    """Angles between unit vectors [..., 3] -> [...] in degrees, exact where they are small (Kahan)."""
    return torch.rad2deg(2 * torch.atan2((a - b).norm(dim=-1), (a + b).norm(dim=-1)))


def cameras_of(generator: Generator) -> CameraPrior:
    """Where its cameras stand; BadInput where it has none."""
    if not isinstance(generator.prior, CameraPrior):
        raise BadInput(
            "this generator has no cameras (its views are windows on the plane): wanted one of scenes in space"
        )
    return generator.prior


def device_of(generator: Generator) -> torch.device:
    """Where its weights are."""
    return next(generator.parameters()).device
