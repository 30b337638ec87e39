"""SIREN's initialisation of layers whose activation is a sine (Sitzmann et al. 2020, sec. 3.2)."""

import math

import torch
from torch import nn


@torch.no_grad()
def siren_init(layer: nn.Linear, omega: float, first: bool = False) -> None:
    """Uniform weights such that sines of omega times the layer's outputs are spread alike in every layer.

    first: of the layer that gets coordinates, whose frequencies then cover those of a picture. The bias is
    left as it is.
    """
    bound = 1 / layer.in_features if first else math.sqrt(6 / layer.in_features) / omega
    nn.init.uniform_(layer.weight, -bound, bound)
