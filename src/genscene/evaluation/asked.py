"""Metrics that ask the generator itself: does it turn things as the camera turns, do they stay what they are."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from genscene.contract import Generator
from genscene.data.images import SYNTHETIC
from genscene.data.synthetic import SETS
from genscene.errors import BadInput
from genscene.evaluation import reader
from genscene.evaluation.measures import Number
from genscene.evaluation.sides import fingerprint
from genscene.evaluation.views import consistency, identity
from genscene.experiment.schema import Experiment
from genscene.experiment.serialise import build_seeded
from genscene.geometry.cameras import Camera, Size
from genscene.geometry.priors import CameraPrior
from genscene.metrics.networks.extractor import Extractor

LATENTS, YAWS = 32, 12  # that steadiness turns, and all round
PAIRS, ANGLE, TOLERANCE = 64, 15.0, 0.05  # of consistency: scenes, degrees, relative difference of depths
FACES = 256  # latents of identity, of which each is seen twice
STRAIGHT = 1.0  # psi of what the pose reader looks at, whatever is asked for


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
    cameras: Camera | None = None


def steadiness(question: Question) -> list[Number]:
    """Whether the yaw that was asked for stands in the picture; the set's poses must be known."""
    stick = yardstick(question.data)
    error = torch.rad2deg(torch.tensor(stick.error)).item()
    value = reader.steadiness(question.generator, stick, LATENTS, YAWS)
    numbers = [
        Number("steadiness", "steadiness (1: turns with the camera)", value, "high"),
        Number(
            "reader_error_degrees", "the pose reader's own error on photographs", error, "low", unit="degrees"
        ),
    ]
    return told(numbers, question, "steadiness", psi=STRAIGHT, latents=LATENTS, yaws=YAWS, **read(question))


def frechet_pose(question: Question) -> list[Number]:
    """Frechet distance in the pose reader's features, beside that of the untrained generator."""
    if question.count < 128:
        raise BadInput(f"--count {question.count}: frechet-pose wants at least 128 pictures")
    stick, untrained = yardstick(question.data), build_seeded(question.experiment).generator.eval()
    device = next(question.generator.parameters()).device
    before, after = (
        reader.distance(g.to(device), stick, question.count) for g in (untrained, question.generator)
    )
    numbers = [
        Number("frechet_pose", "Frechet distance", after, "low", by="pose reader"),
        Number("frechet_pose_untrained", "  the same, untrained", before, "low"),
        Number("frechet_pose_photographs", "  the same, between photographs", stick.floor, "low"),
    ]
    return told(numbers, question, "frechet-pose", psi=STRAIGHT, pictures=question.count, **read(question))


def agreement(question: Question) -> list[Number]:
    """Reprojection error between neighbouring views."""
    size, psi, seed = question.size, question.psi, question.seed
    found = consistency(question.generator, PAIRS, size, ANGLE, psi, seed, TOLERANCE, question.cameras)
    apart = f"views {found.degrees:.0f} degrees apart"
    numbers = [
        Number("consistency_psnr", f"view consistency ({apart})", found.psnr, "high", unit="dB"),
        Number("consistency_absolute", "  mean absolute error of colours", found.absolute, "low"),
        Number("consistency_depth", "  median relative difference of depths", found.depth, "low"),
        Number("consistency_visible", "  share of pixels that could be compared", found.visible, "high"),
    ]
    how = {"pairs": PAIRS, "pairs_compared": found.pairs, "angle": ANGLE, "degrees": found.degrees}
    return told(numbers, question, "consistency", psi=psi, seed=seed, size=size, tolerance=TOLERANCE, **how)


def sameness(question: Question) -> list[Number]:
    """Cosine similarity of an embedding between views of one latent, beside that of different ones."""
    if question.embedding is None:
        raise BadInput("identity wants an embedding: --mobilefacenet FILE")
    by = question.embedding()
    size, psi, seed = question.size, question.psi, question.seed
    found = identity(question.generator, by, FACES, size, psi, seed)
    numbers = [
        Number("identity", "identity across views", found.same, "high", by=by.name),
        Number("identity_of_others", "  the same, of different latents", found.other, "low"),
    ]
    return told(numbers, question, "identity", psi=psi, seed=seed, size=size, latents=FACES, **by.protocol())


def told(numbers: list[Number], question: Question, metric: str, **how: object) -> list[Number]:
    """The same numbers, the first with what all of them depend on."""
    asked = {"metric": metric, "generator": fingerprint(question.generator), **how}
    return [replace(numbers[0], asked=asked), *numbers[1:]]


def read(question: Question) -> dict[str, object]:
    """What the pose reader was taught on, and what it looks at."""
    return {"data": question.data, "reader": reader.VERSION, "size": (reader.SIZE, reader.SIZE)}


ASKED: dict[str, Callable[[Question], list[Number]]] = {
    "steadiness": steadiness,
    "frechet-pose": frechet_pose,
    "consistency": agreement,
    "identity": sameness,
}


def fitting(generator: Generator, data: str) -> list[str]:
    """The metrics that can be asked of a generator without being told more."""
    known = data.startswith(SYNTHETIC) and data.removeprefix(SYNTHETIC) in SETS
    turning = ["steadiness", "frechet-pose"] if known and isinstance(generator.prior, CameraPrior) else []
    return turning + (["consistency"] if generator.bounds is not None else [])


def yardstick(data: str) -> reader.Yardstick:
    """The pose reader of an embedded set; BadInput for other data."""
    name = data.removeprefix(SYNTHETIC)
    if not data.startswith(SYNTHETIC) or name not in SETS:
        known = ", ".join(SYNTHETIC + known for known in SETS)
        raise BadInput(
            f"--data {data}: steadiness and frechet-pose need pictures whose poses are known: {known}"
        )
    return reader.yardstick(name)
