"""Generator files: written and read back whole, other files refused by name."""

import json
import math
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

import genscene
from conftest import tiny
from genscene.errors import BadInput
from genscene.experiment.serialise import build_seeded, dumps
from genscene.geometry.priors import CameraPrior
from genscene.io import generator_file
from genscene.io.generator_file import GeneratorFile, load, mismatch, read, write
from genscene.layers.mapping import update_w_avg
from genscene.randomness import RandomStreams
from genscene.systems import PRESETS
from genscene.systems.pigan import system as pigan_system


@pytest.fixture
def content():
    """A small pi-GAN as a run writes it."""
    experiment = tiny("pigan-celeba")
    generator = build_seeded(experiment).generator
    update_w_avg(generator)
    return GeneratorFile(generator, experiment)


@pytest.fixture
def scene():
    """A small NeRF with cameras and the transform to their files."""
    experiment = tiny("nerf-blender")
    cameras = CameraPrior("uniform", radius=4.0, up="z").sample(RandomStreams(range(3)), (6, 10))
    to_files = torch.diag(torch.tensor([2.0, 2.0, 2.0, 1.0]))
    to_files[:3, 3] = torch.tensor([1.0, -2.0, 3.0])
    return GeneratorFile(build_seeded(experiment).generator, experiment, cameras, to_files)


def header_of(path):
    with safe_open(path, framework="pt") as file:
        return file.metadata()


def rewrite(path, change_tensors=None, **header):
    """The same file with some tensors or header entries changed; an entry of None is removed."""
    entries = {name: value for name, value in (header_of(path) | header).items() if value is not None}
    tensors = load_file(path)
    if change_tensors:
        change_tensors(tensors)
    save_file(tensors, path, metadata=entries)


def refused(path):
    with pytest.raises(BadInput) as error:
        read(path)
    line = str(error.value)
    assert path.name in line
    assert "\n" not in line
    return line


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_s_generator_is_read_back(name, tmp_path):
    experiment = tiny(name)
    generator = build_seeded(experiment).generator
    write(tmp_path / "g.safetensors", GeneratorFile(generator, experiment))
    found = read(tmp_path / "g.safetensors")
    assert found.experiment == experiment
    state = found.generator.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in generator.state_dict().items())
    assert not found.generator.training
    assert not any(p.requires_grad for p in found.generator.parameters())
    assert (found.cameras, found.to_files) == (None, None)


def test_cameras_and_the_transform_to_their_files_are_read_back(scene, tmp_path):
    write(tmp_path / "g.safetensors", scene)
    found = read(tmp_path / "g.safetensors")
    assert torch.equal(found.cameras.pose, scene.cameras.pose)
    assert torch.equal(found.cameras.intrinsics, scene.cameras.intrinsics)
    assert found.cameras.size == (6, 10)
    assert torch.equal(found.to_files, scene.to_files)
    names = load_file(tmp_path / "g.safetensors")
    assert {name.split(".")[0] for name in names} == {"generator", "cameras", "to_files"}
    assert not any("camera" in name for name in found.generator.state_dict())


def test_pictures_of_the_read_generator_are_the_same(content, tmp_path):
    write(tmp_path / "g.safetensors", content)
    pictures = []
    for generator in (content.generator.eval(), load(tmp_path / "g.safetensors")):
        with torch.no_grad():
            z, view = (generator.latents(RandomStreams([4])), generator.prior.sweep(1, (6, 6)))
            pictures.append(generator.render(generator.scene(z, 0.7), view).image)
    assert torch.equal(*pictures)


def test_the_header_says_what_the_file_is(content, tmp_path):
    path = tmp_path / "g.safetensors"
    experiment = replace(content.experiment, data="my photos")
    write(path, replace(content, experiment=experiment, licence="CC0", measured={"frechet": 3.5}))
    header = header_of(path)
    assert set(header) == {"format", "genscene", "experiment", "data", "licence", "measured"}
    assert header["format"] == "1"
    assert header["genscene"] == genscene.__version__
    assert header["experiment"] == dumps(experiment)
    assert (header["data"], header["licence"]) == ("my photos", "CC0")
    assert json.loads(header["measured"]) == {"frechet": 3.5}
    found = read(path)
    assert (found.licence, found.measured, found.version) == ("CC0", {"frechet": 3.5}, genscene.__version__)


@pytest.mark.parametrize(("found", "named"), [("2", "2"), ("0", "0"), (None, "0"), ("new", "new")])
def test_other_formats_are_refused_by_name(content, tmp_path, found, named):
    path = tmp_path / "other.safetensors"
    write(path, content)
    rewrite(path, format=found)
    assert f"a generator file of format {named}, this version reads format 1" in refused(path)


def test_an_experiment_of_another_format_is_refused_by_name(content, tmp_path):
    path = tmp_path / "other.safetensors"
    write(path, content)
    rewrite(path, experiment=dumps(content.experiment).replace('"format": 1', '"format": 7'))
    assert "an experiment of format 7, this version reads format 1" in refused(path)


def test_files_of_other_kinds_are_refused(content, tmp_path):
    path = tmp_path / "other.safetensors"
    assert "no generator at" in refused(path)
    path.write_bytes(b"hello")
    assert "not a whole safetensors file" in refused(path)
    write(path, content)
    path.write_bytes(path.read_bytes()[:-100])
    assert "not a whole safetensors file" in refused(path)
    save_file({"a": torch.zeros(1)}, path)
    assert "without genscene's header; official checkpoints: genscene convert" in refused(path)
    write(path, content)
    rewrite(path, experiment="[]")
    assert "holds no experiment" in refused(path)
    (tmp_path / "folder").mkdir()
    assert "no generator at" in refused(tmp_path / "folder")


def test_the_folder_of_a_run_is_its_generator(content, tmp_path):
    write(tmp_path / "run" / "generator.safetensors", content)
    assert read(tmp_path / "run").experiment == content.experiment


def test_reading_builds_the_generator_only(content, tmp_path, monkeypatch):
    write(tmp_path / "g.safetensors", content)
    monkeypatch.setattr(pigan_system, "Discriminator", lambda *_: pytest.fail("built a discriminator"))
    monkeypatch.setattr(pigan_system.PiGANConfig, "build", lambda _: pytest.fail("built a system"))
    assert load(tmp_path / "g.safetensors").latent_dim == content.generator.latent_dim


def edit(name, change):
    """A change of one tensor in a file."""

    def apply(tensors):
        tensors[name] = change(tensors[name])

    return apply


COLOR = "generator.field.color.weight"
DAMAGE = {
    "shape": (edit(COLOR, lambda t: t.T.contiguous()), "field.color.weight has shape (8, 3), wanted (3, 8)"),
    "nan": (edit(COLOR, lambda t: t * math.nan), "field.color.weight holds numbers that are not finite"),
    "missing": (lambda t: t.pop(COLOR), "field.color.weight is missing"),
    "more": (lambda t: t.update({"generator.a": torch.zeros(1)}), "a is none of its tensors"),
}


@pytest.mark.parametrize(("change", "expected"), DAMAGE.values(), ids=DAMAGE)
def test_weights_that_do_not_fit_are_named(content, tmp_path, change, expected):
    path = tmp_path / "damaged.safetensors"
    write(path, content)
    rewrite(path, change)
    line = refused(path)
    assert "the weights do not fit the experiment in the header" in line
    assert line.endswith(expected)


CAMERA_DAMAGE = {
    "shape": (edit("cameras.pose", lambda t: t[:, :3].contiguous()), "cameras.pose has shape (3, 3, 4)"),
    "nan": (
        edit("cameras.intrinsics", lambda t: t / 0),
        "cameras.intrinsics holds numbers that are not finite",
    ),
    "missing": (lambda t: t.pop("cameras.size"), "cameras.size is missing"),
    "no poses": (lambda t: t.pop("cameras.pose"), "cameras.pose is missing"),
    "transform": (edit("to_files", lambda t: t[:3].contiguous()), "to_files has shape (3, 4), wanted (4, 4)"),
    "transform nan": (edit("to_files", lambda t: t * math.nan), "to_files holds numbers that are not finite"),
    "more": (lambda t: t.update({"other": torch.zeros(1)}), "other is none of its tensors"),
}


@pytest.mark.parametrize(("change", "expected"), CAMERA_DAMAGE.values(), ids=CAMERA_DAMAGE)
def test_cameras_that_cannot_be_used_are_named(scene, tmp_path, change, expected):
    path = tmp_path / "damaged.safetensors"
    write(path, scene)
    rewrite(path, change)
    line = refused(path)
    assert "the cameras in the file cannot be used" in line
    assert expected in line


def test_a_mismatch_is_the_first_difference():
    wanted = {"a": torch.zeros(2), "b": torch.zeros(3)}
    assert mismatch({"a": torch.ones(2), "b": torch.ones(3)}, wanted) == ""
    assert mismatch({"a": torch.ones(2)}, wanted) == "b is missing"
    assert mismatch(wanted | {"c": torch.ones(2)}, wanted) == "c is none of its tensors"
    assert mismatch(wanted | {"b": torch.ones(2)}, wanted) == "b has shape (2,), wanted (3,)"
    assert (
        mismatch(wanted | {"a": torch.tensor([1.0, math.inf])}, wanted)
        == "a holds numbers that are not finite"
    )


def test_the_same_content_is_written_as_the_same_bytes(content, scene, tmp_path):
    for each in (content, scene):
        for name in "ab":
            write(tmp_path / name, each)
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
        assert int.from_bytes((tmp_path / "a").read_bytes()[:8], "little") % 8 == 0


def test_an_unfinished_write_leaves_the_old_file(content, tmp_path, monkeypatch):
    path = tmp_path / "g.safetensors"
    write(path, content)
    before = path.read_bytes()

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(generator_file, "with_header", fail)
    with pytest.raises(OSError, match="No space left"):
        write(path, replace(content, licence="CC0"))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["g.safetensors"]


def test_the_public_load_is_that_of_generator_files(content, tmp_path):
    write(tmp_path / "g.safetensors", content)
    found = genscene.load(tmp_path / "g.safetensors")
    assert_close(found.mapping.w_avg, content.generator.mapping.w_avg)
