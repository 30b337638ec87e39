"""Candidates for what pictures show: codes and cameras, their renderings, their losses, their descent."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from genscene.apps.inversion.encoder import Guess
from genscene.apps.inversion.poses import FreePoses, NoPoses, OrbitPoses, Poses, rotation_error
from genscene.apps.inversion.similarity import Similarity, Target
from genscene.apps.inversion.styles import StyleSpace, heading, select_styles
from genscene.contract import Generator, RenderOptions
from genscene.geometry.cameras import Camera, Grid, Size
from genscene.geometry.priors import wrap_angles
from genscene.render.volume import VolumeGenerator
from genscene.scenes import Rendering

CODE_RATE = 0.05  # learning rate of codes
CODE_WEIGHT, POSE_WEIGHT = 2e-5, 2e-4  # of minus the logarithms of the priors' densities, beside the loss
PIXELS, GRAPH_BYTES = 4096, 1 << 30  # that are rendered at once, and that the graph of these takes, at most


@dataclass(frozen=True)
class Candidates:
    """B candidates, each for one picture; several may be of one scene."""

    codes: Tensor  # [S, K], of scenes
    like: Any  # S styles: what is discrete in them
    scene: Tensor  # [B], number of each one's scene
    pose: Tensor  # [B, M]
    poses: Poses  # what the numbers of a pose mean
    picture: Tensor  # [B], number of the picture that each is for

    def __len__(self) -> int:
        return len(self.scene)

    def take(self, rows: Tensor) -> "Candidates":
        """Some of the candidates [N], each with a scene of its own."""
        scene, poses = self.scene[rows], self.poses
        if isinstance(poses, FreePoses):
            poses = replace(poses, start=poses.start[rows])
        own = torch.arange(len(rows), device=scene.device)
        codes, like = self.codes[scene], select_styles(self.like, scene)
        return Candidates(codes, like, own, self.pose[rows], poses, self.picture[rows])

    def part(self, rows: Tensor) -> "Candidates":
        """Some of the candidates [N], of the same scenes."""
        poses = self.poses
        if isinstance(poses, FreePoses):
            poses = replace(poses, start=poses.start[rows])
        return replace(
            self, scene=self.scene[rows], pose=self.pose[rows], poses=poses, picture=self.picture[rows]
        )

    def view(self, size: Size) -> Camera | Grid:
        """The views of the candidates."""
        if isinstance(self.poses, NoPoses):
            whole = Grid.whole(len(self), size)
            return whole.to(self.pose.device)
        return self.poses.camera(self.pose, size)


@dataclass(frozen=True)
class Problem:
    """A generator, and pictures of what its scenes may be."""

    generator: Generator
    space: StyleSpace
    similarity: Similarity
    target: Target
    read: Guess | None = None  # from the pictures, by the encoder

    def styles(self, candidates: Candidates) -> Any:
        """The styles of the candidates' scenes: B styles."""
        like = select_styles(candidates.like, candidates.scene)
        return self.space.styles(candidates.codes[candidates.scene], like)

    def render(self, candidates: Candidates, size: Size) -> Rendering:
        """The candidates from their cameras."""
        return self.render_styles(self.styles(candidates), candidates, size)

    def render_styles(self, w: Any, candidates: Candidates, size: Size) -> Rendering:
        """Styles w of the candidates from their cameras; computed twice where the graph takes too much."""
        large = math.prod(size) * self.pixel_bytes > GRAPH_BYTES
        options = RenderOptions(recompute=torch.is_grad_enabled() and large)
        return self.generator.render(self.generator.bind(w), candidates.view(size), options)

    @property
    def pixel_bytes(self) -> int:
        """Bytes of the graph of a pixel, where the generator gives them."""
        return self.generator.ray_bytes() if isinstance(self.generator, VolumeGenerator) else 0

    def losses(self, candidates: Candidates, target: Target) -> Tensor:
        """How much each differs from its picture, and how unlikely it is [B]."""
        w = self.styles(candidates)
        rendering = self.render_styles(w, candidates, target.size)
        found = self.similarity(rendering, target.of(candidates.picture))
        if candidates.codes.shape[1]:
            found = found + CODE_WEIGHT / 2 * candidates.codes.square().sum(dim=1)[candidates.scene]
        if isinstance(candidates.poses, NoPoses):
            return found
        unlikely = candidates.poses.penalty(candidates.pose)
        if self.read is not None and isinstance(candidates.poses, OrbitPoses):
            yaw, kappa = self.read.yaw[candidates.picture], self.read.kappa[candidates.picture]
            unlikely = unlikely + kappa * (1 - (candidates.pose[:, 0] - heading(w) - yaw).cos())
        return found + POSE_WEIGHT * unlikely

    @torch.no_grad()
    def evaluate(self, candidates: Candidates, target: Target) -> Tensor:
        """The losses of all candidates, part by part [B]."""
        parts = self.chunks(candidates, target.size)
        return torch.cat([self.losses(candidates.part(rows), target) for rows in parts])

    @torch.no_grad()
    def images(self, candidates: Candidates, size: Size) -> Tensor:
        """The renderings of all candidates [B, 3, H, W], 0 to 1."""
        parts = self.chunks(candidates, size)
        return torch.cat([self.render(candidates.part(rows), size).image.clamp(0, 1) for rows in parts])

    def chunks(self, candidates: Candidates, size: Size) -> Iterator[Tensor]:
        """Rows of candidates that are rendered at once."""
        most = min(PIXELS, GRAPH_BYTES // max(1, self.pixel_bytes))
        rows = torch.arange(len(candidates), device=candidates.pose.device)
        return iter(rows.split(max(1, most // math.prod(size))))


@dataclass(frozen=True)
class Descent:
    """How candidates are optimised."""

    steps: int
    rate: float = 1.0  # factor of all learning rates
    codes: bool = True  # off: cameras alone
    decay: bool = False  # to a tenth of the rates, evenly in the logarithm


def descend(
    problem: Problem, candidates: Candidates, target: Target, how: Descent, advance: Callable[[int], None]
) -> Candidates:
    """Adam on the codes and poses of all candidates, each of which has its own loss."""
    codes, pose = candidates.codes.detach().clone(), candidates.pose.detach().clone()
    rates = candidates.poses.rates.to(pose)
    start, learned = pose.clone(), []  # tensors, and their learning rates
    if how.codes and codes.shape[1]:
        learned.append((codes.requires_grad_(), CODE_RATE * how.rate))
    if bool((rates > 0).any()):  # those of a pose differ: it is optimised in units of these
        learned.append((pose.requires_grad_(), how.rate))
    if not learned or not how.steps:
        return candidates
    inputs = [tensor for tensor, _ in learned]
    groups = [{"params": [tensor], "lr": rate} for tensor, rate in learned]
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.1 ** (how.decay / how.steps))
    now = replace(candidates, codes=codes, pose=pose)
    with torch.enable_grad():
        for _ in range(how.steps):
            optimizer.zero_grad()
            for rows in problem.chunks(candidates, target.size):
                here = replace(now, pose=start + (pose - start) * rates)
                problem.losses(here.part(rows), target).sum().backward(inputs=inputs)
            optimizer.step()
            schedule.step()
            advance(len(candidates) * target.size[0] * target.size[1])
    return replace(now, codes=codes.detach(), pose=(start + (pose - start) * rates).detach())


def keep_best(
    problem: Problem, candidates: Candidates, target: Target, count: int, apart: float = 0.0
) -> tuple[Candidates, Tensor]:
    """The best of each picture, in order, and their losses; apart: degrees between their cameras, at least.

    Where cameras do not differ by so much, there are fewer.
    """
    losses = problem.evaluate(candidates, target)
    differences = angles_between(problem, candidates, candidates.view(target.size))
    kept: list[int] = []
    for picture in candidates.picture.unique().tolist():
        mine: list[int] = []
        for row in losses.argsort().tolist():
            if int(candidates.picture[row]) != picture or len(mine) == count:
                continue
            if all(float(differences[row, other]) >= apart for other in mine):
                mine.append(row)
        kept += mine
    rows = torch.tensor(kept, device=losses.device)
    return candidates.take(rows), losses[rows]


@torch.no_grad()
def angles_between(problem: Problem, candidates: Candidates, views: Camera | Grid) -> Tensor:
    """Degrees between what every two candidates show [B, B]: of their cameras, or of their first objects."""
    count = len(candidates)
    turned = heading(problem.styles(candidates))
    if isinstance(views, Grid):
        return 360.0 - 360.0 * torch.eye(count)
    rows = torch.arange(count).repeat_interleave(count), torch.arange(count).repeat(count)
    found = rotation_error(*(views[each.to(views.pose.device)] for each in rows))
    between = wrap_angles(turned[:, None] - turned).abs()
    return torch.maximum(found.view(count, count), torch.rad2deg(between).to(found))
