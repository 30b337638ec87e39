"""Laws of volume rendering."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from genscene.geometry.cameras import Rays
from genscene.randomness import RandomStreams
from genscene.render.march import March, RayNoise
from genscene.render.volume import (
    composite,
    compute_weights,
    in_chunks,
    merge,
    query,
    sample_pdf,
    sample_ray_noise,
    sample_t,
)

RAYS = Rays(torch.zeros(2, 5, 3), torch.nn.functional.normalize(torch.ones(2, 5, 3), dim=-1))
MARCH = March(near=1.0, far=3.0, samples=9)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), scale=st.sampled_from([1e-3, 1.0, 1e3, 1e10]), soft=st.booleans())
def test_weights_are_shares_of_light(seed, scale, soft):
    density = scale * RandomStreams([seed, seed + 1]).normal(5, 9)
    march = March(1.0, 3.0, 9, density="softplus" if soft else "relu")
    weights = compute_weights(density, sample_t(RAYS, march, None), RAYS, march)
    assert (weights >= 0).all()
    assert (weights.sum(-1) <= 1 + 1e-5).all()


def test_an_opaque_wall_returns_its_colour():
    density = torch.zeros(2, 5, 9)
    density[..., 4] = 1e6
    weights = compute_weights(density, sample_t(RAYS, MARCH, None), RAYS, MARCH)
    colors = torch.rand(2, 5, 9, 3)
    assert_close(composite(weights, colors), colors[:, :, 4])


def test_nothing_stops_no_light_and_a_slab_as_much_as_it_should():
    t = sample_t(RAYS, MARCH, None)
    assert compute_weights(torch.full((2, 5, 9), -1.0), t, RAYS, MARCH).abs().max() == 0
    thin = compute_weights(torch.full((2, 5, 9), 0.7), t, RAYS, March(1.0, 3.0, 9, tail=0.25))
    assert_close(thin.sum(-1), torch.full((2, 5), 1 - float(torch.exp(torch.tensor(-0.7 * 2.25)))))


def test_distances_are_in_lengths_of_the_direction():
    density = torch.full((2, 5, 9), 0.3)
    march = March(1.0, 3.0, 9, tail=0.25)
    longer = Rays(RAYS.origins, 2 * RAYS.directions)
    halved = March(0.5, 1.5, 9, tail=0.125)
    a = compute_weights(density, sample_t(RAYS, march, None), RAYS, march)
    b = compute_weights(density, sample_t(longer, halved, None), longer, halved)
    assert_close(a, b)


def test_gain_and_shift_mean_what_they_say():
    t, density = sample_t(RAYS, MARCH, None), torch.rand(2, 5, 9)
    plain = compute_weights(25 * torch.nn.functional.softplus(density - 3.5), t, RAYS, MARCH)
    named = compute_weights(density, t, RAYS, March(1.0, 3.0, 9, density="softplus", gain=25.0, shift=-3.5))
    assert_close(plain, named)


def test_gradients_are_finite_where_density_is_nothing_and_where_it_is_huge():
    for value in (-1.0, 0.0, 1e10):
        density = torch.full((2, 5, 9), value, requires_grad=True)
        compute_weights(density, sample_t(RAYS, MARCH, None), RAYS, MARCH).square().sum().backward()
        assert density.grad.isfinite().all()


def test_stratified_samples_stay_in_their_bins_and_in_order():
    jitter = RandomStreams([0, 1]).uniform(5, 9)
    even, moved = sample_t(RAYS, MARCH, None), sample_t(RAYS, MARCH, jitter)
    assert_close(even[0, 0], torch.linspace(1, 3, 9))
    assert ((moved - even).abs() <= 0.125 + 1e-6).all()
    assert (moved.diff(dim=-1) >= 0).all()


def test_resampling_a_box_keeps_to_it():
    t = torch.linspace(0, 1, 21).expand(1, 1, -1)
    weights = ((t > 0.42) & (t < 0.58)).float()
    for uniforms in (None, RandomStreams([0]).uniform(1, 400)):
        found = sample_pdf(t, weights, 400, uniforms)
        assert ((found > 0.39) & (found < 0.61)).float().mean() > 0.99
        assert abs(found.mean() - 0.5) < 0.01


def test_resampling_is_even_without_random_numbers_and_has_no_gradient_through_equal_weights():
    t = torch.linspace(0, 1, 12).expand(1, 1, -1)
    found = sample_pdf(t, torch.ones(1, 1, 12), 50, None)[0, 0]
    assert_close(found.diff(), torch.full((49,), float(found.diff().mean())), atol=1e-5, rtol=0)


def test_merging_keeps_values_at_their_distances():
    t, finer = torch.rand(2, 5, 4).sort().values, torch.rand(2, 5, 6).sort().values
    joint, values, colors = merge(t, finer, (t, finer), (t[..., None], finer[..., None]))
    assert (joint.diff(dim=-1) >= 0).all()
    assert torch.equal(joint, values)
    assert torch.equal(joint, colors[..., 0])


class Ball:
    """A soft ball whose colours are places."""

    def __init__(self, size=1.0):
        self.size = torch.nn.Parameter(torch.tensor(size))

    def __call__(self, points, directions):
        return points.sigmoid(), 20 * (self.size - points.norm(dim=-1))


def traced(ball, chunk, deferred):
    draws = RandomStreams([4, 5])
    eye = torch.tensor([0.0, 0.0, -2.0]).expand(2, 64, 3)
    directions = torch.cat([0.3 * draws.normal(64, 2), torch.ones(2, 64, 1)], dim=-1)
    rays, march = Rays(eye, directions).unit(), March(1.0, 3.0, 8)
    perturb = sample_ray_noise(draws, 64, march, hierarchical=False, noise=0.5)

    def trace(rays, perturb):
        t = sample_t(rays, march, perturb.jitter)
        colors, density = query(ball, rays, t)
        weights = compute_weights(density, t, rays, march, perturb.noise)
        return composite(weights, colors), weights.sum(-1, keepdim=True)

    return in_chunks(trace, rays, perturb, chunk, deferred)


def test_chunks_and_deferral_change_neither_pictures_nor_gradients():
    found = []
    for chunk, deferred in ((64, False), (7, False), (7, True), (64, True)):
        ball = Ball()
        color, alpha = traced(ball, chunk, deferred)
        (color.square().mean() + alpha.mean()).backward()
        found.append((color.detach(), alpha.detach(), ball.size.grad))
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_random_numbers_of_a_march_are_asked_for_only_where_needed():
    bare = sample_ray_noise(RandomStreams([0]), 4, MARCH, hierarchical=False, noise=0.0)
    assert bare.importance is bare.noise is bare.coarse_noise is None
    full = sample_ray_noise(RandomStreams([0]), 4, MARCH, hierarchical=True, noise=0.5)
    assert full.noise.shape == (1, 4, 18)
    assert torch.equal(full[1:3].jitter, full.jitter[:, 1:3])
    assert RayNoise()[0:2].jitter is None
