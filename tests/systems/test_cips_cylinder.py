"""CIPS around a cylinder: it closes, pictures of it are parts of the panorama, styles change along it."""

from dataclasses import replace

import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from conftest import tiny
from genscene.cli import main
from genscene.contract import ImageBatch, StepContext
from genscene.errors import BadInput
from genscene.experiment.memory import training_bytes
from genscene.experiment.validation import validate
from genscene.geometry.cameras import Grid
from genscene.io import generator_file
from genscene.layers.coordinates import CoordinateEmbedding, FourierFeatures, on_cylinder
from genscene.randomness import RandomStreams
from genscene.render.patches import PatchSampler
from genscene.systems import PRESETS
from genscene.systems.cips.generator import CIPSGenerator, CIPSGeneratorConfig
from genscene.systems.cips.network import CIPSNetworkConfig

AROUND = CIPSNetworkConfig(features=8, embedding_size=(6, 15), frames=3, widths=(8, 4))


def around(network=AROUND):
    return CIPSGenerator(CIPSGeneratorConfig(16, 2, network=network, size=(6, 5))).eval()


@pytest.mark.parametrize(
    "network",
    [
        AROUND,
        replace(AROUND, embedding=False),
        replace(AROUND, fourier=False),
        replace(AROUND, noise="coordinate"),
    ],
)
@torch.no_grad()
def test_pictures_that_begin_at_any_column_are_parts_of_the_panorama(network):
    generator = around(network)
    for name, parameter in generator.network.named_parameters():
        if name.endswith("noise_strength"):
            parameter.fill_(0.3)
    scene = generator.scene(generator.latents(RandomStreams([0])))
    whole = generator.render(scene, generator.prior.sweep(1, (6, 5))).image
    assert whole.shape == (1, 3, 6, 15)
    for seed in range(4):
        view = generator.prior.sample(RandomStreams([seed]), (6, 5))
        start = round(float(view.window[0, 1]) * 15)
        assert_close(float(view.window[0, 1]) * 15, float(start), atol=1e-5, rtol=0)
        columns = torch.arange(start, start + 5) % 15
        assert_close(generator.render(scene, view).image, whole[..., columns], atol=1e-5, rtol=1e-5)
    assert whole.std() > 1e-3


def test_pictures_begin_at_every_column():
    view = around().prior.sample(RandomStreams(range(200)), (6, 5))
    assert sorted({round(float(x) * 15) for x in view.window[:, 1]}) == list(range(15))
    assert_close(view.aspect, torch.full((200,), 1 / 3))


@torch.no_grad()
def test_features_close_around_the_cylinder():
    coords = torch.tensor([[[-1.0, 0.3], [1.0, 0.3], [3.0, 0.3], [0.2, 2.0], [-1.8, 2.0]]])
    embedding = CoordinateEmbedding(4, (6, 15), legacy=False, around=True)
    for features in (FourierFeatures(4, bias=False, frames=3), embedding):
        found = features(coords)
        assert_close(found[:, 1:3], found[:, :1].expand(-1, 2, -1))
        assert_close(found[:, 4], found[:, 3])
    centers = (torch.arange(15) + 0.5) / 15 * 2 - 1
    top = torch.stack([centers, torch.full((15,), -1.0)], dim=-1)[None]
    assert_close(embedding(top)[0].mT, embedding.table[:, 0])
    between = torch.tensor([[[-1.0, -1.0]]])
    assert_close(embedding(between)[0, 0], (embedding.table[:, 0, 0] + embedding.table[:, 0, -1]) / 2)


def test_lengths_around_the_cylinder_are_those_of_the_plane():
    """So the initial frequencies are as low as those of pictures on the plane."""
    found = FourierFeatures(4, bias=False, frames=6)
    x = torch.tensor([0.0, 1e-3]) / 6  # 1e-3 of the plane's unit, half a picture
    points = on_cylinder(torch.stack([x, torch.zeros(2)], dim=-1)[None], found.frames / torch.pi)[0]
    assert_close((points[1] - points[0]).norm(), torch.tensor(1e-3), atol=1e-6, rtol=0)


@torch.no_grad()
def test_windows_of_another_aspect_are_crops():
    whole = Grid(torch.tensor([[1.0, 0.25, 0.0]]), (4, 8), torch.tensor([0.5]))
    part = whole.crop(torch.tensor([[0.5, 0.5, 0.25]]), (2, 4))
    assert_close(part.coords(), whole.coords()[:, :, 1:3, 4:])
    assert_close(whole.coords()[0, 0, 0, [0, -1]], torch.tensor([-0.4375, 0.4375]))
    with pytest.raises(BadInput, match=r"aspect has shape \[2\], wanted \[1\]"):
        around().render(around().bind(torch.zeros(1, 16)), replace(whole, aspect=torch.ones(2)))


@torch.no_grad()
def test_styles_of_fakes_change_along_x():
    config = PRESETS["cips-ffhq-256"].system.shrunk()
    network = replace(config.generator.network, frames=4, embedding_size=(16, 64), embedding=False)
    config = replace(config, generator=replace(config.generator, network=network), cross_frame=1.0)
    system = config.build()
    batch = ImageBatch(torch.zeros(8, 3, 16, 16))
    fakes = system.sample_fakes(batch, StepContext(0), 0)
    assert fakes.images.shape == (8, 3, 16, 16)
    view, z = fakes.view, fakes.z
    scene = system.bind_fakes(z, view, RandomStreams(range(8)))
    w = scene.w.unflatten(1, view.size)
    assert_close(w, w[:, :1].expand_as(w))  # one style a column
    own, steps = system.generator.style(z), (w[:, 0, 1:] - w[:, 0, :-1]).norm(dim=-1)
    assert steps.amax() > 1e-3
    assert (steps.amax(dim=1) > 0).all()
    least = (w[:, 0] - own[:, None]).norm(dim=-1).amin(dim=1)
    assert (least < 1e-6).any()  # some begin with their own style
    patches = replace(
        config, patches=PatchSampler(size=8), discriminator=replace(config.discriminator, size=8)
    )
    assert patches.build().sample_fakes(batch, StepContext(0), 0).images.shape == (8, 3, 8, 8)


def test_styles_of_pixels_are_in_the_estimate_of_memory():
    """Tensors that the graph keeps: 3.3 (residual) to 3.6 times (skip) those of one style a picture."""
    paper = PRESETS["cips-panorama-256"]
    paper = replace(paper, system=replace(paper.system, recompute=False))
    plain = replace(paper, system=replace(paper.system, cross_frame=0.0))
    assert paper.system.cross_frame
    assert training_bytes(paper) > 3 * training_bytes(plain)


def test_what_a_cylinder_does_not_go_with_is_refused():
    for changed, message in (
        ({"network": replace(AROUND, legacy_grid_sample=True)}, "legacy_grid_sample with frames 3"),
        ({"network": AROUND, "legacy_corners": True}, "legacy_corners around a cylinder"),
        ({"network": AROUND, "outside": "wrap"}, "outside wrap around a cylinder"),
        ({"network": replace(AROUND, frames=0)}, "network.frames 0: wanted a number from 1 to 64"),
    ):
        with pytest.raises(BadInput, match=message):
            validate(CIPSGeneratorConfig(**changed), "generator")


@torch.no_grad()
def test_noise_of_coordinates_is_the_same_in_every_window():
    network = CIPSNetworkConfig(features=8, embedding_size=(6, 5), widths=(8, 4), noise="coordinate")
    generator = CIPSGenerator(CIPSGeneratorConfig(16, 2, network=network, size=(8, 8))).eval()
    scene = generator.scene(generator.latents(RandomStreams([0])))
    silent = generator.render(scene, Grid.whole(1, (8, 8))).image
    for name, parameter in generator.network.named_parameters():
        if name.endswith("noise_strength"):
            parameter.fill_(0.3)
    whole = generator.render(scene, Grid.whole(1, (8, 8))).image
    assert (whole - silent).abs().amax() > 0.01
    part = Grid.whole(1, (8, 8)).crop(torch.tensor([[0.5, 0.5, 0.0]]), (4, 4))
    assert_close(generator.render(scene, part).image, whole[..., :4, 4:], atol=1e-5, rtol=1e-5)


@pytest.fixture
def panorama(tmp_path):
    """The file of a generator around a cylinder of three pictures."""
    experiment = tiny("cips-ffhq-256")
    network = replace(experiment.system.generator.network, frames=3, embedding_size=(16, 48))
    system = replace(experiment.system, generator=replace(experiment.system.generator, network=network))
    experiment = replace(experiment, system=system)
    generator = system.build_generator().eval()
    with torch.no_grad():
        generator.mapping.w_avg.normal_()
    path = tmp_path / "panorama.safetensors"
    generator_file.write(path, generator_file.GeneratorFile(generator, experiment))
    return path


def test_panoramas_are_rendered_whole_blended_and_as_films(panorama, tmp_path):
    sizes = {}
    for name, words in {
        "sheet.png": ["--seeds", "0-1"],
        "blend.png": ["--seeds", "0-2", "--blend"],
        "small.png": ["--seeds", "0,5", "--blend", "--size", "8x10"],
        "pan.gif": ["--seeds", "0", "--frames", "4"],
    }.items():
        assert main(["render", str(panorama), "--out", str(tmp_path / name), *words]) == 0
        with Image.open(tmp_path / name) as image:
            sizes[name] = image.size
            assert getattr(image, "n_frames", 1) == (4 if name == "pan.gif" else 1)
    assert sizes == {"sheet.png": (48, 32), "blend.png": (48, 16), "small.png": (30, 8), "pan.gif": (16, 16)}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "x.gif"], "--out x.gif: wanted a file ending with .png"),
        (["--out", "x.png", "--window", "0,0,2,2"], "--blend with --window: wanted one of them"),
        (["--out", "x.png", "--show", "gradient"], "--blend with --show: wanted one of them"),
        (["--out", "x.png", "--frames", "3"], "--blend with --frames: wanted one of them"),
    ],
)
def test_blends_that_cannot_be_are_refused(panorama, words, message, capsys):
    assert main(["render", str(panorama), "--blend", *words]) == 2
    assert message in capsys.readouterr().err
