"""Encodings of coordinates against their formulas."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from genscene.layers.encoding import (
    fourier_features,
    frequency_bands,
    official_encoding,
    positional_encoding,
    spherical_harmonics,
)

POINTS = st.lists(st.tuples(*[st.floats(-2, 2)] * 3), min_size=1, max_size=5)
SPACINGS = st.sampled_from(["log", "linear"])
law = settings(max_examples=40)


def bands(octaves, spacing):
    """The frequencies, one by one."""
    if spacing == "log":
        return [2.0**k for k in range(octaves)]
    last = 2.0 ** (octaves - 1)
    return [1 + (last - 1) * k / max(1, octaves - 1) for k in range(octaves)]


@pytest.mark.parametrize("octaves", [1, 2, 5, 10])
@pytest.mark.parametrize("spacing", ["log", "linear"])
def test_frequency_bands_are_powers_of_two_or_evenly_spaced(octaves, spacing):
    found = frequency_bands(octaves, torch.zeros(1, dtype=torch.float64), spacing)
    assert_close(found, torch.tensor(bands(octaves, spacing), dtype=torch.float64))
    assert found[0] == 1
    assert found[-1] == 2.0 ** (octaves - 1)


@law
@given(points=POINTS, octaves=st.integers(1, 6), spacing=SPACINGS)
def test_positional_encoding_is_equation_4_of_nerf(points, octaves, spacing):
    """sin and cos of pi 2^k x: for each band the sines of all coordinates, then their cosines."""
    x = torch.tensor(points, dtype=torch.float64)
    wanted = [
        [
            f(math.pi * band * value)
            for band in bands(octaves, spacing)
            for f in (math.sin, math.cos)
            for value in row
        ]
        for row in points
    ]
    found = positional_encoding(x, octaves, spacing)
    assert found.shape == (len(points), 6 * octaves)
    assert_close(found, torch.tensor(wanted, dtype=torch.float64), atol=1e-9, rtol=0)


@law
@given(points=POINTS, octaves=st.integers(0, 6), spacing=SPACINGS)
def test_the_official_encoding_has_the_coordinates_and_no_pi(points, octaves, spacing):
    x = torch.tensor(points, dtype=torch.float64)
    found = official_encoding(x, octaves, spacing)
    assert torch.equal(found[:, :3], x)
    if octaves:
        wanted = positional_encoding(x / math.pi, octaves, spacing)
        assert_close(found[:, 3:], wanted, atol=1e-9, rtol=0)
    assert found.shape == (len(points), 3 + 6 * octaves)


def test_fourier_features_take_any_leading_shape():
    x = torch.randn(2, 4, 5, 2)
    found = fourier_features(x, torch.tensor([1.0, 3.0, 4.0]))
    assert found.shape == (2, 4, 5, 12)
    assert_close(found[..., 4:6], (3 * x).sin())
    assert_close(found[..., 6:8], (3 * x).cos())


def test_spherical_harmonics_are_orthonormal():
    directions = torch.nn.functional.normalize(torch.randn(200_000, 3, dtype=torch.float64), dim=-1)
    for degree in range(3):
        basis = spherical_harmonics(directions, degree)
        count = (degree + 1) ** 2
        assert basis.shape == (len(directions), count)
        gram = 4 * math.pi * basis.mT @ basis / len(directions)
        assert_close(gram, torch.eye(count, dtype=torch.float64), atol=0.02, rtol=0)
