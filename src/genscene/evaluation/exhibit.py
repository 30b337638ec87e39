"""What a comparison shows beside its numbers: pictures of all generators, charts, and how all of it was got."""

from collections.abc import Sequence

from PIL import Image

from genscene import __version__
from genscene.evaluation.desk import Desk, Sides, Subject
from genscene.evaluation.figures import (
    PRECISION_AXES,
    SPECTRUM_AXES,
    USUAL,
    beside,
    plenty,
    precision_curve,
    some,
    spectra,
)
from genscene.evaluation.measures import SPECTRUM
from genscene.evaluation.page import encoded
from genscene.evaluation.report import Chart, Gallery, Strip
from genscene.evaluation.sides import Lot, Stored
from genscene.export.charts import drawn


def kinds(subjects: Sequence[Subject]) -> list[str]:
    """What each subject is: its system and how many weights it has."""
    return [kind(subject) for subject in subjects]


def kind(subject: Subject) -> str:
    """A system and its weights, or a place of pictures."""
    if subject.generator is None or subject.experiment is None:
        return "pictures"
    weights = sum(parameter.numel() for parameter in subject.generator.parameters())
    return f"{type(subject.experiment.system).__name__.removesuffix('Config')}, {weights:,} weights"


def galleries(
    names: Sequence[str], lots: Sequence[Lot], reals: Stored | None, fakes: Sequence[Sides], real: Sides
) -> tuple[Gallery, ...]:
    """Generators side by side, and each beside the real pictures it comes closest to."""
    key = seen_by(real)
    if reals is None or key is None:
        return (Gallery("Pictures", tuple(Strip(n, some(lot)) for n, lot in zip(names, lots, strict=True))),)
    found = [beside(lot, fake[key], real[key], reals) for lot, fake in zip(lots, fakes, strict=True)]
    side_by_side = Gallery(
        "Pictures",
        (Strip("real", some(reals)), *(Strip(n, each.fake) for n, each in zip(names, found, strict=True))),
        "The first pictures of each, not chosen; generators of one system share latents and cameras column by column.",
    )
    copies = tuple(
        Gallery(
            f"{name}: nearest real pictures",
            (Strip("generated", each.fake), Strip("nearest real", each.nearest)),
            "Were the generator to repeat what it was shown, both rows would be the same.",
        )
        for name, each in zip(names, found, strict=True)
    )
    return (side_by_side, *copies)


def charts(names: Sequence[str], fakes: Sequence[Sides], real: Sides) -> tuple[Chart, ...]:
    """Precision against recall, and spectra."""
    found, key = [], seen_by(real)
    if key is not None and all(plenty(fake[key], real[key]) for fake in fakes):
        curves = {
            name: precision_curve(fake[key], real[key]) for name, fake in zip(names, fakes, strict=True)
        }
        image = drawn(curves, PRECISION_AXES, dict.fromkeys(curves, USUAL))
        found.append(chart(PRECISION_AXES.title, image))
    if SPECTRUM in real:
        sides = {name: fake[SPECTRUM] for name, fake in zip(names, fakes, strict=True)}
        found.append(chart(SPECTRUM_AXES.title, drawn(spectra(sides, real[SPECTRUM]), SPECTRUM_AXES)))
    return tuple(found)


def chart(title: str, image: Image.Image) -> Chart:
    """A drawing for a page."""
    return Chart(title, encoded(image), image.width // 2)


def settings(desk: Desk, fakes: Sequence[Sides], real: Sides) -> dict[str, str]:
    """All that makes the numbers comparable with others."""
    found = {"genscene": __version__, "truncation psi": f"{desk.task.protocol.psi:g}", "seed": str(desk.seed)}
    for key, statistics in real.items():
        for name, value in statistics.protocol.items():
            own = name in ("extractor", "weights", "layer", "resize")
            found[f"{name} ({key})" if own else name] = value
    for key, statistics in list(real.items())[:1]:
        found |= {f"real: {name}": str(value) for name, value in statistics.notes.items()}
        for i, fake in enumerate(fakes, 1):
            found |= {f"generator {i}: {name}": str(value) for name, value in fake[key].notes.items()}
    return found


def seen_by(sides: Sides) -> str | None:
    """The first extractor that sees pictures as a whole."""
    return next((name for name in sides if name != SPECTRUM), None)
