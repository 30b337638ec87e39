"""GIRAFFE: published sizes, what boxes do to a picture, released checkpoints."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from conftest import tiny
from genscene.contract import RenderOptions, StepContext, map_tensors
from genscene.errors import BadInput
from genscene.geometry.boxes import Boxes, BoxPrior, collisions
from genscene.geometry.cameras import Rays
from genscene.io.rename import rename
from genscene.layers.mapping import select_objects
from genscene.objectives.dcgan import DCGANDiscriminator, ResidualDiscriminator
from genscene.randomness import RandomStreams
from genscene.systems import PRESETS
from genscene.systems.giraffe.convert import GENERATOR, convert, official
from genscene.systems.giraffe.generator import GIRAFFEGenerator, GIRAFFEGeneratorConfig
from genscene.systems.giraffe.presets import PRESETS as GIRAFFE

PARAMETERS = {  # of the object field, the background, the renderer, the discriminator (released code)
    "giraffe-celeba": (266_241, 47_041, 98_313, 2_763_776),
    "giraffe-cars-256": (282_753, 55_361, 410_383, 2_802_432),
    "giraffe-clevr2345-256": (63_553, 13_345, 118_543, 2_802_432),
}


def built(name, seed=0):
    """A small GIRAFFE with dense fields, so that objects are seen."""
    torch.manual_seed(seed)
    generator = GIRAFFEGenerator(tiny(name).system.generator).double().eval()
    for network in (*generator.objects, generator.background):
        torch.nn.init.normal_(network.density.weight, 0.3, 1.0)
        torch.nn.init.constant_(network.density.bias, 5.0)
    torch.nn.init.normal_(generator.background.density.weight, 0.0, 0.01)
    torch.nn.init.constant_(generator.background.density.bias, 0.05)
    return generator


def scene_of(generator, seeds=(0, 1)):
    z = generator.latents(RandomStreams(seeds)).double()
    return generator.style(z), generator.prior.sample(RandomStreams(seeds), (16, 16))


@pytest.mark.parametrize("name", PARAMETERS)
def test_networks_have_as_many_parameters_as_published(name):
    system = PRESETS[name].system.build()
    parts = (system.generator.objects, system.generator.background, system.generator.renderer)
    found = [sum(p.numel() for p in part.parameters()) for part in (*parts, system.discriminator)]
    assert tuple(found) == PARAMETERS[name]


@pytest.mark.parametrize("name", ["giraffe-cars", "giraffe-clevr2-256", "giraffe-demo"])
def test_two_renderings_of_a_scene_are_the_same_picture(name):
    generator = built(name)
    w, view = scene_of(generator)
    with torch.no_grad():
        first, second = (generator.render(generator.bind(w), view) for _ in range(2))
    assert torch.equal(first.image, second.image)
    assert first.object_alpha.shape == (2, generator.config.boxes.count, 1, 16, 16)
    assert float(first.object_alpha.max()) > 0.1


@pytest.mark.parametrize("operator", ["mean", "max"])
@pytest.mark.parametrize("name", ["giraffe-cars", "giraffe-clevr2-256"])
def test_decoding_inside_the_boxes_alone_gives_the_same_as_decoding_everywhere(name, operator):
    generator = built(name)
    generator.config = replace(generator.config, operator=operator)
    w, _ = scene_of(generator)
    scene = generator.bind(w)
    points = torch.rand(2, 500, 3, dtype=torch.float64) - 0.5
    directions = torch.nn.functional.normalize(torch.randn(2, 500, 3, dtype=torch.float64), dim=-1)
    found, density = scene(points, directions)
    features, densities = [], []
    (placed,) = scene.objects
    for i in range(generator.config.boxes.count):
        at, along = placed.boxes.points(points)[:, i], placed.boxes.directions(directions)[:, i]
        own = replace(placed.field, shape=w.shape[:, i], appearance=w.appearance[:, i])
        feature, raw = own(at, along)
        inside = (at.abs() <= placed.margin).all(dim=-1)
        features.append(feature)
        densities.append(torch.where(inside, raw.relu(), 0))
    feature, raw = scene.background(points, directions)
    features, densities = torch.stack([*features, feature]), torch.stack([*densities, raw.relu()])
    if operator == "mean":
        total = densities.sum(dim=0)
        wanted = (densities[..., None] * features).sum(dim=0) / total.clamp_min(1e-4)[..., None]
    else:
        total, best = densities.max(dim=0)
        wanted = features.gather(0, best[None, ..., None].expand(1, -1, -1, features.shape[-1]))[0]
    assert_close(density, total)
    assert_close(found[..., : wanted.shape[-1]] * (total > 0)[..., None], wanted * (total > 0)[..., None])


def test_moving_one_object_changes_only_pixels_where_it_was_or_is():
    generator = built("giraffe-demo")
    w, view = scene_of(generator, [3])
    moved = replace(w, boxes=replace(w.boxes, translation=w.boxes.translation.clone()))
    moved.boxes.translation[:, 0, 1] += 0.4
    with torch.no_grad():
        before, after = (
            generator.render_features(generator.bind(x), view, RenderOptions()) for x in (w, moved)
        )
    shares = [x.image[:, generator.config.renderer.features] for x in (before, after)]
    changed = (before.image - after.image).abs().amax(dim=1) > 0
    assert changed.any()
    assert not (changed & (shares[0] == 0) & (shares[1] == 0)).any()


@pytest.mark.parametrize("name", ["giraffe-clevr2-256", "giraffe-demo"])
def test_objects_are_added_removed_and_shown_alone(name):
    generator = built(name)
    w, view = scene_of(generator, [1])
    codes = {
        name: torch.cat([x := getattr(w, name), x[:, :1]], dim=1)
        for name in ("shape", "appearance", "classes", "present")
    }
    more = replace(w, boxes=map_tensors(lambda x: torch.cat([x, x[:, :1]], dim=1), w.boxes), **codes)
    removed = replace(more, present=torch.tensor([[1.0, 1.0, 0.0]]).double())
    alone = replace(w, background_present=torch.zeros(1).double())
    with torch.no_grad():
        plain, less, only = (generator.render(generator.bind(x), view) for x in (w, removed, alone))
        third = generator.render(generator.bind(more), view)
    assert third.object_alpha.shape[1] == 3
    assert_close(plain.image, less.image)
    assert float(only.alpha.min()) < 0.5 < float(only.alpha.max())
    with pytest.raises(BadInput, match="appearance has shape"):
        generator.bind(replace(more, appearance=w.appearance))


def test_pictures_are_of_any_multiple_and_of_whole_cameras_only():
    generator = built("giraffe-cars")
    w, _ = scene_of(generator, [0])
    with torch.no_grad():
        view = generator.prior.sample(RandomStreams([0]), (6, 10))
        assert generator.render(generator.bind(w), view).image.shape == (1, 3, 6, 10)
        with pytest.raises(BadInput, match="size 5x10: wanted multiples of 2"):
            generator.render(generator.bind(w), view.resized((5, 10)))
        rays = view.rays()
        with pytest.raises(BadInput, match="wanted a Camera"):
            generator.render(generator.bind(w), Rays(rays.origins, rays.directions))


def test_several_classes_have_decoders_of_their_own():
    config = replace(tiny("giraffe-clevr2-256").system.generator, classes=(0, 1))
    generator = GIRAFFEGenerator(config)
    assert len(generator.objects) == 2
    w, view = scene_of(generator.double(), [0, 1])
    with torch.no_grad():
        assert generator.render(generator.bind(w), view).object_alpha.shape[1] == 2
    with pytest.raises(BadInput, match="classes"):
        replace(config, classes=(0, 2)).check()


def test_boxes_are_apart_where_they_are_to_be_and_impossible_ones_are_refused():
    prior = BoxPrior(4, translation_min=(-1, -1, 0), translation_max=(1, 1, 0), plane=0.1, apart=0.05)
    uniform = RandomStreams(range(50)).uniform(prior.numbers)
    boxes, present = prior.sample(uniform)
    assert not collisions(boxes, 0.05).any()
    assert present.all()
    assert torch.equal(boxes.translation, torch.cat([prior.sample(u[None])[0].translation for u in uniform]))
    with pytest.raises(BadInput, match="no place for 9 boxes"):
        replace(prior, count=9, scale_min=(0.9,) * 3, scale_max=(0.9,) * 3).sample(torch.rand(1, 74))


def test_numbers_of_objects_have_their_chances():
    prior = BoxPrior(5, number_chances=(0.1, 0.2, 0.3, 0.4))
    _, present = prior.sample(RandomStreams(range(4000)).uniform(prior.numbers))
    counts = (
        present.sum(dim=1).bincount() if present.dtype == torch.long else present.sum(dim=1).long().bincount()
    )
    assert_close(counts[2:] / 4000, torch.tensor([0.1, 0.2, 0.3, 0.4]), atol=0.03, rtol=0)
    assert_close(present.mean(dim=0), torch.full((5,), 0.8), atol=0.03, rtol=0)


def test_a_released_checkpoint_is_converted(tmp_path):
    config = official(GIRAFFE["giraffe-celeba"].system.generator)
    torch.manual_seed(1)
    ours = GIRAFFEGenerator(config)
    names = official_names(ours)
    assert set(rename(names, GENERATOR, dict(ours.named_parameters()))) == {
        n for n, _ in ours.named_parameters()
    }
    state = {f"generator_test.{name}": tensor for name, tensor in names.items()}
    torch.save(
        {"model": state | {"discriminator.blocks.0.weight": torch.zeros(1)}, "it": 3}, tmp_path / "m.pt"
    )
    experiment, again = convert(tmp_path / "m.pt", "")
    assert experiment.system.generator == config
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), again.parameters(), strict=True))
    with pytest.raises(BadInput, match="no preset 'x'"):
        convert(tmp_path / "m.pt", "x")
    torch.save({"model": {}}, tmp_path / "n.pt")
    with pytest.raises(BadInput, match="no checkpoint of GIRAFFE"):
        convert(tmp_path / "n.pt", "")


def official_names(generator):
    """Our tensors under the released code's names, written here a second time."""
    swaps = {
        "objects.0.": "decoder.",
        "background.": "background_generator.",
        "renderer.": "neural_renderer.",
    }
    inner = {
        "point": "fc_in", "shape": "fc_z", "layers": "blocks", "skip_shapes": "fc_z_skips",
        "skip_points": "fc_p_skips", "density": "sigma_out", "feature_layer": "feat_view",
        "appearance": "fc_z_view", "direction": "fc_view", "feature": "feat_out",
    }  # fmt: skip
    found = {"neural_renderer.upsample_rgb.1.f": torch.tensor([1.0, 2.0, 1.0])}
    for name, tensor in generator.named_parameters():
        start, theirs = next((a, b) for a, b in swaps.items() if name.startswith(a))
        part, _, rest = name.removeprefix(start).partition(".")
        part = {"layers": "conv_layers", "rgb": "conv_rgb"}[part] if start == "renderer." else inner[part]
        found[f"{theirs}{part}.{rest}"] = tensor.detach()
    return found


def test_discriminators_take_their_sizes():
    config = PRESETS["giraffe-celeba"].system.discriminator
    with pytest.raises(BadInput, match="32x32"):
        config.check_size((32, 32))
    assert DCGANDiscriminator(replace(config, channels=(4, 4)))(torch.zeros(2, 3, 16, 32)).shape == (2,)
    residual = replace(config, channels=(4, 8), residual=True)
    assert ResidualDiscriminator(residual)(torch.zeros(2, 3, 8, 8)).shape == (2,)


def test_turned_boxes_see_turned_points():
    boxes = Boxes(
        torch.full((1, 1, 3), 0.5), torch.tensor([[[1.0, 0.0, 0.0]]]), torch.full((1, 1), torch.pi / 2)
    )
    inside = boxes.points(torch.tensor([[[1.0, 0.5, 0.0]]]))
    assert_close(inside[0, 0, 0], torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64), atol=1e-6, rtol=0)


def test_configuration_refuses_what_no_generator_can_be():
    config = GIRAFFEGeneratorConfig()
    config = replace(config, march=replace(config.march, fine_samples=3))
    with pytest.raises(BadInput, match="fine_samples"):
        config.check()


@pytest.mark.parametrize(("count", "pairs"), [(16, 8), (8, 4), (12, 4), (4, 2), (2, 1), (1, 0)])
def test_scenes_that_share_appearances_are_of_different_groups(count, pairs):
    system = GIRAFFE["giraffe-demo"].system.build()
    first, second = system.appearance_pairs(count)
    assert len(first) == pairs
    assert sorted([*first.tolist(), *second.tolist()]) == list(range(2 * pairs))
    if count > 4:
        assert (first // 4 != second // 4).all()
    z = system.sample_latents(RandomStreams(range(count)))
    boxes, codes = system.generator.config.boxes.count, system.generator.config.object.codes
    codes = z[:, boxes * codes : 2 * boxes * codes]
    assert (codes[first] == codes[second]).all()
    assert len(codes.unique(dim=0)) == count - pairs


def test_objects_of_several_classes_are_counted_as_they_come():
    config = tiny("giraffe-clevr2345-256").system.generator
    generator = GIRAFFEGenerator(replace(config, classes=(0, 1, 0, 1, 0))).double().eval()
    for network in generator.objects:
        torch.nn.init.constant_(network.density.bias, 50.0)
    w, view = scene_of(generator, [1])
    w.boxes.translation.zero_()
    for numbers in ([1], [1, 2], [2, 1, 3, 0]):
        some = select_objects(replace(w, present=torch.ones_like(w.present)), numbers)
        with torch.no_grad():
            whole = generator.render(generator.bind(some), view).object_alpha
            assert whole.shape[1] == len(numbers)
            for i in range(len(numbers)):
                there = torch.nn.functional.one_hot(torch.tensor([i]), len(numbers)).double()
                alone = generator.render(generator.bind(replace(some, present=there)), view).object_alpha
                assert alone[:, i].sum() > 0
                assert alone.sum() == alone[:, i].sum()


def test_the_penalty_is_that_of_images_between_0_and_1():
    system = GIRAFFE["giraffe-celeba"].system.build()
    real = torch.rand(2, 3, 64, 64)
    shifted = (2 * real - 1).requires_grad_()
    logits = system.discriminate(shifted, None, None, StepContext(1)).logits
    found, _ = system.penalties((logits, shifted), None, StepContext(1))
    images = real.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(system.discriminator(images).sum(), images)
    assert_close(found, 10 * gradient.square().flatten(1).sum(1).mean())


def test_places_of_a_file_are_those_of_the_scenes_however_near(tmp_path):
    places = np.float32([[[0.0, 0.0, 0.0], [0.1, 0.0, 0.0]]])
    np.savez(tmp_path / "p.npz", coordinates=places)
    prior = BoxPrior(2, apart=0.5, positions=str(tmp_path / "p.npz"))
    boxes, _ = prior.sample(torch.rand(3, prior.numbers))
    assert_close(boxes.translation, torch.from_numpy(places * prior.positions_unit).expand(3, 2, 3))


def test_options_that_would_do_nothing_are_refused():
    system = GIRAFFE["giraffe-demo"].system
    for changed in (replace(system, recompute=True), replace(system, density_noise=1.0)):
        with pytest.raises(BadInput, match="wanted off with box_samples"):
            changed.check((64, 64))
    with pytest.raises(BadInput, match="noise_steps: wanted 0"):
        replace(system, noise_steps=5).check((64, 64))
    with pytest.raises(BadInput, match="operator max: wanted mean"):
        replace(system.generator, operator="max").check()


def test_a_converted_background_turns_as_it_was_trained():
    config = GIRAFFE["giraffe-churches"].system.generator
    assert config.background_rotation == (0.0, 0.25)
    assert official(config).background_rotation == (-0.25, 0.0)
