"""Scenes of objects on the command line: programs, and files that are written, edited and rendered again."""

import json
from dataclasses import replace

import pytest
import torch

from conftest import tiny
from genscene.apps.programs import PROGRAMS, run_program
from genscene.apps.scene_file import describe_scene, read_scene, styles_of_scene
from genscene.cli import main
from genscene.errors import BadInput
from genscene.experiment.serialise import build_seeded
from genscene.geometry.cameras import named_tensors
from genscene.io import generator_file
from genscene.io.generator_file import GeneratorFile
from genscene.randomness import RandomStreams


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A small generator of rooms, in a file."""
    experiment = tiny("giraffe-demo")
    path = tmp_path_factory.mktemp("giraffe") / "g.safetensors"
    generator_file.write(path, GeneratorFile(build_seeded(experiment).generator, experiment))
    return path


def run(saved, out, *words):
    return main(["render", str(saved), "--out", str(out), "--size", "16", "--seeds", "3-5", *words])


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_makes_a_sheet(saved, tmp_path, name, capsys):
    assert run(saved, tmp_path / "p.png", "--program", name) == 0, capsys.readouterr().err
    assert (tmp_path / "p.png").stat().st_size > 100


def test_a_program_makes_a_film_of_the_chosen_object(saved, tmp_path):
    assert run(saved, tmp_path / "p.gif", "--program", "side", "--object", "1", "--frames", "4") == 0
    assert (tmp_path / "p.gif").exists()


def test_objects_that_are_not_there_are_not_counted(saved):
    generator = generator_file.load(saved)
    w = generator.style(generator.latents(RandomStreams([7])))
    one = replace(w, present=torch.tensor([[0.0, 1.0]]))
    found = run_program("remove", generator, one, w, 0, 2)
    assert found.present.tolist() == [[1], [0]]
    assert torch.equal(found.shape[:1, 0], w.shape[:, 1])
    with pytest.raises(BadInput, match="object 1: wanted 0 to 0"):
        run_program("remove", generator, one, w, 1, 2)


def test_side_is_across_the_view_and_depth_along_it(saved):
    generator = generator_file.load(saved)
    w = generator.style(generator.latents(RandomStreams([7])))
    eye = generator.prior.sweep(1, (16, 16)).pose[0, :3, 3]
    away = int(eye[:2].abs().argmax())
    for name, axis in (("depth", away), ("side", 1 - away)):
        moved = run_program(name, generator, w, w, 0, 8).boxes.translation[:, 0]
        assert moved[:, axis].std() > 0.3
        assert moved[:, 1 - axis].std() < 1e-6


def test_a_file_and_a_seed_are_not_both_the_scene(saved, tmp_path, capsys):
    file = tmp_path / "scene.json"
    assert run(saved, tmp_path / "a.png", "--save-scene", str(file)) == 0
    before = file.read_bytes()
    assert run(saved, tmp_path / "b.png", "--scene", str(file), "--save-scene", str(file)) == 2
    assert "--scene, --save-scene" in capsys.readouterr().err
    assert file.read_bytes() == before


def test_parts_of_a_scene_are_shown_in_turn(saved):
    generator = generator_file.load(saved)
    w = generator.style(generator.latents(RandomStreams([7])))
    found = run_program("separate", generator, w, w, 0, 4)
    assert found.present.tolist() == [[1, 1], [1, 0], [0, 1], [0, 0]]
    assert found.background_present.tolist() == [1, 0, 0, 1]


def test_a_scene_is_written_edited_and_rendered_again(saved, tmp_path):
    file = tmp_path / "scene.json"
    assert run(saved, tmp_path / "a.png", "--save-scene", str(file)) == 0
    assert run(saved, tmp_path / "b.png", "--scene", str(file)) == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    document = json.loads(file.read_text())
    document["objects"].append(document["objects"][0] | {"translation": [0.0, 0.0, 0.26]})
    document["background"] = None
    file.write_text(json.dumps(document))
    assert run(saved, tmp_path / "c.png", "--scene", str(file), "--show", "alpha") == 0
    assert (tmp_path / "c.png").read_bytes() != (tmp_path / "a.png").read_bytes()


def test_a_described_scene_has_the_styles_of_its_seed(saved, tmp_path):
    generator = generator_file.load(saved)
    w = generator.style(generator.latents(RandomStreams([7])))
    again = named_tensors(styles_of_scene(generator, describe_scene(generator, 7)))
    for name, tensor in named_tensors(w).items():
        torch.testing.assert_close(again[name], tensor)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"color": 1}, r"color: 1, wanted no such field, but objects"),
        ({"objects": []}, r"objects: \[\], wanted 1 to 100 values"),
        ({"objects": None}, "objects: null, wanted several values"),
        ({"format": 9}, "format: 9, wanted a number from 1 to 1"),
        ({"psi": float("nan")}, "psi: NaN"),
    ],
)
def test_a_file_that_is_no_scene_is_refused_by_its_field(saved, tmp_path, change, words):
    file = tmp_path / "scene.json"
    assert run(saved, tmp_path / "a.png", "--save-scene", str(file)) == 0
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(BadInput, match=words):
        read_scene(file)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--program", "rotat"], "did you mean 'rotate'"),
        (["--program", "side", "--object", "2"], "object 2: wanted 0 to 1"),
        (["--scene", "missing.json"], "missing.json"),
        (["--save-scene", "scene.txt"], "--save-scene scene.txt: wanted a file ending with .json"),
    ],
)
def test_what_cannot_be_is_one_line(saved, tmp_path, capsys, words, line):
    assert run(saved, tmp_path / "a.png", *words) == 2
    error = capsys.readouterr().err
    assert line in error
    assert len(error.strip().splitlines()) == 1


def test_generators_without_objects_have_no_programs(tmp_path, capsys):
    experiment = tiny("pigan-demo")
    path = tmp_path / "g.safetensors"
    generator_file.write(path, GeneratorFile(build_seeded(experiment).generator, experiment))
    assert run(path, tmp_path / "a.png", "--program", "rotate") == 2
    assert "not made of objects" in capsys.readouterr().err
