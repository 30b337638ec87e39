"""Input features: their spectra and principal components; pictures without some of them; the mean style."""

import math
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from conftest import tiny
from genscene.apps.analysis.features import (
    components_picture,
    feature_spectrum,
    input_features,
    mean_style_picture,
    pictures_without,
    principal_components,
    spectra_figure,
)
from genscene.apps.interpolate import styles_of_seeds
from genscene.experiment.serialise import build_seeded
from genscene.geometry.cameras import Grid
from genscene.layers.mapping import update_w_avg
from genscene.metrics.spectrum import mean_spectrum
from genscene.systems.cips.generator import CIPSGenerator, CIPSGeneratorConfig
from genscene.systems.cips.network import CIPSNetworkConfig

KINDS = ["Fourier features", "embeddings"]


@pytest.fixture
def cips():
    """A small CIPS with new weights."""
    generator = build_seeded(tiny("cips-ffhq-256")).generator.eval()
    update_w_avg(generator)
    return generator


def test_components_of_three_sources_recover_them():
    sources = torch.randn(3, 20, 30, dtype=torch.float64)
    mixed = torch.einsum("ck,khw->chw", torch.randn(8, 3, dtype=torch.float64), sources) + 5
    components, shares = principal_components(mixed.float())
    assert components.shape == (3, 20, 30)
    assert shares.sum().item() == pytest.approx(1)
    assert (shares.diff() <= 0).all()
    centered = sources.flatten(1) - sources.flatten(1).mean(dim=1, keepdim=True)
    fitted = torch.linalg.lstsq(components.flatten(1).mT, centered.mT).solution
    assert_close(components.flatten(1).mT @ fitted, centered.mT, atol=1e-5, rtol=0)
    covariance = components.flatten(1) @ components.flatten(1).mT
    assert_close(covariance, covariance.diagonal().diag(), atol=1e-3, rtol=0)
    again, _ = principal_components(mixed.float())
    assert torch.equal(components, again)


def test_the_sign_of_a_component_is_that_of_its_strongest_channel():
    ramp = torch.linspace(-1, 1, 12).expand(6, 12)
    for sign in (1, -1):
        components, shares = principal_components(sign * torch.stack([ramp, -3 * ramp]))
        assert_close(components[0].float(), -sign * math.sqrt(10) * ramp, atol=1e-5, rtol=0)
        assert_close(shares.float(), torch.tensor([1.0, 0, 0]), atol=1e-6, rtol=0)
        assert not components[2].any()
        picture = components_picture(components)
        assert picture.shape == (3, 6, 12)
        assert_close(picture[0, :, [0, -1]], torch.tensor([0.5 + sign / 2, 0.5 - sign / 2]).expand(6, 2))
        assert (picture[1:] == 0.5).all()  # a component that is rounding is not enlarged
    assert (components_picture(torch.zeros(3, 4, 4, dtype=torch.float64)) == 0.5).all()


def test_the_spectrum_of_features_is_the_mean_of_their_channels():
    x = torch.arange(16) * 2 * math.pi / 16
    waves = torch.stack([(2 * x).cos().expand(16, 16), (5 * x).cos().expand(16, 16).mT])
    found = feature_spectrum(waves).magnitude
    assert (found > -100).nonzero().tolist() == [[3, 8], [8, 6], [8, 10], [13, 8]]
    assert found[8, 6].item() == pytest.approx(20 * math.log10(1 / 2 / 2), abs=1e-4)


def test_spectra_share_a_scale_that_frequency_0_does_not_enter():
    quiet, loud = torch.ones(1, 8, 8), torch.full((1, 8, 8), 100.0)
    loud[0, 4, 4] = 1e9
    figure = spectra_figure("title", {"a": mean_spectrum([quiet]), "b": mean_spectrum([loud])})
    low, high = figure.scale
    assert high - low == pytest.approx(20)
    assert figure.pictures.shape == (1, 2, 3, 8, 8)
    assert_close(figure.pictures[0, 1, :, 0, 0], figure.pictures[0, 1, :, 4, 4])
    spectra_figure("title", {"a": mean_spectrum([torch.zeros(1, 1, 1)])})


def test_input_features_are_what_the_network_is_given(cips):
    found = input_features(cips, (12, 10))
    assert list(found) == KINDS
    inputs = cips.network.inputs(cips.coords(Grid.whole(1, (12, 10))).flatten(2).mT, "border")
    assert_close(torch.cat(list(found.values())), inputs[0].mT.unflatten(-1, (12, 10)))
    assert input_features(build_seeded(tiny("pigan-demo")).generator, (4, 4)) == {}


@torch.no_grad()
def test_of_a_cylinder_one_picture_is_looked_at():
    network = CIPSNetworkConfig(features=8, embedding_size=(6, 18), frames=3, widths=(8, 4))
    generator = CIPSGenerator(CIPSGeneratorConfig(16, 2, network=network, size=(6, 6))).eval()
    found = input_features(generator, (6, 6))
    assert {kind: tuple(x.shape) for kind, x in found.items()} == dict.fromkeys(KINDS, (8, 6, 6))
    pictures = pictures_without(generator, styles_of_seeds(generator, [0]), KINDS, (6, 6))
    assert pictures.shape == (3, 1, 3, 6, 6)


@torch.no_grad()
def test_pictures_without_features_are_those_of_weights_that_are_0(cips):
    w = styles_of_seeds(cips, [0, 1])
    whole, blind, smooth = pictures_without(cips, w, KINDS, (8, 8))
    view = Grid.whole(2, (8, 8))
    assert_close(whole, cips.render(cips.bind(w), view).image)
    assert (blind - whole).abs().max() > 1e-3
    cips.network.embedding.table.zero_()
    assert_close(smooth, cips.render(cips.bind(w), view).image)
    cips.network.fourier.linear.weight.zero_()
    flat = cips.render(cips.bind(w), view).image
    assert_close(flat, flat[..., :1, :1].expand_as(flat))
    assert_close(cips.render(replace(cips.bind(w), zeroed=tuple(KINDS)), view).image, flat)


@pytest.mark.parametrize("name", ["cips-ffhq-256", "pigan-demo"])
@torch.no_grad()
def test_the_mean_style_is_that_of_every_seed_at_psi_0(name):
    generator = build_seeded(tiny(name)).generator.eval()
    update_w_avg(generator)
    picture = mean_style_picture(generator, (6, 6))
    assert picture.shape == (3, 6, 6)
    w = styles_of_seeds(generator, [7], psi=0.0)
    assert_close(generator.render(generator.bind(w), generator.prior.sweep(1, (6, 6))).image[0], picture)
