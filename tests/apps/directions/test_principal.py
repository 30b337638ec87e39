"""Directions of styles: what their axes and variances are, labels, edits, and their files."""

import pytest
import torch

from conftest import tiny
from genscene.apps.directions.directions_file import find_direction, read_directions, write_directions
from genscene.apps.directions.principal import (
    Direction,
    Directions,
    labelled_directions,
    moved_styles,
    principal_axes,
    principal_directions,
    sample_vectors,
    to_styles,
    to_vectors,
)
from genscene.apps.interpolate import styles_of_seeds
from genscene.errors import BadInput
from genscene.experiment.serialise import build_seeded
from genscene.geometry.cameras import named_tensors
from genscene.layers.mapping import take_styles, update_w_avg

MANY = [
    "pigan-demo",
    "pigan-celeba-concat",
    "graf-carla-128",
    "giraffe-clevr2-256",
    "cips-demo",
    "cgsgan-demo",
]


def generator_of(name):
    """A small generator with new weights."""
    torch.manual_seed(0)
    generator = build_seeded(tiny(name)).generator.eval()
    update_w_avg(generator)
    return generator


@pytest.mark.parametrize("shape", [(500, 6), (12, 40)])
def test_axes_are_those_of_the_covariance(shape):
    """Wide samples take the smaller matrix, with the same axes and variances."""
    samples = torch.randn(*shape, dtype=torch.float64) @ torch.randn(shape[1], shape[1], dtype=torch.float64)
    axes, variances = principal_axes(samples, 4)
    centered = samples - samples.mean(dim=0)
    assert torch.allclose(axes @ axes.mT, torch.eye(4, dtype=torch.float64), atol=1e-8)
    assert torch.allclose((centered @ axes.mT).square().mean(dim=0), variances[:4])
    assert float(variances.sum()) == pytest.approx(float(centered.square().sum()) / shape[0])
    assert (axes.gather(1, axes.abs().argmax(dim=1, keepdim=True)) > 0).all()
    numbers = torch.linalg.svdvals(centered)[:4].square() / shape[0]
    assert torch.allclose(variances[:4], numbers)


@pytest.mark.parametrize("name", MANY)
def test_vectors_are_styles_again(name):
    generator = generator_of(name)
    w = styles_of_seeds(generator, [3, 5])
    vectors = to_vectors(w)
    again = to_styles(vectors, w)
    assert torch.equal(to_vectors(again), vectors)
    for key, tensor in named_tensors(again).items():
        assert tensor.shape == named_tensors(w)[key].shape
        fixed = key in ("classes", "present", "translation", "rotation", "scale", "background_present")
        assert torch.equal(tensor, named_tensors(w)[key]) or fixed


@pytest.mark.parametrize("name", MANY)
def test_an_edit_moves_a_style_by_deviations(name):
    """What moves by 2 standard deviations is so far along the direction; boxes stay where they are."""
    generator = generator_of(name)
    found = principal_directions(generator, 3, 64)
    assert [each.name for each in found.known] == ["component 1", "component 2", "component 3"]
    shares = [each.share for each in found.known]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) <= 1
    w, one = styles_of_seeds(generator, [3]), take_styles(found.w, slice(0, 1))
    moved = moved_styles(generator, w, one, 2 * found.known[0].deviation)
    difference = to_vectors(moved) - to_vectors(w)
    assert float(difference.norm()) == pytest.approx(2 * found.known[0].deviation, rel=1e-4)
    generator.bind(moved)
    if hasattr(w, "boxes"):
        assert torch.equal(moved.boxes.translation, w.boxes.translation)
        assert torch.equal(moved.present, w.present)


def test_some_layers_are_moved():
    generator = generator_of("pigan-demo")
    w, direction = styles_of_seeds(generator, [3]), torch.ones_like(styles_of_seeds(generator, [0]))
    moved = moved_styles(generator, w, direction, 1.0, [1])
    assert torch.equal(moved[:, :, 0], w[:, :, 0])
    assert torch.equal(moved[:, :, 1], w[:, :, 1] + 1)
    with pytest.raises(BadInput, match="layer 9: this generator has layers 0 to"):
        moved_styles(generator, w, direction, 1.0, [9])
    graf = generator_of("graf-carla-128")
    with pytest.raises(BadInput, match="not by layers"):
        moved_styles(graf, styles_of_seeds(graf, [0]), styles_of_seeds(graf, [1]), 1.0, [0])


def test_labels_find_the_direction_that_they_are_of():
    """Labels are a linear function of the styles, or whether this is positive; noise predicts nothing."""
    generator = generator_of("graf-carla-128")
    w = styles_of_seeds(generator, range(200))
    vectors = to_vectors(w)
    truth = torch.zeros(vectors.shape[1], dtype=torch.float64)
    truth[2] = 1.0
    along = vectors @ truth
    noise = torch.randn(200, generator=torch.Generator().manual_seed(0))
    labels = {
        "number": dict(enumerate(along.tolist())),
        "class": dict(enumerate((along > 0).double().tolist())),
        "noise": dict(enumerate(noise.tolist())),
    }
    found = labelled_directions(generator, w, labels, 64)
    axes = to_vectors(found.w)
    assert axes.norm(dim=1).tolist() == pytest.approx([1, 1, 1], abs=1e-5)
    assert float(axes[0] @ truth) > 0.9
    assert float(axes[1] @ truth) > 0.85
    number, classes, nothing = (each.correlation for each in found.known)
    assert number > 0.85
    assert classes > 0.6
    assert abs(nothing) < 0.3


@pytest.mark.parametrize(
    ("values", "message"),
    [({0: 1.0, 1: 0.0, 2: 1.0}, "3 scenes, wanted 4"), (dict.fromkeys(range(8), 1.0), "all scenes the same")],
)
def test_labels_of_too_little_are_refused(values, message):
    generator = generator_of("graf-carla-128")
    with pytest.raises(BadInput, match=message):
        labelled_directions(generator, styles_of_seeds(generator, range(8)), {"smile": values}, 64)


def test_samples_are_the_same_every_time():
    generator = generator_of("cips-demo")
    vectors, _ = sample_vectors(generator, 300)
    assert vectors.shape[0] == 300
    assert torch.equal(vectors[:20], sample_vectors(generator, 20)[0])


@pytest.mark.parametrize("name", ["pigan-demo", "giraffe-clevr2-256"])
def test_files_hold_what_was_written(name, tmp_path):
    generator = generator_of(name)
    found = principal_directions(generator, 2, 32)
    labelled = Directions(found.w, [found.known[0], Direction("smile", 0.5, 0.1, 0.8)])
    write_directions(tmp_path / "d.safetensors", labelled, generator)
    again = read_directions(tmp_path / "d.safetensors", generator)
    assert again.known == labelled.known
    assert torch.equal(to_vectors(again.w), to_vectors(found.w))
    assert [find_direction(again, text, "--move") for text in ("component 1", "1", "smile", "2")] == [
        0,
        0,
        1,
        1,
    ]
    with pytest.raises(BadInput, match="--move: no direction '3'; known: component 1, smile"):
        find_direction(again, "3", "--move")


def test_files_of_other_weights_are_refused(tmp_path):
    generator = generator_of("pigan-demo")
    write_directions(tmp_path / "d.safetensors", principal_directions(generator, 2, 32), generator)
    with torch.no_grad():
        next(generator.parameters()).add_(1)
    with pytest.raises(BadInput, match="its directions are of another generator, wanted those of this"):
        read_directions(tmp_path / "d.safetensors", generator)
    with pytest.raises(BadInput, match="safetensors"):
        read_directions(tmp_path / "none.safetensors", generator)
