"""What a generator has learned: spectra of pictures and of input features, pictures without some of these."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from genscene.apps.directions.principal import principal_axes
from genscene.contract import DEFAULT_OPTIONS, Generator, RenderOptions
from genscene.evaluation.image_sources import ImageSource
from genscene.export.panels import Figure, color
from genscene.geometry.cameras import Camera, Grid, Size
from genscene.layers.mapping import style_count, take_styles
from genscene.metrics.spectrum import MeanSpectrum, mean_spectrum, power_spectrum
from genscene.randomness import RandomStreams
from genscene.render.canvas import CanvasGenerator

BATCH = 8  # pictures that are rendered at once
DEEPEST = 90.0  # dB below the brightest of some spectra, from which on all is black
SHOWN = (0.01, 0.99)  # quantiles of a component that are dark and bright
LEAST_SPAN = 1e-6  # of the largest component's, below which a component is rounding


def picture_spectrum(source: ImageSource) -> MeanSpectrum:
    """The mean spectrum of all pictures of a source, in gray."""
    starts = range(0, len(source), BATCH)
    parts = (source.read(range(start, min(start + BATCH, len(source)))) for start in starts)
    images = (image.cpu().double() / 255 for part in parts for image in part)
    return mean_spectrum(power_spectrum(image[None]) for image in images)


def feature_spectrum(features: Tensor) -> MeanSpectrum:
    """Features of pixels [C, N, N] -> the mean spectrum of their channels (CIPS, fig. 4)."""
    return mean_spectrum(power_spectrum(channel[None, None].cpu(), (1.0,)) for channel in features)


def spectra_figure(title: str, spectra: Mapping[str, MeanSpectrum]) -> Figure:
    """Mean magnitudes by name, side by side on one scale, which frequency 0 does not enter (CIPS, fig. 7)."""
    found = torch.stack([each.magnitude for each in spectra.values()])
    others = torch.ones_like(found[0], dtype=torch.bool)
    others[found.shape[1] // 2, found.shape[2] // 2] = False
    high = float(found[:, others].max()) if others.any() else 0.0
    low = max(float(found[:, others].min()), high - DEEPEST) if others.any() else high
    pictures = color((found - low) / max(high - low, 1e-6))[None]
    note = f"frequency 0 in the middle, {found.shape[1] // 2} cycles per picture at the borders"
    return Figure(title, note, pictures, columns=list(spectra), scale=(low, high), unit="dB")


@torch.no_grad()
def input_features(generator: Generator, size: Size) -> dict[str, Tensor]:
    """By kind what a generator's network is given of each pixel [C, H, W], on the CPU; none of most."""
    if not isinstance(generator, CanvasGenerator):
        return {}
    view = one_view(generator, size)
    assert isinstance(view, Grid)
    found = generator.input_features(view)
    return {kind: features.cpu() for kind, features in found.items()}


def principal_components(features: Tensor, count: int = 3) -> tuple[Tensor, Tensor]:
    """Features [C, H, W] -> principal components [count, H, W], and their shares of the variance [count].

    The pixels are the samples. An axis has the sign that makes its largest entry positive; components beyond
    C are 0.
    """
    samples = features.flatten(1).cpu().double().mT
    axes, variances = principal_axes(samples, count)
    missing = count - len(axes)
    shares = pad(variances[: len(axes)], (0, missing)) / variances.sum().clamp_min(1e-30)
    components = axes @ (samples - samples.mean(dim=0)).mT
    return pad(components, (0, 0, 0, missing)).unflatten(-1, features.shape[1:]), shares


def components_picture(components: Tensor) -> Tensor:
    """Three components [3, H, W] as red, green, blue, 0 to 1, each between its quantiles (CIPS, fig. 5)."""
    low, high = torch.from_numpy(np.quantile(components.flatten(1).numpy(), SHOWN, axis=1))[..., None, None]
    span = high - low
    shown = ((components - low) / span.clamp_min(1e-30)).clamp(0, 1)
    return torch.where(span > LEAST_SPAN * span.max(), shown, 0.5).float()


@torch.no_grad()
def pictures_without(
    generator: Generator, w: Any, kinds: Sequence[str], size: Size, options: RenderOptions = DEFAULT_OPTIONS
) -> Tensor:
    """S styles -> pictures [1 + K, S, 3, H, W]: whole, then each kind of features zeroed (CIPS, fig. 6)."""
    view, rows = one_view(generator, size), []
    for zeroed in ((), *((kind,) for kind in kinds)):
        scenes: list[Any] = [generator.bind(take_styles(w, slice(s, s + 1))) for s in range(style_count(w))]
        changed = (replace(scene, zeroed=zeroed) for scene in scenes)
        rows.append(torch.cat([generator.render(scene, view, options).image.cpu() for scene in changed]))
    return torch.stack(rows)


@torch.no_grad()
def mean_style_picture(generator: Generator, size: Size, options: RenderOptions = DEFAULT_OPTIONS) -> Tensor:
    """The picture of the mean style [3, H, W], from the middle of the prior of views (CIPS, fig. 3)."""
    streams = RandomStreams([0], next(generator.parameters()).device)
    scene = generator.scene(generator.latents(streams), 0.0)
    return generator.render(scene, one_view(generator, size), options).image[0].cpu()


def one_view(generator: Generator, size: Size) -> Camera | Grid:
    """The middle view of a prior, on the generator's device; of a cylinder a picture, not all around."""
    device = next(generator.parameters()).device
    if isinstance(generator, CanvasGenerator):
        return generator.prior.sample(RandomStreams([0], device), size).to(device)
    return generator.prior.sweep(1, size).to(device)
