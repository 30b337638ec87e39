"""GRAF: published sizes, codes, patches, cameras at several distances, released checkpoints."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from conftest import tiny
from genscene.contract import StepContext
from genscene.errors import BadInput
from genscene.geometry.cameras import Grid
from genscene.objectives.dcgan import DCGANConfig, DCGANDiscriminator
from genscene.randomness import RandomStreams
from genscene.render.patches import PatchSampler, border_windows
from genscene.systems import PRESETS
from genscene.systems.graf.convert import convert, discriminator_rules
from genscene.systems.graf.generator import GRAFGenerator


def test_networks_have_as_many_parameters_as_published():
    system = PRESETS["graf-carla-64"].system.build()
    assert sum(p.numel() for p in system.generator.parameters()) == 677_764
    assert sum(p.numel() for p in system.discriminator.parameters()) == 2_635_776
    undirected = PRESETS["graf-cub"].system.build_generator().field.color_layer
    assert undirected.in_features == 384


def test_appearance_leaves_depth_alone_and_shape_does_not():
    generator = GRAFGenerator(tiny("graf-carla-64").system.generator).eval()
    torch.nn.init.constant_(generator.field.density.bias, 0.3)
    w = generator.style(generator.latents(RandomStreams([0, 1])))
    view = generator.prior.sample(RandomStreams([0, 0]), (8, 8))
    with torch.no_grad():
        first = generator.render(generator.bind(w), view)
        painted = generator.render(generator.bind(replace(w, appearance=w.appearance.flip(0))), view)
        shaped = generator.render(generator.bind(replace(w, shape=w.shape.flip(0))), view)
    assert torch.equal(first.depth, painted.depth)
    assert not torch.equal(first.image, painted.image)
    assert not torch.equal(first.depth, shaped.depth)


def test_near_and_far_follow_the_distance_of_the_camera():
    config = tiny("graf-celeba-64").system.generator
    generator = GRAFGenerator(config).eval()
    prior = config.prior
    assert prior.radius_spread == 0.5
    radius = torch.tensor([9.5, 10.5])
    view = prior.camera_at(torch.zeros(2), torch.full((2,), 1.3), (4, 4), radius)
    with torch.no_grad():
        depth = generator.render(generator.scene(generator.latents(RandomStreams([0, 0]))), view).depth
    far = torch.tensor([config.march.far - 1, config.march.far])
    assert (depth.amax(dim=(1, 2, 3)) <= far + 1e-4).all()
    assert_close(generator.beyond(view.rays())[:, 0, 0], torch.tensor([1.0, 0.0]), atol=1e-5, rtol=0)


def test_windows_shrink_with_the_steps():
    sampler = PRESETS["graf-carla-64"].system.patches
    sizes = [sampler.smallest_at(step) for step in (0, 999, 50_000, 100_000, 185_000, 10**6)]
    assert sizes == pytest.approx([0.9, 0.9, 0.687, 0.472, 0.25, 0.25], abs=1e-3)
    windows = sampler.sample(RandomStreams(range(100)), 10**6)
    assert float(windows[:, 0].min()) >= 0.25
    assert ((windows[:, 1:] >= 0) & (windows[:, 1:] + windows[:, :1] <= 1 + 1e-6)).all()
    assert PatchSampler(8, 0.5).smallest_at(10**6) == 0.5


def test_the_border_of_the_whole_image_is_the_centers_of_its_pixels():
    windows = border_windows(torch.tensor([[1.0, 0.0, 0.0]]), 16, (16, 16))
    assert_close(Grid(windows, (16, 16)).coords(), Grid.whole(1, (16, 16)).coords())


def test_power_iterations_advance_once_in_a_step():
    system = tiny("graf-carla-64").system.build()
    layer, context = system.discriminator.layers[0], StepContext(3)
    before, images = layer.u.clone(), torch.zeros(2, 3, 8, 8)
    for _ in range(2):
        system.discriminate(images, None, None, context)
        once = layer.u.clone()
    assert not torch.equal(before, once)
    system.discriminate(images, None, None, StepContext(4))
    assert not torch.equal(layer.u, once)


def test_spectral_norms_converge_to_the_largest_singular_value():
    network = DCGANDiscriminator(DCGANConfig((8,), spectral=True))
    for _ in range(200):
        network.iterate()
    layer = network.layers[0]
    largest = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
    assert_close(layer.u @ layer.weight.flatten(1) @ layer.v, largest, rtol=1e-3, atol=0)


def test_patches_are_mirrored_only_where_that_is_configured():
    system = tiny("graf-cub").system.build()
    images = torch.randn(8, 3, 8, 8)
    context = StepContext(0)
    flipped = system.discriminate(images, None, None, context).logits
    other = system.discriminate(images.flip(-1), None, None, context).logits
    assert not torch.allclose(flipped, other)
    plain = replace(system.config, flip=False).build()
    plain.load_state_dict(system.state_dict())
    plain.iterated_step = 0
    both = torch.stack([plain.discriminate(x, None, None, context).logits for x in (images, images.flip(-1))])
    assert ((flipped - both).abs().amin(dim=0) < 1e-5).all()


def test_a_released_checkpoint_is_converted(tmp_path):
    names = {"field.color_layer": "views_linears.0", "field.layers": "pts_linears"}
    names |= {
        f"field.{a}": f"{b}_linear"
        for a, b in (("density", "alpha"), ("feature", "feature"), ("color", "rgb"))
    }
    ours = PRESETS["graf-carla-128"].system.build_generator()
    state = {}
    for name, tensor in ours.named_parameters():
        start = max((x for x in names if name.startswith(f"{x}.")), key=len)
        state[names[start] + name.removeprefix(start)] = tensor.detach()
    torch.save({"generator": {}, "generator_test": state, "it": 1}, tmp_path / "model.pt")
    experiment, again = convert(tmp_path / "model.pt", "")
    assert experiment.system.generator.pixels == "corner"
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), again.parameters(), strict=True))
    with pytest.raises(BadInput, match=r"field\.layers\.0"):
        convert(tmp_path / "model.pt", "graf-demo")


def test_convolutions_are_named_whatever_is_between_them():
    rules = discriminator_rules([f"main.{i}.weight_orig" for i in (0, 2, 5, 8, 11)])
    assert rules[0] == (r"main\.0\.weight(?:_orig)?", "layers.0.weight")
    assert rules[-1] == (r"main\.11\.weight_v", "last.v")


def test_patches_of_the_presets_are_those_of_the_released_configurations():
    for name in ("graf-carla-64", "graf-carla-512", "graf-cats", "graf-cub"):
        patches = PRESETS[name].system.patches
        assert (patches.size, patches.smallest, patches.anneal) == (32, 0.25, 0.0025), name
    for name in ("graf-celebahq-256", "graf-celebahq-512"):
        patches = PRESETS[name].system.patches
        assert (patches.size, patches.smallest, patches.anneal) == (32, 0.125, 0.0019), name
