"""pi-GAN's released checkpoints: pickled modules of foreign classes, and lists of moving averages."""

import sys
import types

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from genscene.errors import BadInput
from genscene.io.generator_file import GeneratorFile, load, write
from genscene.systems.pigan.convert import convert


def released(kind, width=256, first=3, styles=9, grid=None):
    """A module with the attributes and names of a released generator, of classes made here."""
    modules = {
        name: types.ModuleType(name)
        for name in ("generators", "generators.generators", "siren", "siren.siren")
    }
    made = {}

    def made_class(module, name, base=nn.Module):
        made[name] = type(name, (base,), {"__module__": module})
        setattr(modules[module], name, made[name])
        return made[name]

    film, siren = made_class("siren.siren", "FiLMLayer"), made_class("siren.siren", kind)
    mapping, outer = (
        made_class("siren.siren", "CustomMappingNetwork"),
        made_class("generators.generators", "ImplicitGenerator3d"),
    )

    def layer(a, b):
        one = film()
        one.layer = nn.Linear(a, b)
        return one

    field = siren()
    if grid:
        field.spatial_embeddings = nn.Parameter(torch.randn(*grid) * 0.01)
    field.network = nn.ModuleList([layer(first, width)] + [layer(width, width) for _ in range(7)])
    field.final_layer = nn.Linear(width, 1)
    field.color_layer_sine = layer(width + 3, width)
    field.color_layer_linear = nn.Sequential(nn.Linear(width, 3), nn.Sigmoid())
    field.mapping_network = mapping()
    sides = [(256, 256)] * 3 + [(256, 2 * styles * width)]
    parts = [part for a, b in sides for part in (nn.Linear(a, b), nn.LeakyReLU(0.2))][:-1]
    field.mapping_network.network = nn.Sequential(*parts)
    generator = outer()
    generator.siren, generator.step, generator.avg_frequencies = field, 200_000, torch.zeros(1, 9 * width)
    return generator, modules


@pytest.fixture
def on_disk(tmp_path, monkeypatch):
    """Writes a released generator, and its moving averages, while its classes can be imported."""

    def save(kind, **sizes):
        generator, modules = released(kind, **sizes)
        means = types.ModuleType("torch_ema")
        means.ExponentialMovingAverage = type("ExponentialMovingAverage", (), {"__module__": "torch_ema"})
        for name, module in (modules | {"torch_ema": means}).items():
            monkeypatch.setitem(sys.modules, name, module)
        torch.save(generator, tmp_path / "generator.pth")
        ema = means.ExponentialMovingAverage()
        ema.decay, ema.num_updates = 0.999, 5
        ema.shadow_params = [p.detach() + 1 for p in generator.parameters()]
        ema.collected_params = []
        torch.save(ema, tmp_path / "ema.pth")
        for name in (*modules, "torch_ema"):
            monkeypatch.delitem(sys.modules, name)
        return tmp_path / "generator.pth", generator

    return save


@pytest.mark.parametrize(("kind", "warp"), [("TALLSIREN", 1.0), ("SPATIALSIRENBASELINE", 2 / 0.24)])
def test_the_box_warp_follows_from_the_pickled_class(on_disk, kind, warp, tmp_path):
    path, theirs = on_disk(kind)
    experiment, ours = convert(path, "")
    assert experiment.system.generator.field.warp == warp
    assert experiment.system.generator.pixels == "border"
    assert torch.equal(ours.field.layers[3].weight, theirs.siren.network[3].layer.weight)
    assert torch.equal(ours.field.color_layer.bias, theirs.siren.color_layer_sine.layer.bias)
    assert torch.equal(ours.mapping.network[6].weight, theirs.siren.mapping_network.network[6].weight)
    write(tmp_path / "ours.safetensors", GeneratorFile(ours, experiment))
    again = load(tmp_path / "ours.safetensors")
    assert torch.equal(again.mapping.w_avg, ours.mapping.w_avg)
    assert again.mapping.w_avg.abs().max() > 0


def test_moving_averages_get_the_names_of_the_generator_beside_them(on_disk):
    path, _ = on_disk("TALLSIREN")
    _, plain = convert(path, "")
    _, means = convert(path.with_name("ema.pth"), "")
    for a, b in zip(plain.parameters(), means.parameters(), strict=True):
        assert_close(a + 1, b)
    path.unlink()
    with pytest.raises(BadInput, match=r"put its generator\.pth"):
        convert(path.with_name("ema.pth"), "")


@pytest.mark.parametrize("name", ["20210512-1200ema.pth", "20210512-1200ema2.pth"])
def test_moving_averages_of_a_step_take_the_generator_of_this_step(on_disk, name):
    path, _ = on_disk("TALLSIREN")
    means = path.with_name("ema.pth").rename(path.with_name(name))
    own = path.rename(path.with_name("20210512-1200generator.pth"))
    _, plain = convert(own, "")
    torch.save(nn.Linear(2, 2), path)  # a generator.pth of something else is not preferred
    _, averaged = convert(means, "")
    for a, b in zip(plain.parameters(), averaged.parameters(), strict=True):
        assert_close(a + 1, b)
    own.unlink(), path.unlink()
    with pytest.raises(BadInput, match=r"put its 20210512-1200generator\.pth or generator\.pth beside it"):
        convert(means, "")


def test_the_learned_grid_is_converted(on_disk):
    path, theirs = on_disk("EmbeddingPiGAN128", width=128, first=35, grid=(1, 32, 96, 96, 96))
    _, ours = convert(path, "")
    assert torch.equal(ours.field.grid, theirs.siren.spatial_embeddings)


def test_a_preset_gives_its_cameras(on_disk):
    path, _ = on_disk("SPATIALSIRENBASELINE")
    experiment, ours = convert(path, "pigan-cats-release")
    assert experiment.system.generator.field.warp == 2 / 0.24
    assert ours.prior.distribution == "uniform"
    with pytest.raises(BadInput, match="no preset"):
        convert(path, "nothing")


def test_other_modules_are_refused(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "generator.pth")
    with pytest.raises(BadInput, match="found Linear, wanted"):
        convert(tmp_path / "generator.pth", "")
