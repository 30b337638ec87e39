"""MobileFaceNet (Chen et al. 2018): whose face is it? An embedding, alike for pictures of the same person.

For crops of 112 x 96 pixels, eyes and mouth where the network was trained to see them; weights come from a file.
"""

from pathlib import Path

from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize

from genscene.io.rename import Rules
from genscene.metrics.extractor import Extractor
from genscene.metrics.precision import full_precision
from genscene.metrics.weights import fitted, read, sha256

SIZE, WIDTH = (112, 96), 128  # pixels, height and width; of the embedding
# Table 1: how much wider a bottleneck is inside, channels that come out, how many in line, stride of the first
BOTTLENECKS = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
PARTS = {
    "wide": (0, 1, 2),
    "apart": (3, 4, 5),
    "narrow": (6, 7),
}  # convolution, normalisation, slope in a row
RULES: Rules = (
    *(
        (rf"blocks\.(\d+)\.conv\.{place}\.(\w+)", rf"blocks.\1.{part}.{name}.\2")
        for part, places in PARTS.items()
        for place, name in zip(places, ("conv", "norm", "slope"), strict=False)
    ),
    *((rf"(\w+)\.{theirs}\.(\w+)", rf"\1.{ours}.\2") for theirs, ours in (("conv", "conv"), ("bn", "norm"))),
    (r"(\w+)\.prelu\.weight", r"\1.slope.weight"),
)


class Unit(nn.Module):
    """Convolution, normalised; bent by a learnt slope or left linear."""

    def __init__(
        self,
        came_in: int,
        width: int,
        kernel: int | tuple[int, int] = 1,
        stride: int = 1,
        padding: int = 0,
        apart: bool = False,  # each channel by itself
        linear: bool = False,
    ) -> None:
        super().__init__()
        groups = width if apart else 1
        self.conv = nn.Conv2d(came_in, width, kernel, stride, padding, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.slope = None if linear else nn.PReLU(width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, width, H', W']."""
        x = self.norm(self.conv(x))
        return x if self.slope is None else self.slope(x)


class Bottleneck(nn.Module):
    """Wide between narrow ends, added to what came in where that has the same shape (sec. 3.3)."""

    def __init__(self, came_in: int, width: int, stride: int, wider: int) -> None:
        super().__init__()
        inside = wider * came_in
        self.wide = Unit(came_in, inside)
        self.apart = Unit(inside, inside, 3, stride, 1, apart=True)
        self.narrow = Unit(inside, width, linear=True)
        self.added = stride == 1 and came_in == width

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, width, H', W']."""
        made = self.narrow(self.apart(self.wide(x)))
        return x + made if self.added else made


class MobileFaceNet(nn.Module):
    """Faces [B, 3, 112, 96] of -1 to 1 -> embeddings [B, 128] of any length (table 1, but for pictures less wide)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.dw_conv1 = Unit(3, 64, 3, 2, 1), Unit(64, 64, 3, 1, 1, apart=True)
        blocks, width = [], 64
        for wider, out, count, stride in BOTTLENECKS:
            for i in range(count):
                blocks.append(Bottleneck(width, out, 1 if i else stride, wider))
                width = out
        self.blocks = nn.Sequential(*blocks)
        self.conv2 = Unit(width, 512)
        self.linear7 = Unit(
            512, 512, (SIZE[0] // 16, SIZE[1] // 16), apart=True, linear=True
        )  # all places, weighted
        self.linear1 = Unit(512, WIDTH, linear=True)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, 112, 96] -> [B, 128]."""
        x = self.conv2(self.blocks(self.dw_conv1(self.conv1(x))))
        return self.linear1(self.linear7(x)).flatten(1)


class Faces(nn.Module):
    """Pictures -> directions: how alike two faces are is the cosine between them."""

    def __init__(self, network: MobileFaceNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Faces [B, 3, H, W] of any size, 0 to 255 -> embeddings [B, 128] of length 1."""
        with full_precision(images.device):
            x = interpolate(images.float(), SIZE, mode="bilinear", antialias=True)
            return normalize(self.network((x - 127.5) / 128))


def mobilefacenet_features(path: str | Path) -> Extractor:
    """Embeddings 128 wide, of length 1, with the weights in a file; BadInput names the tensor that does not fit."""
    file = Path(path)
    network = MobileFaceNet()
    network.load_state_dict(fitted(file, read(file), RULES, network.state_dict()))
    return Extractor(
        name="mobilefacenet-112x96",
        weights=sha256(file),
        layer="embedding of length 1",
        width=WIDTH,
        resize=f"bilinear, antialiased, to {SIZE[0]}x{SIZE[1]}",
        look=Faces(network).eval().requires_grad_(False),
        remark="for crops around a face alone",
    )
