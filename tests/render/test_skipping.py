"""Samples that are not seen, or in empty space, are not evaluated; pictures stay the same."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import normalize
from torch.testing import assert_close

from genscene.contract import RenderOptions
from genscene.geometry.cameras import Rays
from genscene.geometry.priors import CameraPrior
from genscene.randomness import RandomStreams
from genscene.render.fields import chunks
from genscene.render.fields.query import groups, query_where, rounded_up
from genscene.render.fields.sparse import DETAILED, SparseField, complete, skip_empty
from genscene.render.march import EMPTY, March
from genscene.render.volume import render_rays, render_view, sparse_scene
from genscene.systems import PRESETS

SIDES = (1.0, 1.0, 1.0)
MARCH = March(1.5, 4.5, 48, "softplus", gain=25.0, shift=-3.5, last_interval=0.1)
PASSES = {"one": MARCH, "two": replace(MARCH, samples=24, fine_samples=24)}


class Counting:
    """Balls in a haze with colors of the position, and the number of points that were evaluated."""

    def __init__(self, radii=(0.5,), haze=-7.0):
        self.radii, self.haze, self.points = torch.tensor(radii), haze, 0

    def __call__(self, points, directions):
        self.points += points.shape[0] * points.shape[1]
        depth = 20 * (self.radii[:, None] - points.norm(dim=-1))
        return (3 * points + 0.2 * directions).sigmoid(), depth.clamp(self.haze, 5)


@pytest.fixture
def rays():
    views = CameraPrior(yaw=(0.0, 0.0), radius=3.0, fov=40.0).sweep(1, (24, 24))
    return views.rays().unit()


@pytest.mark.parametrize("march", PASSES.values(), ids=PASSES)
@pytest.mark.parametrize("background", ["black", "white", "last"])
def test_pictures_without_skipped_samples_are_the_same(rays, march, background):
    field = Counting()
    options = RenderOptions(background=background)
    with torch.no_grad():
        whole, every = render_rays(field, rays, march, options), field.points
        field.points = 0
        seen = render_rays(field, rays, march, replace(options, least_transmittance=1e-4))
        assert field.points < 0.99 * every
        sparse = complete(skip_empty(field, torch.zeros(1, 0), SIDES, march))
        field.points = 0
        both = render_rays(sparse, rays, march, replace(options, least_transmittance=1e-4))
        assert field.points < 0.75 * every
    assert_close(seen.color, whole.color, atol=2e-4, rtol=0)
    assert_close(both.color, whole.color, atol=1e-3, rtol=0)
    assert_close(both.alpha, whole.alpha, atol=1e-3, rtol=0)
    solid = whole.alpha > 0.1
    assert_close(both.distance[solid], whole.distance[solid], atol=5e-3, rtol=0)


def test_the_last_sample_is_evaluated_where_its_interval_has_no_end(rays):
    march = replace(MARCH, density="relu", gain=1.0, shift=0.0, last_interval=1e10)

    def wall(points, directions):  # of tiny density, and empty space
        return points.sigmoid(), torch.where(points[..., 1] > 0, 1e-9, -1.0)

    with torch.no_grad():
        whole = render_rays(wall, rays, march, RenderOptions())
        sparse = complete(skip_empty(wall, torch.zeros(1, 0), (2.0, 2.0, 2.0), march))
        found = render_rays(sparse, rays, march, RenderOptions(least_transmittance=1e-4))
    assert 0.2 < float(whole.alpha.mean()) < 0.8
    assert_close(found.color, whole.color, atol=1e-3, rtol=0)


def test_several_scenes_at_once_are_each_as_alone(rays):
    radii = (0.2, 0.6, 0.4)
    three = Rays(*(x.expand(3, -1, -1) for x in (rays.origins, rays.directions)))
    options = RenderOptions(least_transmittance=1e-4)
    with torch.no_grad():
        sparse = complete(skip_empty(Counting(radii), torch.zeros(3, 0), SIDES, MARCH))
        together = render_rays(sparse, three, MARCH, options).color
        for i, radius in enumerate(radii):
            alone = complete(skip_empty(Counting((radius,)), torch.zeros(1, 0), SIDES, MARCH))
            assert_close(together[i : i + 1], render_rays(alone, rays, MARCH, options).color)


def test_every_sample_is_evaluated_for_gradients_noise_and_records(rays):
    field, options = Counting(), RenderOptions(least_transmittance=1e-2)
    every = len(rays) * MARCH.samples
    render_rays(field, rays, MARCH, options)
    assert field.points == every
    with torch.no_grad():
        size, noisy = (24, 24), replace(options, randomness=RandomStreams([0]), density_noise=1.0)
        for each in (noisy, replace(options, record=lambda samples: None)):
            field.points = 0
            render_view(field, rays, size, MARCH, each, 1)
            assert field.points == every


def test_a_pigan_with_empty_space_is_the_same_but_for_skipped_points():
    torch.manual_seed(1)
    preset = PRESETS["pigan-demo"].system.shrunk().generator
    field = replace(preset.field, frequency=(0.5, 1.0), width=16)
    generator = replace(
        PRESETS["pigan-demo"].system, generator=replace(preset, field=field)
    ).build_generator()
    with torch.no_grad():
        scene = generator.scene(generator.latents(RandomStreams([3])))
        points = (2 * torch.rand(1, 4000, 3) - 1) * torch.tensor(field.box)
        raw = scene(points, points)[1]
        generator.field.density.weight *= 8 / raw.std()  # a third of the box is more than haze
        generator.field.density.bias.copy_(generator.field.density.bias * 8 / raw.std())
        generator.field.density.bias -= scene(points, points)[1].quantile(0.75) + 2
    views, options = generator.prior.sweep(3, (32, 32)), RenderOptions(samples=32)
    skipping = replace(options, least_transmittance=1e-4)
    with torch.no_grad():
        sparse = generator.sparse(scene)
        unknown = (sparse.cells < 0).float().mean()
        assert 0.02 < float(unknown) < 0.8
        for i in range(3):
            whole = generator.render(scene, views[i : i + 1], options)
            found = generator.render(sparse, views[i : i + 1], skipping)
            assert float(whole.alpha.amax()) > 0.5
            assert_close(found.image, whole.image, atol=1e-3, rtol=0)


@pytest.mark.parametrize("fine_samples", [0, 24])
def test_a_nerf_with_empty_space_is_the_same_but_for_skipped_points(fine_samples):
    torch.manual_seed(0)
    system = PRESETS["nerf-blender"].system
    march = replace(system.generator.march, samples=24, fine_samples=fine_samples)
    field = replace(system.generator.field, width=16, depth=2, skips=(1,), octaves=1)
    config = replace(system.generator, field=field, march=march)
    generator = replace(system, generator=config).build_generator()
    scene = generator.scene(generator.latents(RandomStreams([0])))
    views = generator.prior.sweep(3, (24, 24))
    with torch.no_grad():
        points = 1.5 * (2 * torch.rand(1, 4000, 3) - 1)
        for network in (generator.coarse, generator.fine):
            if network is not None:  # a part of space is opaque
                scale = 12 / network(points, points)[1].std()
                network.density.weight *= scale
                network.density.bias -= network(points, points)[1].quantile(0.85)
        sparse = generator.sparse(scene)
        seen = sparse.fine or sparse.coarse
        assert isinstance(seen, SparseField)
        assert 0.1 < float((seen.cells[:, 1:-1, 1:-1, 1:-1] < 0).float().mean()) < 0.9
        counted = [count_points(x) for x in (scene, sparse)]
        for i in range(3):
            whole = generator.render(counted[0][0], views[i : i + 1])
            found = generator.render(counted[1][0], views[i : i + 1], RenderOptions(least_transmittance=1e-4))
            assert float(whole.alpha.amax()) > 0.5
            assert_close(found.image, whole.image, atol=1e-3, rtol=0)
        assert sum(counted[1][1]) < 0.8 * sum(counted[0][1])
        together = generator.render(sparse, views, RenderOptions(least_transmittance=1e-4))
        assert_close(together.image[2:], found.image)


def count_points(scene):
    """The scene of a NeRF, and a list of the numbers of points that are evaluated."""
    counts = []

    def counted(field):
        def call(points, directions):
            counts.append(points.shape[0] * points.shape[1])
            return field(points, directions)

        return replace(field, inside=call) if isinstance(field, SparseField) else call

    return replace(scene, coarse=counted(scene.coarse), fine=scene.fine and counted(scene.fine)), counts


def test_details_between_points_are_expected_where_raw_density_varies():
    march = replace(MARCH, density="relu", gain=1.0, shift=0.0)

    def waves(points, directions):  # of density in a small part of each of 32 periods, else empty space
        return points.sigmoid(), 10 * (50 * points[..., 0]).cos() - 9.99

    w, sides = torch.zeros(1, 0), (2.0, 2.0, 2.0)
    with torch.no_grad():
        missed, evaluated = (
            float((complete(skip_empty(waves, w, sides, march, margin=x)).cells < 0).float().mean())
            for x in (0.0, DETAILED)
        )
    assert missed < 0.9
    assert evaluated == 1.0


def test_long_videos_measure_empty_space_and_single_pictures_do_not():
    generator = PRESETS["pigan-demo"].system.build_generator()
    scene = generator.scene(generator.latents(RandomStreams([0])))
    options = RenderOptions(least_transmittance=1e-4)
    assert sparse_scene(generator, scene, 64 * 64, options) is scene
    assert sparse_scene(generator, scene, 90 * 256 * 256, RenderOptions()) is scene
    assert isinstance(sparse_scene(generator, scene, 90 * 256 * 256, options), SparseField)


def test_scenes_with_about_as_many_points_are_evaluated_together():
    found = [group.tolist() for group in groups(torch.tensor([5, 100, 0, 110, 80, 10]))]
    assert found == [[1, 3], [4], [5], [0]]
    assert [group.tolist() for group in groups(torch.zeros(2, dtype=torch.long))] == [[0, 1]]
    sizes = [rounded_up(count) for count in range(1, 4097)]
    assert all(count <= size <= 1.25 * count for count, size in enumerate(sizes, 1))
    assert len(set(sizes)) <= 4 * 12
    scales, points = torch.tensor([1.0, 2.0, 3.0]), torch.randn(3, 40, 3)

    def bound_to(scenes):
        factor = scales[scenes][:, None]
        return lambda points, directions: (factor[..., None] * points, factor * directions[..., 0])

    chosen = torch.rand(3, 40) < torch.tensor([0.1, 0.5, 0.9])[:, None]
    features, density = query_where(bound_to, points, normalize(points, dim=-1), chosen)
    everywhere = bound_to(torch.arange(3))(points, normalize(points, dim=-1))
    assert_close(features, torch.where(chosen[..., None], everywhere[0], 0.0))
    assert_close(density, torch.where(chosen, everywhere[1], EMPTY))


@pytest.mark.parametrize("least", [0.0, 1e-4])
def test_parts_of_pictures_are_rendered_side_by_side(rays, least, monkeypatch):
    monkeypatch.setattr(chunks, "LEAST", 0)
    found, seen = [], []
    options = RenderOptions(least_transmittance=least, progress=seen.append)
    before = torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            with torch.no_grad():
                found.append(render_view(Counting(), rays, (24, 24), MARCH, options, 1))
            assert sum(seen) == 24 * 24
            assert torch.get_num_threads() == threads
            seen.clear()
    finally:
        torch.set_num_threads(before)
    assert_close(found[0].image, found[1].image)
    assert_close(found[0].depth, found[1].depth)
