"""A network that finds objects in pictures of rooms: their places, silhouettes, colors and shapes.

It is taught on embedded rooms of 0 to 5 objects, where all of these are known, once for each camera.
"""

import hashlib
from dataclasses import dataclass, replace

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import (
    adaptive_avg_pool2d,
    avg_pool2d,
    binary_cross_entropy_with_logits,
    cross_entropy,
    interpolate,
    leaky_relu,
    max_pool2d,
    pixel_shuffle,
    pixel_unshuffle,
)

from genscene.data.synthetic import SETS, GroundTruth, room_objects, synthesize, synthetic_set
from genscene.data.synthetic.raytrace import trace
from genscene.data.synthetic.rooms import COLORS, SHAPES
from genscene.geometry.cameras import Camera
from genscene.io.atomic import atomic, cache_folder
from genscene.io.tensors import read_tensors
from genscene.randomness import RandomStreams, derive_seed

VERSION, SIDE, CELL = 2, 64, 2  # of the localiser; side of its pictures; pixels of a cell of its maps
IMAGES, STEPS, BATCH, RATE = 3000, 2400, 8, 4e-3  # of its training
HELD_OUT, HELD_OUT_SEED = 200, 1  # pictures that its errors are measured on, and their seed
CHANCES = (0.06, 0.1, 0.54, 0.1, 0.1, 0.1)  # of 0 to 5 objects in a picture of the training
SPREAD = 2.0  # standard deviation of the map of centers around each, in pixels
VISIBLE = 12.0  # pixels of an object that are seen at least, for its center to be taught
PEAK, MOST = 0.4, 8  # least value of a center; objects found in a picture at most
NEAR = 5.0  # pixels within which an object that is found belongs to a known place
COUNTS = (1, 2, CELL**2, len(COLORS), len(SHAPES))  # channels: center, offset, silhouette, color, shape


@dataclass(frozen=True)
class FoundObjects:
    """Up to K objects found in each of B pictures, the surest first."""

    found: Tensor  # [B, K], bool
    place: Tensor  # [B, K, 2], center (x, y), in pixels of pictures of 64x64
    color: Tensor  # [B, K], index in COLORS
    shape: Tensor  # [B, K], index in SHAPES
    silhouette: Tensor  # [B, 64, 64], bool: pixels of any object

    def nearest(self, places: Tensor) -> "FoundObjects":
        """For each of places [B, P, 2] the object nearest to it; found: within NEAR pixels of it."""
        apart = (self.place[:, None] - places[:, :, None]).norm(dim=-1)  # [B, P, K]
        apart = apart.masked_fill(~self.found[:, None], torch.inf)
        distance, index = apart.min(dim=-1)
        color, shape = (x.gather(1, index) for x in (self.color, self.shape))
        place = self.place.gather(1, index[..., None].expand(-1, -1, 2))
        return FoundObjects(distance < NEAR, place, color, shape, self.silhouette)


class Localiser(nn.Module):
    """Images [B, 3, H, W] in [0, 1] -> maps [B, 18, 32, 32] of centers, offsets, silhouettes and classes."""

    errors: Tensor  # [4] on held-out pictures: pixels, 1 - IoU, and wrong shares of colors and of shapes

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3 * CELL**2, 24, 3, padding=1)
        widths = ((24, 48, 2), (48, 48, 1), (48, 64, 2), (64, 64, 1))
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, stride, 1) for a, b, stride in widths)
        self.up = nn.ModuleList([nn.Conv2d(64 + 48, 32, 3, padding=1), nn.Conv2d(32 + 24, 32, 3, padding=1)])
        self.last = nn.Conv2d(32, sum(COUNTS), 1)
        self.register_buffer("errors", torch.zeros(4))

    def forward(self, images: Tensor) -> Tensor:
        """Images of any size, averaged or enlarged to 64x64 -> maps."""
        x = pixel_unshuffle(2 * shrink(images.clamp(0, 1)) - 1, CELL)
        fine = leaky_relu(self.first(x), 0.1)
        middle = leaky_relu(self.down[1](leaky_relu(self.down[0](fine), 0.1)), 0.1)
        x = leaky_relu(self.down[3](leaky_relu(self.down[2](middle), 0.1)), 0.1)
        for layer, skip in zip(self.up, (middle, fine), strict=True):
            x = leaky_relu(layer(torch.cat([interpolate(x, scale_factor=2), skip], dim=1)), 0.1)
        return self.last(x)

    @torch.no_grad()
    def find(self, images: Tensor) -> FoundObjects:
        """The objects in images: peaks of the map of centers, and the means of all other maps around them."""
        center, offset, silhouette, color, shape = self(images).split(COUNTS, dim=1)
        value = center.sigmoid()
        around = value.square()  # weights of the means over 3x3 cells
        total = 9 * avg_pool2d(around, 3, 1, 1)
        place = (grid_of_cells() + offset) * around
        means = [9 * avg_pool2d(x, 3, 1, 1) / total for x in (place, color * around, shape * around)]
        peak = torch.where((value == max_pool2d(value, 3, 1, 1)) & (value > PEAK), value, 0).flatten(1)
        best, index = peak.topk(MOST, dim=1)
        at, colors, shapes = (
            x.flatten(2).gather(2, index[:, None].expand(-1, x.shape[1], -1)).mT for x in means
        )
        mask = pixel_shuffle(silhouette, CELL)[:, 0] > 0
        return FoundObjects(best > 0, at, colors.argmax(dim=-1), shapes.argmax(dim=-1), mask)


def shrink(maps: Tensor) -> Tensor:
    """Images or maps [B, C, H, W], averaged or enlarged to 64x64."""
    return maps if maps.shape[-2:] == (SIDE, SIDE) else adaptive_avg_pool2d(maps, SIDE)


def grid_of_cells() -> Tensor:
    """Centers (x, y) of the cells of the maps in pixels -> [2, 32, 32]."""
    across = CELL * (torch.arange(SIDE // CELL) + 0.5)
    return torch.stack(torch.meshgrid(across, across, indexing="xy"))


def project(camera: Camera, points: Tensor) -> Tensor:
    """World points [B, P, 3] seen by B cameras -> their places (x, y) in a picture of 64x64 [B, P, 2]."""
    inside = (points - camera.pose[:, None, :3, 3]) @ camera.pose[:, :3, :3]
    across = inside @ camera.intrinsics.mT
    return SIDE * across[..., :2] / across[..., 2:]


@dataclass(frozen=True)
class Rooms:
    """B pictures of rooms of up to P objects, and what a localiser is taught of them."""

    images: Tensor  # [B, 3, 64, 64]
    masks: Tensor  # [B, 64, 64], share of each pixel that objects cover
    places: Tensor  # [B, P, 2], of the centers, in pixels
    seen: Tensor  # [B, P], bool: enough of the object is seen
    color: Tensor  # [B, P]
    shape: Tensor  # [B, P]

    @staticmethod
    def of(truth: GroundTruth) -> "Rooms":
        """What is known of pictures of an embedded set of rooms."""
        objects, masks = truth.objects, truth.traced.masks
        assert objects is not None
        assert masks is not None
        places = project(truth.cameras, objects.center)
        seen = objects.exists & (masks.sum(dim=(2, 3)) >= VISIBLE)
        return Rooms(truth.traced.color, masks.sum(dim=1), places, seen, objects.color, objects.shape)

    def __getitem__(self, part: Tensor | slice) -> "Rooms":
        """Some of the pictures."""
        return Rooms(*(x[part] for x in vars(self).values()))


@torch.no_grad()
def training_rooms(name: str, count: int) -> Rooms:
    """Pictures of 0 to 5 objects as in a set of rooms: the first few of those of its `rooms-2-5`."""
    name = "rooms-2-5" + name.removeprefix("rooms").removeprefix("-2-5")
    kind, objects = SETS[name], room_objects(name, range(count))
    streams = RandomStreams([derive_seed(HELD_OUT_SEED, i) for i in range(count)])
    number = torch.searchsorted(torch.tensor(CHANCES).cumsum(0)[:-1].contiguous(), streams.uniform())
    exists = objects.exists & (torch.arange(objects.exists.shape[1]) < number[:, None])
    objects = replace(objects, exists=exists)
    yaw, pitch = kind.prior.sample_angles(streams)
    cameras = kind.prior.camera_at(yaw, pitch, (SIDE, SIDE))
    traced = trace(objects.solids(), cameras, kind.supersampling, kind.ground)
    return Rooms.of(GroundTruth(traced, cameras, yaw, pitch, objects))


def localiser(name: str, images: int = IMAGES, steps: int = STEPS) -> Localiser:
    """The localiser of a set of rooms: taught at the first call, then read from the cache."""
    synthetic_set(name)
    key = hashlib.blake2b(f"{VERSION} {name} {images} {steps}".encode(), digest_size=8).hexdigest()
    path, network = cache_folder() / "localisers" / f"{key}.safetensors", Localiser()
    if path.exists():
        network.load_state_dict(read_tensors(path))
        return network.requires_grad_(False)
    network = train_localiser(training_rooms(name, images), steps)
    held_out = Rooms.of(synthesize(name, range(HELD_OUT), (SIDE, SIDE), HELD_OUT_SEED))
    network.errors.copy_(torch.tensor(localiser_errors(network, held_out)))
    with atomic(path) as partial:
        save_file(network.state_dict(), partial)
    return network


def train_localiser(rooms: Rooms, steps: int) -> Localiser:
    """Pictures and what is known of them -> a localiser, the same at every call."""
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        network = in_format(Localiser(), torch.channels_last)  # faster
        optimizer = torch.optim.Adam(network.parameters(), RATE)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps)
        for _ in range(steps):
            part = rooms[torch.randint(len(rooms.images), (BATCH,))]
            loss = localiser_loss(network(disturbed(part.images)), part)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return in_format(network, torch.contiguous_format).requires_grad_(False)


def in_format(network: Localiser, layout: torch.memory_format) -> Localiser:
    """The network with weights laid out so."""
    network.to(memory_format=layout)  # type: ignore[call-overload]
    return network


def disturbed(images: Tensor) -> Tensor:
    """Images with noise, other brightness, and half of them blurred: generators' pictures differ so."""
    blurred = avg_pool2d(images, 3, 1, 1, count_include_pad=False)
    images = torch.where(torch.rand(len(images), 1, 1, 1) < 0.5, blurred, images)
    noise = 0.04 * torch.rand(len(images), 1, 1, 1) * torch.randn_like(images)
    return images * (0.9 + 0.2 * torch.rand(len(images), 3, 1, 1)) + noise


def localiser_loss(maps: Tensor, rooms: Rooms) -> Tensor:
    """Cross entropy of centers, silhouettes and classes, and distances of offsets, near the centers."""
    center, offset, silhouette, color, shape = maps.split(COUNTS, dim=1)
    apart = rooms.places[:, :, :, None, None] - grid_of_cells()  # [B, P, 2, 32, 32]
    squares = apart.square().sum(dim=2).masked_fill(~rooms.seen[:, :, None, None], torch.inf)
    nearest, index = squares.min(dim=1, keepdim=True)
    target = (-nearest / (2 * SPREAD**2)).exp()  # [B, 1, 32, 32]
    weight = torch.where(target > 0.1, target, 0)
    scale = weight.sum().clamp_min(1)
    wanted = apart.gather(1, index[:, :, None].expand(-1, -1, 2, -1, -1))[:, 0]
    loss = binary_cross_entropy_with_logits(center, target, 1 + 4 * target, reduction="sum") / scale
    loss = loss + ((offset - wanted).abs() * weight).sum() / scale / 2
    loss = loss + 20 * binary_cross_entropy_with_logits(pixel_shuffle(silhouette, CELL)[:, 0], rooms.masks)
    for logits, classes in ((color, rooms.color), (shape, rooms.shape)):
        own = classes[:, :, None, None].expand(-1, -1, *index.shape[2:]).gather(1, index)[:, 0]
        loss = loss + (cross_entropy(logits, own, reduction="none") * weight[:, 0]).sum() / scale
    return loss


def localiser_errors(network: Localiser, rooms: Rooms) -> tuple[float, float, float, float]:
    """Mean distance in pixels, 1 - IoU of silhouettes, shares of colors and of shapes that are wrong.

    An object that is not found is at the distance NEAR, and of a wrong color and shape.
    """
    found = network.find(rooms.images)
    own = found.nearest(rooms.places)
    there = own.found[rooms.seen]
    distance = torch.where(own.found, (own.place - rooms.places).norm(dim=-1), NEAR)[rooms.seen]
    color, shape = (
        1 - ((a == b)[rooms.seen] & there).float().mean()
        for a, b in ((own.color, rooms.color), (own.shape, rooms.shape))
    )
    wrong = 1 - overlaps(found.silhouette, rooms.masks > 0.5).mean()
    return float(distance.mean()), float(wrong), float(color), float(shape)


def overlaps(a: Tensor, b: Tensor) -> Tensor:
    """Intersections over unions of B pairs of silhouettes [B, H, W], bool -> [B]; 0 where both are empty."""
    both, either = (x.sum(dim=(1, 2)) for x in (a & b, a | b))
    return both / either.clamp_min(1)
