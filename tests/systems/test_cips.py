"""CIPS: published sizes, parts and styles of pixels, coordinates, variants, released checkpoints."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from conftest import tiny
from genscene.cli import main
from genscene.contract import ImageBatch, RenderOptions, StepContext
from genscene.devices import without_memory
from genscene.distributed import ProcessGroup
from genscene.errors import BadInput, Cancelled
from genscene.experiment.memory import training_bytes
from genscene.experiment.schema import EMA, Stage
from genscene.geometry.cameras import Grid
from genscene.io import generator_file
from genscene.layers.coordinates import CoordinateEmbedding
from genscene.randomness import RandomStreams
from genscene.render.canvas import append_coords
from genscene.render.patches import PatchSampler, strided_windows
from genscene.systems import PRESETS
from genscene.systems.cips.convert import convert
from genscene.systems.cips.generator import CIPSGenerator, CIPSGeneratorConfig
from genscene.systems.cips.network import CIPSNetworkConfig
from genscene.training.loop import train_step
from genscene.training.run import Run, check, init_state, train

TAPER = (512,) * 5 + (256, 128)
SMALL = CIPSNetworkConfig(features=8, embedding_size=(6, 5), widths=(8, 8, 4))
VARIANTS = {
    "skip": SMALL,
    "residual": replace(SMALL, variant="residual"),
    "no Fourier features": replace(SMALL, fourier=False),
    "no embeddings": replace(SMALL, embedding=False),
    "sine": replace(SMALL, activation="sin"),
    "half sine": replace(SMALL, activation="sinrelu"),
}


def small(network=SMALL, **numbers):
    """A generator whose embeddings are 6 x 5."""
    return CIPSGenerator(CIPSGeneratorConfig(16, 2, network=network, size=(6, 5), **numbers)).eval()


def scene_of(generator, count=2):
    return generator.scene(generator.latents(RandomStreams(range(count))))


@pytest.mark.parametrize(
    ("network", "side", "count"),
    [
        (CIPSNetworkConfig(), 256, 45_911_076),
        (CIPSNetworkConfig(widths=TAPER), 256, 44_317_092),
        (CIPSNetworkConfig(widths=TAPER, variant="residual"), 256, 43_027_858),
        (CIPSNetworkConfig(embedding=False), 256, 11_831_844),
        (CIPSNetworkConfig(embedding=False, widths=TAPER), 256, 10_237_860),
        (CIPSNetworkConfig(widths=TAPER[:5]), 64, 11_824_154),
        (CIPSNetworkConfig(widths=(*TAPER, 64, 32)), 1024, 547_846_414),
    ],
)
def test_networks_have_as_many_parameters_as_published(network, side, count):
    released = {"embedding_size": (side, side), "noise": "random", "legacy_fourier_bias": True}
    with without_memory():
        generator = CIPSGenerator(CIPSGeneratorConfig(network=replace(network, **released)))
    assert sum(p.numel() for p in generator.parameters()) == count


@pytest.mark.parametrize("network", VARIANTS.values(), ids=VARIANTS)
@torch.no_grad()
def test_parts_and_styles_of_pixels_give_the_whole_picture(network):
    generator = small(network)
    scene, view = scene_of(generator), Grid.whole(2, (7, 4))
    whole = generator.render(scene, view).image
    assert whole.shape == (2, 3, 7, 4)
    done = []
    options = RenderOptions(max_bytes=5 * 2 * network_bytes(generator), progress=done.append)
    assert_close(generator.render(scene, view, options).image, whole)
    assert done == [10, 10, 10, 10, 10, 6]
    pixels = generator.bind_pixels(scene.w[:, None].expand(-1, 28, -1))
    assert_close(generator.render(pixels, view).image, whole)
    assert_close(generator.render(pixels, view, options).image, whole)
    assert_close(scene(generator.coords(view)), whole)
    assert whole.std() > 1e-3


def network_bytes(generator):
    return generator.network.pixel_bytes(False)


@torch.no_grad()
def test_styles_of_pixels_blend_two_pictures():
    generator = small()
    w, view = generator.style(generator.latents(RandomStreams([0, 1]))), Grid.whole(1, (6, 4))
    share = (torch.arange(4) >= 2).float().repeat(6)[None, :, None]
    blended = generator.render(generator.bind_pixels(torch.lerp(w[:1, None], w[1:, None], share)), view).image
    first, second = (generator.render(generator.bind(w[i : i + 1]), view).image for i in (0, 1))
    assert_close(blended[..., :2], first[..., :2])
    assert_close(blended[..., 2:], second[..., 2:])
    with pytest.raises(BadInput, match="styles of 24 pixels for pictures of 6x5"):
        generator.render(generator.bind_pixels(w[:1, None].expand(-1, 24, -1)), Grid.whole(1, (6, 5)))
    with pytest.raises(BadInput, match=r"styles of pixels: w has shape \[2, 24, 3\]"):
        generator.bind_pixels(torch.zeros(2, 24, 3))


@pytest.mark.parametrize("network", VARIANTS.values(), ids=VARIANTS)
@torch.no_grad()
def test_styles_of_layers_mix_two_pictures(network):
    generator, view = small(network), Grid.whole(2, (6, 4))
    w, layers = generator.style(generator.latents(RandomStreams([0, 1]))), network.layers
    options = RenderOptions(max_bytes=5 * 2 * network_bytes(generator))
    whole = generator.render(generator.bind(w), view).image
    same = generator.bind_layers(w[:, None].expand(-1, layers, -1))
    assert_close(generator.render(same, view, options).image, whole)
    fine = torch.arange(layers)[:, None] > 2
    mixed = generator.render(
        generator.bind_layers(torch.where(fine, w[:, None], w.flip(0)[:, None])), view
    ).image
    assert (mixed - whole).abs().amax() > 1e-4
    assert (mixed - whole.flip(0)).abs().amax() > 1e-4
    with pytest.raises(BadInput, match=r"styles of layers: w has shape \[2, 3, 16\], wanted"):
        generator.bind_layers(w[:, None].expand(-1, 3, -1))


def test_recomputed_parts_have_the_gradient_of_the_whole():
    generator, view, found = small(), Grid.whole(2, (6, 5)), []
    for options in (RenderOptions(), RenderOptions(recompute=True, max_bytes=1)):
        generator.zero_grad()
        generator.render(scene_of(generator), view, options).image.square().sum().backward()
        found.append([p.grad.clone() for p in generator.parameters()])
    for whole, parts in zip(*found, strict=True):
        assert_close(parts, whole, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_rendering_is_cancelled_between_parts():
    generator = small()
    options, scene = RenderOptions(max_bytes=1, cancelled=lambda: True), scene_of(generator)
    with pytest.raises(Cancelled):
        generator.render(scene, Grid.whole(2, (6, 5)), options)


@torch.no_grad()
def test_coordinates_are_aligned_with_the_corners_at_the_trained_size():
    generator = small()
    coords = generator.coords(Grid.whole(3, (6, 5)))
    assert coords.shape == (1, 2, 6, 5)
    assert_close(coords[0, 0, 0], torch.linspace(-1, 1, 5))
    assert_close(coords[0, 1, :, 0], torch.linspace(-1, 1, 6))
    features = generator.network.embedding(coords.flatten(2).mT)[0]
    assert_close(features, generator.network.embedding.table.flatten(1).mT, atol=1e-5, rtol=0)
    finer = generator.coords(Grid.whole(1, (12, 10)))
    assert_close(torch.nn.functional.avg_pool2d(finer, 2), coords)


@torch.no_grad()
def test_a_window_is_a_part_of_the_picture():
    generator = small()
    scene = scene_of(generator)
    whole = generator.render(scene, Grid.whole(2, (12, 10))).image
    window = torch.tensor([[0.5, 0.2, 0.25], [0.5, 0.5, 0.0]])
    found = generator.render(scene, Grid.whole(2, (12, 10)).crop(window, (6, 5))).image
    assert_close(found[0], whole[0, :, 3:9, 2:7], atol=1e-5, rtol=1e-5)
    assert_close(found[1], whole[1, :, 0:6, 5:10], atol=1e-5, rtol=1e-5)


def test_released_coordinates_end_at_the_border_of_every_window():
    generator = small(legacy_corners=True)
    coords = generator.coords(Grid.whole(1, (9, 7)))
    assert_close(coords[0, 0, 0], torch.linspace(-1, 1, 7))
    coords = generator.coords(Grid(torch.tensor([[0.5, 0.5, 0.25]]), (4, 3)))
    assert_close(coords[0, 0, 0, [0, -1]], torch.tensor([0.0, 1.0]))
    assert_close(coords[0, 1, [0, -1], 0], torch.tensor([-0.5, 0.5]))
    narrow = generator.coords(Grid(torch.tensor([[0.5, 0.5, 0.25]]), (4, 3), torch.tensor([0.5])))
    assert_close(narrow[0, 0, 0, [0, -1]], torch.tensor([0.0, 0.5]))
    assert_close(narrow[0, 1], coords[0, 1])


@torch.no_grad()
def test_embeddings_go_on_outside_as_they_are_asked_to():
    embedding = CoordinateEmbedding(3, (4, 5), legacy=False)
    columns = embedding.table[:, 1]  # [3, 5], at the height of the second row

    def at(x, outside):
        coords = torch.tensor([[[x, -1 / 3]]]) * torch.tensor([2 / 4, 1.0]) - torch.tensor([1.0, 0.0])
        return embedding(coords, outside)[0, 0]

    for outside in ("border", "reflection", "zeros", "wrap"):
        assert_close(at(2.0, outside), columns[:, 2])
    assert_close(at(6.0, "border"), columns[:, 4])
    assert_close(at(6.0, "reflection"), columns[:, 2])
    assert_close(at(6.0, "zeros"), torch.zeros(3))
    assert_close(at(6.0, "wrap"), columns[:, 1])
    assert_close(at(-1.0, "wrap"), columns[:, 4])
    assert_close(at(4.5, "wrap"), (columns[:, 4] + columns[:, 0]) / 2)
    for outside in ("border", "reflection", "zeros", "wrap"):
        generator = small(outside=outside)
        window = Grid(torch.tensor([[2.0, -0.5, -0.5]]), (9, 8))
        assert generator.render(scene_of(generator, 1), window).image.isfinite().all()


@torch.no_grad()
def test_the_released_lookup_differs_between_training_and_evaluation():
    embedding = CoordinateEmbedding(3, (4, 4), legacy=True)
    line = torch.linspace(-1, 1, 4)
    coords = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1).reshape(1, 16, 2)
    table = embedding.table.flatten(1).mT[None]
    assert torch.equal(embedding.train()(coords), table)
    assert not torch.allclose(embedding.eval()(coords), table)


@torch.no_grad()
@pytest.mark.parametrize("variant", ["skip", "residual"])
def test_mixed_precision_gives_colors_in_float32(variant):
    generator, view = small(replace(SMALL, variant=variant)), Grid.whole(2, (6, 5))
    scene = scene_of(generator)
    with torch.autocast("cpu", torch.bfloat16):
        image = generator.render(scene, view).image
    assert image.dtype == torch.float32
    assert_close(image, generator.render(scene, view).image, atol=0.1, rtol=0)


@torch.no_grad()
def test_inputs_can_be_zeroed():
    generator = small()
    view, scene = Grid.whole(2, (6, 5)), scene_of(generator)
    coords = generator.coords(view).flatten(2).mT
    x = generator.network.inputs(coords, "border", ["Fourier features"])
    assert not x[..., :8].any()
    assert x[..., 8:].any()
    pictures = [
        generator.render(replace(scene, zeroed=kinds), view).image
        for kinds in ((), ("Fourier features",), ("embeddings",))
    ]
    assert not torch.allclose(pictures[0], pictures[1])
    assert not torch.allclose(pictures[0], pictures[2])


@torch.no_grad()
def test_noise_wants_randomness_and_its_strength():
    generator, view = small(replace(SMALL, noise="random")), Grid.whole(2, (6, 5))
    scene, options = scene_of(generator), RenderOptions(RandomStreams([0, 1]))
    assert_close(generator.render(scene, view, options).image, generator.render(scene, view).image)
    for name, parameter in generator.named_parameters():
        if name.endswith("noise_strength"):
            parameter.fill_(0.5)
    plain, noisy = (
        generator.render(scene, view, RenderOptions(randomness, max_bytes=size)).image
        for randomness, size in ((None, 1 << 28), (RandomStreams([0, 1]), 1 << 28))
    )
    parts = generator.render(scene, view, RenderOptions(RandomStreams([0, 1]), max_bytes=1)).image
    assert not torch.allclose(plain, noisy)
    assert_close(parts, noisy)


def test_patches_are_windows_of_the_picture_with_their_coordinates():
    config = tiny("cips-ffhq-256").system
    discriminator = replace(config.discriminator, size=8)
    config = replace(config, discriminator=discriminator, patches=PatchSampler(8), discriminator_coords=True)
    config.check((16, 16))
    system = config.build()
    images, context = torch.zeros(2, 3, 8, 8), StepContext(0)
    windows = torch.tensor([[0.5, 0.0, 0.0], [0.5, 0.5, 0.5]])
    logits = system.discriminate(images, None, windows, context).logits
    assert not torch.allclose(logits, system.discriminate(images, None, windows.flip(0), context).logits)


def test_strided_patches_are_pixels_of_the_picture():
    windows = strided_windows(torch.tensor([[1.0, 2.0]]), 2, 4, 12)
    coords = Grid(windows, (4, 4)).coords()
    full = Grid.whole(1, (12, 12)).coords()
    assert_close(coords, full[:, :, 1:8:2, 2:9:2])


def released_patches(seed=0, **changes):
    """A system on patches of 8 of the 32 x 32 pixels of its images, as released."""
    config = tiny("cips-ffhq-256-patches").system
    generator = replace(config.generator, size=(32, 32))
    config = replace(config, generator=generator, **changes)
    config.check((32, 32))
    return config.build(), ImageBatch(torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(seed)))


def test_released_patches_are_pixels_of_one_stride_in_every_step():
    system, batch = released_patches()
    scales = set()
    for step in range(24):
        context = StepContext(step, seed=3)
        reals, _, windows = system.prepare_reals(batch, context)
        fakes = system.sample_fakes(batch, context, 0)
        stride = round(32 * float(windows[0, 0]) / 8)
        scales.add(stride)
        assert torch.equal(windows[:, 0], fakes.windows[:, 0])
        assert windows[:, 0].unique().numel() == 1
        assert not torch.equal(windows, fakes.windows)
        assert_close(fakes.view.window, fakes.windows)
        for image, patch, window in zip(batch.images, reals, windows, strict=True):
            column, row = (round(float(32 * x - 0.5 + stride / 2)) for x in window[1:])
            wanted = image[:, row::stride, column::stride][:, :8, :8]
            assert_close(patch, 2 * wanted - 1, atol=1e-4, rtol=0)
    assert scales == {1, 2, 4}


def test_patches_with_strides_begin_at_every_pixel_that_allows_them():
    sampler = PatchSampler(4, strides=True)
    strides = {sampler.stride_at(step, 8, 0): step for step in range(20)}
    assert strides.keys() == {1, 2}
    for stride, step in strides.items():
        x = sampler.sample(RandomStreams(range(300)), step, 8)[:, 1] * 8 - 0.5 + stride / 2
        assert {round(float(each)) for each in x} == set(range(8 - stride * 3))


def test_the_released_penalty_of_patches_is_that_of_their_coordinates_too():
    squares = []
    for legacy in (False, True):
        system, batch = released_patches(legacy_r1_coords=legacy)
        context = StepContext(0)
        images, _, windows = system.prepare_reals(batch, context)
        inputs = images if legacy else append_coords(images, windows, system.config.generator.size)
        inputs = inputs.detach().requires_grad_()
        (slope,) = torch.autograd.grad(system.discriminator(inputs).sum(), inputs)
        seen = slope if legacy else slope[:, :3]
        squares.append(seen.square().flatten(1).sum(1).mean())
        penalty, stats = system.penalty_loss(batch, context)
        assert_close(stats["r1"], squares[-1] / 2)
        assert_close(penalty, 16 * 10 / 2 * squares[-1])
        _, stats = system.discriminator_loss(batch, context)
        assert stats["real"].isfinite()
    assert squares[1] > squares[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"orbit": "learned"}, "orbit learned: wanted given"),
        ({"mask_weight": 1.0}, "mask_weight 1.0: wanted 0"),
        ({"fade_steps": 10}, "fade_steps 10: wanted 0"),
        ({"patches": PatchSampler(32)}, "images of 32x32: wanted 16x16"),
        ({"legacy_r1_coords": True}, "legacy_r1_coords: wanted discriminator_coords with it"),
    ],
)
def test_what_pictures_do_not_have_is_refused(change, message):
    config = replace(tiny("cips-ffhq-256").system, **change)
    with pytest.raises(BadInput, match=message):
        config.check((16, 16))


@pytest.mark.parametrize("batch", [1, 5, 6])
def test_batches_that_groups_of_the_deviation_do_not_divide_are_trained_on(batch):
    experiment = tiny("cips-ffhq-256")
    discriminator = replace(experiment.system.discriminator, mbstd_group=4)
    system = replace(experiment.system, discriminator=discriminator)
    experiment = replace(experiment, system=system, stages=(Stage(0, (16, 16), batch),))
    check(experiment, Run(), ProcessGroup())
    state = init_state(experiment, torch.device("cpu"), ProcessGroup(), "fp32")
    images = ImageBatch(torch.rand(batch, 3, 16, 16))
    assert all(value.isfinite() for value in train_step(state, images, 0).values())


def official_state(generator, residual):
    """A generator's tensors under official names and in official shapes."""
    state = {}
    for name, x in generator.named_parameters():
        x = x.detach()
        parts = name.removeprefix("network.").split(".")
        if name.startswith("mapping"):
            state[f"style.{int(parts[2]) + 1}.{parts[-1]}"] = x
            continue
        if parts[0] == "fourier":
            state[f"lff.ffm.conv.{parts[-1]}"] = x if x.ndim == 1 else x[..., None, None]
            continue
        if parts[0] == "embedding":
            state["emb.input"] = x[None]
            continue
        if parts[0] == "to_rgb":
            place, rest = ("to_rgb_last" if residual else f"to_rgbs.{parts[1]}"), parts[2:]
        elif parts[0] == "first":
            place, rest = ("linears.0" if residual else "conv1"), parts[1:]
        elif parts[2] == "shortcut":
            state[f"linears.{int(parts[1]) + 1}.skip.0.weight"] = x[..., None, None]
            continue
        else:
            i, k = int(parts[1]), ("first", "second").index(parts[2])
            place = f"linears.{i + 1}.conv{k + 1}" if residual else f"linears.{2 * i + k}"
            rest = parts[3:]
        if rest == ["linear", "weight"]:
            state[f"{place}.conv.weight"] = x[None, ..., None, None]
        elif rest[0] == "linear":
            state[f"{place}.conv.modulation.{rest[-1]}"] = x
        elif rest == ["noise_strength"]:
            state[f"{place}.noise.weight"] = x
        else:
            rgb = parts[0] == "to_rgb"
            state[f"{place}.bias" if rgb else f"{place}.activate.bias"] = x.view(1, 3, 1, 1) if rgb else x
    return state


@pytest.mark.parametrize("variant", ["skip", "residual"])
def test_a_released_checkpoint_is_converted(variant, tmp_path):
    network = replace(SMALL, embedding_size=(8, 8), variant=variant, noise="random", legacy_fourier_bias=True)
    generator = CIPSGenerator(CIPSGeneratorConfig(16, 2, network=network, size=(8, 8)))
    state = official_state(generator, variant == "residual")
    torch.save(state, tmp_path / "x_g_ema.pt")
    training = {"g": {}, "d": {}, "g_ema": {f"module.{name}": x for name, x in state.items()}}
    torch.save(training | {"g_optim": {}, "d_optim": {}}, tmp_path / "000100.pt")
    for name in ("x_g_ema.pt", "000100.pt"):
        experiment, again = convert(tmp_path / name, "")
        config = experiment.system.generator
        assert config.network == replace(network, legacy_grid_sample=True)
        assert (config.size, config.latent_dim, experiment.stages[-1].size) == ((8, 8), 16, (8, 8))
        for (ours, a), (theirs, b) in zip(
            generator.named_parameters(), again.named_parameters(), strict=True
        ):
            assert ours == theirs
            assert torch.equal(a, b)
        assert again.mapping.w_avg.any()
    out = tmp_path / "out.safetensors"
    assert main(["convert", str(tmp_path / "x_g_ema.pt"), "--system", "cips", "--out", str(out)]) == 0
    assert generator_file.load(out).config == config
    _, larger = convert(tmp_path / "x_g_ema.pt", "cips-ffhq-1024")
    assert larger.config.size == (1024, 1024)


def official_discriminator(network):
    """A discriminator's tensors under official names, and kernels of blurs, which are stored beside them."""
    parts = {
        "first.weight": "conv1.0.weight",
        "first.bias": "conv1.1.bias",
        "second.weight": "conv2.1.weight",
    }
    parts |= {"second.bias": "conv2.2.bias", "shortcut.weight": "skip.1.weight"}
    names = {"from_rgb.weight": "convs.0.0.weight", "from_rgb.bias": "convs.0.1.bias"}
    names |= {"last_conv.weight": "final_conv.0.weight", "last_conv.bias": "final_conv.1.bias"}
    for layer, place in (("hidden", 0), ("last", 1)):
        names |= {f"{layer}.{each}": f"final_linear.{place}.{each}" for each in ("weight", "bias")}
    for i in range(len(network.blocks)):
        names |= {f"blocks.{i}.{ours}": f"convs.{i + 1}.{theirs}" for ours, theirs in parts.items()}
    state = {names[name]: x for name, x in network.state_dict().items()}
    return state | {f"convs.{i + 1}.skip.0.kernel": torch.ones(4, 4) for i in range(len(network.blocks))}


@pytest.mark.parametrize("coords", [False, True])
def test_training_goes_on_from_a_released_file_with_its_discriminator(coords, tmp_path, capsys):
    """The networks of the file, and the average, are those that a run by --init begins with."""
    experiment = tiny("cips-ffhq-256-released", steps=1)
    system = replace(experiment.system, discriminator_coords=coords)
    players, average = system.build(), system.build_generator()
    d = {f"module.{name}": x for name, x in official_discriminator(players.discriminator).items()}
    document = {"g": official_state(players.generator, False), "d": d}
    document["g_ema"] = official_state(average, False)
    torch.save(document | {"g_optim": {}, "d_optim": {}}, tmp_path / "000100.pt")
    words = ["convert", str(tmp_path / "000100.pt"), "--system", "cips"]
    words += ["--out", str(tmp_path / "ffhq.safetensors")]
    run = tmp_path / "released"
    assert main([*words, "--run", str(run)]) == 0
    assert f"--init {run}" in capsys.readouterr().out
    still = {player: replace(each, lr=0.0) for player, each in experiment.optim.items()}
    experiment = replace(experiment, system=system, optim=still, ema=EMA(1.0, warmup=0.0), init=str(run))
    train(experiment, Run(tmp_path / "on", grid_every=0))
    state = torch.load(tmp_path / "on" / "state.pt", weights_only=True)
    wanted = {f"generator.{name}": x for name, x in players.generator.named_parameters()}
    wanted |= {f"discriminator.{name}": x for name, x in players.discriminator.named_parameters()}
    assert all(torch.equal(state["system"][name], x) for name, x in wanted.items())
    assert all(torch.equal(state["ema"][name], x) for name, x in average.named_parameters())
    assert main([*words, "--run", str(run)]) == 2
    assert "already holds a run" in capsys.readouterr().err
    out = tmp_path / "x.safetensors"
    other = ["convert", str(tmp_path / "000100.pt"), "--out", str(out), "--run", str(tmp_path / "new")]
    for system, message in (("giraffe", "--run"), ("cips", "no state dict 'd'")):
        torch.save({"g_ema": document["g_ema"]}, tmp_path / "000100.pt")
        assert main([*other, "--system", system]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    assert not out.exists()


def test_larger_pictures_start_from_a_run_of_smaller_ones(tmp_path):
    """As cips-ffhq-1024 does: all weights but those of the discriminator's new blocks are the run's."""
    experiment = tiny("cips-ffhq-256", steps=1)
    train(experiment, Run(tmp_path / "small", grid_every=0))
    system = experiment.system
    system = replace(
        system,
        generator=replace(system.generator, size=(32, 32)),
        discriminator=replace(system.discriminator, size=32),
    )
    still = {player: replace(each, lr=0.0) for player, each in experiment.optim.items()}
    larger = replace(experiment, system=system, optim=still, stages=(Stage(0, (32, 32), 4),))
    train(replace(larger, init=str(tmp_path / "small")), Run(tmp_path / "large", grid_every=0))
    before, after = (
        torch.load(tmp_path / name / "state.pt", weights_only=True)["system"] for name in ("small", "large")
    )
    for name, x in after.items():
        if name.startswith("discriminator.blocks."):
            _, _, block, *rest = name.split(".")
            name = ".".join(("discriminator.blocks", str(int(block) - 1), *rest))
        if name in before and not name.startswith("discriminator.from_rgb"):
            assert torch.equal(x, before[name]), name
    assert len(after) > len(before)


def test_other_files_are_refused_in_one_line(tmp_path):
    network = replace(SMALL, embedding_size=(8, 8), noise="random", legacy_fourier_bias=True)
    state = official_state(CIPSGenerator(CIPSGeneratorConfig(16, 2, network=network)), False)
    del state["linears.3.conv.weight"]
    broken = {
        "no generator of CIPS": {"a": torch.zeros(1)},
        "unfilled, first network.blocks.1.second.linear.weight": state,
        "an emb.input without 4": state | {"emb.input": torch.zeros(8)},
        "lacks its layers": {name: x for name, x in state.items() if name != "style.1.bias"},
    }
    for message, content in broken.items():
        torch.save(content, tmp_path / "x.pt")
        with pytest.raises(BadInput, match=message):
            convert(tmp_path / "x.pt", "")
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(BadInput, match="no preset 'x' of CIPS"):
        convert(tmp_path / "x.pt", "x")


def test_a_picture_takes_the_memory_that_is_estimated():
    """What the backward pass keeps, which grows with the pixels, is what the estimate counts."""
    kept = []
    for size in ((6, 5), (12, 10)):
        generator, storages = small(), {}

        def keep(x, storages=storages):
            storages[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
            return x

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            image = generator.render(scene_of(generator, 1), Grid.whole(1, size)).image
        kept.append(sum(storages.values()))
        assert image.requires_grad
    assert (kept[1] - kept[0]) / 90 == pytest.approx(generator.pixel_bytes(), rel=0.25)
    assert training_bytes(PRESETS["cips-ffhq-256"]) > 80 << 30


def test_presets_are_the_papers():
    assert PRESETS["cips-ffhq-256"].system.generator.network.widths == (512,) * 7
    assert PRESETS["cips-landscapes-256"].system.generator.network.variant == "residual"
    optim = PRESETS["cips-ffhq-256-released"].optim
    assert optim["generator"].lr == pytest.approx(0.0016)
    assert optim["generator"].betas == (0.0, pytest.approx(0.99199, abs=1e-5))
    assert optim["discriminator"].lr == pytest.approx(0.0018824, abs=1e-7)
    assert optim["discriminator"].betas == (0.0, pytest.approx(0.99059, abs=1e-5))
    loss = PRESETS["cips-ffhq-256"].system.loss
    assert (loss.kind, loss.gamma, loss.penalty_every, loss.penalty_turn) == ("logistic", 10.0, 16, True)
