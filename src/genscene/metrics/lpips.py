"""LPIPS (Zhang et al. 2018): how far apart two pictures are to a network, whose name goes with every number."""

from pathlib import Path

import torch
from torch import Tensor, nn

from genscene.errors import BadInput
from genscene.io.rename import Rules
from genscene.metrics import alexnet, vgg
from genscene.metrics.backbone import Backbone
from genscene.metrics.squeezenet import SqueezeNet, squeezenet
from genscene.metrics.weights import fitted, read

TINY = 1e-10  # added to the length of features


class LPIPS(nn.Module):
    """Distance of pictures by a backbone; 0 for the same picture."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone  # a module: its weights are ours
        self.linear = nn.ParameterList(torch.ones(width) / width for width in backbone.widths)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Pictures [B, 3, H, W] in [0, 1] twice -> distances [B] (eq. 1)."""
        if a.dim() != 4 or a.shape[1] != 3 or a.shape != b.shape:
            raise BadInput(
                f"LPIPS of pictures {list(a.shape)} and {list(b.shape)}, wanted twice [B, 3, H, W]"
            )
        total = a.new_zeros(len(a))
        for weight, x, y in zip(self.linear, self.backbone(a), self.backbone(b), strict=True):
            apart = (_unit(x) - _unit(y)).square()
            total = total + torch.einsum("bchw,c->bhw", apart, weight).mean(dim=(1, 2))
        return total


def lpips(backbone: str | Path, linear: str | Path) -> LPIPS:
    """LPIPS with a backbone's weights and LPIPS's linear layers in files; BadInput names what does not fit.

    The backbone is AlexNet, VGG16 or SqueezeNet, whichever the file holds.
    """
    network = LPIPS(seen_through(Path(backbone)))
    path = Path(linear)
    found = {name: tensor.flatten() for name, tensor in read(path).items()}  # [1, C, 1, 1] -> [C]
    wanted = {name: tensor for name, tensor in network.state_dict().items() if name.startswith("linear.")}
    network.load_state_dict(fitted(path, found, rules(network.backbone.short), wanted), strict=False)
    return network.eval().requires_grad_(False)


def seen_through(path: Path) -> alexnet.AlexNet | vgg.Convolutions | SqueezeNet:
    """The backbone whose weights a file holds."""
    found = read(path)
    if vgg.LAST in found:
        return vgg.vgg_backbone(path, found)
    return alexnet.alexnet(path, found) if alexnet.LAST in found else squeezenet(path)


def rules(short: str) -> Rules:
    """Names of the linear layers in a file of one backbone's, or of all backbones', -> ours."""
    return (
        (rf"(?:{short}/)?lin(\d)\.model\.1\.weight", r"linear.\1"),
        (r"\w+/lin\d\.model\.1\.weight", None),
    )


def _unit(x: Tensor) -> Tensor:
    """Features [B, C, H, W], at each place of length 1."""
    return x / (x.norm(dim=1, keepdim=True) + TINY)
