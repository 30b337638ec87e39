"""Inversion: pictures -> latents and cameras of a generator that render them."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from torch import Tensor
from tyro.conf import arg

from genscene.apps.inversion.candidates import Candidates, Descent, Problem, descend, keep_best
from genscene.apps.inversion.encoder import EncoderOptions, Progress, guess, small_size, train
from genscene.apps.inversion.latents_file import Latents
from genscene.apps.inversion.poses import Free, FreePoses, NoPoses, OrbitPoses, Poses
from genscene.apps.inversion.search import (
    ROUNDS,
    Watch,
    best_of,
    camera_starts,
    codes_starts,
    find,
    share_scene,
)
from genscene.apps.inversion.similarity import (
    Perceptual,
    Similarity,
    Target,
    distance,
    weighted_mean,
)
from genscene.apps.inversion.styles import StyleSpace
from genscene.apps.inversion.tuning import tune
from genscene.contract import Generator
from genscene.errors import BadInput
from genscene.geometry.cameras import Camera
from genscene.geometry.priors import CameraPrior
from genscene.layers.mapping import take_styles
from genscene.metrics.image import psnr
from genscene.randomness import undisturbed

SIDE = 64  # pixels of the shorter side of what is compared, at most, where no one says it
CAMERA_STEPS = 50  # of the cameras alone, before all together
DISTINCT, OTHER_POSE = 20.0, 30.0  # degrees between the cameras of two candidates, and of two poses that tie
HOPELESS, TIE = (
    1.5,
    1.1,
)  # times the loss of the best: without these no second candidate is continued, or given


@dataclass(frozen=True)
class InvertOptions:
    """How pictures are inverted."""

    # pixels of the shorter side of what is compared with the pictures; more is finer and slower; 0: that of
    # training, 64 at most
    side: int = 0
    steps: int = 200  # of latents and cameras together, after those that find them
    shared: bool = False  # the pictures are of one scene: they have one latent, and a camera each
    # what is found of the cameras beside the angles that the generator's prior varies: roll, distance, fov
    free: tuple[Free, ...] = ()
    # of the optimiser on the weights, where these are optimised, too (--weights)
    tuning_steps: int = 100
    encoder: Annotated[EncoderOptions, arg(name="")] = EncoderOptions()


@dataclass(frozen=True)
class Inverted:
    """What was found."""

    latents: (
        Latents  # of each picture one scene, two where two poses tie; one of all pictures where it is shared
    )
    images: Tensor  # renderings [N, 3, h, w], 0 to 1, in the order of latents.pictures
    target: Target  # the pictures as they were compared
    generator: Generator  # the tuned one where weights were optimised, else that given
    ties: tuple[int, ...]  # numbers of the pictures with two poses
    seconds: float


@contextmanager
def no_progress(label: str, total: int, advice: str = "") -> Iterator[Callable[..., None]]:
    """Progress that is not shown."""
    yield lambda count=1: None


@undisturbed()
def invert(
    generator: Generator,
    pictures: Tensor | Target,
    options: InvertOptions = InvertOptions(),
    cameras: Camera | None = None,
    tuned: bool = False,
    perceptual: Perceptual | None = None,
    progress: Progress = no_progress,
    watch: Watch = lambda step, candidates: None,
) -> Inverted:
    """Pictures [P, 3, H, W] in [0, 1], of the shape of the generator's -> its latents and cameras.

    cameras: of the photographs that a single scene was fitted to, from which those of new ones are found.
    tuned: also optimise the weights of a copy of the generator. perceptual: a distance beside the others,
    like LPIPS. watch: called after 0, 10, 30 and all steps. Raises BadInput for what cannot be inverted.
    """
    began, target = time.perf_counter(), _as_target(generator, pictures, options)
    poses = _poses(generator, options, cameras)
    coarse = target.resized(small_size(generator, target.size))
    similarity = Similarity(perceptual).to(target.images.device)
    if generator.latent_dim:
        trained = train(generator, target.size, poses, options.encoder, progress)
        read = guess(trained.encoder, target.images)
        problem = Problem(generator, trained.space, similarity, target, read)
        starts = codes_starts(generator, trained, read, poses, coarse)
    else:
        problem = Problem(generator, StyleSpace.of(generator), similarity, target)
        starts = camera_starts(generator, poses, cameras, coarse)
    watch(0, best_of(starts))
    with progress("finding latents and cameras", _work(starts, target, coarse, options)) as advance:
        found = find(problem, starts, coarse, advance, watch)
        found, ties = _refine(problem, found, coarse, options, advance)
    watch(sum(steps for steps, *_ in ROUNDS) + CAMERA_STEPS + options.steps, best_of(found))
    own = tune(problem, found, target, options.tuning_steps, progress) if tuned else generator
    return _result(replace(problem, generator=own), found, ties, time.perf_counter() - began)


def _as_target(generator: Generator, pictures: Tensor | Target, options: InvertOptions) -> Target:
    """Pictures in the size that they are compared in, on the generator's device."""
    target = pictures if isinstance(pictures, Target) else Target(pictures, torch.ones_like(pictures[:, :1]))
    images = target.images
    if images.ndim != 4 or images.shape[1] != 3 or not len(images) or not images.is_floating_point():
        raise BadInput(f"pictures {list(images.shape)} {images.dtype}: wanted [P, 3, H, W], 0 to 1")
    if not bool(images.isfinite().all()):
        raise BadInput("the pictures hold numbers that are not finite, wanted 0 to 1")
    target = target.resized(small_size(generator, target.size, options.side or SIDE))
    device = next(generator.parameters()).device
    masks = None if target.masks is None else target.masks.to(device)
    return Target(target.images.to(device), target.weights.to(device), masks)


def _poses(generator: Generator, options: InvertOptions, cameras: Camera | None) -> Poses:
    """What is found of the cameras."""
    if generator.bounds is None or not isinstance(generator.prior, CameraPrior):
        if options.free:
            raise BadInput(f"{options.free[0]}: the scenes of this generator are pictures, without cameras")
        return NoPoses()
    if generator.latent_dim or cameras is None:
        return OrbitPoses.of(generator.prior, options.free)
    return FreePoses(cameras, float(cameras.pose[:, :3, 3].norm(dim=1).mean().clamp_min(1e-3)))


def _work(starts: Candidates, target: Target, coarse: Target, options: InvertOptions) -> int:
    """Pixels that will be rendered, at most."""
    pictures = len(target.images)
    counts = (len(starts), *(pictures * count for _, count, _ in ROUNDS))
    small, large = (math.prod(each.size) for each in (coarse, target))
    pixels = sum(steps * count for (steps, *_), count in zip(ROUNDS, counts, strict=False))
    return small * (pixels + CAMERA_STEPS * counts[-1]) + large * options.steps * counts[-1]


def _refine(
    problem: Problem,
    found: Candidates,
    coarse: Target,
    options: InvertOptions,
    advance: Callable[[int], None],
) -> tuple[Candidates, tuple[int, ...]]:
    """Cameras alone, then all together; with the numbers of the pictures of which two poses tie."""
    target = problem.target
    shared = options.shared and problem.generator.latent_dim > 0
    if shared:
        found = share_scene(problem, found, coarse)
    found = descend(problem, found, coarse, Descent(CAMERA_STEPS, codes=False), advance)
    if shared:
        return descend(problem, found, target, Descent(options.steps, decay=True), advance), ()
    found, _ = _near_best(problem, found, coarse, HOPELESS, DISTINCT)
    found = descend(problem, found, target, Descent(options.steps, decay=True), advance)
    return _near_best(problem, found, target, TIE, OTHER_POSE)


def _near_best(
    problem: Problem, found: Candidates, target: Target, factor: float, apart: float
) -> tuple[Candidates, tuple[int, ...]]:
    """The best of each picture, and the second where its loss is at most so many times that of the best.

    apart: degrees between their cameras, at least. With the numbers of the pictures that have two.
    """
    found, losses = keep_best(problem, found, target, 2, apart)
    numbers, rows = found.picture.tolist(), []
    for row, picture in enumerate(numbers):
        if row == 0 or numbers[row - 1] != picture or float(losses[row]) <= factor * float(losses[row - 1]):
            rows.append(row)
    kept = [numbers[row] for row in rows]
    return found.take(torch.tensor(rows, device=losses.device)), tuple(
        n for n in set(kept) if kept.count(n) > 1
    )


def _result(problem: Problem, found: Candidates, ties: tuple[int, ...], seconds: float) -> Inverted:
    """What was found, rendered and measured."""
    target, view = problem.target, found.view(problem.target.size)
    images, wanted = problem.images(found, target.size), target.of(found.picture)
    decibels = psnr(weighted_mean((images - wanted.images).square(), wanted.weights)).tolist()
    distances = distance(images, wanted.images).tolist()
    w, scenes = problem.space.styles(found.codes, found.like), found.scene.tolist()
    if not problem.generator.latent_dim:
        w, scenes = take_styles(w, slice(0, 1)), [0] * len(found)
    pictures = tuple(
        {"scene": scene, "picture": picture, "psnr": round(decibel, 3), "distance": round(far, 5)}
        for scene, picture, decibel, far in zip(
            scenes, found.picture.tolist(), decibels, distances, strict=True
        )
    )
    latents = Latents(w, view if isinstance(view, Camera) else None, pictures)
    return Inverted(latents, images, target, problem.generator, ties, seconds)
