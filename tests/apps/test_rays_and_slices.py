"""What is along a ray, slices, truncation, enlarged views: laws of their numbers on known fields."""

import math

import pytest
import torch

from conftest import tiny
from genscene.apps.analysis.features import one_view
from genscene.apps.analysis.fields import (
    SLAB,
    enlarged,
    most_detailed,
    slice_field,
    slice_pictures,
    style_pictures,
)
from genscene.apps.analysis.rays import DENSE, profile_ray
from genscene.apps.interpolate import styles_of_seeds
from genscene.contract import RenderOptions
from genscene.errors import BadInput
from genscene.experiment.serialise import build_seeded
from genscene.layers.mapping import update_w_avg
from genscene.randomness import RandomStreams
from genscene.render.march import activate_density

VOLUME = ["nerf-blender", "nerf-llff", "pigan-celeba", "graf-carla-128", "giraffe-cars", "nerf-no-hierarchy"]


def generator_of(name):
    """A small generator with new weights, and the style of its seed 0."""
    torch.manual_seed(0)
    generator = build_seeded(tiny(name)).generator.eval()
    update_w_avg(generator)
    return generator, generator.style(generator.latents(RandomStreams([0])))


@pytest.mark.parametrize("name", VOLUME)
@pytest.mark.parametrize("max_bytes", [1 << 28, 20_000])
def test_recorded_samples_are_those_of_the_pixel(name, max_bytes):
    """The last pass's weights and distances give the opacity and depth of the pixel, in parts or whole."""
    generator, w = generator_of(name)
    view = generator.prior.sweep(1, (16, 16))
    pixel, options = (6, 9), RenderOptions(max_bytes=max_bytes)
    found = profile_ray(generator, w, view, pixel, options)
    passes = 2 if generator.march.fine_samples else 1
    assert len(found.passes) == passes
    march = generator.march
    assert [len(each.weights) for each in found.passes] == [
        march.samples,
        march.samples + march.fine_samples,
    ][:passes]
    last = found.passes[-1]
    assert last.distances == sorted(last.distances)
    with torch.no_grad():
        rendering = generator.render(generator.bind(w), view, options)
    if not name.startswith("giraffe"):  # whose maps are enlarged
        assert sum(last.weights) == pytest.approx(float(rendering.alpha[0, 0, 6, 9]), abs=1e-5)
    total = max(sum(last.weights), 1e-5)
    mean = sum(t * weight for t, weight in zip(last.distances, last.weights, strict=True)) / total
    if not name.startswith(("giraffe", "graf")):  # GRAF's samples begin farther away for near cameras
        assert mean == pytest.approx(float(rendering.depth[0, 0, 6, 9]), rel=1e-3, abs=1e-4)


def test_curves_are_those_of_the_field():
    generator, w = generator_of("pigan-celeba")
    view = generator.prior.sweep(1, (16, 16))
    found = profile_ray(generator, w, view, (8, 8), RenderOptions())
    assert len(found.distances) == len(found.density) == len(found.transmittance) == DENSE
    assert found.transmittance[0] == 1
    assert found.transmittance == sorted(found.transmittance, reverse=True)
    assert found.distances[0] == pytest.approx(generator.march.near)
    assert found.distances[-1] == pytest.approx(generator.march.far)
    rays = generator.rays(view)[0].unit()[8 * 16 + 8 : 8 * 16 + 9]
    points = rays.at(torch.tensor(found.distances)[None, None])[:, 0]
    raw = generator.bind(w)(points, rays.directions.expand_as(points))[1]
    expected = activate_density(raw, generator.march)[0]
    assert torch.allclose(torch.tensor(found.density), expected, rtol=1e-3, atol=1e-5)
    step = found.distances[1] - found.distances[0]
    optical = sum(found.density[:-1]) * step
    assert found.transmittance[-1] == pytest.approx(math.exp(-optical), rel=1e-3)


def test_a_renderer_with_other_samples_has_curves_alone():
    generator, w = generator_of("nerf-grid-demo")
    found = profile_ray(generator, w, generator.prior.sweep(1, (8, 8)), (3, 3), RenderOptions())
    assert found.passes == []
    assert len(found.density) == DENSE
    length = found.distances[-1] - found.distances[0]
    assert 0 < length <= 2 * math.hypot(*generator.bounds)  # it is inside the box


@pytest.mark.parametrize("pixel", [(16, 0), (0, 16)])
def test_a_pixel_is_inside_the_picture(pixel):
    generator, w = generator_of("pigan-celeba")
    with pytest.raises(BadInput, match="wanted one of a picture of 16x16, from 0,0"):
        profile_ray(generator, w, generator.prior.sweep(1, (16, 16)), pixel, RenderOptions())


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_of_the_field_at_their_places(axis):
    generator, w = generator_of("pigan-demo")
    found = slice_field(generator, w, "xyz"[axis], 3, 8)
    half = generator.bounds
    assert found.places == pytest.approx([-2 / 3 * half[axis], 0, 2 / 3 * half[axis]])
    one, two = (i for i in range(3) if i != axis)
    height, width = found.opacity.shape[1:]
    assert max(height, width) == 8
    corner = torch.zeros(1, 1, 3)
    corner[..., axis], corner[..., one], corner[..., two] = found.places[2], half[one], half[two]
    toward = torch.tensor([[[0.0, 0.0, -1.0]]])
    color, raw = generator.bind(w)(corner, toward)
    opacity = 1 - torch.exp(-activate_density(raw, generator.march) * 2 * SLAB * max(half))
    assert float(found.opacity[2, 0, -1]) == pytest.approx(float(opacity.detach()), abs=1e-6)
    assert torch.allclose(found.colors[2, :, 0, -1], color[0, 0].detach(), atol=1e-6)
    pictures, rows = slice_pictures(found)
    assert pictures.shape == (2, 3, 3, height, width)
    assert rows == ["opacity", "color"]


def test_fields_of_features_have_no_colors():
    generator, w = generator_of("giraffe-cars")
    found = slice_field(generator, w, "z", 2, 8)
    assert found.colors is None
    assert slice_pictures(found)[1] == ["opacity"]


def test_scenes_without_a_box_cannot_be_sliced():
    generator, w = generator_of("nerf-llff")
    with pytest.raises(BadInput, match="no densities in a box"):
        slice_field(generator, w, "z", 2, 8)


def test_truncation_goes_from_one_scene_to_many():
    generator, _ = generator_of("cips-ffhq-256")
    styles = (styles_of_seeds(generator, [0, 1], psi) for psi in (0.0, 0.5, 1.0))
    pictures = style_pictures(generator, styles, one_view(generator, (16, 16)), RenderOptions())
    assert pictures.shape == (2, 3, 3, 16, 16)
    assert torch.equal(pictures[0, 0], pictures[1, 0])
    apart = [(pictures[0, i] - pictures[1, i]).abs().mean() for i in range(3)]
    assert apart[0] < apart[1] < apart[2]


def test_the_enlarged_part_is_where_detail_is():
    photo = torch.zeros(3, 30, 60)
    photo[:, 21:29:2, 41:59] = 1
    row, column = most_detailed(photo)
    assert 19 <= row <= 21
    assert 39 <= column <= 42
    part = enlarged(photo, (row, column))
    assert part.shape == photo.shape
    assert part.mean() > 3 * photo.mean()
