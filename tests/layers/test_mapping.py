"""Mapping networks: styles, their mean, truncation."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from genscene.layers.mapping import W_AVG_SAMPLES, MappingNetwork, update_w_avg
from genscene.randomness import RandomStreams


def mapping(latent="gaussian"):
    network = nn.Sequential(nn.Linear(5, 7), nn.LeakyReLU(0.2), nn.Linear(7, 12))
    return MappingNetwork(network, 5, (2, 3, 2), latent)


def latents(mapped, seeds=range(4)):
    return mapped.latents(RandomStreams(seeds), 5)


def test_styles_have_the_given_shape():
    mapped = mapping()
    z = latents(mapped)
    assert_close(mapped(z), mapped.network(z).view(4, 2, 3, 2))


@settings(max_examples=20)
@given(psi=st.floats(-1, 2))
def test_truncation_interpolates_from_the_mean_style(psi):
    torch.manual_seed(0)
    mapped = mapping()
    update_w_avg(mapped)
    z = latents(mapped)
    w = mapped(z)
    assert_close(mapped(z, psi), mapped.w_avg + psi * (w - mapped.w_avg))


def test_without_truncation_the_style_is_that_of_the_network_and_at_0_it_is_the_mean():
    mapped = mapping()
    update_w_avg(mapped)
    z = latents(mapped)
    assert torch.equal(mapped(z, 1.0), mapped.network(z).view(4, 2, 3, 2))
    assert_close(mapped(z, 0.0), mapped.w_avg.expand(4, 2, 3, 2))


@pytest.mark.parametrize("latent", ["gaussian", "uniform"])
def test_w_avg_is_the_mean_style_of_the_latents(latent):
    mapped = mapping(latent)
    assert mapped.w_avg.abs().max() == 0
    update_w_avg(mapped)
    z = latents(mapped, range(1000, 1000 + W_AVG_SAMPLES))
    w = mapped(z).detach()
    assert_close(mapped.w_avg, w.mean(dim=0), atol=6 * float(w.std(dim=0).max()) / W_AVG_SAMPLES**0.5, rtol=0)


def test_w_avg_is_computed_from_fixed_latents():
    mapped = mapping()
    update_w_avg(mapped)
    before = mapped.w_avg.clone()
    torch.manual_seed(1)
    update_w_avg(mapped)
    assert torch.equal(mapped.w_avg, before)
    with torch.no_grad():
        mapped.network[2].bias.add_(1)
    update_w_avg(mapped)
    assert_close(mapped.w_avg, before + 1)


def test_w_avg_of_every_mapping_network_in_a_module_is_updated():
    both = nn.ModuleList([mapping(), mapping()])
    update_w_avg(both)
    assert all(mapped.w_avg.abs().max() > 0 for mapped in both)


def test_the_mean_of_latents_that_are_the_style_stays_zero():
    mapped = MappingNetwork(nn.Identity(), 5, (5,))
    update_w_avg(mapped)
    assert mapped.w_avg.abs().max() == 0
    z = latents(mapped)
    assert_close(mapped(z, 0.5), z / 2)


def test_latents_have_the_given_distribution():
    uniform, gaussian = (
        mapping(latent).latents(RandomStreams([0]), 10_000) for latent in ("uniform", "gaussian")
    )
    assert uniform.min() >= -1
    assert uniform.max() < 1
    assert abs(uniform.std() - 3**-0.5) < 0.02
    assert abs(gaussian.std() - 1) < 0.02


def test_styles_are_not_rounded_by_autocast():
    mapped = mapping()
    z = latents(mapped)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(mapped(z), mapped(z.clone()))
        assert mapped(z).dtype == torch.float32
    exact = mapped(z)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(mapped(z), exact)
