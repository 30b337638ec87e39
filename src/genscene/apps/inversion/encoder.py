"""Renderings of a generator's own scenes, and a network trained on them: picture -> codes, yaw, pitch."""

import hashlib
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, leaky_relu

from genscene.apps.inversion.poses import OrbitPoses, Poses
from genscene.apps.inversion.styles import StyleSpace, heading, own_styles
from genscene.contract import Generator
from genscene.errors import BadInput
from genscene.geometry.cameras import Grid, Size
from genscene.io.atomic import atomic, cache_folder
from genscene.io.generator_file import weights_sha256
from genscene.io.tensors import read_tensors
from genscene.randomness import RandomStreams, derive_seed

VERSION, SIDE = 2, 32  # of what is cached; pixels of the shorter side of renderings
CAMERAS = 32  # a use of the seed
RENDERED, BATCH, RATE = 16, 64, 2e-3  # renderings at once; of the training
USUAL = 2.5  # standard deviations that codes are clamped to
LONGEST = 0.9  # mean resultant of yaws that are read, at most
NOISE = 0.02  # standard deviation of the noise on pictures in training
Progress = Callable[..., AbstractContextManager[Callable[..., None]]]  # label, total -> advance


@dataclass(frozen=True)
class EncoderOptions:
    """How the network is trained, once for each generator."""

    # renderings of the generator's own scenes, on which the encoder of first guesses is trained; the nearest
    # of the first 2,000 are starts, too
    renderings: int = 4096
    encoder_steps: int = 1500  # of the optimiser of this encoder, once for each generator


class Encoder(nn.Module):
    """Pictures [B, 3, H, W] in [0, 1] -> codes [B, K], sine and cosine of yaw, pitch: [B, K + 3]."""

    def __init__(self, codes: int) -> None:
        super().__init__()
        widths = pairwise((3, 32, 64, 128, 128))
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in widths)
        self.inner, self.last = nn.Linear(128 * 2 * 2, 256), nn.Linear(256, codes + 3)

    def forward(self, images: Tensor) -> Tensor:
        """Pictures of any size -> numbers."""
        x = 2 * adaptive_avg_pool2d(images.clamp(0, 1), SIDE) - 1
        for convolution in self.convolutions:
            x = leaky_relu(convolution(x), 0.1)
        return self.last(leaky_relu(self.inner(x.flatten(1)), 0.1))


@dataclass(frozen=True)
class Atlas:
    """Renderings of a generator's own scenes from cameras of its prior."""

    images: Tensor  # [N, 3, h, w] uint8
    codes: Tensor  # [N, K]
    yaw: Tensor  # [N], 0 for scenes that are pictures
    pitch: Tensor  # [N]
    heading: Tensor  # [N], rotation of the first object; the yaw it is seen from is yaw - heading

    def pictures(self, rows: Tensor | slice) -> Tensor:
        """Some of the renderings, 0 to 1."""
        return self.images[rows].float() / 255


@dataclass(frozen=True)
class Trained:
    """What inversion needs of a generator, computed once."""

    space: StyleSpace
    atlas: Atlas
    encoder: Encoder


def small_size(generator: Generator, size: Size, side: int = SIDE) -> Size:
    """The shape of a size whose shorter side has about so many pixels, in the generator's multiples."""
    multiple, scale = generator.side_multiple, min(1.0, side / min(size))
    height, width = (max(1, round(length * scale / multiple)) * multiple for length in size)
    return height, width


def train(
    generator: Generator, size: Size, poses: Poses, options: EncoderOptions, progress: Progress
) -> Trained:
    """Read from the cache, by the checksum of the generator's weights, else computed and cached."""
    small = small_size(generator, size)
    device = next(generator.parameters()).device
    what = f"{VERSION} {weights_sha256(generator)} {generator.prior} {small} {options}"
    key = hashlib.blake2b(what.encode(), digest_size=12).hexdigest()
    path, space = cache_folder() / "inversion" / f"{key}.safetensors", StyleSpace.of(generator)
    encoder = Encoder(len(space.axes)).to(device)
    if path.exists():
        atlas = _read(path, encoder)
    else:
        atlas = render_atlas(generator, space, small, options.renderings, poses, progress)
        train_encoder(encoder, atlas, space, options.encoder_steps, progress)
        _write(path, atlas, encoder)
    moved = Atlas(**{name: x.to(device) for name, x in vars(atlas).items()})
    return Trained(space, moved, encoder.eval().requires_grad_(False))


@torch.no_grad()
def render_atlas(
    generator: Generator, space: StyleSpace, size: Size, count: int, poses: Poses, progress: Progress
) -> Atlas:
    """So many renderings of own styles, each from its own camera of the prior."""
    device, parts = next(generator.parameters()).device, []
    with progress("rendering the generator's own scenes", count) as advance:
        for start in range(0, count, RENDERED):
            numbers = range(start, min(start + RENDERED, count))
            w = own_styles(generator, numbers)
            streams = RandomStreams([derive_seed(CAMERAS, number) for number in numbers], device)
            view = generator.prior.sample(streams, size).to(device)
            found = generator.render(generator.bind(w), view)
            if not bool(found.image.isfinite().all()):
                raise BadInput("the generator rendered values that are not finite (nan or inf)")
            angles = (found.image.new_zeros(len(numbers)),) * 2
            if isinstance(poses, OrbitPoses) and not isinstance(view, Grid):
                angles = poses.angles(view)
            images = (255 * found.image.clamp(0, 1)).round().byte().cpu()
            parts.append((images, space.codes(w).cpu(), *(x.cpu() for x in (*angles, heading(w)))))
            advance(len(numbers))
    columns = [torch.cat(column) for column in zip(*parts, strict=True)]
    images, codes, yaw, pitch, turned = columns
    return Atlas(images, codes, yaw.float(), pitch.float(), turned.float())


def train_encoder(encoder: Encoder, atlas: Atlas, space: StyleSpace, steps: int, progress: Progress) -> None:
    """Least squares of codes, weighted by their shares of the variance, and of sine, cosine and pitch."""
    device = next(encoder.parameters()).device
    yaw = atlas.yaw - atlas.heading
    pose = torch.stack([yaw.sin(), yaw.cos(), atlas.pitch], dim=1)
    numbers = torch.cat([atlas.codes, pose], dim=1)
    weights = torch.cat([space.shares.cpu() + 0.1 / max(1, len(space.shares)), torch.ones(3)]).to(device)
    random = torch.Generator().manual_seed(derive_seed(CAMERAS, VERSION))
    with (
        torch.random.fork_rng(devices=[]),
        torch.enable_grad(),
        progress("training the encoder", steps) as advance,
    ):
        torch.manual_seed(0)
        for module in encoder.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.reset_parameters()
        optimizer = torch.optim.Adam(encoder.parameters(), RATE)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, max(2, steps))
        for _ in range(steps):
            rows = torch.randint(len(numbers), (BATCH,), generator=random)
            images = atlas.pictures(rows)
            images = (images + NOISE * torch.randn(images.shape, generator=random)).to(device)
            loss = ((encoder(images) - numbers[rows].to(device)).square() * weights).sum(dim=1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            advance()


@dataclass(frozen=True)
class Guess:
    """What the encoder reads from P pictures."""

    codes: Tensor  # [P, K], within the usual
    yaw: Tensor  # [P], in radians, from which the scene, or its first object, is seen
    pitch: Tensor  # [P], in radians from the pole
    kappa: Tensor  # [P], concentration of the yaw: its density is as exp(kappa cos(difference))


@torch.no_grad()
def guess(encoder: Encoder, images: Tensor) -> Guess:
    """Pictures -> what the encoder reads from them.

    The means of sine and cosine, which least squares learns, are as long as the mean resultant of the yaws
    that a picture allows; from that length follows the concentration (Banerjee et al. 2005, eq. 4.4).
    """
    found = encoder(images)
    sine, cosine, pitch = found[:, -3:].unbind(1)
    length = torch.hypot(sine, cosine).clamp(max=LONGEST)
    kappa = length * (2 - length.square()) / (1 - length.square())
    return Guess(
        found[:, :-3].clamp(-USUAL, USUAL),
        torch.atan2(sine, cosine),
        pitch.clamp(0.01, math.pi - 0.01),
        kappa,
    )


def _write(path: Path, atlas: Atlas, encoder: Encoder) -> None:
    tensors = {f"encoder.{name}": tensor.cpu() for name, tensor in encoder.state_dict().items()}
    tensors |= vars(atlas)
    with atomic(path) as partial:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial)


def _read(path: Path, encoder: Encoder) -> Atlas:
    found = read_tensors(path)
    weights = {name.removeprefix("encoder."): t for name, t in found.items() if name.startswith("encoder.")}
    encoder.load_state_dict(weights)
    return Atlas(**{each.name: found[each.name] for each in fields(Atlas)})
