"""Volume rendering: weights, importance sampling, compositing, rays in parts."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize, softplus
from torch.testing import assert_close

from genscene.contract import RenderOptions
from genscene.errors import BadInput, Cancelled
from genscene.experiment.validation import validate
from genscene.geometry.cameras import Rays, transform_cameras
from genscene.geometry.priors import CameraPrior
from genscene.geometry.rotations import rotation
from genscene.randomness import RandomStreams
from genscene.render.fields.query import query
from genscene.render.fields.visible import merge
from genscene.render.march import NO_NOISE, March, RayNoise
from genscene.render.volume import (
    composite,
    compute_weights,
    render_rays,
    render_view,
    sample_pdf,
    sample_ray_noise,
    sample_t,
)

RAYS = Rays(torch.zeros(2, 5, 3), normalize(torch.ones(2, 5, 3), dim=-1))
MARCH = March(near=1.0, far=3.0, samples=9)
SEEDS = st.integers(0, 2**31)
MARCHES = st.builds(
    March,
    near=st.sampled_from([0.5, 1.0]),
    far=st.sampled_from([2.5, 3.0]),
    samples=st.integers(3, 9),
    density=st.sampled_from(["relu", "softplus"]),
    fine_samples=st.sampled_from([0, 5]),
    gain=st.sampled_from([1.0, 20.0]),
    last_interval=st.sampled_from([1e10, 0.25, None]),
    bins=st.sampled_from(["centered", "equal", "midpoints"]),
    inverse_depth=st.booleans(),
    raw_depth=st.booleans(),
)
law = settings(max_examples=30)


class Ball:
    """A soft ball around the origin whose colors are its positions."""

    def __init__(self, size=1.0, dtype=torch.float32):
        self.size = torch.nn.Parameter(torch.tensor(size, dtype=dtype))

    def __call__(self, points, directions):
        return (points + 0.1 * directions).sigmoid(), 20 * (self.size - points.norm(dim=-1))


def rays_towards_the_ball(seed, count=16, dtype=torch.float32):
    """Rays [2, count] from z = -2, with z = 1 in the camera."""
    eye = torch.tensor([0.0, 0.0, -2.0]).to(dtype).expand(2, count, 3)
    across = 0.3 * RandomStreams([seed, seed + 1]).normal(count, 2).to(dtype)
    return Rays(eye, torch.cat([across, torch.ones(2, count, 1).to(dtype)], dim=-1))


def sampled(seed, march):
    """Rays, jittered distances along them, and densities of any sign, of the samples of a march."""
    random = RandomStreams([seed, seed + 1])
    t = sample_t(RAYS, march, random.uniform(5, march.samples))
    return t, random.normal(5, march.samples)


@settings(max_examples=40)
@given(seed=SEEDS, scale=st.sampled_from([1e-3, 1.0, 1e3, 1e10]), march=MARCHES)
def test_weights_sum_to_at_most_one(seed, scale, march):
    t, density = sampled(seed, march)
    weights = compute_weights(scale * density, t, RAYS, march)
    assert (weights >= 0).all()
    assert (weights.sum(-1) <= 1 + 1e-5).all()


def test_an_opaque_wall_returns_its_color():
    density = torch.zeros(2, 5, 9)
    density[..., 4] = 1e6
    weights = compute_weights(density, sample_t(RAYS, MARCH), RAYS, MARCH)
    colors = torch.rand(2, 5, 9, 3)
    assert_close(composite(weights, colors), colors[:, :, 4])


@law
@given(
    seed=SEEDS, wall=st.integers(0, 8), march=MARCHES, background=st.sampled_from(["black", "white", "last"])
)
def test_any_opaque_wall_hides_what_is_behind_it(seed, wall, march, background):
    march = replace(march, samples=9, fine_samples=0)
    t, density = sampled(seed, march)
    density[..., :wall], density[..., wall] = -1e4, 1e6
    colors = RandomStreams([seed, seed + 1]).uniform(5, 9, 3)

    def field(points, directions):
        return colors.flatten(1, 2), density.flatten(1)

    noise = RayNoise(jitter=RandomStreams([seed, seed + 1]).uniform(5, 9))
    found = render_rays(field, RAYS, march, RenderOptions(background=background), noise=noise)
    visible = wall < 8 or march.last_interval is not None  # the last interval may have no length
    if visible and (t.diff(dim=-1) > 1e-3).all():
        assert_close(found.color, colors[:, :, wall], atol=1e-4, rtol=0)
        assert_close(found.distance[..., 0], t[:, :, wall], atol=1e-4, rtol=0)
        assert_close(found.alpha, torch.ones(2, 5, 1), atol=1e-4, rtol=0)


def test_empty_space_has_no_weight_and_a_slab_the_weight_of_its_optical_depth():
    t = sample_t(RAYS, MARCH)
    assert compute_weights(torch.full((2, 5, 9), -1.0), t, RAYS, MARCH).abs().max() == 0
    march = March(1.0, 3.0, 9, last_interval=0.25)
    thin = compute_weights(torch.full((2, 5, 9), 0.7), t, RAYS, march)
    assert_close(thin.sum(-1), torch.full((2, 5), 1 - float(torch.exp(torch.tensor(-0.7 * 2.25)))))


def test_distances_are_in_lengths_of_the_direction():
    density = torch.full((2, 5, 9), 0.3)
    march = March(1.0, 3.0, 9, last_interval=0.25)
    longer = Rays(RAYS.origins, 2 * RAYS.directions)
    halved = March(0.5, 1.5, 9, last_interval=0.125)
    a = compute_weights(density, sample_t(RAYS, march), RAYS, march)
    b = compute_weights(density, sample_t(longer, halved), longer, halved)
    assert_close(a, b)


def test_density_is_gain_times_the_activation_of_shifted_raw_density():
    t, density = sample_t(RAYS, MARCH), torch.rand(2, 5, 9)
    plain = compute_weights(25 * softplus(density - 3.5), t, RAYS, MARCH)
    march = March(1.0, 3.0, 9, density="softplus", gain=25.0, shift=-3.5)
    assert_close(plain, compute_weights(density, t, RAYS, march))


@pytest.mark.parametrize("value", [-1.0, 0.0, 1e10])
@pytest.mark.parametrize("activation", ["relu", "softplus"])
def test_gradients_are_finite_at_density_zero_and_1e10(value, activation):
    density = torch.full((2, 5, 9), value, requires_grad=True)
    march = replace(MARCH, density=activation)
    compute_weights(density, sample_t(RAYS, march), RAYS, march).square().sum().backward()
    assert density.grad.isfinite().all()


@law
@given(seed=SEEDS, march=MARCHES, scale=st.sampled_from([0.0, 1.0, 1e10]))
def test_gradients_of_a_rendering_are_finite(seed, march, scale):
    density = (scale * RandomStreams([seed, seed + 1]).normal(5, 1)).requires_grad_()
    colors = torch.rand(2, 5, 1, 3, requires_grad=True)

    def field(points, directions):
        samples = points.shape[1] // 5
        wide = colors.expand(-1, -1, samples, -1).flatten(1, 2)
        return wide, density.expand(-1, -1, samples).flatten(1)

    found = render_rays(field, RAYS, march, RenderOptions(background="last"))
    (found.color.square().mean() + found.distance.mean() + found.alpha.mean()).backward()
    assert density.grad.isfinite().all()
    assert colors.grad.isfinite().all()


def test_stratified_samples_stay_in_their_bins_and_in_order():
    jitter = RandomStreams([0, 1]).uniform(5, 9)
    even, moved = sample_t(RAYS, MARCH), sample_t(RAYS, MARCH, jitter)
    assert_close(even[0, 0], torch.linspace(1, 3, 9))
    assert ((moved - even).abs() <= 0.125 + 1e-6).all()
    assert (moved.diff(dim=-1) >= 0).all()


@law
@given(seed=SEEDS, march=MARCHES)
def test_stratified_samples_are_in_order_and_near_the_range(seed, march):
    t, _ = sampled(seed, march)
    assert (t.diff(dim=-1) >= 0).all()
    beyond = (march.far - march.near) / (march.samples - 1) if march.bins == "centered" else 1e-5
    if not march.inverse_depth:
        assert (t >= march.near - beyond).all()
        assert (t <= march.far + beyond).all()


def test_importance_samples_of_a_box_stay_in_it():
    t = torch.linspace(0, 1, 21).expand(1, 1, -1)
    weights = ((t > 0.42) & (t < 0.58)).float()
    for uniforms in (None, RandomStreams([0]).uniform(1, 400)):
        found = sample_pdf(t, weights, 400, uniforms)
        assert ((found > 0.39) & (found < 0.61)).float().mean() > 0.99
        assert abs(found.mean() - 0.5) < 0.01


@law
@given(
    seed=SEEDS, first=st.integers(1, 14), width=st.integers(1, 5), height=st.sampled_from([1e-2, 1.0, 50.0])
)
def test_importance_samples_of_any_box_stay_in_it(seed, first, width, height):
    t = torch.linspace(0, 1, 21).double().expand(1, 1, -1)
    weights = torch.zeros(1, 1, 21).double()
    weights[..., first : first + width] = height
    found = sample_pdf(t, weights, 200, RandomStreams([seed]).uniform(1, 200), floor=1e-9)
    low, high = t[0, 0, first] - 0.025, t[0, 0, first + width - 1] + 0.025  # bins end at midpoints
    inside = (found >= low - 1e-9) & (found <= high + 1e-9)
    assert inside.double().mean() > 0.99
    assert (found >= 0).all()
    assert (found <= 1).all()


def test_importance_samples_of_equal_weights_are_even():
    t = torch.linspace(0, 1, 12).expand(1, 1, -1)
    found = sample_pdf(t, torch.ones(1, 1, 12), 50, None)[0, 0]
    assert_close(found.diff(), torch.full((49,), float(found.diff().mean())), atol=1e-5, rtol=0)


@law
@given(seed=SEEDS, coarse=st.integers(1, 6), fine=st.integers(1, 6))
def test_merging_keeps_values_at_their_distances(seed, coarse, fine):
    random = RandomStreams([seed, seed + 1])
    t, finer = random.uniform(5, coarse).sort().values, random.uniform(5, fine).sort().values
    joint, values, colors = merge(t, finer, (t, finer), (t[..., None], finer[..., None]))
    assert joint.shape == (2, 5, coarse + fine)
    assert (joint.diff(dim=-1) >= 0).all()
    assert torch.equal(joint, values)
    assert torch.equal(joint, colors[..., 0])


def test_a_query_evaluates_the_field_at_the_samples_of_each_ray():
    rays = rays_towards_the_ball(0)
    t, directions = sample_t(rays, MARCH), rays.unit().directions
    colors, density = query(Ball(), rays, t, directions)
    points = rays.origins[:, :, None] + t[..., None] * rays.directions[:, :, None]
    assert_close(density, 20 * (1 - points.norm(dim=-1)), atol=1e-5, rtol=0)
    assert_close(colors, (points + 0.1 * directions[:, :, None]).sigmoid())


def render_ball(ball, rays, march, options, streams=(4, 5)):
    """The ball as a picture in a single row, with random numbers."""
    options = replace(options, randomness=RandomStreams(streams), density_noise=0.5)
    return render_view(ball, rays, (1, len(rays)), march, options, sample_bytes=4)


def values_and_gradient(rays, march, **options):
    """Image, depth and alpha of the ball, and the gradient of its size."""
    ball = Ball()
    found = render_ball(ball, rays, march, RenderOptions(**options))
    (found.image.square().mean() + found.alpha.mean() + found.depth.mean()).backward()
    return found.image.detach(), found.depth.detach(), found.alpha.detach(), ball.size.grad


@settings(max_examples=15)
@given(
    seed=SEEDS,
    march=MARCHES,
    chunk=st.integers(1, 20),
    background=st.sampled_from([None, "black", "white", "last"]),
)
def test_parts_and_recomputation_change_neither_pictures_nor_gradients(seed, march, chunk, background):
    rays = rays_towards_the_ball(seed)
    max_bytes = chunk * 2 * 4 * (march.samples + march.fine_samples)
    whole = values_and_gradient(rays, march, background=background)
    for options in ({"max_bytes": max_bytes, "recompute": True}, {"recompute": True}):
        parts = values_and_gradient(rays, march, background=background, **options)
        for a, b in zip(whole, parts, strict=True):
            assert_close(a, b, atol=1e-5, rtol=1e-4)
    with torch.no_grad():
        found = render_ball(Ball(), rays, march, RenderOptions(background=background, max_bytes=max_bytes))
    for a, b in zip(whole[:3], (found.image, found.depth, found.alpha), strict=True):
        assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_only_so_many_rays_are_rendered_at_once():
    counts = []

    def field(points, directions):
        counts.append(points.shape[0] * points.shape[1])
        return points, points[..., 0]

    rays = rays_towards_the_ball(0)
    with torch.no_grad():
        render_view(field, rays, (1, 16), MARCH, RenderOptions(max_bytes=5 * 2 * 9 * 4), sample_bytes=4)
    assert counts == [2 * 9 * n for n in (5, 5, 5, 1)]


def test_rendering_is_cancelled_between_parts():
    calls = iter([False, False, True])
    options = RenderOptions(max_bytes=1, cancelled=lambda: next(calls))
    with torch.no_grad(), pytest.raises(Cancelled):
        render_view(Ball(), rays_towards_the_ball(0), (1, 16), MARCH, options, sample_bytes=4)


@pytest.mark.parametrize("max_bytes", [1, 1 << 28])
def test_every_part_reports_its_rays(max_bytes):
    done = []
    options = RenderOptions(max_bytes=max_bytes, progress=done.append)
    rays = rays_towards_the_ball(0)
    with torch.no_grad():
        render_view(Ball(), rays, (1, 16), MARCH, options, sample_bytes=4)
    assert sum(done) == len(rays.origins) * len(rays)
    assert len(done) == (len(rays) if max_bytes == 1 else 1)


@settings(max_examples=20)
@given(seed=SEEDS, march=MARCHES)
def test_depth_is_in_world_units_for_directions_of_any_length(seed, march):
    """The same samples along z = 1 rays and unit rays give the same picture and the same depth."""
    march = replace(march, inverse_depth=False, raw_depth=False)
    rays, ball = rays_towards_the_ball(seed, 1, torch.float64), Ball(dtype=torch.float64)
    length = float(rays.directions[0].norm())
    one = Rays(rays.origins[:1], rays.directions[:1])
    last = None if march.last_interval is None else march.last_interval * length
    longer = replace(march, near=march.near * length, far=march.far * length, last_interval=last)
    found = render_view(ball, one, (1, 1), march, RenderOptions(), sample_bytes=4)
    unit = render_view(ball, one.unit(), (1, 1), longer, RenderOptions(), sample_bytes=4)
    for a, b in ((found.image, unit.image), (found.depth, unit.depth), (found.alpha, unit.alpha)):
        assert_close(a, b, atol=1e-5, rtol=1e-5)
    points = found.rays.unit().at(found.depth.flatten(2).mT)
    assert_close(points, unit.rays.at(unit.depth.flatten(2).mT), atol=1e-5, rtol=1e-5)


def test_the_depth_of_an_opaque_wall_is_the_distance_to_it():
    """A wall at z = 0, rendered from z = -2 with z = 1 rays: depth is longer towards the corners."""
    rays = rays_towards_the_ball(3, 16, torch.float64)
    march = March(1.0, 3.0, 4001, last_interval=None)

    def field(points, directions):
        return points, 1e9 * (points[..., 2] >= 0).double()

    found = render_view(field, rays, (1, 16), march, RenderOptions(), sample_bytes=4)
    assert_close(found.depth[:, 0, 0], 2 * rays.directions.norm(dim=-1), atol=1e-3, rtol=0)


@law
@given(seed=SEEDS, march=MARCHES)
def test_scene_and_camera_rotated_together_change_nothing(seed, march):
    random = RandomStreams([seed])
    turn = torch.eye(4).double()
    turn[:3, :3] = rotation(normalize(random.normal(4).double(), dim=-1))[0]
    turn[:3, 3] = random.normal(3)[0]
    inverse = torch.linalg.inv(turn)
    camera = CameraPrior("uniform", radius=2.0, fov=40.0).sample(random, (3, 4))
    camera = replace(camera, pose=camera.pose.double(), intrinsics=camera.intrinsics.double())
    ball = Ball(dtype=torch.float64)

    def moved(points, directions):
        return ball(points @ inverse[:3, :3].mT + inverse[:3, 3], directions @ inverse[:3, :3].mT)

    here = render_view(ball, camera.rays(), (3, 4), march, RenderOptions(), sample_bytes=4)
    there = transform_cameras(camera, turn).rays()
    found = render_view(moved, there, (3, 4), march, RenderOptions(), sample_bytes=4)
    assert_close(found.image, here.image, atol=1e-6, rtol=1e-5)
    assert_close(found.depth, here.depth, atol=1e-6, rtol=1e-5)
    assert_close(found.alpha, here.alpha, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("fine", [False, True])
def test_a_fixed_direction_is_that_of_all_colors(fine):
    directions_of_field = []

    def field(points, directions):
        directions_of_field.append(directions)
        return points.sigmoid(), points[..., 0]

    march, options = replace(MARCH, fine_samples=4), RenderOptions(fixed_direction=(0.0, 0.0, -1.0))
    render_rays(field, RAYS, march, options, fine=field if fine else None)
    assert len(directions_of_field) == 2
    for directions in directions_of_field:
        assert torch.equal(directions, torch.tensor([0.0, 0.0, -1.0]).expand_as(directions))


def test_two_networks_give_a_coarse_and_a_fine_rendering():
    coarse, fine = Ball(0.5), Ball(1.0)
    rays, march = rays_towards_the_ball(1), replace(MARCH, fine_samples=6)
    found = render_rays(coarse, rays, march, RenderOptions(), fine=fine)
    alone = render_rays(coarse, rays, replace(march, fine_samples=0), RenderOptions())
    assert torch.equal(found.coarse.color, alone.color)
    assert found.weights.shape == (2, 16, 15)  # the fine network is evaluated at all samples
    assert (found.alpha.mean() - alone.alpha.mean()) > 0.01


def test_one_network_merges_the_samples_of_both_passes():
    rays, march = rays_towards_the_ball(1), replace(MARCH, fine_samples=6)
    found = render_rays(Ball(), rays, march, RenderOptions())
    assert found.coarse is None
    assert found.weights.shape == (2, 16, 15)


def test_samples_of_options_keep_the_ratio_of_both_passes():
    march = replace(MARCH, fine_samples=18).with_samples(32)
    assert (march.samples, march.fine_samples) == (32, 64)
    assert MARCH.with_samples(5).fine_samples == 0


def test_backgrounds_differ_by_what_is_transparent():
    images = {}
    for background in ("black", "white", "last"):
        options = RenderOptions(background=background)
        rays = rays_towards_the_ball(2)
        images[background] = render_rays(Ball(0.5), rays, replace(MARCH, last_interval=0.01), options)
    alpha = images["black"].alpha
    assert (alpha < 0.9).any()
    assert_close(images["white"].color, images["black"].color + 1 - alpha)
    last = Ball(0.5)(rays.at(torch.full((2, 16, 1), 3.0))[:, :, 0], rays.unit().directions)[0]
    assert_close(images["last"].color, images["black"].color + (1 - alpha) * last, atol=1e-5, rtol=0)


def test_random_numbers_of_a_rendering_are_sampled_only_where_needed():
    bare = sample_ray_noise(RandomStreams([0]), 4, MARCH)
    assert bare.importance is bare.density is bare.coarse_density is None
    one_pass = sample_ray_noise(RandomStreams([0]), 4, MARCH, 0.5)
    assert one_pass.density.shape == (1, 4, 9)
    assert one_pass.importance is one_pass.coarse_density is None
    full = sample_ray_noise(RandomStreams([0]), 4, replace(MARCH, fine_samples=9), 0.5)
    assert full.importance.shape == full.coarse_density.shape == (1, 4, 9)
    assert full.density.shape == (1, 4, 18)
    assert torch.equal(full[1:3].jitter, full.jitter[:, 1:3])
    assert NO_NOISE[0:2].jitter is None


BAD = {
    "backwards": ({"near": 2.0, "far": 1.0}, "--march.far 1.0: wanted more than near (2.0)"),
    "nan": ({"near": float("nan")}, "--march.near nan"),
    "inverse depth from 0": (
        {"near": 0.0, "inverse_depth": True},
        "--march.near 0.0: wanted a number above 0",
    ),
    "no samples": ({"samples": 0}, "--march.samples 0: wanted a number from 1 to 4096"),
    "too few to place others": ({"samples": 2, "fine_samples": 4}, "--march.samples 2: wanted 3 or more"),
    "gain": ({"gain": 0.0}, "--march.gain 0.0: wanted a number from 1e-06"),
    "last interval": ({"last_interval": 0.0}, "--march.last-interval 0.0: wanted a number above 0"),
    "ndc": ({"ndc": (1.0, 0.0)}, "--march.ndc 0.0: wanted a number from 1e-06"),
}


@pytest.mark.parametrize(("changed", "expected"), BAD.values(), ids=BAD)
def test_a_march_without_samples_is_refused(changed, expected):
    with pytest.raises(BadInput) as error:
        validate(March(**{"near": 0.5, "far": 1.0, "samples": 4} | changed), "march")
    assert expected in str(error.value)
