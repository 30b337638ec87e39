"""genscene analyse directions and genscene edit: files, pictures, and what is refused in one line."""

import json

import pytest
import torch
from PIL import Image

from conftest import tiny
from genscene.apps.directions.directions_file import read_directions
from genscene.apps.directions.principal import to_vectors
from genscene.apps.interpolate import styles_of_seeds
from genscene.apps.inversion.latents_file import read_latents
from genscene.cli import main
from genscene.experiment.serialise import build_seeded
from genscene.io import generator_file
from genscene.io.generator_file import GeneratorFile
from genscene.layers.mapping import update_w_avg

LABELS = {"bright": {str(seed): seed % 2 for seed in range(8)}}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Small generators with new weights, and directions of one."""
    folder = tmp_path_factory.mktemp("files")
    for name in ("pigan-demo", "giraffe-demo", "nerf-llff"):
        torch.manual_seed(0)
        experiment = tiny(name)
        generator = build_seeded(experiment).generator.eval()
        update_w_avg(generator)
        generator_file.write(folder / f"{name}.safetensors", GeneratorFile(generator, experiment))
    (folder / "labels.json").write_text(json.dumps(LABELS))
    words = "--count 2 --styles 32 --steps 3 --size 8 --samples 4"
    words = ["analyse", "directions", str(folder / "pigan-demo.safetensors"), *words.split()]
    labels = ["--labels", str(folder / "labels.json")]
    assert main([*words, *labels, "--out", str(folder / "directions.safetensors")]) == 0
    return folder


def edit(files, words, out, name="pigan-demo"):
    """Run the verb -> the exit code."""
    start = ["edit", str(files / f"{name}.safetensors"), "--out", str(out)]
    return main(
        [*start, *(word.replace("DIR", str(files / "directions.safetensors")) for word in words.split())]
    )


def test_directions_have_a_strip_each(files):
    generator = generator_file.load(files / "pigan-demo.safetensors")
    found = read_directions(files / "directions.safetensors", generator)
    assert [each.name for each in found.known] == ["component 1", "component 2", "bright"]
    assert found.known[2].correlation is not None
    with Image.open(files / "directions.png") as image:
        assert image.size[1] > 3 * 200


def test_a_move_is_so_many_deviations(files, tmp_path):
    words = "--seeds 3,5 --directions DIR --move 1=1.5 --move bright=-2"
    assert edit(files, words, tmp_path / "a.safetensors") == 0
    generator = generator_file.load(files / "pigan-demo.safetensors")
    found = read_directions(files / "directions.safetensors", generator)
    axes, (one, _, bright) = to_vectors(found.w), found.known
    edited = to_vectors(read_latents(tmp_path / "a.safetensors", generator).w)
    moved = edited - to_vectors(styles_of_seeds(generator, [3, 5]))
    expected = 1.5 * one.deviation * axes[0] - 2 * bright.deviation * axes[2]
    assert torch.allclose(moved, expected.expand(2, -1), atol=1e-5)
    back = f"--latents {tmp_path / 'a.safetensors'} --directions DIR --move 1=-1.5 --move bright=2"
    assert edit(files, back, tmp_path / "b.safetensors") == 0
    again = to_vectors(read_latents(tmp_path / "b.safetensors", generator).w)
    assert torch.allclose(again, to_vectors(styles_of_seeds(generator, [3, 5])), atol=1e-5)


def test_a_style_is_mixed_in_some_layers(files, tmp_path):
    assert edit(files, "--seeds 3 --other 7 --layers 1 --share 0.5", tmp_path / "a.safetensors") == 0
    generator = generator_file.load(files / "pigan-demo.safetensors")
    mixed = read_latents(tmp_path / "a.safetensors", generator).w
    own, other = styles_of_seeds(generator, [3]), styles_of_seeds(generator, [7])
    assert torch.equal(mixed[:, :, 0], own[:, :, 0])
    assert torch.allclose(mixed[:, :, 1], (own + other)[:, :, 1] / 2)


def test_a_strip_has_a_row_for_each_scene(files, tmp_path):
    words = "--seeds 3,5 --directions DIR --move 1=3 --steps 4 --size 8 --samples 4"
    for name in ("a.png", "b.png"):
        assert edit(files, words, tmp_path / name) == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert image.size[0] > 4 * 200
        assert image.size[1] > 2 * 200


def test_objects_of_a_scene_are_edited(files, tmp_path):
    words = "--seeds 3 --set objects.0.translation=[0.1,-0.2,0.3] --set objects.1.rotation=90"
    words += " --set background=null"
    assert edit(files, words, tmp_path / "a.json", "giraffe-demo") == 0
    document = json.loads((tmp_path / "a.json").read_text())
    assert document["objects"][0]["translation"] == [0.1, -0.2, 0.3]
    assert document["objects"][1]["rotation"] == 90
    assert document["background"] is None
    assert edit(files, f"{words} --size 16", tmp_path / "a.png", "giraffe-demo") == 0
    again = f"--scene {tmp_path / 'a.json'} --set objects.0.shape.seed=9 --size 16"
    assert edit(files, again, tmp_path / "b.png", "giraffe-demo") == 0
    assert edit(files, again, tmp_path / "b.safetensors", "giraffe-demo") == 0
    generator = generator_file.load(files / "giraffe-demo.safetensors")
    w = read_latents(tmp_path / "b.safetensors", generator).w
    assert torch.allclose(w.shape[0, 0], styles_of_seeds(generator, [9]).shape[0, 0])
    assert w.boxes.translation[0, 0].tolist() == pytest.approx([0.1, -0.2, 0.3])
    assert w.background_present.tolist() == [0]


REFUSED = {
    "--seeds 3": "nothing to edit: wanted --move NAME=AMOUNT, --other SEED, or --set FIELD=VALUE",
    "--move 1=2": "--move wants --directions FILE",
    "--directions DIR --move 9=1": "--move 9=1: no direction '9'; known: bright, component 1, component 2",
    "--directions DIR --move 1": "--move '1': wanted NAME=AMOUNT",
    "--directions DIR --move 1=nan": "--move '1=nan': wanted NAME=AMOUNT",
    "--directions DIR --move 1=1 --layers 99": "layer 99: this generator has layers 0 to",
    "--set objects.0.rotation=1": "the scenes of this generator are not made of objects",
    "--other 3 --share 2": "--share 2: wanted a number from 0 to 1",
    "--other 3 --stpes 2": "no option --stpes; did you mean --steps?",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_edited_is_refused_in_one_line(words, files, tmp_path, capsys):
    assert edit(files, words, tmp_path / "a.png") == 2
    error = capsys.readouterr().err
    assert REFUSED[words] in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


OBJECTS_REFUSED = {
    "--seeds 3 --set objects.5.rotation=1": "no field objects.5.rotation: '5' is not there",
    "--seeds 3 --set objects.0.rotaton=1": "did you mean 'rotation'?",
    "--seeds 3 --set objects.0.scale=[0,0,0]": "--set: objects.0.scale",
    "--seeds 3 --set objects.0.rotation": "wanted FIELD=VALUE, like objects.0.rotation=90",
    "--seeds 3,4 --set objects.0.rotation=3": "2 scenes, wanted one: --seeds N",
    "--seeds 3 --set objects.0.rotation=3 --other 1": "a file of objects has no styles, wanted --set alone",
}


@pytest.mark.parametrize("words", OBJECTS_REFUSED)
def test_objects_that_are_not_there_are_refused(words, files, tmp_path, capsys):
    assert edit(files, words, tmp_path / "a.json", "giraffe-demo") == 2
    error = capsys.readouterr().err
    assert OBJECTS_REFUSED[words] in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


LABELS_REFUSED = {
    "[]": "holds no labels, wanted",
    '{"a": 3}': "a has no seeds, wanted",
    '{"a": {"x": 1}}': "a.x is 1, wanted",
    '{"a": {"1": "yes"}}': "a.1 is 'yes', wanted",
    '{"a": {"1": 1, "2": 0}}': "label 'a': 2 scenes, wanted 4 or more",
    "nonsense": "is not JSON",
}


@pytest.mark.parametrize("text", LABELS_REFUSED)
def test_labels_that_are_none_are_refused(text, files, tmp_path, capsys):
    (tmp_path / "labels.json").write_text(text)
    start = ["analyse", "directions", str(files / "pigan-demo.safetensors"), "--count", "0"]
    out = ["--labels", str(tmp_path / "labels.json"), "--out", str(tmp_path / "d.safetensors")]
    assert main([*start, *out]) == 2
    error = capsys.readouterr().err
    assert LABELS_REFUSED[text] in error
    assert "labels.json" in error
    assert [path.name for path in tmp_path.iterdir()] == ["labels.json"]


def test_a_single_scene_has_no_directions(files, tmp_path, capsys):
    for words in (["analyse", "directions"], ["edit"]):
        more = ["--other", "1"] if words == ["edit"] else []
        out = tmp_path / "a.safetensors"
        assert main([*words, str(files / "nerf-llff.safetensors"), "--out", str(out), *more]) == 2
        assert "holds a single scene, wanted a generator of many" in capsys.readouterr().err
