"""Generator files whose header holds absurd values: refused in one line that names the field, or rendered."""

import json
import random
import time

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from conftest import tiny
from genscene.cli import main
from genscene.errors import BadInput
from genscene.experiment.serialise import build_seeded
from genscene.io.generator_file import GeneratorFile, read, write
from genscene.randomness import RandomStreams

FAMILIES = ("pigan-demo", "nerf-llff", "nerf-grid-demo", "nerf-grid-photos")
NUMBERS = (
    0,
    1,
    -1,
    2,
    64,
    1000,
    10**6,
    10**12,
    10**30,
    0.5,
    -0.5,
    1e-300,
    1e6,
    1e9,
    1e308,
    1e400,
    float("nan"),
)
OTHERS = ("3", "x", "", None, [], {}, True, False, [[1]], "black", "last", "relu", "softplus", "midpoints")
EACH = 6  # values tried at each field
SECONDS = 5


class Header:
    """A generator file, rewritten with one other value in its experiment."""

    def __init__(self, name, path):
        experiment = tiny(name)
        generator = build_seeded(experiment).generator
        with torch.no_grad():
            for weights in generator.parameters():
                weights.normal_()
        write(path, GeneratorFile(generator, experiment))
        with safe_open(path, framework="pt") as file:
            self.metadata = file.metadata()
        self.path, self.tensors = path, load_file(path)

    def fields(self):
        """The paths of all fields of the generator's configuration, and of their elements."""
        return [("system", "generator", *path) for path in paths(self.experiment()["system"]["generator"])]

    def experiment(self):
        return json.loads(self.metadata["experiment"])

    def rewrite(self, path, value):
        document = self.experiment()
        part = document
        for key in path[:-1]:
            part = part[key]
        part[path[-1]] = value
        save_file(self.tensors, self.path, metadata=self.metadata | {"experiment": json.dumps(document)})


def paths(value):
    """The paths of everything within JSON."""
    for key, part in value.items() if isinstance(value, dict) else enumerate(value):
        yield (key,)
        if isinstance(part, dict | list):
            yield from ((key, *path) for path in paths(part))


def render(path):
    """A picture of four by four pixels of the file's generator."""
    generator = read(path).generator
    with torch.no_grad():
        scene = generator.scene(generator.latents(RandomStreams([0])))
        return generator.render(scene, generator.prior.sweep(1, (4, 4))).image


@pytest.mark.parametrize("name", FAMILIES)
def test_absurd_headers_are_refused_or_rendered(name, tmp_path):
    header, chance, refused = Header(name, tmp_path / "g.safetensors"), random.Random(name), 0
    for path in header.fields():
        for value in chance.sample(NUMBERS + OTHERS, EACH):
            header.rewrite(path, value)
            began = time.monotonic()
            try:
                assert render(header.path).isfinite().all(), (path, value)
            except BadInput as error:
                refused += 1
                line = str(error)
                assert line.startswith(str(header.path)), (path, value, line)
                assert "wanted" in line or "none of its tensors" in line or "is missing" in line, line
                assert "\n" not in line, (path, value, line)
            assert time.monotonic() - began < SECONDS, (path, value)
    assert refused > 100


FOUND = [
    ("nerf-blender", ("march", "pdf_floor"), 0, "march.pdf_floor: 0.0, wanted a number from 1e-12 to 1"),
    ("nerf-blender", ("fine_width",), 1, "fine_width: 1, wanted 2 or more, or 0"),
    ("nerf-grid-demo", ("march",), {}, "march: {}, wanted the fields of March"),
    ("nerf-grid-demo", ("march", "near"), 64, "every picture is one color: nothing of the scene is seen"),
    ("nerf-grid-demo", ("prior", "radius"), 1e9, "every picture is one color"),
    ("nerf-grid-demo", ("march", "samples"), 1000, ""),
    ("nerf-grid-photos", ("march", "far"), 1e9, "march.far 1000000000.0 is over 1000000 steps of"),
    ("pigan-carla", ("prior", "pitch", 0), -1, "prior.pitch -1.0: wanted 0 to pi"),
    ("pigan-demo", ("march", "gain"), 1e-6, "every picture is one color"),
    ("pigan-demo", ("latent_dim",), 10**12, "latent_dim: 1000000000000, wanted a number from 1 to 65536"),
]


@pytest.mark.parametrize(("name", "path", "value", "expected"), FOUND)
def test_the_command_line_makes_a_picture_or_says_one_line(name, path, value, expected, tmp_path, capsys):
    header, out = Header(name, tmp_path / "g.safetensors"), tmp_path / "picture.png"
    if name == "nerf-grid-photos":  # steps that do not grow
        generator = header.experiment()["system"]["generator"]
        path, value = (), generator | {"cone": 0, "prior": generator["prior"] | {"radius": 1e9}}
        value["march"]["far"] = 1e9
    header.rewrite(("system", "generator", *path), value)
    words = ["render", str(header.path), "--seeds", "0", "--frames", "2", "--size", "8", "--out", str(out)]
    code = main(words)
    line = capsys.readouterr().err
    assert code == (2 if expected else 0), line
    assert expected in line
    assert line.count("\n") == (1 if expected else 0)
    assert out.exists() == (not expected)
    assert len(list(tmp_path.iterdir())) == 1 + out.exists()
    if out.exists():
        with Image.open(out) as picture:
            assert np.asarray(picture).std() > 1
