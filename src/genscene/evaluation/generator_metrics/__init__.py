"""Metrics of what a generator renders from chosen cameras: view consistency, identity, pose accuracy."""

from genscene.contract import Generator
from genscene.errors import BadInput
from genscene.geometry.priors import CameraPrior


def camera_prior(generator: Generator) -> CameraPrior:
    """The prior of a generator's cameras; BadInput where it has none."""
    if not isinstance(generator.prior, CameraPrior):
        raise BadInput("this generator has no cameras (its views are windows on the plane)")
    return generator.prior
