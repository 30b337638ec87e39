"""LPIPS (Zhang et al. 2018): distance of two images in the features of a pretrained network."""

from pathlib import Path

import torch
from torch import Tensor, nn

from genscene.errors import BadInput
from genscene.metrics.networks.alexnet import alexnet
from genscene.metrics.networks.backbone import TORCHVISION_RULES, Backbone
from genscene.metrics.networks.squeezenet import load_squeezenet
from genscene.metrics.networks.vgg16 import vgg16_backbone
from genscene.metrics.networks.weights import load_weights, read_weights

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
            shapes = f"{list(a.shape)} and {list(b.shape)}"
            raise BadInput(f"LPIPS of images {shapes}, wanted [B, 3, H, W] twice")
        total = a.new_zeros(len(a))
        for weight, x, y in zip(self.linear, self.backbone(a), self.backbone(b), strict=True):
            squared = (_unit(x) - _unit(y)).square()
            total = total + torch.einsum("bchw,c->bhw", squared, weight).mean(dim=(1, 2))
        return total


def load_lpips(backbone: str | Path, linear: str | Path) -> LPIPS:
    """LPIPS with weights of files: of AlexNet, VGG16 or SqueezeNet, and of the linear layers.

    A file may hold the linear layers of several backbones, e.g. as alex/lin0.model.1.weight.
    """
    network = LPIPS(load_backbone(Path(backbone)))
    tensors = {name: tensor.flatten() for name, tensor in read_weights(linear).items()}  # [1, C, 1, 1] -> [C]
    rules = (
        (rf"(?:{network.backbone.short}/)?lin(\d)\.model\.1\.weight", r"\1"),
        (r"\w+/lin\d\.model\.1\.weight", None),
    )
    load_weights(network.linear, linear, rules, tensors)
    return network.eval().requires_grad_(False)


def load_backbone(path: Path) -> Backbone:
    """The backbone whose weights a file holds, recognized by the name of its last convolution."""
    tensors = read_weights(path)
    for build, last in ((vgg16_backbone, "features.28.weight"), (alexnet, "features.10.weight")):
        if last in tensors:
            return load_weights(build(), path, TORCHVISION_RULES, tensors)
    return load_squeezenet(path, tensors)


def _unit(x: Tensor) -> Tensor:
    """Features [B, C, H, W] -> of length 1 at every position."""
    return x / (x.norm(dim=1, keepdim=True) + EPSILON)
