"""Generator files whose header, shapes or cameras are absurd: one line, at once, nothing is allocated."""

import json
import resource
import time

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from conftest import tiny
from genscene import devices
from genscene.cli import main
from genscene.errors import BadInput
from genscene.experiment.serialise import build_seeded
from genscene.geometry.priors import CameraPrior
from genscene.io.generator_file import GeneratorFile, read, write
from genscene.randomness import RandomStreams

CAMERAS = "nerf-grid-demo"


@pytest.fixture
def path(tmp_path, request):
    """A file of a small generator, of a scene with the cameras of three photographs."""
    name = request.param
    experiment = tiny(name)
    cameras = CameraPrior("uniform", radius=4.0, up="z").sample(RandomStreams(range(3)), (6, 10))
    with_cameras = (cameras, torch.eye(4)) if name == CAMERAS else ()
    path = tmp_path / "g.safetensors"
    write(path, GeneratorFile(build_seeded(experiment).generator, experiment, *with_cameras))
    return path


def rewrite(path, fields=(), **tensors):
    """The same file with other values in its experiment, {"system.generator.latent_dim": 3}, or tensors."""
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    document = json.loads(header["experiment"])
    for name, value in dict(fields).items():
        part, (*parents, last) = document, name.split(".")
        for parent in parents:
            part = part[parent]
        assert last in part
        part[last] = value
    found = load_file(path) | {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    save_file(found, path, metadata=header | {"experiment": json.dumps(document)})


def refused(path):
    """The line that refuses a file, within a second and without memory of its own."""
    began, peak = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadInput) as error:
        read(path)
    assert time.monotonic() - began < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 256 * 1024
    assert str(path) in str(error.value)
    return str(error.value)


FIELDS = [
    ("pigan-demo", {"latent_dim": 65_536}, "mapping.network.0.weight has shape (8, 4), wanted (8, 65536)"),
    (
        "pigan-demo",
        {"field.width": 65_536, "field.depth": 1000},
        "the weights do not fit the experiment in the header",
    ),
    ("pigan-demo", {"field.grid_channels": 4096, "field.grid_size": 1024}, "field.grid is missing"),
    (
        "pigan-demo",
        {"latent_dim": 10**12},
        "system.generator.latent_dim: 1000000000000, wanted a number from 1",
    ),
    (
        "nerf-blender",
        {"field.width": 65_536, "field.depth": 1000},
        "the weights do not fit the experiment in the header",
    ),
    ("nerf-blender", {"field.octaves": 10**6}, "field.octaves: 1000000, wanted a number from 0 to 32"),
    (CAMERAS, {"voxels.levels": [4, 1024], "voxels.features": 4096}, "has shape (64, 12), wanted (64, 4096)"),
    (CAMERAS, {"voxels.box": [1e-6, 1e9, 1e9]}, "has shape"),
]


@pytest.mark.parametrize(("path", "fields", "expected"), FIELDS, indirect=["path"])
def test_a_header_of_another_or_an_impossible_generator(path, fields, expected):
    rewrite(path, {f"system.generator.{name}": value for name, value in fields.items()})
    assert expected in refused(path)


TENSORS = [
    (
        {"cameras__size": torch.tensor([-6, 10])},
        "photographs of -6 x 10 pixels: wanted 1 or more, of 1 to 65536",
    ),
    ({"cameras__size": torch.tensor([6, 10**12])}, "photographs of 6 x 1000000000000 pixels"),
    ({"cameras__size": torch.tensor([6.5, 10])}, "cameras.size holds torch.float32, wanted torch.int64"),
    ({"cameras__size": torch.tensor(6)}, "cameras.size has shape ()"),
    ({"cameras__pose": torch.tensor(6.0)}, "the cameras in the file cannot be used"),
    ({"cameras__pose": torch.zeros(3, 4, 4)}, "camera 0: its pose is 0 0 0"),
    ({"cameras__pose": torch.zeros(3, 4, 4, dtype=torch.int8)}, "cameras.pose holds torch.int8"),
    ({"cameras__intrinsics": -torch.eye(3).repeat(3, 1, 1)}, "camera 0: its intrinsics are -1"),
    ({"cameras__pose": torch.zeros(0, 4, 4), "cameras__intrinsics": torch.zeros(0, 3, 3)}, "cameras are 0"),
    ({"to_files": torch.zeros(4, 4)}, "to_files is no transform"),
    ({"generator__voxels__level": torch.tensor(7)}, "voxels.level is 7, wanted 0 to 1: there are 2 levels"),
    ({"generator__voxels__level": torch.tensor(-1)}, "voxels.level is -1, wanted 0 to 1"),
    ({"generator__voxels__level": torch.tensor(1.5)}, "voxels.level holds torch.float32, wanted torch.int64"),
]


@pytest.mark.parametrize("path", [CAMERAS], indirect=True)
@pytest.mark.parametrize(("tensors", "expected"), TENSORS)
def test_tensors_that_no_run_writes(path, tensors, expected):
    rewrite(path, **tensors)
    assert expected in refused(path)


@pytest.mark.parametrize("path", [CAMERAS], indirect=True)
def test_weights_of_another_precision_are_read_in_that_of_the_generator(path):
    name = "generator.voxels.density.1"
    halves = load_file(path)[name].half()
    rewrite(path, **{name.replace(".", "__"): halves})
    density = read(path).generator.voxels.density[1]
    assert density.dtype == torch.float32
    assert torch.equal(density, halves.float())


@pytest.mark.parametrize("path", ["pigan-demo"], indirect=True)
def test_more_weights_than_memory_are_refused_with_both_sizes(path, monkeypatch, capsys):
    monkeypatch.setattr(devices, "available_memory", lambda: 300)
    assert main(["render", str(path), "--out", str(path.with_suffix(".png"))]) == 2
    line = capsys.readouterr().err
    assert "g.safetensors: the generator takes about" in line
    assert "300 bytes are available" in line


def test_available_memory_is_the_least_of_machine_group_and_process(monkeypatch, tmp_path):
    least = devices.available_memory()
    assert 2**20 < least < 2**50
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("300000\n")
    (tmp_path / "memory.stat").write_text("anon 5\ninactive_file 100000\n")
    monkeypatch.setattr(devices, "CGROUPS", tmp_path)
    assert devices.available_memory() == 800_000
    (tmp_path / "memory.max").write_text("max\n")
    assert devices.available_memory() > 2**20
    (tmp_path / "memory").mkdir()
    for name, value in (("limit", 5000), ("usage", 1000)):
        (tmp_path / "memory" / f"memory.{name}_in_bytes").write_text(f"{value}\n")
    (tmp_path / "memory" / "memory.stat").write_text("total_inactive_file 10\n")
    assert devices.available_memory() == 4010


def test_tensors_without_memory_are_built_at_once():
    with devices.without_memory():
        layer = torch.nn.Linear(10**6, 10**6)
        torch.nn.init.kaiming_normal_(layer.weight)
    assert layer.weight.is_meta
    assert devices.tensor_bytes(layer.parameters()) == 4 * (10**12 + 10**6)
