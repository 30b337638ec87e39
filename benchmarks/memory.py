"""Peak memory of a generator's turn: pictures of any size train in the memory of small ones.

python -m benchmarks.memory CASE prints the peak in MiB above what was there before the turn.
"""

import resource
import sys
from dataclasses import replace

import torch

from genscene.experiment import Stage
from genscene.system import Moment, Photos
from genscene.systems import PRESETS
from genscene.systems.pigan.system import PiGANConfig
from genscene.training.loop import only

BATCH = 2
CASES = {
    "render 32 x 32 for training": (32, False),
    "render 64 x 64 for training": (64, False),
    "render 64 x 64, deferred": (64, True),
    "render 128 x 128, deferred": (128, True),
    "render 256 x 256, deferred": (256, True),
}


def highest() -> float:
    """Most memory this process ever had, in MiB."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def turn(side: int, deferred: bool) -> float:
    """Render a batch with a gradient and go back through it; the memory that took."""
    system_config = PRESETS["pigan-celeba"].system
    assert isinstance(system_config, PiGANConfig)
    experiment = replace(PRESETS["pigan-celeba"], stages=(Stage(0, (side, side), BATCH),))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    system = replace(system_config, deferred=deferred).build().to(device)
    batch = Photos(torch.rand(BATCH, 3, side, side, device=device))
    assert experiment.stages
    before = highest()
    with only(system, "generator"):
        fakes = system.paint(batch, Moment(0), 1)
        fakes.images.square().mean().backward()
    return highest() - before


if __name__ == "__main__":
    print(f"{turn(*CASES[sys.argv[1]]):.1f}")
