"""A small network that reads the pose off a picture, taught on an embedded set whose poses are known.

With it a generator is measured by ground truth: does the yaw it was asked for stand in its pictures, and do its
pictures look to this network as the set's own do?
"""

import hashlib
import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, leaky_relu, mse_loss

from genscene.contract import Generator
from genscene.data.images import load_images
from genscene.errors import BadInput
from genscene.experiment.schema import ImageConfig
from genscene.geometry.priors import CameraPrior, camera_angles
from genscene.io.atomic import atomic, cache_folder
from genscene.metrics.frechet import Moments, frechet_distance
from genscene.metrics.views import mean_resultant_length, wrap_angles
from genscene.randomness import RandomStreams

VERSION, SIZE, PHOTOS, STEPS = 4, 32, 5000, 1500
BATCH, RATE, HELD_OUT = 64, 2e-3, 0.1  # the last: share of the photographs that is not taught on


class PoseReader(nn.Module):
    """Pictures [B, 3, 32, 32] in [0, 1] -> (sin yaw, cos yaw, pitch) [B, 3]."""

    def __init__(self) -> None:
        super().__init__()
        sides = (3, 32, 64, 128)
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(sides))
        self.inner, self.last = nn.Linear(128 * 4 * 4, 64), nn.Linear(64, 3)

    def features(self, images: Tensor) -> Tensor:
        """What it sees in pictures of any size -> [B, 64]."""
        x = 2 * adaptive_avg_pool2d(images.clamp(0, 1), SIZE) - 1
        for convolution in self.convolutions:
            x = leaky_relu(convolution(x), 0.1)
        return leaky_relu(self.inner(x.flatten(1)), 0.1)

    def forward(self, images: Tensor) -> Tensor:
        """Pictures -> (sin yaw, cos yaw, pitch from the pole) [B, 3]."""
        return self.last(self.features(images))

    @torch.no_grad()
    def yaw(self, images: Tensor) -> Tensor:
        """Pictures -> yaw [B] in radians."""
        sine, cosine, _ = self(images).unbind(-1)
        return torch.atan2(sine, cosine)


@dataclass(frozen=True)
class Yardstick:
    """A taught reader and what it makes of photographs."""

    reader: PoseReader
    moments: Moments  # of the features of the photographs
    error: float  # median error of the yaw on photographs it was not taught on, radians
    floor: float  # Frechet distance of those to the rest


def yardstick(name: str, photos: int = PHOTOS, steps: int = STEPS) -> Yardstick:
    """The reader of an embedded set: taught when first asked for, then kept in the cache."""
    pictures = load_images(f"synthetic:{name}", ImageConfig(limit=photos), (SIZE, SIZE))
    if pictures.cameras is None:
        raise BadInput(f"the set {name} has no cameras to teach a pose reader with")
    images = pictures.take(slice(None))
    yaw, pitch = camera_angles(pictures.cameras, math.pi / 2)
    held_out = int(HELD_OUT * photos)
    key = hashlib.blake2b(f"{VERSION} {name} {SIZE} {photos} {steps}".encode(), digest_size=8).hexdigest()
    path = cache_folder() / "readers" / f"{key}.safetensors"
    reader = PoseReader()
    if path.exists():
        reader.load_state_dict(load_file(path))
    else:
        reader = taught(images[held_out:], yaw[held_out:], pitch[held_out:], steps)
        with atomic(path) as partial:
            save_file(reader.state_dict(), partial)
    with torch.no_grad():
        features = torch.cat([reader.features(part) for part in images.split(500)])
        error = wrap_angles(reader.yaw(images[:held_out]) - yaw[:held_out]).abs().median()
    held, rest = Moments.of(features[:held_out]), Moments.of(features[held_out:])
    return Yardstick(reader.eval(), rest, float(error), frechet_distance(held, rest))


def taught(images: Tensor, yaw: Tensor, pitch: Tensor, steps: int) -> PoseReader:
    """Teach a reader on pictures [N, 3, H, W] with yaw and pitch [N]; always the same for the same pictures."""
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        reader = PoseReader()
        wanted = torch.stack([yaw.sin(), yaw.cos(), pitch], dim=-1)
        optimizer = torch.optim.Adam(reader.parameters(), RATE)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps)
        for _ in range(steps):
            chosen = torch.randint(len(images), (BATCH,))
            loss = mse_loss(reader(images[chosen]), wanted[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return reader.requires_grad_(False)


@torch.no_grad()
def distance(generator: Generator, stick: Yardstick, count: int = 2048, size: int = SIZE) -> float:
    """Frechet distance of generated pictures, from the generator's own prior, to the photographs."""
    assert isinstance(generator.prior, CameraPrior)
    features, device = [], next(generator.parameters()).device
    for start in range(0, count, 32):
        draws = RandomStreams(range(1_000_000 + start, 1_000_000 + min(start + 32, count)), device)
        scene = generator.scene(generator.latents(draws))
        rendering = generator.render(scene, generator.prior.sample(draws, (size, size)))
        features.append(stick.reader.features(rendering.image.cpu()))
    return frechet_distance(Moments.of(torch.cat(features)), stick.moments)


@torch.no_grad()
def steadiness(
    generator: Generator, stick: Yardstick, latents: int = 32, yaws: int = 12, size: int = SIZE
) -> float:
    """How well the yaw that was asked for stands in the pictures, 0 to 1: mean resultant length, averaged over latents.

    1: each latent is one thing that turns exactly as the camera does. Which way it faces may differ between latents.
    """
    assert isinstance(generator.prior, CameraPrior)
    _, pitch = generator.prior.mean_angles()
    asked = 2 * math.pi * torch.arange(yaws) / yaws
    device = next(generator.parameters()).device
    cameras = generator.prior.camera_at(asked, torch.full((yaws,), pitch), (size, size)).to(device)
    lengths = []
    for seed in range(latents):
        w = generator.style(generator.latents(RandomStreams([seed], device)))
        rendering = generator.render(generator.bind(w.expand(yaws, *w.shape[1:])), cameras)
        lengths.append(mean_resultant_length(stick.reader.yaw(rendering.image.cpu()) - asked))
    return float(torch.stack(lengths).mean())
