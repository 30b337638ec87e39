"""Experiments as JSON, read back into the same dataclasses; variants and seeded systems of an experiment."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import cattrs
import torch

from genscene.contract import System, SystemConfig
from genscene.errors import BadInput
from genscene.experiment.schema import Experiment
from genscene.randomness import derive_seed

FORMAT = 1  # of experiments; other formats are refused by name


def dumps(experiment: Experiment) -> str:
    """An experiment as JSON."""
    document: dict[str, Any] = {"format": FORMAT} | cattrs.unstructure(experiment)
    document["system"] = {"kind": type(experiment.system).__name__} | cattrs.unstructure(experiment.system)
    return json.dumps(document, indent=2)


def loads(text: str, kinds: Mapping[str, type[SystemConfig]], where: str) -> Experiment:
    """The experiment of JSON by `dumps`; kinds: class name -> class of system.

    Raises BadInput, naming `where`, for another format, for what is not an experiment, and for unknown names.
    """
    try:
        document = json.loads(text)
        found = document.pop("format", 0)
        if found != FORMAT:
            raise BadInput(
                f"{where} is an experiment of format {found!r}, this version reads format {FORMAT}"
            )
        kind = document["system"].pop("kind")
        system = _converter().structure(document.pop("system"), kinds[kind])
        return _converter().structure(document | {"system": system}, Experiment)
    except BadInput:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, cattrs.BaseValidationError) as error:
        raise BadInput(f"{where} holds no experiment that this version can read: {_reason(error)}") from None


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
) -> Experiment:
    """The same experiment with another batch, (square) image size in one stage, background or bounds.

    Photographs with cameras are reduced to that length of their longer side. Raises BadInput for a background
    or bounds that such an experiment cannot have.
    """
    if background is not None:
        experiment = _with_background(experiment, background)
    if bounds:
        if experiment.system.batch != "rays":
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
        if experiment.system.batch == "rays":
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
    if experiment.system.batch == "rays":
        if background not in ("white", "black", "auto"):
            raise BadInput(f"--background {background!r}: wanted white, black or auto behind a scene")
        posed = replace(posed, background=cast(Any, background))
    if background == "auto":
        return replace(experiment, posed=posed)
    return replace(experiment, posed=posed, images=replace(experiment.images, background=background))


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    converter.register_structure_hook_func(lambda kind: kind is SystemConfig, lambda value, _: value)
    return converter


def _reason(error: BaseException) -> str:
    """What went wrong, from the innermost of cattrs' groups of errors."""
    if isinstance(error, cattrs.BaseValidationError):
        return "; ".join(cattrs.transform_error(error))
    return f"{type(error).__name__} {error}"
