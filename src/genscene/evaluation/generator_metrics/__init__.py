"""Metrics of what a generator renders from chosen cameras: pose accuracy, view consistency, identity."""

from collections.abc import Iterator

from genscene.contract import Generator
from genscene.errors import BadInput
from genscene.evaluation.image_sources import fingerprint
from genscene.evaluation.session import EvaluationSession
from genscene.geometry.priors import CameraPrior
from genscene.randomness import RandomStreams, derive_seed
from genscene.scenes import Scene

BATCH, VIEW_SEED = 8, 31  # scenes rendered at once; use of the seed


def sample_scenes(
    session: EvaluationSession, generator: Generator, count: int
) -> Iterator[tuple[Scene, RandomStreams]]:
    """`count` scenes in batches with their random streams; each depends on its index and the seed alone."""
    for start in range(0, count, BATCH):
        indices = range(start, min(start + BATCH, count))
        streams = RandomStreams([derive_seed(VIEW_SEED, session.seed, i) for i in indices])
        # the random numbers are those of the CPU, wherever the generator is
        yield generator.scene(generator.latents(streams).to(session.device), session.protocol.psi), streams


def camera_prior(generator: Generator) -> CameraPrior:
    """The prior of a generator's cameras; BadInput where it has none."""
    if not isinstance(generator.prior, CameraPrior):
        raise BadInput("this generator has no cameras (its views are windows on the plane)")
    return generator.prior


def settings(session: EvaluationSession, generator: Generator, **more: object) -> dict[str, object]:
    """What identifies a generator and its images, and what more a score depends on."""
    found = {"generator": fingerprint(generator), "psi": session.protocol.psi, "seed": session.seed}
    return {**found, "size": session.size, **more}
