"""Scores of functions fitted to a picture: PSNR, SSIM, and the size of their weights."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from genscene.contract import Generator
from genscene.data.pictures import load_picture
from genscene.errors import BadInput
from genscene.evaluation.held_out_views import COMPARED_BY, rounded
from genscene.evaluation.report import Report, Row, Score
from genscene.evaluation.session import EvaluatedModel
from genscene.geometry.cameras import Grid
from genscene.metrics.image import WANG, psnr, ssim
from genscene.randomness import RandomStreams
from genscene.systems.image.system import BITS
from genscene.version import __version__


@torch.no_grad()
def render_at(generator: Generator, pixels: Tensor) -> Tensor:
    """The picture of a generator at the size of pixels [3, H, W] -> [3, H, W], rounded to 8 bits."""
    size, device = (pixels.shape[1], pixels.shape[2]), next(generator.parameters()).device
    scene = generator.scene(generator.latents(RandomStreams([0], device)))
    return rounded(generator.render(scene, Grid.whole(1, size).to(device)).image)[0]


def picture_psnr(image: Tensor, pixels: Tensor) -> float:
    """PSNR in decibels of a rendering [3, H, W] of the picture with these pixels."""
    return float(psnr((image - pixels).square().mean()))


def picture_scores(generator: Generator, image: Tensor, pixels: Tensor) -> dict[str, Score]:
    """The scores of a generator whose rendering [3, H, W] is compared with pixels [3, H, W]."""
    bits = BITS * sum(weights.numel() for weights in generator.parameters()) / pixels[0].numel()
    scores = [Score("psnr", "PSNR", picture_psnr(image, pixels), "high", unit="dB", digits=2)]
    if min(pixels.shape[1:]) >= WANG.side:
        scores.append(Score("ssim", "SSIM", ssim(image, pixels), "high", digits=4))
    scores.append(Score("bits_per_pixel", "bits of weights a pixel", bits, "low", digits=2))
    return {score.key: score for score in scores}


def evaluate_pictures(models: Sequence[EvaluatedModel], data: str = "") -> Report:
    """The report on functions that were fitted to one picture; data: where this is now, if it was moved."""
    first, rows, strips = models[0].experiment, [], list[tuple[str, Tensor]]()
    assert first is not None
    picture = load_picture(replace(first, data=data or first.data))
    for model in models:
        generator, experiment = model.generator, model.experiment
        assert generator is not None
        assert experiment is not None
        size, own = picture.shape, experiment.stages[0].size
        if own != size:
            fitted = f"{model.name} was fitted to {own[1]}x{own[0]} pixels"
            raise BadInput(
                f"{fitted}, the picture {data or first.data} has {size[1]}x{size[0]}: wanted as many"
            )
        image = render_at(generator, picture.pixels)
        strips += [] if strips else [("picture", picture.pixels[None])]
        strips.append((model.name, image[None]))
        rows.append(Row(model.name, picture_scores(generator, image, picture.pixels), model.description))
    height, width = picture.shape
    data = data or first.data
    table = {"genscene": __version__, "data": data, "size": f"{height}x{width}", **COMPARED_BY}
    summary = f"The pixels of {data}, {width}x{height}, which were fitted."
    return Report(", ".join(model.name for model in models), summary, rows, table, strips=strips)
