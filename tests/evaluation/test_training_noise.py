"""Scores of generators with the noise of training: other images, under another name."""

import json
from dataclasses import replace

import pytest
import torch

from conftest import tiny
from genscene.cli import main
from genscene.contract import StepContext
from genscene.evaluation.image_sources import render_samples
from genscene.experiment.serialise import build_seeded
from genscene.io import generator_file
from genscene.io.generator_file import GeneratorFile
from genscene.randomness import RandomStreams
from genscene.systems import PRESETS


@pytest.fixture
def generator(tmp_path):
    """A small GIRAFFE in a file."""
    experiment = tiny("giraffe-cars")
    path = tmp_path / "g.safetensors"
    generator_file.write(path, GeneratorFile(build_seeded(experiment).generator, experiment))
    return path


def test_the_score_is_of_other_images_and_says_so(generator, capsys):
    found = {}
    for noise in ([], ["--training-noise"]):
        out = generator.with_name(f"{len(noise)}.json")
        words = ["--metrics", "frechet,kernel", "--count", "24", "--reals", "24", "--out", str(out)]
        assert main(["evaluate", str(generator), *words, *noise]) == 0
        found[len(noise)] = json.loads(out.read_text())
    assert "Frechet distance, with the noise of training" in " ".join(capsys.readouterr().out.split())
    plain, noisy = (next(iter(found[i]["generators"].values()))["frechet"] for i in (0, 1))
    assert plain["title"] == "Frechet distance"
    assert noisy["title"] == "Frechet distance, with the noise of training"
    assert noisy["settings"] == {"noise": "training"}
    assert plain["value"] != noisy["value"]
    assert [found[i]["protocol"]["noise"] for i in (0, 1)] == ["none", "of training"]
    assert found[1]["protocol"]["generator 1: noise"] == 1.0
    assert "generator 1: noise" not in found[0]["protocol"]


def test_images_with_noise_are_those_that_training_makes():
    experiment = tiny("giraffe-cars")
    system = experiment.system.build().eval()
    seeds = [3, 4]
    found = render_samples(system.generator, seeds, (16, 16), noise=experiment.system.density_noise_at(9))
    streams = RandomStreams(seeds)
    with torch.no_grad():
        scene = system.generator.scene(system.sample_latents(streams))
        view = system.generator.prior.sample(streams, (16, 16))
        wanted = system.generator.render(scene, view, system.render_options(StepContext(9), streams)).image
    assert torch.equal(found, wanted)
    assert not torch.equal(found, render_samples(system.generator, seeds, (16, 16)))


def test_noise_at_a_step_is_that_of_the_system():
    giraffe, graf, pigan = (PRESETS[n].system for n in ("giraffe-cars", "graf-carla-64", "pigan-celeba"))
    assert giraffe.density_noise_at(10**6) == 1.0
    for system in (graf, pigan):
        noisy = replace(system, noise_steps=100)
        assert [noisy.density_noise_at(step) for step in (0, 50, 100)] == [1.0, 0.5, 0.0]


def test_images_have_no_noise_of_training(tmp_path, capsys):
    main(["data", "synthesize", "cars", "--out", str(tmp_path / "cars"), "--count", "4", "--size", "16"])
    words = ["evaluate", str(tmp_path / "cars"), "--data", "synthetic:cars", "--training-noise"]
    assert main(words) == 2
    assert "--training-noise: wanted a generator" in capsys.readouterr().err
