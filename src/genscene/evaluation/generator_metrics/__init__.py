"""Metrics of what a generator renders from chosen cameras: pose accuracy, view consistency, identity."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from genscene.contract import Generator
from genscene.errors import BadInput
from genscene.evaluation.image_sources import fingerprint
from genscene.experiment.schema import Experiment
from genscene.geometry.cameras import Size
from genscene.geometry.priors import CameraPrior
from genscene.metrics.extractor import Extractor
from genscene.randomness import RandomStreams, mix

BATCH, VIEW_SEED = 8, 31  # images rendered at once; use of the seed


@dataclass(frozen=True)
class EvaluatedGenerator:
    """A generator, and how it is rendered for evaluation."""

    generator: Generator
    experiment: Experiment
    data: str
    size: Size
    psi: float = 1.0
    seed: int = 0
    count: int = 2048  # images of a Frechet distance
    load_embedding: Callable[[], Extractor] | None = None  # of faces

    @property
    def device(self) -> torch.device:
        """The device of its weights."""
        return next(self.generator.parameters()).device

    @property
    def prior(self) -> CameraPrior:
        """The prior of its cameras; BadInput where it has none."""
        if self.generator.orbit is None:
            raise BadInput("this generator has no cameras (its views are windows on the plane)")
        return self.generator.orbit

    def streams(self, count: int) -> Iterator[RandomStreams]:
        """Random streams of `count` scenes in batches; each depends on its index and the seed alone."""
        for start in range(0, count, BATCH):
            indices = range(start, min(start + BATCH, count))
            yield RandomStreams([mix(VIEW_SEED, self.seed, i) for i in indices])

    def settings(self, **more: object) -> dict[str, object]:
        """What identifies the generator and its images, and what more a score depends on."""
        generator = {"generator": fingerprint(self.generator), "psi": self.psi, "seed": self.seed}
        return {**generator, "size": self.size, **more}
