"""Generators conditioned on cameras: images of their own cameras (FID), or of the mean one (FID3D)."""

import json
from dataclasses import replace

import torch

from conftest import tiny
from genscene.cli import main
from genscene.data.images import load_images
from genscene.evaluation.image_sources import render_samples
from genscene.evaluation.protocol import PROTOCOLS
from genscene.evaluation.session import EvaluatedModel, EvaluationSession
from genscene.experiment.serialise import build_seeded
from genscene.io import generator_file
from genscene.io.generator_file import GeneratorFile
from genscene.randomness import RandomStreams


def conditioned():
    """A small experiment whose styles know the camera."""
    experiment = tiny("cgsgan-demo")
    generator = replace(experiment.system.generator, camera_conditioning=True)
    return replace(experiment, system=replace(experiment.system, generator=generator))


def test_the_score_says_which_camera_styles_know(tmp_path, capsys):
    experiment, path = conditioned(), tmp_path / "head.safetensors"
    generator_file.write(path, GeneratorFile(build_seeded(experiment).generator.eval(), experiment))
    words = ["evaluate", str(path), "--metrics", "frechet", "--count", "16", "--reals", "16"]
    found = []
    for option in ([], ["--own-camera"]):
        assert main([*words, *option, "--out", str(tmp_path / "numbers.json")]) == 0, capsys.readouterr().err
        numbers = json.loads((tmp_path / "numbers.json").read_text())
        found.append(next(iter(numbers["generators"].values()))["frechet"])
    assert found[0]["title"] == "Frechet distance"
    assert found[1]["title"] == "Frechet distance, conditioned on each camera"
    assert found[0]["value"] != found[1]["value"]


def test_only_generators_conditioned_on_cameras_have_one_of_their_own(tmp_path, capsys):
    experiment, path = tiny("cgsgan-demo"), tmp_path / "head.safetensors"
    generator = build_seeded(experiment).generator.eval()
    generator_file.write(path, GeneratorFile(generator, experiment))
    assert main(["evaluate", str(path), "--count", "8", "--reals", "8", "--own-camera"]) == 2
    assert "--own-camera: wanted a generator that is conditioned on cameras" in capsys.readouterr().err
    alike = [render_samples(generator, range(4), (16, 16), own_camera=own) for own in (False, True)]
    assert torch.equal(*alike)


def test_cameras_of_the_real_images_are_those_of_the_index(tmp_path, capsys):
    data, index = tmp_path / "set", tmp_path / "index.json"
    assert main(["data", "synthesize", "cars", "--out", str(data), "--count", "6", "--size", "16"]) == 0
    index.write_text(json.dumps([4, 4, 4]))
    experiment = tiny("cgsgan-demo")
    images = replace(experiment.images, index=str(index))
    experiment = replace(experiment, data=str(data), images=images)
    session = EvaluationSession(PROTOCOLS["tracking"], (16, 16), images, {}, str(data), data_cameras=True)
    model = EvaluatedModel("cars", tmp_path, build_seeded(experiment).generator.eval(), experiment)
    found = session.generated(model)
    every = load_images(str(data), replace(images, index=""), (16, 16), cameras=True).cameras
    assert torch.equal(found.cameras.label(), every.label()[[4, 4, 4]])
    wanted = model.generator.render(model.generator.scene(latents(model.generator, 3)), every[[4, 4, 4]])
    assert torch.equal(
        render_samples(model.generator, range(3), (16, 16), cameras=found.cameras), wanted.image
    )
    assert "cameras" in found.provenance


def test_pictures_on_the_plane_have_no_cameras_of_real_images(tmp_path, capsys):
    experiment, path = tiny("cips-demo"), tmp_path / "plane.safetensors"
    generator_file.write(path, GeneratorFile(build_seeded(experiment).generator.eval(), experiment))
    words = [
        "evaluate",
        str(path),
        "--count",
        "8",
        "--reals",
        "8",
        "--cameras",
        "data",
        "--metrics",
        "frechet",
    ]
    assert main(words) == 2
    assert "has no cameras" in capsys.readouterr().err


def latents(generator, count):
    """Latent codes of the first seeds."""
    return generator.latents(RandomStreams(range(count), "cpu"))
