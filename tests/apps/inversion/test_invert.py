"""Inversion finds what renders a picture: latents and cameras of generators, cameras of single scenes."""

import math
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

import genscene
from conftest import tiny
from genscene.apps.interpolate import styles_of_seeds
from genscene.apps.inversion import encoder as encoders
from genscene.apps.inversion.candidates import Candidates
from genscene.apps.inversion.encoder import EncoderOptions
from genscene.apps.inversion.invert import InvertOptions, invert
from genscene.apps.inversion.poses import FreePoses, OrbitPoses, rotation_error
from genscene.apps.inversion.similarity import Similarity, Target, distance
from genscene.apps.inversion.styles import StyleSpace, own_styles
from genscene.errors import BadInput
from genscene.experiment.serialise import build_seeded
from genscene.geometry.cameras import Camera, named_tensors
from genscene.geometry.priors import CameraPrior
from genscene.io.generator_file import weights_sha256
from genscene.randomness import RandomStreams
from genscene.scenes import Rendering

SMALL = InvertOptions(side=16, steps=20, encoder=EncoderOptions(64, 30))
FAMILIES = ("pigan-demo", "giraffe-demo", "cips-demo", "cgsgan-demo", "graf-demo")


def build(name):
    generator = build_seeded(tiny(name)).generator.eval().requires_grad_(False)
    for module in generator.modules():
        if hasattr(module, "w_avg"):
            module.w_avg.zero_()
    return generator


@torch.no_grad()
def own_pictures(generator, seeds, size=(16, 16)):
    """Pictures of seeds, with their views."""
    view = generator.prior.sample(RandomStreams(seeds), size)
    return generator.render(generator.bind(styles_of_seeds(generator, seeds)), view).image.clamp(0, 1), view


@pytest.mark.parametrize("name", FAMILIES)
def test_codes_are_whitened_and_give_their_styles_back(name):
    generator = build(name)
    space, w = StyleSpace.of(generator), own_styles(generator, range(200))
    codes = space.codes(w)
    assert_close(codes.mean(dim=0), torch.zeros(codes.shape[1]), atol=0.35, rtol=0)
    assert_close(codes.std(dim=0), torch.ones(codes.shape[1]), atol=0.35, rtol=0)
    again = named_tensors(space.styles(codes, w))
    for name, tensor in named_tensors(w).items():
        scale = float(tensor.std()) + 1e-6 if tensor.numel() else 1.0
        assert_close(again[name] / scale, tensor / scale, atol=0.2, rtol=0)


@pytest.mark.parametrize("name", FAMILIES)
def test_pictures_of_every_family_are_inverted(name):
    generator = build(name)
    images, view = own_pictures(generator, [3, 4])
    found = invert(generator, images, SMALL)
    assert {each["picture"] for each in found.latents.pictures} == {0, 1}
    assert found.images.isfinite().all()
    assert len(found.latents) == len(found.images) == 2 + len(found.ties)
    with torch.no_grad():  # what is in the latents is what was rendered
        views = found.latents.cameras or type(view).whole(len(found.images), (16, 16))
        again = generator.render(generator.bind(found.latents.w), views).image.clamp(0, 1)
    assert_close(again, found.images, atol=1e-5, rtol=0)
    first = [next(i for i, e in enumerate(found.latents.pictures) if e["picture"] == p) for p in (0, 1)]
    ours = (found.images[first] - images).square().mean()
    others = (images[[1, 0]] - images).square().mean()
    assert ours < others


def test_the_same_picture_gives_the_same_latents():
    generator = build("cgsgan-demo")
    images, _ = own_pictures(generator, [3])
    options = replace(SMALL, steps=2)
    one, two = (invert(generator, images, options).latents for _ in range(2))
    assert torch.equal(one.w, two.w)
    assert torch.equal(one.cameras.pose, two.cameras.pose)


def test_pictures_of_one_scene_share_its_latent():
    generator = build("cgsgan-demo")
    w = styles_of_seeds(generator, [3]).expand(3, -1, -1)
    view = generator.prior.sample(RandomStreams([1, 2, 3]), (16, 16))
    with torch.no_grad():
        images = generator.render(generator.bind(w), view).image.clamp(0, 1)
    found = invert(generator, images, replace(SMALL, shared=True))
    assert len(found.latents) == 1
    assert [each["scene"] for each in found.latents.pictures] == [0, 0, 0]
    assert len(found.latents.cameras) == 3


def test_tuned_weights_render_the_picture_better_and_the_generator_remains_as_it_was():
    generator = build("pigan-demo")
    images = torch.rand(1, 3, 16, 16)
    before = weights_sha256(generator)
    plain = invert(generator, images, replace(SMALL, steps=2))
    tuned = invert(generator, images, replace(SMALL, steps=2, tuning_steps=30), tuned=True)
    assert weights_sha256(generator) == before != weights_sha256(tuned.generator)
    assert tuned.latents.pictures[0]["psnr"] > plain.latents.pictures[0]["psnr"]


def test_the_camera_of_a_new_photograph_of_one_scene_is_found():
    generator = build("splats-blender" if "splats-blender" in genscene.PRESETS else "splat-demo")
    prior = CameraPrior("uniform", (math.pi / 2, math.pi), (1.0, 0.1), 3.0, 40.0, up="z")
    cameras = prior.sample(RandomStreams(range(6)), (16, 16))
    pose = cameras.pose[2:3].clone()
    pose[:, :3, 3] *= 1.02
    truth = Camera(pose, cameras.intrinsics[2:3], (16, 16))
    with torch.no_grad():
        scene = generator.bind(generator.style(torch.zeros(1, 0)))
        image = generator.render(scene, truth).image.clamp(0, 1)
    found = invert(generator, image, SMALL, cameras)
    assert len(found.latents) == 1
    assert found.latents.cameras.pose.shape == (1 + len(found.ties), 4, 4)


def test_the_camera_of_a_photograph_of_voxels_is_found_from_one_beside_it():
    generator = build("nerf-grid-demo")
    voxels = generator.voxels
    level = int(voxels.level)
    axes = (torch.linspace(-1, 1, n) for n in voxels.counts)
    x, y, z = torch.meshgrid(*axes, indexing="ij")
    inside = (x.abs() < 0.7) & (y > -0.7) & (y < 0.5) & (z.abs() < 0.5)
    voxels.density[level].copy_(torch.where(inside, 4.0, -4.0))
    constant = slice(3) if voxels.network is not None else slice(None, None, voxels.config.channels // 3)
    voxels.color[level][:, constant] = 3 * torch.stack([x, y, z], dim=-1).view(-1, 3)
    cameras = generator.prior.sweep(5, (24, 24))
    poses = FreePoses(cameras[1:2], float(generator.prior.radius))
    truth = poses.camera(torch.tensor([[0.05, 0.06, -0.04, 0.0, 0.0, 0.0]]), (24, 24))
    with torch.no_grad():
        image = generator.render(generator.bind(torch.zeros(1, 0)), truth).image.clamp(0, 1)
    found = invert(generator, image, replace(SMALL, side=24, steps=100), cameras[1:2])
    best = found.latents.cameras[:1]
    assert rotation_error(cameras[1:2], truth) > 4
    assert rotation_error(best, truth) < 2
    assert found.latents.pictures[0]["psnr"] > 33


def test_the_encoder_is_read_from_the_cache(monkeypatch):
    generator = build("cips-demo")
    images, _ = own_pictures(generator, [3])
    options = replace(SMALL, steps=0, encoder=EncoderOptions(33, 3))
    first = invert(generator, images, options)
    monkeypatch.setattr(encoders, "render_atlas", None)
    assert torch.equal(invert(generator, images, options).latents.w, first.latents.w)


def test_poses_are_cameras_of_the_prior():
    for prior in (
        CameraPrior(radius=2.0, fov=40.0),
        CameraPrior("sphere", pitch=(0.7, 0.6), radius=2.0, up="z"),
    ):
        poses = OrbitPoses.of(prior, ("roll", "distance", "fov"))
        cameras = prior.sample(RandomStreams(range(5)), (8, 8))
        pose = poses.at(*poses.angles(cameras))
        assert_close(poses.camera(pose, (8, 8)).pose, cameras.pose, atol=1e-5, rtol=0)
        assert_close(poses.camera(pose, (8, 8)).intrinsics, cameras.intrinsics, atol=1e-5, rtol=0)
        assert (poses.penalty(pose) < 10).all()
        far = pose + torch.tensor([0.0, 0.0, 0.5, 0.5, 0.5])
        assert (poses.penalty(far) > poses.penalty(pose) + 10).all()
        turned = poses.camera(pose + torch.tensor([0.0, 0.0, 0.3, 0.0, 0.0]), (8, 8))
        assert_close(rotation_error(turned, cameras), torch.full((5,), math.degrees(0.3)), atol=0.1, rtol=0)


def test_poses_far_beyond_a_prior_are_unlikely():
    gaussian = OrbitPoses.of(CameraPrior("gaussian", (1.5, 0.3), (1.5, 0.1)))
    at = lambda yaw, pitch: gaussian.at(torch.tensor([yaw]), torch.tensor([pitch]))  # noqa: E731
    assert_close(gaussian.penalty(at(1.8, 1.5)), torch.tensor([0.5]), atol=1e-4, rtol=0)
    uniform = OrbitPoses.of(CameraPrior("uniform", (1.5, math.pi), (1.0, 0.2)))
    assert float(uniform.penalty(uniform.at(torch.tensor([9.0]), torch.tensor([1.1])))) == 0
    assert float(uniform.penalty(uniform.at(torch.tensor([9.0]), torch.tensor([1.4])))) > 5
    assert not OrbitPoses.of(CameraPrior("fixed")).rates.any()


def test_a_free_pose_of_zeros_is_the_given_camera():
    cameras = CameraPrior(radius=3.0).sample(RandomStreams(range(2)), (8, 8))
    poses = FreePoses(cameras, 3.0)
    assert_close(poses.camera(torch.zeros(2, 6), (8, 8)).pose, cameras.pose, atol=1e-6, rtol=0)
    moved = poses.camera(torch.tensor([[0.1, 0, 0, 0, 0, 0.5]] * 2), (8, 8))
    assert_close(rotation_error(moved, cameras), torch.full((2,), math.degrees(0.1)), atol=0.05, rtol=0)
    assert_close((moved.pose - cameras.pose)[:, :3, 3].norm(dim=1), torch.full((2,), 1.5), atol=1e-4, rtol=0)


def test_only_what_the_weights_show_is_compared():
    a, b = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16)
    weights = torch.zeros(1, 1, 16, 16)
    weights[..., :8] = 1
    b[..., :8] = a[..., :8]
    shown = Similarity()(Rendering(b), Target(a, weights))
    whole = Similarity()(Rendering(b), Target(a, torch.ones_like(weights)))
    assert float(shown) < 0.2 * float(whole)
    assert float(distance(a, a)) == 0
    assert float(distance(a, b)) > 0.1


def test_pictures_that_are_none_are_refused():
    generator = build("cips-demo")
    with pytest.raises(BadInput, match=r"pictures \[3, 16, 16\]"):
        invert(generator, torch.rand(3, 16, 16), SMALL)
    with pytest.raises(BadInput, match="not finite"):
        invert(generator, torch.full((1, 3, 16, 16), torch.nan), SMALL)
    with pytest.raises(BadInput, match="roll: the scenes of this generator are pictures"):
        invert(generator, torch.rand(1, 3, 16, 16), replace(SMALL, free=("roll",)))


def test_parts_of_candidates_have_their_scenes():
    poses = OrbitPoses.of(CameraPrior())
    codes = torch.arange(6.0).view(3, 2)
    one = Candidates(codes, codes, torch.tensor([2, 0]), torch.rand(2, 5), poses, torch.tensor([0, 1]))
    taken = one.take(torch.tensor([1, 0]))
    assert torch.equal(taken.codes, codes[[0, 2]])
    assert taken.scene.tolist() == [0, 1]
    assert one.part(torch.tensor([0])).scene.tolist() == [2]
