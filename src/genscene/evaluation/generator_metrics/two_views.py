"""Metrics of two views of one scene: view consistency by reprojection, and preservation of identity."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import normalize

from genscene.contract import Generator
from genscene.errors import BadInput
from genscene.evaluation.image_sources import fingerprint, require_finite
from genscene.evaluation.report import Score
from genscene.evaluation.session import EvaluatedModel, EvaluationSession, camera_prior
from genscene.geometry.camera_files import read_cameras
from genscene.geometry.cameras import Camera, Size
from genscene.geometry.priors import CameraPrior
from genscene.layers.mapping import map_tensors
from genscene.metrics.views import RenderedView, reproject
from genscene.randomness import RandomStreams, derive_seed
from genscene.scenes import Scene

BATCH, VIEW_SEED = 8, 31  # scenes rendered at once; use of the seed
PAIRS, ANGLE, TOLERANCE = 64, 15.0, 0.05  # scenes; degrees between two views; relative difference of depths
LATENTS = 256  # latent codes of identity


@torch.no_grad()
def view_consistency(
    session: EvaluationSession, model: EvaluatedModel, pairs: int = PAIRS, angle: float = ANGLE
) -> list[Score]:
    """Render scenes from two cameras about `angle` degrees apart, and reproject one image into the other."""
    found, turns, generator = [], [], session.generator(model)
    for scene, streams in sample_scenes(session, generator, pairs):
        first, second = camera_pair(camera_prior(generator), streams, session.size, angle)
        one, other = (_render(generator, scene, camera.to(session.device)) for camera in (first, second))
        found.append(reproject(one, other, TOLERANCE))
        turns.append(degrees_between(first.pose[:, :3, 2], second.pose[:, :3, 2]))
    every = map_tensors(lambda *parts: torch.cat(parts), *found)
    compared, degrees = int(every.squared.isfinite().sum()), float(torch.cat(turns).mean())
    if not compared:
        raise BadInput(f"no opaque pixel of the first view is visible in the second in any of {pairs} pairs")
    psnr, absolute, depth = (float(x.nanmean()) for x in (every.psnr, every.absolute, every.depth))
    visible, title = float(every.visible.nan_to_num().mean()), f"view consistency ({degrees:.0f} degrees)"
    counts = {"pairs": pairs, "pairs_compared": compared, "angle": angle, "degrees": degrees}
    how = settings(session, generator, tolerance=TOLERANCE, **counts)
    return [
        Score("view_consistency_psnr", title, psnr, "high", unit="dB", settings=how),
        Score("view_consistency_absolute", f"{title}, mean error of colors", absolute, "low", detail=True),
        Score("view_consistency_depth", f"{title}, median error of depths", depth, "low", detail=True),
        Score("view_consistency_visible", f"{title}, pixels compared", visible, "high", detail=True),
    ]


@torch.no_grad()
def identity(session: EvaluationSession, model: EvaluatedModel, latents: int = LATENTS) -> list[Score]:
    """Mean cosine similarity of face embeddings of two views of one latent code, and of different ones."""
    generator, extractor = session.generator(model), session.face_embedding
    if extractor is None:
        raise BadInput("identity needs a face embedding: --mobilefacenet FILE")
    prior, features = camera_prior(generator), (list[Tensor](), list[Tensor]())
    for scene, streams in sample_scenes(session, generator, latents):
        for side in features:
            camera = prior.sample(streams, session.size).to(session.device)
            image = require_finite(generator.render(scene, camera).image).clamp(0, 1)
            side.append(extractor((255 * image).round().byte()))
    first, second = (normalize(torch.cat(side).double(), dim=-1) for side in features)
    similarity, pairs = first @ second.mT, latents * (latents - 1)
    same, different = similarity.diagonal().mean(), (similarity.sum() - similarity.trace()) / pairs
    how, title = (
        settings(session, generator, latents=latents, **extractor.protocol()),
        "identity across views",
    )
    return [
        Score("identity", title, float(same), "high", extractor=extractor.name, settings=how),
        Score("identity_different", f"{title}, different latent codes", float(different), "low", detail=True),
    ]


def sample_scenes(
    session: EvaluationSession, generator: Generator, count: int
) -> Iterator[tuple[Scene, RandomStreams]]:
    """`count` scenes in batches with their random streams; each depends on its index and the seed alone."""
    for start in range(0, count, BATCH):
        indices = range(start, min(start + BATCH, count))
        streams = RandomStreams([derive_seed(VIEW_SEED, session.seed, i) for i in indices])
        # the random numbers are those of the CPU, wherever the generator is
        yield generator.scene(generator.latents(streams).to(session.device), session.protocol.psi), streams


def settings(session: EvaluationSession, generator: Generator, **more: object) -> dict[str, object]:
    """What identifies a generator and its images, and what more a score depends on."""
    found = {"generator": fingerprint(generator), "psi": session.protocol.psi, "seed": session.seed}
    return {**found, "size": session.size, **more}


def _render(generator: Generator, scene: Scene, camera: Camera) -> RenderedView:
    """B scenes from B cameras, with depth; BadInput where the renderer has none."""
    rendering = generator.render(scene, camera)
    if rendering.depth is None or rendering.alpha is None or rendering.rays is None:
        raise BadInput("this generator renders no depth, by which views could be reprojected")
    image = require_finite(rendering.image).clamp(0, 1)
    return RenderedView(image, rendering.depth, rendering.alpha, rendering.rays, camera.pose)


def camera_pair(
    prior: CameraPrior, streams: RandomStreams, size: Size, angle: float
) -> tuple[Camera, Camera]:
    """Two cameras of the prior for each stream, about `angle` degrees apart.

    The second is turned in yaw towards the mean by two to four thirds of the angle, or by the prior's spread
    where that is less, so that it is likely under the prior, too.
    """
    if prior.distribution == "file":
        return neighboring_cameras(read_cameras(prior.file, size), streams, angle)
    if prior.distribution == "fixed" or prior.yaw[1] <= 0:
        raise BadInput(f"the camera prior ({prior.distribution}) has no spread in yaw: no second view")
    yaw, pitch = prior.sample_angles(streams)
    step = (math.radians(angle) * (2 + 2 * streams.uniform()) / 3).clamp_max(prior.yaw[1])
    other = torch.where(yaw > prior.yaw[0], yaw - step, yaw + step)
    return prior.camera_at(yaw, pitch, size), prior.camera_at(other, pitch, size)


def neighboring_cameras(cameras: Camera, streams: RandomStreams, angle: float) -> tuple[Camera, Camera]:
    """For each stream one of the cameras, and the one whose axis differs by about `angle` degrees."""
    if len(cameras) < 2:
        raise BadInput("there is only one camera, wanted another view to compare with")
    chosen = (streams.uniform() * len(cameras)).long()
    degrees = degrees_between(cameras.pose[chosen, None, :3, 2], cameras.pose[None, :, :3, 2])
    difference = (degrees - angle).abs().scatter(1, chosen[:, None], torch.inf)
    return cameras[chosen], cameras[difference.argmin(dim=1)]


def degrees_between(a: Tensor, b: Tensor) -> Tensor:
    """Angles between unit vectors [..., 3] -> [...] in degrees, exact where they are small (Kahan)."""
    return torch.rad2deg(2 * torch.atan2((a - b).norm(dim=-1), (a + b).norm(dim=-1)))
