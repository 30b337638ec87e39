"""Priors of cameras and boxes whose parameters are trained with the generator (CAMPARI)."""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from genscene.errors import BadInput
from genscene.geometry.boxes import BoxPrior
from genscene.geometry.priors import CameraPrior, HasPrior

WIDEST = 0.95  # largest half range of radius and half sides, as a share of their mean


class LearnedPriors(nn.Module):
    """What priors differ by from the given ones; all numbers are 0 at first.

    Every quantity is an affine function of the random numbers that it was sampled with before, so gradients
    reach its mean and its range. (CAMPARI, Niemeyer and Geiger 2021, has a residual network in this place.)
    Of each pair the first moves the mean: angles in radians and places by a sum, distances by a factor, whose
    logarithm it is. The second is the logarithm of the range's factor: a range of 0 stays 0.
    """

    yaw: nn.Parameter
    pitch: nn.Parameter
    fov: nn.Parameter
    radius: nn.Parameter
    scale: nn.Parameter
    translation: nn.Parameter
    rotation: nn.Parameter

    def __init__(self, distance: bool, boxes: bool):
        """distance: whether the cameras' is learned, too; boxes: whether there are boxes."""
        super().__init__()
        sizes: dict[str, tuple[int, ...]] = {"yaw": (2,), "pitch": (2,), "fov": (1,)}
        sizes |= {"radius": (2,)} if distance else {}
        sizes |= {"scale": (2, 3), "translation": (2, 3), "rotation": (2,)} if boxes else {}
        for name, size in sizes.items():
            self.register_parameter(name, nn.Parameter(torch.zeros(size)))
        self.distance = distance

    def camera(self, given: CameraPrior) -> CameraPrior:
        """The prior of cameras as it is now: of tensors with gradients in training, else of numbers."""
        yaw, pitch = moved(given.yaw, self.yaw), moved(given.pitch, self.pitch)
        found = {
            "yaw": yaw,
            "pitch": torch.cat([pitch[:1].clamp(0, math.pi), pitch[1:]]),
            "fov": 180 * torch.sigmoid(math.log(given.fov / (180 - given.fov)) + self.fov[0]),
        }
        if self.distance:
            share = given.radius_spread / given.radius * self.radius[1].exp()
            found["radius"] = given.radius * self.radius[0].exp()
            found["radius_spread"] = found["radius"] * share.clamp(max=WIDEST)
        return replace(given, **self.values(found))

    def boxes(self, given: BoxPrior) -> BoxPrior:
        """The prior of boxes as it is now, likewise."""
        low, high = (torch.tensor(x).to(self.scale) for x in (given.scale_min, given.scale_max))
        middle = (low + high) / 2 * self.scale[0].exp()
        half = middle * ((high - low) / (high + low) * self.scale[1].exp()).clamp(max=WIDEST)
        found = {"scale_min": middle - half, "scale_max": middle + half}
        low, high = (torch.tensor(x).to(self.scale) for x in (given.translation_min, given.translation_max))
        place, reach = moved(((low + high) / 2, (high - low) / 2), self.translation)
        found |= {"translation_min": place - reach, "translation_max": place + reach}
        turn = 2 * math.pi
        start, end = given.rotation
        angle, spread = moved((turn * (start + end) / 2, turn * (end - start) / 2), self.rotation)
        found["rotation"] = torch.stack([angle - spread, angle + spread]) / turn
        return replace(given, **self.values(found))

    def values(self, found: dict[str, Tensor]) -> dict[str, Any]:
        """The tensors themselves where gradients are wanted, else numbers and tuples of them."""
        if self.training and torch.is_grad_enabled():
            return found
        lists = {name: tensor.tolist() for name, tensor in found.items()}
        return {name: tuple(x) if isinstance(x, list) else x for name, x in lists.items()}


def moved(given: Any, by: Tensor) -> Tensor:
    """(mean, range) of each quantity [...] -> the mean plus by[0], the range times exp(by[1]) [2, ...]."""
    mean, spread = given
    return torch.stack([by[0] + mean, by[1].exp() * spread])


def learn_priors(generator: HasPrior, distance: bool = False, boxes: bool = False) -> None:
    """Make the generator's prior a part of it, `orbit`, that is trained; BadInput for cameras of a file.

    distance: the cameras' too, where the scene has a scale of its own; boxes: the prior of these, too.
    """
    prior = generator.prior
    if not isinstance(prior, CameraPrior) or prior.distribution == "file":
        raise BadInput("orbit learned: wanted cameras of a distribution, not those of a file (prior.file)")
    generator.orbit = LearnedPriors(distance, boxes)
