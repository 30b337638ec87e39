"""Experiments as JSON, which `loads` reads back; variants and seeded systems of an experiment."""

import json
from dataclasses import asdict, replace
from typing import Any, cast

import torch

from genscene.contract import System, SystemConfig
from genscene.errors import BadInput
from genscene.experiment.schema import Experiment
from genscene.experiment.validation import FORMAT
from genscene.experiment.validation import loads as loads
from genscene.objectives.adversarial import AdversarialConfig
from genscene.objectives.gan_loss import Kind
from genscene.randomness import derive_seed


def dumps(experiment: Experiment) -> str:
    """An experiment as JSON."""
    document: dict[str, Any] = {"format": FORMAT} | asdict(experiment)
    return json.dumps(document | {"system": describe_system(experiment.system)}, indent=2)


def describe_system(system: SystemConfig) -> dict[str, Any]:
    """The fields of a configuration, and of those in it, with their kinds."""
    inner = {name: describe_system(x) for name, x in vars(system).items() if isinstance(x, SystemConfig)}
    return {"kind": type(system).__name__} | asdict(system) | inner


def build_seeded(experiment: Experiment) -> System:
    """The system with the weights that the experiment's run starts with, on the CPU."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(experiment.seed))
        return experiment.system.build()


def with_overrides(
    experiment: Experiment,
    batch: int | None = None,
    size: int | None = None,
    background: str | None = None,
    bounds: tuple[float, ...] = (),
    loss: Kind | None = None,
) -> Experiment:
    """The same experiment with another batch, (square) image size in one stage, background, bounds or loss.

    Photographs with cameras, and one picture, get that length of their longer side. Raises BadInput for a
    background, bounds or loss that such an experiment cannot have.
    """
    if loss is not None:
        if not isinstance(experiment.system, AdversarialConfig):
            raise BadInput(f"--loss {loss}: only systems with a discriminator have a choice of losses")
        system = replace(experiment.system, loss=experiment.system.loss.of_kind(loss))
        experiment = replace(experiment, system=system)
    if background is not None:
        experiment = _with_background(experiment, background)
    if bounds:
        if not experiment.system.fits_photographs:
            raise BadInput(
                f"--bounds {bounds}: only scenes that are fitted to photographs with cameras have a box"
            )
        experiment = replace(experiment, posed=replace(experiment.posed, bounds=bounds))
    stages, posed = experiment.stages, experiment.posed
    for name, number in (("batch", batch), ("size", size)):
        if number is not None and number < 1:
            raise BadInput(f"--{name} {number}: wanted 1 or more")
    if size is not None:
        stages = (replace(stages[0], size=(size, size)),)
        if experiment.system.fits_photographs or experiment.system.batch == "pixels":
            posed = replace(posed, side=size)
    if batch is not None:
        stages = tuple(
            replace(s, batch=batch, accumulation=s.accumulation if batch % s.accumulation == 0 else 1)
            for s in stages
        )
    return replace(experiment, stages=stages, posed=posed)


def _with_background(experiment: Experiment, background: str) -> Experiment:
    """The same experiment with this color behind transparency and, of photographs with cameras, the scene."""
    posed = experiment.posed
    if experiment.system.fits_photographs:
        if background not in ("white", "black", "auto"):
            raise BadInput(f"--background {background!r}: wanted white, black or auto behind a scene")
        posed = replace(posed, background=cast(Any, background))
    if background == "auto":
        return replace(experiment, posed=posed)
    return replace(experiment, posed=posed, images=replace(experiment.images, background=background))
