"""Metrics that ask the generator itself: does it turn things as the camera turns, do they stay what they are."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from genscene.data import SYNTHETIC
from genscene.data.synthetic import SETS
from genscene.errors import BadInput
from genscene.evaluation import reader
from genscene.evaluation.measures import Number
from genscene.evaluation.views import consistency, identity
from genscene.experiment import Experiment, fresh
from genscene.metrics.extractor import Extractor
from genscene.system import Generator
from genscene.views import Size


@dataclass(frozen=True)
class Question:
    """Who is asked, and about what."""

    generator: Generator
    experiment: Experiment
    data: str
    size: Size
    psi: float = 1.0
    seed: int = 0
    count: int = 2048  # pictures for the Frechet distance
    embedding: Callable[[], Extractor] | None = None  # makes the extractor that tells who is who


def steadiness(question: Question) -> list[Number]:
    """Whether the yaw that was asked for stands in the picture; the set's poses must be known."""
    stick = yardstick(question.data)
    error = torch.rad2deg(torch.tensor(stick.error)).item()
    value = reader.steadiness(question.generator, stick)
    return [
        Number("steadiness", "steadiness (1: turns with the camera)", value, "high"),
        Number("reader_error_degrees", "the pose reader's own error on photographs", error, "low", unit="degrees"),
    ]


def frechet_pose(question: Question) -> list[Number]:
    """Frechet distance in the pose reader's features, beside that of the untrained generator."""
    if question.count < 128:
        raise BadInput(f"--count {question.count}: frechet-pose wants at least 128 pictures")
    stick, untrained = yardstick(question.data), fresh(question.experiment).generator.eval()
    device = next(question.generator.parameters()).device
    before, after = (reader.distance(g.to(device), stick, question.count) for g in (untrained, question.generator))
    return [
        Number("frechet_pose", "Frechet distance", after, "low", by="pose reader"),
        Number("frechet_pose_untrained", "  the same, untrained", before, "low"),
        Number("frechet_pose_photographs", "  the same, between photographs", stick.floor, "low"),
    ]


def agreement(question: Question) -> list[Number]:
    """Reprojection error between neighbouring views."""
    found = consistency(question.generator, size=question.size, psi=question.psi, seed=question.seed)
    apart = f"views {found.degrees:.0f} degrees apart"
    return [
        Number("consistency_psnr", f"view consistency ({apart})", found.psnr, "high", unit="dB"),
        Number("consistency_absolute", "  mean absolute error of colours", found.absolute, "low"),
        Number("consistency_depth", "  median relative difference of depths", found.depth, "low"),
        Number("consistency_visible", "  share of pixels that could be compared", found.visible, "high"),
    ]


def sameness(question: Question) -> list[Number]:
    """Cosine similarity of an embedding between views of one latent, beside that of different ones."""
    if question.embedding is None:
        raise BadInput("identity wants an embedding: --mobilefacenet FILE")
    by = question.embedding()
    found = identity(question.generator, by, size=question.size, psi=question.psi, seed=question.seed)
    return [
        Number("identity", "identity across views", found.same, "high", by=by.name),
        Number("identity_of_others", "  the same, of different latents", found.other, "low"),
    ]


ASKED: dict[str, Callable[[Question], list[Number]]] = {
    "steadiness": steadiness,
    "frechet-pose": frechet_pose,
    "consistency": agreement,
    "identity": sameness,
}


def fitting(generator: Generator, data: str) -> list[str]:
    """The metrics that can be asked of a generator without being told more."""
    known = data.startswith(SYNTHETIC) and data.removeprefix(SYNTHETIC) in SETS
    turning = ["steadiness", "frechet-pose"] if known and generator.orbit is not None else []
    return turning + (["consistency"] if generator.march is not None else [])


def yardstick(data: str) -> reader.Yardstick:
    """The pose reader of an embedded set; BadInput for other data."""
    name = data.removeprefix(SYNTHETIC)
    if not data.startswith(SYNTHETIC) or name not in SETS:
        known = ", ".join(SYNTHETIC + known for known in SETS)
        raise BadInput(f"--data {data}: steadiness and frechet-pose need pictures whose poses are known: {known}")
    return reader.yardstick(name)
