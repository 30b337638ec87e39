"""Feature extractors on small images, of which most evaluated sets are."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from benchmarks.side import Side, Work
from genscene.evaluation.session import EvaluationSession
from genscene.metrics.networks.inception import EPSILON, RULES, Inception, fold_batch_norm, resize_tensorflow
from genscene.metrics.networks.random_features import random_features
from genscene.metrics.networks.weights import load_weights

BATCH, SIZE, MANY = 8, 64, 128


def inception(side: Side) -> Work:
    """Features of 8 images by the published network with batch normalizations, and by ours, folded."""
    network = published_network()
    state = {name.removeprefix("layers."): tensor for name, tensor in network.state_dict().items()}
    folded = load_weights(Inception(), "random weights", RULES, fold_batch_norm(state, "random weights"))
    compute = (network if side.plain else folded).to(side.device)
    images = random_images(BATCH * (8 if side.large else 1), side)

    @torch.no_grad()
    def work() -> Tensor:
        features: Tensor = compute((resize_tensorflow(images.float(), 299) - 128) / 128)["2048"]
        return features

    return work


def convolutions(side: Side) -> Work:
    """Features of 128 images by random convolutions: one image at a time, and in batches as streamed."""
    extractor = random_features().on(side.device)
    images = random_images(MANY, side)
    batch = 1 if side.plain else EvaluationSession.batch
    return lambda: torch.cat([extractor(part) for part in images.split(batch)])


def random_images(count: int, side: Side) -> Tensor:
    """Images uint8 [count, 3, SIZE, SIZE], always the same."""
    generator = torch.Generator().manual_seed(0)
    shape = (count, 3, SIZE, SIZE)
    return torch.randint(256, shape, dtype=torch.uint8, generator=generator).to(side.device)


def published_network() -> Inception:
    """Inception with batch normalizations, and random weights that keep the scale of features with depth."""
    network = Inception()
    for name, layer in [(name, layer) for name, layer in network.named_modules()]:
        if isinstance(layer, nn.Conv2d):
            conv = nn.Conv2d(
                layer.in_channels,
                layer.out_channels,
                layer.kernel_size,  # type: ignore[arg-type]
                layer.stride,  # type: ignore[arg-type]
                layer.padding,  # type: ignore[arg-type]
                bias=False,
            )
            nn.init.kaiming_normal_(conv.weight)
            bn = nn.BatchNorm2d(layer.out_channels, eps=EPSILON)
            owner, _, key = name.rpartition(".")
            unit = nn.Sequential(OrderedDict[str, nn.Module](conv=conv, bn=bn, relu=nn.ReLU()))
            setattr(network.get_submodule(owner), key, unit)
    for name, statistic in network.named_buffers():
        if statistic.is_floating_point():
            statistic.uniform_(0.5, 2) if name.endswith("var") else statistic.uniform_(-0.2, 0.2)
    return network.eval().requires_grad_(False)
