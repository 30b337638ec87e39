"""CGS-GAN's released snapshots: pickles of modules with their source, written here in their format."""

import pickle
import sys
import types
from dataclasses import replace

import pytest
import torch
from torch import nn

from genscene.cli import main
from genscene.errors import BadInput
from genscene.io import generator_file
from genscene.io.foreign_pickles import collect_tensors, read_checkpoint
from genscene.objectives.stylegan2 import StyleGAN2Discriminator, StyleGAN2DiscriminatorConfig
from genscene.randomness import RandomStreams
from genscene.systems.cgsgan.convert import BLOCK, convert, convert_players, generator_rules
from genscene.systems.cgsgan.generator import CGSGANGenerator
from genscene.systems.cgsgan.presets import of_levels


def persistent(module):
    """A module as NVIDIA's persistent classes are pickled: with a source that would raise if it ran."""
    children = {name: persistent(child) for name, child in module.named_children()}
    state = {
        "_parameters": dict(module.named_parameters(recurse=False)),
        "_buffers": dict(module.named_buffers(recurse=False)),
        "_modules": children,
    }
    meta = {
        "type": "class",
        "version": 6,
        "module_src": "raise SystemExit('executed')",
        "class_name": type(module).__name__,
        "state": state,
    }
    return Persistent(meta)


class Persistent:
    """What is pickled as a call of torch_utils.persistence."""

    def __init__(self, meta):
        self.meta = meta

    def __reduce__(self):
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (self.meta,)


@pytest.fixture
def persistence(monkeypatch):
    """A module of the name that snapshots name, only while they are written."""
    for name in ("torch_utils", "torch_utils.persistence"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    module = sys.modules["torch_utils.persistence"]

    def _reconstruct_persistent_obj(meta):
        raise SystemExit("executed")

    _reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    module._reconstruct_persistent_obj = _reconstruct_persistent_obj


def nested(tensors):
    """A tree of modules with these tensors by their names."""
    root = nn.Module()
    for name, tensor in tensors.items():
        *places, leaf = name.split(".")
        module = root
        for place in places:
            if not hasattr(module, place):
                module.add_module(place, nn.Module())
            module = getattr(module, place)
        if leaf in ("w_avg", "resample_filter") or not tensor.is_floating_point():
            module.register_buffer(leaf, tensor)
        else:
            module.register_parameter(leaf, nn.Parameter(tensor))
    return root


def released_names(generator):
    """A generator's tensors under the released names, with what only the released code has."""
    network = generator.config.network
    levels, first = len(network.children), network.first_blocks
    found = {}
    for name, x in generator.state_dict().items():
        words = name.split(".")
        if name == "network.points":
            found["_xyz"] = x
        elif words[0] == "mapping":
            layer = "embed" if "embedding" in name else f"fc{words[3]}" if "layers" in name else ""
            found[f"mapping_network.{layer}.{words[-1]}" if layer else "mapping_network.w_avg"] = x
        elif words[1] == "encoding":
            table = words[2] == "table"
            found[
                "point_gen.conv_in."
                + ("const_pe.const_pe" if table else f"learnable_pe.ffm.linear.{words[-1]}")
            ] = x[:, :, None] if table else x
        elif words[1] == "blocks":
            i, rest = int(words[2]), ".".join(words[3:])
            place = f"first_layers.{i}" if i < first else f"resblocks.{i - first}"
            theirs = {
                "mixes.0.qkv": "attn.c_qkv", "mixes.0.projection": "attn.c_proj", "mixes.1.first": "mlp.c_fc",
                "mixes.1.second": "mlp.c_proj", "gates.0": "ls_1", "gates.1": "ls_2", "norms.0": "ln_1",
                "norms.1": "ln_2",
            }  # fmt: skip
            ours = next(key for key in theirs if rest.startswith(key))
            found[f"point_gen.transformer.{place}.{theirs[ours]}{rest.removeprefix(ours)}"] = x
        elif words[1] == "upsample":
            part = "subpixel" if words[3] == "subpixel" else "res_fc"
            found[f"point_gen.upsample_layers.{words[2]}.{part}.{words[-1]}"] = x
        else:
            found[name.replace("network.", "point_gen.")] = x
    for name in ("xyz", "scale", "rotation", "color", "opacity"):
        last = found[f"point_gen.gaussians.{name}.{levels - 1}.weight"]
        found[f"point_gen.anchors.{name}.{levels - 1}.weight"] = torch.zeros_like(last)
        found[f"point_gen.anchors.{name}.{levels - 1}.bias"] = torch.zeros(len(last))
    constants = {
        "scale_init": 3,
        "scale_threshold": 3,
        "color_init": 3,
        "rotation_init": 4,
        "opacity_init": 1,
    }
    found |= {f"point_gen.{name}": torch.zeros(size) for name, size in constants.items()}
    return found | {"dataset_label_std": torch.zeros(25)}


def released_discriminator_names(network):
    """A discriminator's tensors under NVIDIA's names, with the blurs and the unused block."""
    size, found = network.config.size, {}
    for name, x in network.state_dict().items():
        words = name.split(".")
        if words[0] == "from_rgb":
            found[f"b{size}.fromrgb.{words[1]}"] = x
        elif words[0] == "blocks":
            part = {"first": "conv0", "second": "conv1", "shortcut": "skip"}[words[2]]
            found[f"b{size >> int(words[1])}.{part}.{words[3]}"] = x
        elif words[0] == "labels":
            layer = "embed" if words[1] == "embedding" else f"fc{words[2]}"
            found[f"mapping.{layer}.{words[-1]}"] = x
        else:
            layer = {"last_conv": "conv", "hidden": "fc", "last": "out"}[words[0]]
            found[f"b4.{layer}.{words[1]}"] = x
    unused = {f"b8_pose.{n.split('.', 1)[1]}": x for n, x in found.items() if n.startswith("b8.")}
    return found | unused | {"b8.resample_filter": torch.zeros(4, 4)}


def snapshot(tmp_path):
    """A snapshot of small players at 256 pixels, and these."""
    config, side = of_levels(5)
    network = replace(config.network, points=8, width=64, heads=1, first_blocks=2, pe_entries=6, mlp_ratio=2)
    network = replace(network, features=(64, 8, 4, 2, 2))
    players = [
        CGSGANGenerator(replace(config, latent_dim=6, style_dim=10, network=network)) for _ in range(2)
    ]
    for each in players:
        each.mapping.w_avg.normal_()
    sizes = {"channel_base": side, "channel_max": 4, "label_features": 5, "label_depth": 2}
    discriminator = StyleGAN2Discriminator(StyleGAN2DiscriminatorConfig(side, **sizes), labels=25)
    parts = {
        "training_set_kwargs": {"class_name": "x"},
        "G": persistent(nested(released_names(players[0]))),
        "D": persistent(nested(released_discriminator_names(discriminator))),
        "G_ema": persistent(nested(released_names(players[1]))),
        "Gboth_interval": 1,
    }
    (tmp_path / "network-snapshot-000001.pkl").write_bytes(pickle.dumps(parts))
    return tmp_path / "network-snapshot-000001.pkl", players, discriminator


@pytest.mark.usefixtures("persistence")
def test_a_released_snapshot_is_converted_and_trained_on(tmp_path):
    path, (generator, average), discriminator = snapshot(tmp_path)
    experiment, found = convert(path, "")
    assert found.config.network == average.config.network
    assert (found.config.latent_dim, found.config.style_dim) == (6, 10)
    assert experiment.stages[-1].size == (256, 256)
    for name, x in average.state_dict().items():
        assert torch.equal(found.state_dict()[name], x), name
    _, players = convert_players(path, "")
    for ours, theirs in ((players.generator, generator), (players.discriminator, discriminator)):
        for name, x in theirs.state_dict().items():
            assert torch.equal(ours.state_dict()[name], x), name
    out = tmp_path / "heads.safetensors"
    words = ["convert", str(path), "--system", "cgsgan", "--out", str(out), "--run", str(tmp_path / "run")]
    assert main(words) == 0
    again = generator_file.load(out)
    assert torch.equal(again.mapping.w_avg, average.mapping.w_avg)
    scene = again.scene(torch.randn(1, 6))
    picture = again.render(scene, again.prior.sample(RandomStreams([0]), (8, 8)))
    assert picture.image.isfinite().all()
    assert (tmp_path / "run" / "state.pt").exists()


@pytest.mark.usefixtures("persistence")
def test_nothing_in_a_snapshot_is_executed(tmp_path):
    path, _, _ = snapshot(tmp_path)
    assert "_xyz" in collect_tensors(read_checkpoint(path)["G"])
    with pytest.raises(SystemExit, match="executed"):
        pickle.loads(path.read_bytes())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"G": 1}, "damaged|no checkpoint"),
        ({"G_ema": torch.zeros(2)}, "no snapshot of CGS-GAN"),
        ([torch.zeros(2)], "no snapshot of CGS-GAN"),
    ],
)
def test_other_pickles_are_refused(content, message, tmp_path):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(BadInput, match=message):
        convert(tmp_path / "x.pkl", "")


def test_rules_name_every_tensor_of_a_block_once():
    patterns = [pattern for pattern, _ in BLOCK]
    assert len(set(patterns)) == len(patterns)
    assert any(ours is None for _, ours in generator_rules(2, 5))
