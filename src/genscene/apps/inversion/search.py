"""Starts of inversion: the encoder's guess and renderings like the picture, and which of them are kept."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from genscene.apps.inversion.candidates import Candidates, Descent, Problem, descend, keep_best
from genscene.apps.inversion.encoder import Guess, Trained
from genscene.apps.inversion.poses import FreePoses, OrbitPoses, Poses
from genscene.apps.inversion.similarity import FilterResponses, Target
from genscene.apps.inversion.styles import heading, own_styles, select_styles
from genscene.contract import Generator
from genscene.geometry.cameras import Camera
from genscene.geometry.priors import wrap_angles
from genscene.layers.mapping import join_styles

YAWS = 12  # starts of each picture beside the encoder's guess: one for each twelfth of the yaws
NEIGHBORS = 2000  # renderings that the nearest are taken from
COMPARED = 16  # pixels of the shorter side of what is compared with these
ROUNDS = ((10, 5, 0.0), (20, 3, 0.0), (10, 2, 20.0))  # steps, candidates kept, degrees between them
CAMERAS = 24  # starts from the cameras of photographs
Watch = Callable[[int, Candidates], None]  # steps so far, the best candidate of each picture


def find(
    problem: Problem, starts: Candidates, target: Target, advance: Callable[[int], None], watch: Watch
) -> Candidates:
    """The best two candidates of each picture after 40 steps from all starts, of which most end earlier."""
    found, done = starts, 0
    for steps, count, apart in ROUNDS:
        found = descend(problem, found, target, Descent(steps), advance)
        done += steps
        found, _ = keep_best(problem, found, target, count, apart)
        watch(done, best_of(found))
    return found


def best_of(candidates: Candidates) -> Candidates:
    """The first candidate of each picture."""
    seen: dict[int, int] = {}
    for row, picture in enumerate(candidates.picture.tolist()):
        seen.setdefault(picture, row)
    return candidates.take(torch.tensor(list(seen.values()), device=candidates.picture.device))


def codes_starts(
    generator: Generator, trained: Trained, first: Guess, poses: Poses, target: Target
) -> Candidates:
    """Of each picture the encoder's guess, then the nearest renderings, one for each twelfth of the yaws."""
    numbers, atlas = nearest(trained, target), trained.atlas  # [P, YAWS]
    codes = torch.cat([first.codes[:, None], atlas.codes[numbers]], dim=1).flatten(0, 1)
    # what is discrete in the encoder's guess is that of the nearest rendering
    alike = torch.cat([numbers[:, :1], numbers], dim=1).flatten().tolist()
    like = join_styles([own_styles(generator, range(n, n + 1)) for n in alike])
    pose = codes.new_zeros(len(codes), 0)
    if isinstance(poses, OrbitPoses):
        turned = heading(trained.space.styles(codes, like)).view(-1, 1 + YAWS)[:, :1]
        yaw = torch.cat([first.yaw[:, None] + turned, atlas.yaw[numbers]], dim=1).flatten()
        pitch = torch.cat([first.pitch[:, None], atlas.pitch[numbers]], dim=1).flatten()
        mean = poses.prior.mean_angles()
        pose = poses.at(
            yaw if "yaw" in poses.free else torch.full_like(yaw, mean[0]),
            pitch if "pitch" in poses.free else torch.full_like(pitch, mean[1]),
        )
    rows = torch.arange(len(codes), device=codes.device)
    return Candidates(codes, like, rows, pose, poses, rows // (YAWS + 1))


def nearest(trained: Trained, target: Target) -> Tensor:
    """Numbers of the renderings nearest to each picture [P, YAWS], those of all yaws sorted by distance."""
    atlas, responses = trained.atlas, FilterResponses().to(target.images.device)
    count = min(NEIGHBORS, len(atlas.images))

    def features(images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        scale = COMPARED / min(height, width)
        small = interpolate(images, (round(height * scale), round(width * scale)), mode="area")
        return torch.cat([10 * small.flatten(1), *(x.flatten(1) for x in responses(small))], dim=1)

    with torch.no_grad():
        theirs = torch.cat([features(atlas.pictures(rows)) for rows in torch.arange(count).split(250)])
        distances = torch.cdist(features(target.images), theirs)
    yaw = wrap_angles(atlas.yaw - atlas.heading)[:count]
    order = yaw.argsort() if float(yaw.std()) > 0.01 else None
    if order is None:  # of one direction: the nearest
        return distances.argsort(dim=1)[:, :YAWS].repeat(1, YAWS)[:, :YAWS]
    bins = [part if len(part) else order for part in order.tensor_split(YAWS)]
    chosen = torch.stack([part[distances[:, part].argmin(dim=1)] for part in bins], dim=1)
    best = distances.gather(1, chosen).argsort(dim=1)
    return chosen.gather(1, best)


def camera_starts(generator: Generator, poses: Poses, cameras: Camera | None, target: Target) -> Candidates:
    """Of one scene: cameras of its photographs, else all round at two heights."""
    pictures, weights = len(target.images), next(generator.parameters())
    if cameras is not None and isinstance(poses, FreePoses):
        chosen = torch.linspace(0, len(cameras) - 1, min(CAMERAS, len(cameras))).round().long()
        each = chosen.repeat(pictures)
        poses = replace(poses, start=cameras.to("cpu")[each].to(weights.device))
        pose = weights.new_zeros(len(each), 6)
    else:
        assert isinstance(poses, OrbitPoses)
        mean, half = poses.prior.mean_angles(), (poses.prior.yaw[1], poses.prior.pitch[1] / 2)
        yaw = mean[0] + half[0] * torch.linspace(-1, 1, YAWS + 1)[:-1]
        pitch = mean[1] + half[1] * torch.tensor([-1.0, 1.0])
        grid = torch.cartesian_prod(yaw, pitch).repeat(pictures, 1).to(weights.device)
        pose = poses.at(grid[:, 0], grid[:, 1])
    count = len(pose) // pictures
    rows = torch.arange(len(pose), device=weights.device)
    like = generator.style(weights.new_zeros(len(pose), 0))
    return Candidates(weights.new_zeros(len(pose), 0), like, rows, pose, poses, rows // count)


def share_scene(problem: Problem, found: Candidates, target: Target) -> Candidates:
    """One scene for all pictures: of the candidates' that which shows all best, each from its best camera.

    Tried are the cameras that each picture was found with, and those all round.
    """
    pictures = int(found.picture.max()) + 1
    best: tuple[float, Candidates] | None = None
    for row in range(len(found)):
        parts = [_cameras_for(found, row, picture) for picture in range(pictures)]
        scene, pose, numbers = (
            torch.cat([getattr(part, name) for part in parts]) for name in ("scene", "pose", "picture")
        )
        tried = replace(parts[0], scene=scene, pose=pose, picture=numbers)
        losses = problem.evaluate(tried, target)
        rows = torch.stack(
            [torch.where(tried.picture == p, losses, torch.inf).argmin() for p in range(pictures)]
        )
        total = float(losses[rows].sum())
        if best is None or total < best[0]:
            best = total, tried.part(rows)
    assert best is not None
    return best[1]


def _cameras_for(found: Candidates, row: int, picture: int) -> Candidates:
    """The scene of one candidate for a picture, from its own cameras and from all round."""
    pose = found.pose[found.picture == picture]
    if isinstance(found.poses, OrbitPoses) and "yaw" in found.poses.free:
        mean, half = found.poses.prior.yaw
        yaw = mean + half * torch.linspace(-1, 1, YAWS + 1)[:-1].to(pose)
        around = pose[:1].repeat(YAWS, 1)
        around[:, 0] = yaw
        pose = torch.cat([pose, around])
    zero = torch.zeros(len(pose), dtype=torch.long, device=pose.device)
    scene = found.scene[row : row + 1]
    like = select_styles(found.like, scene)
    return Candidates(found.codes[scene], like, zero, pose, found.poses, zero + picture)
