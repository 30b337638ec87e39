"""Scenes as Gaussians: cameras around them, renderings, and the fit."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from conftest import tiny
from genscene.apps import splat_fitting
from genscene.apps.scene_views import (
    EvenNumbers,
    render_views,
    surrounding_cameras,
    view_size,
)
from genscene.apps.splat_fitting import FitOptions, fit_scene
from genscene.contract import DEFAULT_OPTIONS, SingleSceneGenerator
from genscene.errors import BadInput
from genscene.experiment.serialise import build_seeded
from genscene.geometry.priors import CameraPrior, widened
from genscene.io.generator_file import GeneratorFile
from genscene.randomness import RandomStreams
from genscene.render.march import March
from genscene.render.splatting import render_gaussians
from genscene.render.volume import VolumeGenerator, render_view

SMALL = FitOptions(splats=60, steps=60, views=8, side=24)


class BallGenerator(SingleSceneGenerator, VolumeGenerator):
    """A ball whose halves have two colors; shiny: brighter seen from its front."""

    bounds = (0.6, 0.6, 0.6)
    prior = CameraPrior("uniform", (math.pi / 2, math.pi), (math.pi / 2, 0.6), radius=2.0, fov=40.0)

    def __init__(self, shiny=False, density=60.0, pixels="center"):
        super().__init__()
        self.march, self.shiny, self.density = March(1.2, 2.8, 24, "relu", last_interval=0.1), shiny, density
        self.pixels, self.weight = pixels, nn.Parameter(torch.zeros(1))

    def bind(self, w):
        """The field."""
        return self.field

    def field(self, points, directions):
        """Red on the left, blue on the right."""
        left = (points[..., :1] < 0).to(points)
        color = torch.cat([left, torch.zeros_like(left), 1 - left], dim=-1)
        if self.shiny:
            color = color * (0.5 - 0.5 * directions[..., 2:])
        return color, self.density * (0.5 - points.norm(dim=-1))

    def render(self, scene, view, options=DEFAULT_OPTIONS):
        """March along the rays."""
        rays, size = self.rays(view)
        return render_view(scene, rays.unit(), size, self.march, options, 4)


def content_of(generator):
    """What a file of this generator would hold."""
    return GeneratorFile(generator.eval(), tiny("nerf-grid-demo"))


def style(generator):
    """The style of its one scene."""
    return generator.style(generator.latents(RandomStreams([0])))


def fitted(generator, options):
    """The fit to its one scene."""
    return fit_scene(content_of(generator), style(generator), options)


def test_more_steps_fit_unseen_views_better():
    few, many = (fitted(BallGenerator(), replace(SMALL, steps=steps)) for steps in (2, 120))
    assert many.psnr > few.psnr + 3
    assert many.psnr > 18
    assert 30 < many.gaussians.means.shape[1] <= 60
    assert many.gaussians.colors.shape[2] == 1
    assert many.size == (24, 24)
    assert not many.gaussians.means.requires_grad
    radii = many.gaussians.means[0].norm(dim=-1)
    assert 0.35 < radii.median() < 0.6  # on the ball


def test_a_fit_is_the_same_every_time_and_leaves_random_numbers_alone():
    torch.manual_seed(5)
    first = fitted(BallGenerator(), replace(SMALL, steps=6))
    numbers = torch.rand(2)
    torch.manual_seed(5)
    assert_close(torch.rand(2), numbers)
    again = fitted(BallGenerator(), replace(SMALL, steps=6))
    assert_close(again.gaussians.means, first.gaussians.means, atol=0, rtol=0)
    assert again.psnr == first.psnr


@pytest.mark.parametrize(("shiny", "degree", "wanted"), [(False, None, 0), (True, None, 1), (False, 2, 2)])
def test_colors_have_harmonics_where_they_depend_on_the_direction(shiny, degree, wanted):
    found = fitted(BallGenerator(shiny), replace(SMALL, steps=1, degree=degree))
    assert found.gaussians.colors.shape[2] == (wanted + 1) ** 2


def test_fog_becomes_gaussians_and_nothing_is_refused():
    assert fitted(BallGenerator(density=0.5), replace(SMALL, steps=3)).psnr > 15
    with pytest.raises(BadInput, match="no ray ends in the scene: opacities are at most 0, wanted"):
        fitted(BallGenerator(density=0.0), SMALL)


@pytest.mark.parametrize("pixels", ["center", "corner", "border"])
def test_cameras_of_views_are_those_of_their_rays_in_every_convention(pixels):
    generator = BallGenerator(pixels=pixels)
    cameras = generator.prior.sweep(2, (20, 20))
    views = render_views(generator, generator.bind(style(generator)), cameras)
    rays = views.cameras.rays()
    assert_close(rays.directions, cameras.rays(pixels).directions, atol=1e-5, rtol=0)
    apart = torch.linalg.cross(views.points - rays.origins, rays.unit().directions).norm(dim=-1)
    assert apart.max() < 1e-5
    near = (views.points.norm(dim=-1) - 0.5).abs()[views.alpha.flatten(1) > 0.99]
    assert near.max() < 0.2


def test_depths_that_are_sums_are_divided_by_opacity():
    generator = BallGenerator(density=1.0)
    cameras = generator.prior.sweep(1, (9, 9))
    plain = render_views(generator, generator.bind(style(generator)), cameras)
    generator.march = replace(generator.march, raw_depth=True)
    assert_close(render_views(generator, generator.bind(style(generator)), cameras).depth, plain.depth)


def test_even_numbers_fill_each_dimension():
    for shape in ((), (1,), (2,), (3,)):
        numbers = EvenNumbers(64).uniform(*shape)
        assert numbers.shape == (64, *shape)
        for column in numbers.reshape(64, -1).T:
            assert (column >= 0).all()
            assert torch.histc(column, 8, 0, 1).min() >= 5
    numbers = EvenNumbers(64).uniform(2)
    cells = (4 * numbers).long() @ torch.tensor([4, 1])
    assert len(set(cells.tolist())) == 16
    assert abs(float(EvenNumbers(500).normal(1).std()) - 1) < 0.05


@pytest.mark.parametrize(
    ("prior", "yaw", "pitch"),
    [
        (CameraPrior("fixed", (0.0, 0.0), (0.9, 0.0)), 0.3, 0.3),
        (CameraPrior("gaussian", (0.0, 0.4), (math.pi / 2, 0.2)), 0.8, 0.4),
        (CameraPrior("gaussian", (0.0, 3.0), (0.5, 2.0)), math.pi, 0.5),
        (CameraPrior("uniform", (0.0, 0.5), (1.0, 0.4)), 0.5, 0.4),
    ],
)
def test_cameras_are_all_over_the_prior_and_never_in_one_place(prior, yaw, pitch):
    wide = widened(prior)
    assert (wide.distribution, wide.yaw[1], wide.pitch[1]) == ("uniform", pytest.approx(yaw), pitch)
    sphere = CameraPrior("sphere")
    assert widened(sphere) == sphere


def test_views_of_photographs_are_between_their_cameras_in_their_shape():
    cameras = BallGenerator.prior.sweep(9, (30, 40))
    content = replace(content_of(BallGenerator()), cameras=cameras)
    assert view_size(content, 15) == (15, 20)
    seen, unseen = surrounding_cameras(content, 10, 3, (15, 20))
    assert (len(seen), len(unseen), unseen.size) == (10, 3, (15, 20))
    apart = (seen.pose[:, None, :3, 3] - unseen.pose[None, :, :3, 3]).norm(dim=-1)
    assert apart.min() > 1e-3


@pytest.mark.parametrize("name", ["graf-demo", "giraffe-demo", "nerf-minimal", "sdf", "cips-demo"])
def test_every_kind_of_scene_is_fitted_or_refused(name, monkeypatch):
    experiment = tiny(name)
    generator = build_seeded(experiment).generator.eval().requires_grad_(False)
    options = replace(SMALL, splats=9, steps=2, views=2, side=16)
    content = GeneratorFile(generator, experiment)
    refused = {"cips-demo": "pictures, without cameras", "sdf": "no ray ends"}
    if name in refused:
        with pytest.raises(BadInput, match=refused[name]):
            fit_scene(content, style(generator), options)
        return
    monkeypatch.setattr(splat_fitting, "EMPTY", -1.0)  # new weights have hardly a density
    found = fit_scene(content, style(generator), options)
    assert math.isfinite(found.psnr)
    camera = generator.prior.sweep(1, (8, 8))
    assert render_gaussians(found.gaussians, camera).image.isfinite().all()
