"""Mixing the layers of styles, from Python and from the command line."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from conftest import tiny
from genscene.apps.interpolate import mix_styles, styles_of_seeds
from genscene.cli import main
from genscene.errors import BadInput
from genscene.experiment.serialise import build_seeded
from genscene.io.generator_file import GeneratorFile, write


@dataclass(frozen=True)
class Pair:
    """A style of two tensors."""

    shape: Tensor
    color: Tensor | None


def test_the_layers_that_are_named_are_those_of_the_first_style_in_every_tensor(experiment):
    generator = build_seeded(experiment).generator
    w = styles_of_seeds(generator, [0, 1, 2])
    count, mixed = w.shape[2], mix_styles(generator, w, [0, 2])
    for layer in range(count):
        wanted = w[:1].expand_as(w) if layer in (0, 2) else w
        assert torch.equal(mixed[:, :, layer], wanted[:, :, layer])
    assert not torch.equal(w[0, :, 0], w[1, :, 0])  # w itself is as it was
    pair = mix_styles(generator, Pair(w, None), [0, 2])
    assert torch.equal(pair.shape, mixed)
    assert pair.color is None
    with pytest.raises(BadInput, match="these are all layers: every scene would be the first one"):
        mix_styles(generator, w, range(count))
    with pytest.raises(BadInput, match=f"layer 99: this generator has layers 0 to {count - 1}"):
        mix_styles(generator, w, [0, 99])


@pytest.fixture
def film(tmp_path, capsys):
    """Interpolate with a small preset's generator -> exit code, error lines, whether it is there."""

    def call(name, *words):
        path, out = tmp_path / f"{name}.safetensors", tmp_path / "film.gif"
        experiment = tiny(name)
        write(path, GeneratorFile(build_seeded(experiment).generator, experiment))
        usual = ["--seeds", "0,1", "--frames", "2", "--size", "8", "--out", str(out)]
        code = main(["interpolate", str(path), *usual, *words])
        return code, capsys.readouterr().err, out.exists()

    return call


@pytest.mark.parametrize("layers", ["0", "0-1"])
def test_a_film_of_mixed_styles(film, layers):
    assert film("pigan-carla", "--mix", layers) == (0, "", True)


@pytest.mark.parametrize(
    ("name", "layers", "expected"),
    [
        ("pigan-celeba-concat", "0-1", "--mix 0-1: the styles of this generator are not by layers"),
        ("pigan-carla", "0-99", "--mix 0-99: layer 99: this generator has layers 0 to "),
        ("pigan-carla", "x", "--mix 'x': wanted numbers like"),
        ("pigan-carla", "3-1", "--mix '3-1': 3-1 is no range"),
    ],
)
def test_layers_that_are_not_there_are_refused_in_one_line(film, name, layers, expected):
    code, err, there = film(name, "--mix", layers)
    assert (code, err.count("\n"), there) == (2, 1, False)
    assert err.startswith(f"genscene: {expected}")
