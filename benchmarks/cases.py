"""The cases that are timed."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from benchmarks import extractors, nerf, pigan
from benchmarks.side import Side, Work
from genscene.training.loop import Precision


@dataclass(frozen=True)
class Case:
    """Two ways to compute the same: the plain one, in float32, and ours."""

    make: Callable[[Side], Work]
    precision: Precision = "fp32"  # of ours
    exact: bool = True  # both must agree to 1e-5


CASES = {
    "pi-GAN field, forward": Case(pigan.forward),
    "pi-GAN field, forward, bf16": Case(pigan.forward, "bf16", exact=False),
    "pi-GAN field, forward and backward": Case(pigan.backward),
    "pi-GAN field, forward and backward, bf16": Case(pigan.backward, "bf16", exact=False),
    "pi-GAN render": Case(pigan.render),
    "pi-GAN step": Case(pigan.step),
    "pi-GAN step, bf16": Case(pigan.step, "bf16", exact=False),
    "pi-GAN step, bf16, one rendering for both players": Case(
        partial(pigan.step, shared=True), "bf16", exact=False
    ),
    "NeRF step": Case(nerf.step),
    "NeRF step, bf16": Case(nerf.step, "bf16", exact=False),
    "NeRF render": Case(nerf.render, exact=False),  # untrained: rounding moves the samples of the second pass
    "Inception features": Case(extractors.inception),
    "random features of 128 pictures, 64 x 64": Case(extractors.convolutions),
}
