"""What looks at pictures for FID and its like; small pictures, as most are compared."""

import torch
from torch import Tensor

from benchmarks.side import Side, Work
from genscene.evaluation.session import EvaluationSession
from genscene.metrics.inception import Inception
from genscene.metrics.inception_features import Pool3
from genscene.metrics.random_features import random_features

BATCH, SIZE, MANY = 8, 64, 128


def inception(side: Side) -> Work:
    """Features of eight pictures, by the network as it was published and by ours; random weights, no gradient."""
    network = usual(Inception()).eval().requires_grad_(False)
    look = Pool3(network).to(side.device) if not side.plain else network.to(side.device)
    draw = torch.Generator().manual_seed(0)
    count = BATCH * (8 if side.large else 1)
    images = torch.randint(256, (count, 3, SIZE, SIZE), dtype=torch.uint8, generator=draw).to(side.device)

    @torch.no_grad()
    def work() -> Tensor:
        seen = look(images)
        return seen if isinstance(seen, Tensor) else seen.pool_2048

    return work


def convolutions(side: Side) -> Work:
    """Features of 128 pictures by the random convolutions: one picture after the other, and in batches as streamed."""
    looks = random_features().on(side.device)
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(256, (MANY, 3, SIZE, SIZE), dtype=torch.uint8, generator=draw).to(side.device)
    batch = 1 if side.plain else EvaluationSession.batch
    return lambda: torch.cat([looks(part) for part in images.split(batch)])


def usual(network: Inception) -> Inception:
    """Weights and statistics drawn so that what is seen neither fades nor grows with depth."""
    for parameter in network.parameters():
        if parameter.dim() == 4:
            torch.nn.init.kaiming_normal_(parameter)
    for name, statistic in network.named_buffers():
        statistic.uniform_(0.5, 2) if name.endswith("variance") else statistic.uniform_(-0.2, 0.2)
    return network
