"""One picture as samples of a function of the plane: its pixels, their colors, and derivatives of these."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from genscene.data.images.decode import DecodeOptions, center_crop_box, decode_image, oriented_size
from genscene.data.images.files import list_images, require_folder_or_zip
from genscene.data.images.load import SYNTHETIC
from genscene.data.synthetic import PICTURES, check_name, synthesize, synthesize_pictures
from genscene.devices import require_memory
from genscene.errors import BadInput
from genscene.experiment.schedules import largest_size
from genscene.experiment.schema import Experiment
from genscene.geometry.cameras import Grid, Size
from genscene.io.pictures import UnreadableImage, collect_warnings, open_picture, read_picture
from genscene.scenes import PointBatch

Target = Literal["color", "gradient", "laplacian"]

PIXEL = 60  # bytes of a pixel: decoded, its color, its place, and what is fitted there


@dataclass(frozen=True)
class Picture:
    """The pixels of a picture, and the values that a function is fitted to."""

    pixels: Tensor  # [3, H, W], 0 to 1
    values: Tensor  # [H * W, C], row by row

    @property
    def shape(self) -> Size:
        """(height, width) in pixels."""
        return self.pixels.shape[1], self.pixels.shape[2]

    @property
    def size(self) -> int:
        """The number of pixels."""
        return len(self.values)

    @cached_property
    def coords(self) -> Tensor:
        """Coordinates (x, y) of the centers of all pixels, row by row [1, H * W, 2]."""
        return Grid.whole(1, self.shape).coords().flatten(2).mT

    def sample(self, seed: int, count: int) -> PointBatch:
        """So many random pixels, coordinates (x, y) in [-1, 1] and values; all where there are no more."""
        if count >= self.size:
            return PointBatch(self.coords, self.values[None])
        chosen = torch.from_numpy(np.random.default_rng(seed).integers(self.size, size=count))
        return PointBatch(self.coords[:, chosen], self.values[None, chosen])


def load_picture(experiment: Experiment, target: Target = "color") -> Picture:
    """The one picture of an experiment's data; BadInput where there is none, or several.

    Its longer side is `posed.side`; 0: as it is, divided by `posed.downscale`. Embedded sets give their first
    image.
    """
    pixels = torch.from_numpy(_pixels(experiment).copy()).movedim(-1, 0).float() / 255
    return Picture(pixels, target_values(pixels, target))


def target_values(pixels: Tensor, target: Target) -> Tensor:
    """pixels [3, H, W] -> colors [H * W, 3], gradients (x, y) by pixel [H * W, 6], Laplacians [H * W, 3].

    Derivatives are central differences, gradients at the border differences to the one neighbor. For
    Laplacians the outermost pixels go on beyond it.
    """
    if target == "color":
        return pixels.flatten(1).mT
    wide = pad(pixels[None], (1, 1, 1, 1), mode="replicate")[0]
    left, right, above, below = wide[:, 1:-1, :-2], wide[:, 1:-1, 2:], wide[:, :-2, 1:-1], wide[:, 2:, 1:-1]
    if target == "laplacian":
        return (left + right + above + below - 4 * pixels).flatten(1).mT
    across, down = (right - left) / 2, (below - above) / 2
    across[..., [0, -1]] *= 2
    down[:, [0, -1]] *= 2
    return torch.stack([across, down], dim=1).flatten(2).flatten(0, 1).mT


def _pixels(experiment: Experiment) -> np.ndarray:
    """The decoded picture, uint8 [H, W, 3]."""
    data = experiment.data
    if data.startswith(SYNTHETIC):
        check_name(name := data.removeprefix(SYNTHETIC))
        which = (name, range(1), largest_size(experiment), experiment.seed)
        return (synthesize_pictures(*which) if name in PICTURES else synthesize(*which).pixels())[0].numpy()
    if experiment.images.background == "random":
        raise BadInput("--background random: wanted one color behind a picture (white, black or R,G,B)")
    name, content = _one_file(data)
    try:
        height, width = size = _size(content, experiment)
        require_memory(PIXEL * height * width, f"{name} at {width}x{height} pixels", "lower --size")
        with collect_warnings():
            return decode_image(content, DecodeOptions(size, experiment.images))
    except UnreadableImage as error:
        raise BadInput(f"{name}: {error}, wanted one picture") from None


def _one_file(data: str) -> tuple[str, bytes]:
    """The name and content of a picture, or of the only one in a folder or zip."""
    root = require_folder_or_zip(data)
    try:
        if not (root.is_dir() or root.suffix.lower() == ".zip"):
            return str(root), read_picture(root)
        files = list_images(root)
        if len(files.names) > 1:
            raise BadInput(
                f"{root} holds {len(files.names)} pictures, wanted one: --data {root / files.names[0]}"
            )
        with files.open() as reader:
            return str(root / files.names[0]), reader.read(files.names[0])
    except UnreadableImage as error:
        raise BadInput(f"{root}: {error}, wanted one picture") from None


def _size(content: bytes, experiment: Experiment) -> Size:
    """The size that a picture is decoded to: its own, divided, or with a longer side of so many pixels."""
    with open_picture(content) as header:
        height, width = oriented_size(header)
    left, top, right, bottom = center_crop_box((width, height), experiment.images.center_crop)
    height, width = max(1, round(bottom - top)), max(1, round(right - left))
    side = experiment.posed.side
    factor = side / max(height, width) if side else 1 / experiment.posed.downscale
    return max(1, round(height * factor)), max(1, round(width * factor))
