"""Scenes learnt from the same photographs, compared on those that were kept from all of them."""

from collections.abc import Sequence
from dataclasses import asdict, replace

import torch
from torch import Tensor

from genscene.data.sources import posed_images
from genscene.errors import BadInput
from genscene.evaluation.bootstrap import mean_resamples
from genscene.evaluation.contest import Draw, cells_of
from genscene.evaluation.desk import Subject
from genscene.evaluation.exhibit import kinds
from genscene.evaluation.photographs import Compared, compared
from genscene.evaluation.report import Column, Gallery, Report, Row, Strip
from genscene.experiment.schema import Experiment

SHOWN, WIDEST = 4, 320  # photographs on the page, and their longer side in pixels
REMARK = (
    "An interval is of the mean over photographs like these: about 95 of 100 such intervals hold it, fewer where the "
    "photographs are few. Found by drawing them again from themselves; differences are paired by photograph. It says "
    "nothing of a scene trained again from another seed."
)


def photographed(subjects: Sequence[Subject], data: str, draw: Draw, title: str = "") -> Report:
    """PSNR and SSIM on held-out photographs -> the report; all scenes must have kept the same ones from training."""
    experiments = [aligned(subject, data) for subject in subjects]
    first = experiments[0]
    for subject, experiment in zip(subjects, experiments, strict=True):
        if apart(first, experiment):
            raise BadInput(
                f"{subject.name} and {subjects[0].name} were not learnt alike: {apart(first, experiment)}"
            )
    album = posed_images(first, "val")
    found = []
    for subject in subjects:
        assert subject.generator is not None
        found.append(list(compared(subject.generator, album)))
    psnr, ssim = (
        [torch.tensor([getattr(c, name) for c in each]) for each in found] for name in ("psnr", "ssim")
    )
    counts = (20 * draw.resamples, draw.seed)
    table = [cells_of(mean_resamples(values, *counts), "high") for values in (psnr, ssim)]
    names = [subject.name for subject in subjects]
    height, width = album.camera.size
    rows = [
        Row(n, line, kind)
        for n, line, kind in zip(names, zip(*table, strict=True), kinds(subjects), strict=True)
    ]
    return Report(
        title or " and ".join(names),
        f"{len(album)} photographs of {first.data} that none of these was shown, {width}x{height} pixels.",
        (Column("PSNR", False, 2, "dB", key="psnr"), Column("SSIM", False, 4, key="ssim")),
        tuple(rows),
        galleries(names, found),
        (),
        protocol(first),
        (REMARK,),
    )


def aligned(subject: Subject, data: str) -> Experiment:
    """A subject's experiment, on other data where that is asked for."""
    assert subject.experiment is not None
    return replace(subject.experiment, data=data or subject.experiment.data)


def apart(one: Experiment, other: Experiment) -> str:
    """What makes the held-out photographs of two experiments different ones; nothing where they are the same."""
    sides = {
        "data": (one.data, other.data),
        "photographs": tuple(asdict(replace(e.posed, batching="all", precrop_steps=0)) for e in (one, other)),
        "background": (one.images.background, other.images.background),
    }
    return "; ".join(f"{name}: {a} and {b}" for name, (a, b) in sides.items() if a != b)


def galleries(names: Sequence[str], found: Sequence[list[Compared]]) -> tuple[Gallery, ...]:
    """A few photographs, and each scene's rendering in their place."""
    every = range(0, len(found[0]), -(-len(found[0]) // SHOWN))
    strips = [Strip("photograph", small(torch.stack([found[0][i].photo for i in every])))]
    strips += [
        Strip(n, small(torch.stack([each[i].image for i in every])))
        for n, each in zip(names, found, strict=True)
    ]
    return (Gallery("Photographs that were not learnt", tuple(strips)),)


def small(images: Tensor) -> Tensor:
    """Pictures [n, 3, H, W] of at most so many pixels a side."""
    factor = max(1.0, max(images.shape[-2:]) / WIDEST)
    size = [round(side / factor) for side in images.shape[-2:]]
    return torch.nn.functional.interpolate(images, size, mode="area") if factor > 1 else images


def protocol(experiment: Experiment) -> dict[str, str]:
    """All that makes the numbers comparable with others."""
    return {
        "data": experiment.data,
        "split": "val",
        "background": experiment.images.background,
        "rounding": "8 bits a channel, sRGB",
        "SSIM": "Gaussian window 1.5, 11 pixels, biased covariance, mean over channels",
        **{f"photographs: {name}": str(value) for name, value in asdict(experiment.posed).items()},
    }
