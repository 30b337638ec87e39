"""LPIPS with random weights: its backbones compared with torchvision's layers, and files that do not fit."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.testing import assert_close

from genscene.cli import main
from genscene.errors import BadInput
from genscene.experiment.schema import Stage
from genscene.io.generator_file import GeneratorFile, write
from genscene.io.tensors import sha256
from genscene.metrics.lpips import load_lpips
from genscene.metrics.networks.backbones import alexnet, squeezenet
from genscene.systems import PRESETS

FIRES = dict(
    zip((3, 4, 6, 7, 9, 10, 11, 12), range(2, 10), strict=True)
)  # torchvision's layer -> fire module


def caffe_name(name):
    """torchvision's name of a tensor of SqueezeNet -> Caffe's."""
    _, layer, *part, kind = name.split(".")
    if layer == "0":
        return f"conv1.{kind}"
    return f"fire{FIRES[int(layer)]}/{part[0].replace('squeeze', 'squeeze1x1')}.{kind}"


def linear_layers():
    return {
        f"lin{i}.model.1.weight": torch.rand(1, width, 1, 1) for i, width in enumerate(squeezenet().widths)
    }


def arrays(path, tensors):
    np.savez(path, **{name: tensor.detach().numpy() for name, tensor in tensors.items()})
    return path


def alexnet_files(folder):
    """Random weights of AlexNet and of its linear layers."""
    network = alexnet()
    save_file(network.state_dict(), folder / "a.safetensors")
    torch.save(
        {f"lin{i}.model.1.weight": torch.rand(1, w, 1, 1) for i, w in enumerate(network.widths)},
        folder / "a.pth",
    )
    return folder / "a.safetensors", folder / "a.pth"


@pytest.fixture
def files(tmp_path):
    """Random weights of SqueezeNet and of the linear layers, in files under their usual names."""
    backbone = {caffe_name(name): tensor for name, tensor in squeezenet().state_dict().items()}
    torch.save(linear_layers(), tmp_path / "linear.pth")
    return arrays(tmp_path / "squeeze.npz", backbone), tmp_path / "linear.pth"


def test_lpips_is_zero_for_equal_images_and_grows_with_noise(files):
    network = load_lpips(*files)
    a, noise = torch.rand(2, 3, 40, 48), torch.randn(2, 3, 40, 48)
    assert network(a, a).tolist() == [0, 0]
    apart = torch.stack([network(a, a + amount * noise) for amount in (0.02, 0.1, 0.3)])
    assert (apart.diff(dim=0) > 0).all()
    assert (apart > 0).all()
    assert_close(network(a, a + noise), network(a + noise, a))
    assert_close(network(a, a + noise)[1:], network(a[1:], (a + noise)[1:]))
    assert network.backbone.name == "SqueezeNet"
    assert "LPIPS-like" in network.backbone.remark


def test_squeezenet_has_seven_features():
    features = squeezenet()(torch.rand(1, 3, 64, 80))
    assert [f.shape[1] for f in features] == [64, 128, 256, 384, 384, 512, 512]
    assert [tuple(f.shape[2:]) for f in features[:4]] == [(31, 39), (15, 19), (7, 9), (3, 4)]
    assert squeezenet()(torch.rand(1, 3, 17, 40))[-1].numel() > 0
    with pytest.raises(BadInput, match="16x40 pixels, wanted sides of at least 17"):
        squeezenet()(torch.rand(1, 3, 16, 40))


def test_weights_of_both_lineages_compute_the_same(tmp_path, files):
    """The normalization of one is folded into the first convolution of the other."""
    caffe = squeezenet()
    state = {name: tensor.clone() for name, tensor in caffe.state_dict().items()}
    weight, bias = "features.0.weight", "features.0.bias"
    order, gain = [2, 1, 0], torch.tensor([2 / 0.458, 2 / 0.448, 2 / 0.450])  # of Caffe, of torchvision
    folded = 255 * state[weight][:, order]
    shift = torch.tensor([0.485, 0.456, 0.406]) - torch.tensor([104, 117, 123])[order] / 255
    state[bias] += torch.einsum("ocij,c->o", folded, shift)
    state[weight] = folded / gain[:, None, None]
    save_file(state | {"classifier.1.bias": torch.zeros(9)}, tmp_path / "torchvision.safetensors")
    arrays(tmp_path / "caffe.npz", {caffe_name(name): tensor for name, tensor in caffe.state_dict().items()})
    one, other = (load_lpips(tmp_path / name, files[1]) for name in ("caffe.npz", "torchvision.safetensors"))
    a, b = torch.rand(2, 1, 3, 33, 33)
    assert_close(one(a, b), other(a, b), atol=1e-5, rtol=1e-4)
    assert one.backbone.remark != other.backbone.remark


def test_linear_layers_of_several_backbones_in_one_file(tmp_path, files):
    layers = linear_layers()
    torch.save(layers, tmp_path / "squeeze.pth")
    every = {f"squeeze/{name}": tensor.flatten() for name, tensor in layers.items()}
    arrays(tmp_path / "all.npz", every | {"alex/lin0.model.1.weight": torch.rand(64)})
    a, b = torch.rand(2, 1, 3, 32, 32)
    one, every = (load_lpips(files[0], tmp_path / name) for name in ("squeeze.pth", "all.npz"))
    assert_close(one(a, b), every(a, b))


def test_a_wrong_file_is_named_in_one_line(tmp_path, files):
    backbone, linear = files
    whole = {caffe_name(name): tensor for name, tensor in squeezenet().state_dict().items()}
    layers = linear_layers()
    arrays(tmp_path / "short.npz", {n: t for n, t in whole.items() if n != "fire5/squeeze1x1.bias"})
    arrays(tmp_path / "shape.npz", whole | {"conv1.weight": torch.zeros(64, 3, 7, 7)})
    arrays(tmp_path / "odd.npz", whole | {"conv11.weight": torch.zeros(2)})
    arrays(tmp_path / "fewer.npz", dict(list(layers.items())[:-1]))
    arrays(tmp_path / "wider.npz", layers | {"lin2.model.1.weight": torch.zeros(1, 7, 1, 1)})
    (tmp_path / "torn.npz").write_bytes(backbone.read_bytes()[:5000])
    (tmp_path / "torn.safetensors").write_bytes(b"12345")
    (tmp_path / "torn.pth").write_bytes(b"12345")
    np.savez(tmp_path / "words.npz", **{"conv1.weight": np.array(["no", "numbers"])})
    np.savez(tmp_path / "pickled.npz", **{"conv1.weight": np.array([{}], dtype=object)})
    alone = ["short.npz", "shape.npz", "odd.npz", "torn.npz", "torn.pth", "torn.safetensors", "words.npz"]
    wrong = [(tmp_path / name, linear) for name in [*alone, "pickled.npz", "none.npz"]]
    wrong += [(backbone, tmp_path / name) for name in ("fewer.npz", "wider.npz", "none.pth", "torn.pth")]
    for pair in wrong:
        named = next(path for path in pair if path not in files)
        with pytest.raises(BadInput) as caught:
            load_lpips(*pair)
        assert str(named) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_evaluate_reports_lpips_and_the_weights_of_it(tmp_path, files, capsys):
    preset = replace(PRESETS["nerf-grid-demo"], data="synthetic:cars", stages=(Stage(0, (32, 32), 8),))
    small = replace(preset, system=preset.system.shrunk())
    write(tmp_path / "g.safetensors", GeneratorFile(small.system.build().generator, small))
    words = ["evaluate", str(tmp_path / "g.safetensors"), "--out", str(tmp_path / "n.json")]
    assert main([*words, "--lpips", *map(str, files)]) == 0
    document = json.loads((tmp_path / "n.json").read_text())
    row = document["views"]["g"][0]
    assert set(row) == {"psnr", "ssim", "lpips_squeeze"}
    assert document["generators"]["g"]["lpips_squeeze"]["value"] > 0
    assert document["protocol"]["lpips_squeeze"] == "SqueezeNet"
    for name, path in zip(("weights", "linear"), files, strict=True):
        assert document["protocol"][f"lpips_squeeze_{name}"] == f"{path.name}, SHA-256 {sha256(path)}"
    out = capsys.readouterr().out
    assert "lpips_squeeze: SqueezeNet" in out
    assert "LPIPS-like" in out
    assert main([*words, "--lpips", *map(str, files), "--lpips", *map(str, alexnet_files(tmp_path))]) == 0
    document = json.loads((tmp_path / "n.json").read_text())
    assert set(document["generators"]["g"]) == {"psnr", "ssim", "lpips_squeeze", "lpips_alex"}
    assert document["protocol"]["lpips_alex"] == "AlexNet"
    assert document["views"]["g"][0]["lpips_squeeze"] == row["lpips_squeeze"]
    capsys.readouterr()
    assert main([*words, "--lpips", *map(str, files), "--lpips", *map(str, files)]) == 2
    assert "SqueezeNet a second time" in capsys.readouterr().err
    assert main(words) == 0
    document = json.loads((tmp_path / "n.json").read_text())
    assert set(document["generators"]["g"]) == {"psnr", "ssim"}
    assert "lpips_squeeze" not in document["protocol"]
    assert main([*words, "--lpips", "none.npz", str(files[1])]) == 2
    assert "no weights at none.npz" in capsys.readouterr().err
    assert main(["evaluate", "--lpips", *map(str, files), str(tmp_path / "g.safetensors")]) == 0


def test_lpips_needs_photographs(tmp_path, files, experiment, capsys):
    write(tmp_path / "g.safetensors", GeneratorFile(experiment.system.build().generator, experiment))
    assert main(["evaluate", str(tmp_path / "g.safetensors"), "--lpips", *map(str, files)]) == 2
    assert "--lpips compares with photographs" in capsys.readouterr().err


def vgg16_rows():
    """torchvision's layers, and the indices of those whose outputs LPIPS compares."""
    rows, width, compared = [], 3, []
    for out in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512):
        compared += [] if out else [len(rows) - 1]
        rows += (
            [torch.nn.Conv2d(width, out, 3, padding=1), torch.nn.ReLU()] if out else [torch.nn.MaxPool2d(2)]
        )
        width = out or width
    return rows, [*compared, len(rows) - 1]


def alexnet_rows():
    """The same of AlexNet."""
    convolve, pool, rectify = torch.nn.Conv2d, torch.nn.MaxPool2d(3, 2), torch.nn.ReLU()
    rows = [convolve(3, 64, 11, 4, 2), rectify, pool, convolve(64, 192, 5, 1, 2), rectify, pool]
    rows += [
        convolve(192, 384, 3, 1, 1),
        rectify,
        convolve(384, 256, 3, 1, 1),
        rectify,
        convolve(256, 256, 3, 1, 1),
    ]
    return [*rows, rectify], [1, 4, 7, 9, 11]


@pytest.mark.parametrize(
    ("name", "layers_of", "widths", "smallest"),
    [
        ("VGG16", vgg16_rows, (64, 128, 256, 512, 512), 16),
        ("AlexNet", alexnet_rows, (64, 192, 384, 256, 256), 31),
    ],
)
def test_lpips_is_the_sum_over_five_features(tmp_path, name, layers_of, widths, smallest):
    """Eq. 1 over torchvision's layers, written out."""
    rows, compared = layers_of()
    theirs = torch.nn.ModuleDict({"features": torch.nn.Sequential(*rows)})
    for parameter in theirs.requires_grad_(False).parameters():
        torch.nn.init.kaiming_normal_(parameter) if parameter.dim() == 4 else torch.nn.init.normal_(parameter)
    save_file(theirs.state_dict(), tmp_path / "network.safetensors")
    linear = [torch.rand(1, width, 1, 1) for width in widths]
    torch.save({f"lin{i}.model.1.weight": weight for i, weight in enumerate(linear)}, tmp_path / "linear.pth")
    network = load_lpips(tmp_path / "network.safetensors", tmp_path / "linear.pth")
    assert network.backbone.name == name
    x = torch.rand(2, 3, smallest, 40)
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    features, wanted = ((2 * x - 1) - shift[:, None, None]) / scale[:, None, None], 0.0
    for index, layer in enumerate(rows):
        features = layer(features)
        if index in compared:
            unit = features / (features.norm(dim=1, keepdim=True) + 1e-10)
            wanted += float((linear[compared.index(index)][0] * (unit[0] - unit[1]).square()).sum(0).mean())
    # torchvision's mean is rounded to three digits
    assert float(network(x[:1], x[1:])) == pytest.approx(wanted, rel=2e-3)
    assert float(network(x[:1], x[:1])) == 0
    with pytest.raises(BadInput, match=f"{name}: images of .* sides of at least {smallest}"):
        network(x[:1, :, 1:], x[1:, :, 1:])
