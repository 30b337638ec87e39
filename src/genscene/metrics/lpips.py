"""LPIPS (Zhang et al. 2018): distance of two images in the features of a pretrained network."""

from pathlib import Path

import torch
from torch import Tensor, nn

from genscene.errors import BadInput
from genscene.io.tensors import read_tensors
from genscene.metrics.networks.backbones import Backbone, load_backbone
from genscene.metrics.networks.weights import load_weights

EPSILON = 1e-10  # added to the norm of features


class LPIPS(nn.Module):
    """Perceptual distance by a backbone and a weight per channel; 0 for equal images."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.linear = nn.ParameterList(torch.ones(width) / width for width in backbone.widths)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Images [B, 3, H, W] in [0, 1], twice -> distances [B] (eq. 1)."""
        if a.dim() != 4 or a.shape[1] != 3 or a.shape != b.shape:
            raise BadInput(f"LPIPS of images {list(a.shape)} and {list(b.shape)}, wanted [B, 3, H, W] twice")
        total = a.new_zeros(len(a))
        for weight, *pair in zip(self.linear, self.backbone(a), self.backbone(b), strict=True):
            one, other = (x / (x.norm(dim=1, keepdim=True) + EPSILON) for x in pair)
            total = total + torch.einsum("bchw,c->bhw", (one - other).square(), weight).mean(dim=(1, 2))
        return total


def load_lpips(backbone: str | Path, linear: str | Path) -> LPIPS:
    """LPIPS with the weights of AlexNet, VGG16 or SqueezeNet in a file, and of linear layers in another."""
    network = LPIPS(load_backbone(backbone))
    tensors = {name: tensor.flatten() for name, tensor in read_tensors(linear).items()}  # [1, C, 1, 1] -> [C]
    layer = r"lin(\d)\.model\.1\.weight"  # in files of several backbones e.g. alex/lin0.model.1.weight
    own = rf"(?:{network.backbone.short}/)?{layer}"
    load_weights(network.linear, linear, ((own, r"\1"), (rf"\w+/{layer}", None)), tensors)
    return network.eval()
