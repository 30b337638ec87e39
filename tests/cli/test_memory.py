"""What takes more memory than there is is refused before it is begun: how much, and what to lower."""

from dataclasses import replace

import pytest

from conftest import tiny
from genscene import devices
from genscene.cli import main
from genscene.experiment.memory import training_bytes
from genscene.experiment.serialise import build_seeded, with_overrides
from genscene.geometry.priors import CameraPrior
from genscene.io.generator_file import GeneratorFile, write
from genscene.randomness import RandomStreams
from genscene.systems import PRESETS


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files of a small generator of many scenes, and of a scene with the cameras of three photographs."""
    import torch

    folder = tmp_path_factory.mktemp("files")
    cameras = CameraPrior("uniform", radius=4.0, up="z").sample(RandomStreams(range(3)), (6, 10))
    for name, with_cameras in (("pigan-demo", ()), ("nerf-grid-demo", (cameras, torch.eye(4)))):
        experiment = tiny(name)
        generator = build_seeded(experiment).generator
        write(folder / f"{name}.safetensors", GeneratorFile(generator, experiment, *with_cameras))
    return folder


MIB = 2**20
CASES = {
    "sheet": ("render pigan-demo --size 4096 --out x.png", "40 pictures of 4096x4096 pixels", "lower --size"),
    "seeds": ("render pigan-demo --size 16 --seeds 0-99999 --out x.png", "500000 pictures", "--seeds"),
    "frame": ("render pigan-demo --size 4096 --out x.mp4", "8 pictures of 4096x4096", "--size, --frames"),
    "film": ("interpolate pigan-demo --seeds 0,1 --size 16384 --out x.mp4", "1 pictures of 16384", "--size"),
    "styles": (
        "interpolate pigan-demo --seeds 0,1 --size 8 --frames 100000 --out x.mp4",
        "takes",
        "--frames",
    ),
    "spectra": ("analyse pigan-demo --size 4096 --out x", "8 pictures of 4096x4096", "lower --size"),
    "mesh": ("export mesh pigan-demo --resolution 1000 --out x.glb", "--resolution 1000", "--resolution"),
    "points": ("export pointcloud nerf-grid-demo --count 9000000 --out x.ply", "9000000 points", "--count"),
    "batch": ("evaluate pigan-demo --batch 100000", "100000 images of 16x16", "--batch or --size"),
}


@pytest.mark.parametrize(("words", "what", "lower"), CASES.values(), ids=CASES)
def test_more_than_there_is_is_refused_in_one_line(files, words, what, lower, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(devices, "available_memory", lambda: 5 * MIB)
    monkeypatch.chdir(tmp_path)
    given = [str(files / f"{w}.safetensors") if w in PRESETS else w for w in words.split()]
    assert main(given) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert what in line
    assert "of memory, 5 MiB are available: lower" in line
    assert lower in line.split("available:")[1]
    assert not list(tmp_path.iterdir())


def test_training_is_refused_before_anything_is_built(tmp_path, capsys):
    words = [
        "train",
        "pigan-demo",
        "--images.limit",
        "8",
        "--size",
        "16",
        "--out",
        str(tmp_path / "run"),
        "--device",
        "cpu",
    ]
    huge = [f"--system.generator.{name}" for name in ("field.width", "mapping-width", "latent-dim")]
    assert main([*words, *(word for name in huge for word in (name, "65536"))]) == 2
    line = capsys.readouterr().err
    assert "training takes about" in line
    assert "lower --batch or --size" in line
    assert main([*words, "--batch", "100000000"]) == 2
    assert "training takes about" in capsys.readouterr().err
    assert not any((tmp_path / "run").glob("*.json"))


def test_a_step_is_estimated_as_measured():
    """benchmarks/memory.py: the generator's turn of pigan-celeba at 64 x 64, of two images, took 4280 MiB."""
    two = with_overrides(PRESETS["pigan-celeba"], batch=4, size=64)  # in two parts
    assert 3500 < training_bytes(two) / MIB < 5000
    assert training_bytes(two, world=2) < 0.6 * training_bytes(two)


@pytest.mark.parametrize(("batch", "measured"), [(4, 6971), (8, 11826)])
def test_a_step_of_many_gaussians_is_estimated_as_measured(batch, measured):
    """benchmarks/memory.py: the peaks of a whole step of both players with the penalty, in MiB."""
    experiment = with_overrides(PRESETS["cgsgan-ffhqc-256"], batch=4 * batch)  # in four parts
    assert training_bytes(experiment) / MIB == pytest.approx(measured, rel=0.1)
    assert training_bytes(experiment, world=4) == pytest.approx(
        training_bytes(with_overrides(PRESETS["cgsgan-ffhqc-256"], batch=batch)), rel=0.01
    )


@pytest.mark.parametrize(
    ("slots", "degree", "side", "measured"),
    [(200_000, 3, 400, 530), (200_000, 1, 200, 259), (50_000, 2, 800, 422), (50_000, 2, 200, 89)],
)
def test_a_step_of_fitting_gaussians_is_estimated_as_measured(slots, degree, side, measured):
    preset = PRESETS["splat"]
    generator = replace(preset.system.generator, capacity=slots, degree=degree)
    experiment = replace(preset, system=replace(preset.system, generator=generator))
    assert training_bytes(experiment, size=(side, side)) / MIB == pytest.approx(measured, rel=0.2)


@pytest.mark.parametrize(
    "name", ["pigan-demo", "pigan-pictures", "nerf-blender", "nerf-grid", "nerf-grid-photos", "splat"]
)
def test_presets_for_laptops_fit_one(name):
    assert training_bytes(PRESETS[name]) < 2**31
