"""Pose accuracy of generators of synthetic sets, by a network trained to regress the poses of the set."""

import hashlib
import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, leaky_relu, mse_loss

from genscene.contract import Generator
from genscene.data.images import SYNTHETIC, load_images
from genscene.data.synthetic import SETS
from genscene.errors import BadInput
from genscene.evaluation.image_sources import fingerprint, render_samples
from genscene.evaluation.report import Score
from genscene.evaluation.session import EvaluatedModel, EvaluationSession, camera_prior
from genscene.experiment.schema import ImageConfig
from genscene.experiment.serialise import build_seeded
from genscene.geometry.cameras import Size
from genscene.geometry.priors import CameraPrior, camera_angles, wrap_angles
from genscene.io.atomic import atomic, cache_folder
from genscene.io.tensors import read_tensors
from genscene.layers.mapping import map_tensors
from genscene.metrics.frechet import Moments, frechet_distance
from genscene.metrics.views import mean_resultant_length
from genscene.randomness import RandomStreams

VERSION, SIZE, IMAGES, STEPS = 4, 32, 5000, 1500  # of the regressor; side in pixels; of its training
BATCH, RATE, HELD_OUT = 64, 2e-3, 0.1  # of its training; the last: fraction of images that are held out
LATENTS, YAWS = 32, 12  # of pose accuracy: latent codes, views all round
FIRST_SEED, RENDERED = 1_000_000, 32  # of the Frechet distance: first latent code, images at once
LEAST, UNTRAINED = 128, 512  # fewest images of the Frechet distance; most of an untrained generator
POSED_SETS = [SYNTHETIC + name for name, each in SETS.items() if each.turns]  # whose poses are known


class PoseRegressor(nn.Module):
    """Images [B, 3, H, W] in [0, 1] -> (sin yaw, cos yaw, pitch from the pole) [B, 3]."""

    def __init__(self) -> None:
        super().__init__()
        widths = pairwise((3, 32, 64, 128))
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in widths)
        self.inner, self.last = nn.Linear(128 * 4 * 4, 64), nn.Linear(64, 3)

    def features(self, images: Tensor) -> Tensor:
        """Images of any size -> features [B, 64]."""
        x = 2 * adaptive_avg_pool2d(images.clamp(0, 1), SIZE) - 1
        for convolution in self.convolutions:
            x = leaky_relu(convolution(x), 0.1)
        return leaky_relu(self.inner(x.flatten(1)), 0.1)

    def forward(self, images: Tensor) -> Tensor:
        """Images -> (sin yaw, cos yaw, pitch) [B, 3]."""
        return self.last(self.features(images))

    @torch.no_grad()
    def yaw(self, images: Tensor) -> Tensor:
        """Images -> yaw [B] in radians."""
        sine, cosine, _ = self(images).unbind(-1)
        return torch.atan2(sine, cosine)


@dataclass(frozen=True)
class PoseReference:
    """A trained regressor, and its statistics on the set itself."""

    regressor: PoseRegressor
    moments: Moments  # of the features of the images it was trained on
    error: float  # median yaw error on held-out images, radians
    floor: float  # Frechet distance between held-out and other images


@torch.no_grad()
def pose_reference(name: str, images: int = IMAGES, steps: int = STEPS) -> PoseReference:
    """The regressor of a synthetic set: trained at the first call, then read from the cache."""
    found = load_images(SYNTHETIC + name, ImageConfig(limit=images), (SIZE, SIZE))
    if found.cameras is None:
        raise BadInput(f"the set {name} has no cameras to train a pose regressor with")
    pixels, split = found.take(slice(None)), int(HELD_OUT * images)
    yaw, pitch = camera_angles(found.cameras, math.pi / 2)
    key = hashlib.blake2b(f"{VERSION} {name} {SIZE} {images} {steps}".encode(), digest_size=8).hexdigest()
    path, regressor = cache_folder() / "pose_regressors" / f"{key}.safetensors", PoseRegressor()
    if path.exists():
        regressor.load_state_dict(read_tensors(path))
    else:
        regressor = train_regressor(pixels[split:], yaw[split:], pitch[split:], steps)
        with atomic(path) as partial:
            save_file(regressor.state_dict(), partial)
    features = torch.cat([regressor.features(part) for part in pixels.split(500)])
    error = float(wrap_angles(regressor.yaw(pixels[:split]) - yaw[:split]).abs().median())
    held_out, rest = Moments.of(features[:split]), Moments.of(features[split:])
    return PoseReference(regressor.eval(), rest, error, frechet_distance(held_out, rest))


def train_regressor(images: Tensor, yaw: Tensor, pitch: Tensor, steps: int) -> PoseRegressor:
    """Images [N, 3, H, W] with yaw and pitch [N] -> a regressor, the same at every call."""
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        regressor = PoseRegressor()
        target = torch.stack([yaw.sin(), yaw.cos(), pitch], dim=-1)
        optimizer = torch.optim.Adam(regressor.parameters(), RATE)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps)
        for _ in range(steps):
            chosen = torch.randint(len(images), (BATCH,))
            loss = mse_loss(regressor(images[chosen]), target[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return regressor.requires_grad_(False)


@torch.no_grad()
def yaw_resultant(
    generator: Generator,
    reference: PoseReference,
    latents: int = LATENTS,
    yaws: int = YAWS,
    size: Size = (SIZE, SIZE),
) -> float:
    """Mean resultant length, over views all round, of (regressed yaw - camera yaw), averaged over latents.

    1: each scene turns exactly as the camera does. Which way it faces may differ between latents. size: that
    images are rendered with, before they are averaged to the regressor's.
    """
    prior = camera_prior(generator)
    yaw, device = 2 * math.pi * torch.arange(yaws) / yaws, next(generator.parameters()).device
    cameras = prior.camera_at(yaw, torch.full((yaws,), prior.mean_angles()[1]), size).to(device)
    lengths = []
    for seed in range(latents):
        w = generator.style(generator.latents(RandomStreams([seed], device)))
        scene = generator.bind(map_tensors(lambda x: x.expand(yaws, *x.shape[1:]), w))
        images = generator.render(scene, cameras).image.cpu()
        lengths.append(mean_resultant_length(reference.regressor.yaw(images) - yaw))
    return float(torch.stack(lengths).mean())


@torch.no_grad()
def pose_frechet(
    generator: Generator, reference: PoseReference, count: int = 2048, size: Size = (SIZE, SIZE)
) -> float:
    """Frechet distance of generated images, from cameras of the prior, to the set, in regressor features.

    size: that images are rendered with. Less than the size of training is another picture, not a smaller one,
    where points are sampled in the middle of pixels, or where Gaussians are blurred by a part of a pixel.
    """
    seeds, features = range(FIRST_SEED, FIRST_SEED + count), []
    for start in range(0, count, RENDERED):
        images = render_samples(generator, seeds[start : start + RENDERED], size)
        features.append(reference.regressor.features(images.cpu()))
    return frechet_distance(Moments.of(torch.cat(features)), reference.moments)


def is_posed_set(generator: Generator, data: str) -> bool:
    """Whether the data is a synthetic set, whose poses are known, and the generator has cameras."""
    return data in POSED_SETS and isinstance(generator.prior, CameraPrior)


def pose_accuracy(session: EvaluationSession, model: EvaluatedModel) -> list[Score]:
    """Pose accuracy at psi 1, and the error of the regressor itself."""
    generator, reference, how = _reference(session, model, latents=LATENTS, yaws=YAWS)
    accuracy, error = (
        yaw_resultant(generator, reference, size=session.size),
        float(torch.tensor(reference.error).rad2deg()),
    )
    title = "pose regressor error on real images"
    return [
        Score("pose_accuracy", "pose accuracy (0 to 1)", accuracy, "high", settings=how),
        Score("pose_regressor_error", title, error, "low", unit="degrees", detail=True),
    ]


def frechet_pose(session: EvaluationSession, model: EvaluatedModel) -> list[Score]:
    """Frechet distance of pose features at psi 1, of the generator, untrained, and between real images."""
    count, title = session.protocol.generated.count, "Frechet distance of pose features"
    if count < LEAST:
        raise BadInput(f"--count {count}: frechet_pose needs at least {LEAST} images")
    generator, reference, how = _reference(session, model, images=count)
    assert model.experiment is not None
    untrained = build_seeded(model.experiment).generator.eval().to(session.device)
    before = pose_frechet(untrained, reference, min(count, UNTRAINED), session.size)
    after = pose_frechet(generator, reference, count, session.size)
    return [
        Score("frechet_pose", title, after, "low", extractor="pose regressor", settings=how),
        Score("frechet_pose_untrained", f"{title}, untrained", before, "low", detail=True),
        Score("frechet_pose_real", f"{title}, between real images", reference.floor, "low", detail=True),
    ]


def _reference(
    session: EvaluationSession, model: EvaluatedModel, **more: int
) -> tuple[Generator, PoseReference, dict[str, object]]:
    """The generator, the reference of the session's data, and the settings of the scores."""
    generator, data = session.generator(model), session.data
    camera_prior(generator)
    if not is_posed_set(generator, data):
        known = f"pose metrics need a set whose poses are known: {', '.join(POSED_SETS)}"
        raise BadInput(f"--data {data}: {known}")
    how = {"generator": fingerprint(generator), "data": data, "regressor": VERSION, "size": session.size}
    return generator, pose_reference(data.removeprefix(SYNTHETIC)), {**how, "psi": 1.0, **more}
