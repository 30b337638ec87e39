"""Networks that measure, with small random weights: LPIPS's laws, Inception's inputs, files that do not fit."""

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
from genscene.io.generator_file import save_generator
from genscene.metrics.alexnet import AlexNet
from genscene.metrics.backbone import CAFFE, TORCHVISION
from genscene.metrics.inception import Inception, inception, stretched
from genscene.metrics.lpips import lpips
from genscene.metrics.squeezenet import FIRES, SMALLEST, SqueezeNet
from genscene.metrics.weights import sha256
from genscene.systems import PRESETS

PARTS = {"squeeze": "squeeze1x1", "expand1": "expand1x1", "expand3": "expand3x3"}


def caffe_name(name):
    part, *rest = name.split(".")
    return name if part == "conv1" else f"fire{rest[0]}/{PARTS[rest[1]]}.{rest[2]}"


def torchvision_name(name):
    part, *rest = name.split(".")
    if part == "conv1":
        return f"features.0.{rest[0]}"
    place = dict(zip(FIRES, (3, 4, 6, 7, 9, 10, 11, 12), strict=True))[rest[0]]
    return f"features.{place}.{PARTS[rest[1]].replace('squeeze1x1', 'squeeze')}.{rest[2]}"


def linear_layers():
    return {f"lin{i}.model.1.weight": torch.rand(1, width, 1, 1) for i, width in enumerate(SqueezeNet.widths)}


def arrays(path, tensors):
    np.savez(path, **{name: tensor.detach().numpy() for name, tensor in tensors.items()})
    return path


def alexnet_files(folder):
    """Random weights of AlexNet and of its linear layers."""
    network = AlexNet()
    save_file(
        {f"features.{n.removeprefix('layers.')}": t for n, t in network.state_dict().items()},
        folder / "a.safetensors",
    )
    torch.save(
        {f"lin{i}.model.1.weight": torch.rand(1, w, 1, 1) for i, w in enumerate(network.widths)},
        folder / "a.pth",
    )
    return folder / "a.safetensors", folder / "a.pth"


@pytest.fixture
def files(tmp_path):
    """Random weights of SqueezeNet and of the linear layers, in files as people have them."""
    backbone = {caffe_name(name): tensor for name, tensor in SqueezeNet().state_dict().items()}
    torch.save(linear_layers(), tmp_path / "linear.pth")
    return arrays(tmp_path / "squeeze.npz", backbone), tmp_path / "linear.pth"


def test_lpips_is_zero_for_the_same_picture_and_grows_with_noise(files):
    network = lpips(*files)
    a, noise = torch.rand(2, 3, 40, 48), torch.randn(2, 3, 40, 48)
    assert network(a, a).tolist() == [0, 0]
    apart = torch.stack([network(a, a + amount * noise) for amount in (0.02, 0.1, 0.3)])
    assert (apart.diff(dim=0) > 0).all()
    assert (apart > 0).all()
    assert_close(network(a, a + noise), network(a + noise, a))
    assert_close(network(a, a + noise)[1:], network(a[1:], (a + noise)[1:]))
    assert network.backbone.name == "SqueezeNet"
    assert "LPIPS-like" in network.backbone.remark


def test_features_are_what_lpips_was_made_for():
    seen = SqueezeNet()(torch.rand(1, 3, 64, 80))
    assert [f.shape[1] for f in seen] == [64, 128, 256, 384, 384, 512, 512]
    assert [tuple(f.shape[2:]) for f in seen[:4]] == [(31, 39), (15, 19), (7, 9), (3, 4)]
    assert SqueezeNet()(torch.rand(1, 3, SMALLEST, 40))[-1].numel() > 0
    with pytest.raises(BadInput, match=f"16x40 pixels, wanted sides of at least {SMALLEST}"):
        SqueezeNet()(torch.rand(1, 3, 16, 40))


def test_weights_of_both_lineages_see_the_same(tmp_path, files):
    """What one subtracts and multiplies by can be folded into the other's first convolution."""
    ours = SqueezeNet()
    state = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    folded = state["conv1.weight"][:, list(CAFFE.order)] * torch.tensor(CAFFE.gain)[:, None, None]
    off = torch.tensor(TORCHVISION.mean) - torch.tensor(CAFFE.mean)[list(CAFFE.order)]
    state["conv1.bias"] += torch.einsum("ocij,c->o", folded, off)
    state["conv1.weight"] = folded / torch.tensor(TORCHVISION.gain)[:, None, None]
    theirs = {torchvision_name(name): tensor for name, tensor in state.items()} | {
        "classifier.1.bias": torch.zeros(9)
    }
    save_file(theirs, tmp_path / "torchvision.safetensors")
    same = {caffe_name(name): tensor for name, tensor in ours.state_dict().items()}
    arrays(tmp_path / "caffe.npz", same)
    one, other = (lpips(tmp_path / name, files[1]) for name in ("caffe.npz", "torchvision.safetensors"))
    a, b = torch.rand(2, 1, 3, 33, 33)
    assert_close(one(a, b), other(a, b), atol=1e-5, rtol=1e-4)
    assert one.backbone.remark != other.backbone.remark


def test_linear_layers_of_all_backbones_may_lie_in_one_file(tmp_path, files):
    layers = linear_layers()
    torch.save(layers, tmp_path / "squeeze.pth")
    every = {f"squeeze/{name}": tensor.flatten() for name, tensor in layers.items()}
    arrays(tmp_path / "all.npz", every | {"alex/lin0.model.1.weight": torch.rand(64)})
    a, b = torch.rand(2, 1, 3, 32, 32)
    assert_close(lpips(files[0], tmp_path / "squeeze.pth")(a, b), lpips(files[0], tmp_path / "all.npz")(a, b))


def test_a_file_that_does_not_fit_is_named_in_one_line(tmp_path, files):
    backbone, linear = files
    whole = {caffe_name(name): tensor for name, tensor in SqueezeNet().state_dict().items()}
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
            lpips(*pair)
        assert str(named) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_inception_refuses_weights_of_another_network(tmp_path, files):
    torch.save({"fc.weight": torch.zeros(1000, 2048)}, tmp_path / "other.pth")
    torch.save({"fc.weight": torch.zeros(1008, 2048)}, tmp_path / "part.pth")
    for path in (tmp_path / "other.pth", tmp_path / "part.pth", tmp_path / "none.pth", files[0]):
        with pytest.raises(BadInput, match=path.name):
            inception(path)


def test_inception_has_the_tensors_of_its_file_and_looks_at_bytes():
    network = Inception()
    kept = network.state_dict()
    assert (
        sum(tensor.numel() for tensor in kept.values()) == 23_885_486 - 94
    )  # without as many counters of batches
    assert len(kept) == 566 - 94
    images = torch.randint(0, 256, (1, 3, 20, 30), dtype=torch.uint8)
    with torch.no_grad():
        seen = network.train()(images)
        again = network.eval()(images.float())
    assert seen.pool_2048.shape == (1, 2048)
    assert torch.equal(seen.logits, again.logits)


def test_pictures_are_stretched_as_tensorflow_did():
    ramp = torch.arange(4.0).expand(1, 3, 5, 4)
    wide = stretched(ramp, 8)
    assert_close(
        wide[0, 0, 0], torch.tensor([0, 0.5, 1, 1.5, 2, 2.5, 3, 3])
    )  # not 0.25 and so on, as half pixels give
    picture = torch.rand(1, 3, 9, 9)
    assert torch.equal(stretched(picture, 9), picture)
    assert_close(stretched(picture, 3), picture[..., ::3, ::3])  # nothing is smoothed


def test_evaluate_tells_lpips_and_which_weights_it_was_by(tmp_path, files, capsys):
    preset = replace(PRESETS["nerf-grid-demo"], data="synthetic:cars", stages=(Stage(0, (32, 32), 8),))
    small = replace(preset, system=preset.system.shrunk())
    save_generator(tmp_path / "g.safetensors", small.system.build().generator, small)
    words = ["evaluate", str(tmp_path / "g.safetensors"), "--out", str(tmp_path / "n.json")]
    assert main([*words, "--lpips", *map(str, files)]) == 0
    document = json.loads((tmp_path / "n.json").read_text())
    row = document["photographs"][0]
    assert set(row) == {"photograph", "psnr", "ssim", "lpips-squeeze"}
    assert document["mean"]["lpips-squeeze"] > 0
    assert document["protocol"]["lpips-squeeze"]["backbone"] == "SqueezeNet"
    for name, path in zip(("weights", "linear"), files, strict=True):
        assert document["protocol"]["lpips-squeeze"][name] == {"file": path.name, "sha256": sha256(path)}
    out = capsys.readouterr().out
    assert "LPIPS-squeeze by SqueezeNet" in out
    assert "LPIPS-like" in out
    assert main([*words, "--lpips", *map(str, files), "--lpips", *map(str, alexnet_files(tmp_path))]) == 0
    document = json.loads((tmp_path / "n.json").read_text())
    assert set(document["mean"]) == {"psnr", "ssim", "lpips-squeeze", "lpips-alex"}
    assert document["protocol"]["lpips-alex"]["backbone"] == "AlexNet"
    assert document["photographs"][0]["lpips-squeeze"] == row["lpips-squeeze"]
    capsys.readouterr()
    assert main([*words, "--lpips", *map(str, files), "--lpips", *map(str, files)]) == 2
    assert "SqueezeNet a second time" in capsys.readouterr().err
    assert main(words) == 0
    document = json.loads((tmp_path / "n.json").read_text())
    assert set(document["mean"]) == {"psnr", "ssim"}
    assert "lpips-squeeze" not in document["protocol"]
    assert main([*words, "--lpips", "none.npz", str(files[1])]) == 2
    assert "no weights at none.npz" in capsys.readouterr().err
    assert main(["evaluate", "--lpips", *map(str, files), str(tmp_path / "g.safetensors")]) == 0


def test_lpips_wants_photographs(tmp_path, files, experiment, capsys):
    save_generator(tmp_path / "g.safetensors", experiment.system.build().generator, experiment)
    assert main(["evaluate", str(tmp_path / "g.safetensors"), "--lpips", *map(str, files)]) == 2
    assert "--lpips compares with photographs" in capsys.readouterr().err


def vgg16_rows():
    """torchvision's row of layers, and which of them LPIPS looks behind."""
    rows, width, looked = [], 3, []
    for out in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512):
        looked += [] if out else [len(rows) - 1]
        rows += (
            [torch.nn.Conv2d(width, out, 3, padding=1), torch.nn.ReLU()] if out else [torch.nn.MaxPool2d(2)]
        )
        width = out or width
    return rows, [*looked, len(rows) - 1]


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
    ("name", "described", "widths", "smallest"),
    [
        ("VGG16", vgg16_rows, (64, 128, 256, 512, 512), 16),
        ("AlexNet", alexnet_rows, (64, 192, 384, 256, 256), 31),
    ],
)
def test_lpips_is_the_sum_over_five_features(tmp_path, name, described, widths, smallest):
    """Beside torchvision's row of layers, written out (eq. 1)."""
    rows, looked = described()
    theirs = torch.nn.ModuleDict({"features": torch.nn.Sequential(*rows)})
    for parameter in theirs.requires_grad_(False).parameters():
        torch.nn.init.kaiming_normal_(parameter) if parameter.dim() == 4 else torch.nn.init.normal_(parameter)
    save_file(theirs.state_dict(), tmp_path / "network.safetensors")
    linear = [torch.rand(1, width, 1, 1) for width in widths]
    torch.save({f"lin{i}.model.1.weight": weight for i, weight in enumerate(linear)}, tmp_path / "linear.pth")
    network = lpips(tmp_path / "network.safetensors", tmp_path / "linear.pth")
    assert network.backbone.name == name
    x = torch.rand(2, 3, smallest, 40)
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    seen, wanted = ((2 * x - 1) - shift[:, None, None]) / scale[:, None, None], 0.0
    for place, layer in enumerate(rows):
        seen = layer(seen)
        if place in looked:
            unit = seen / (seen.norm(dim=1, keepdim=True) + 1e-10)
            wanted += float((linear[looked.index(place)][0] * (unit[0] - unit[1]).square()).sum(0).mean())
    assert float(network(x[:1], x[1:])) == pytest.approx(
        wanted, rel=2e-3
    )  # their mean is rounded to three digits
    assert float(network(x[:1], x[:1])) == 0
    with pytest.raises(BadInput, match=f"{name} sees nothing .* sides of at least {smallest}"):
        network(x[:1, :, 1:], x[1:, :, 1:])
