"""Experiments of files: every field is checked by the type and range that the command line has for it."""

import json

import pytest

from conftest import tiny
from genscene.errors import BadInput
from genscene.experiment.serialise import dumps
from genscene.experiment.validation import MOST_BYTES, loads
from genscene.systems import KINDS

FAMILIES = ("pigan-demo", "nerf-blender", "nerf-grid-demo")
ABSURD = (0, -1, 10**12, 10**30, -0.5, 1e308, 1e400, float("nan"), "3", "x", "", None, [], {}, True, [[1]])


def leaves(value, path=()):
    """The paths of all values in JSON, those of containers included."""
    if path:
        yield path
    for key, part in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(part, dict | list):
            yield from leaves(part, (*path, key))
        else:
            yield (*path, key)


def changed(text, path, value):
    """The JSON with another value at a path."""
    document = json.loads(text)
    part = document
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return json.dumps(document)


def refusal(text):
    """The line that refuses an experiment, or nothing."""
    try:
        loads(text, KINDS, "run/experiment.json")
    except BadInput as error:
        line = str(error)
    else:
        return ""
    assert "\n" not in line
    assert len(line) < 400
    return line


@pytest.mark.parametrize("name", FAMILIES)
def test_absurd_values_are_taken_by_no_field_or_named_with_it(name):
    text = dumps(tiny(name))
    refused = 0
    for path in leaves(json.loads(text)):
        for value in ABSURD:
            line = refusal(changed(text, path, value))
            if line and path != ("format",):
                refused += 1
                assert line.startswith("run/experiment.json: "), line
                named = [str(key) for key in path if not isinstance(key, int)]
                assert named[0] in line, (path, line)
                assert "wanted" in line
    assert refused > 500


GENERATOR = ("system", "generator")
LINES = [
    ((*GENERATOR, "latent_dim"), 10**12, "latent_dim: 1000000000000, wanted a number from 1 to 65536"),
    ((*GENERATOR, "field", "width"), "64", 'field.width: "64", wanted a whole number'),
    ((*GENERATOR, "field", "width"), True, "field.width: true, wanted a whole number"),
    ((*GENERATOR, "field", "width"), 64.0, "field.width: 64.0, wanted a whole number"),
    ((*GENERATOR, "field", "depth"), 0, "field.depth: 0, wanted a number from 1 to 1024"),
    ((*GENERATOR, "march", "near"), float("nan"), "march.near: NaN, wanted a finite number"),
    ((*GENERATOR, "march", "near"), 9.5, "march.far: 3.45, wanted more than near (9.5)"),
    ((*GENERATOR, "prior", "radius"), 0, "prior.radius: 0.0, wanted a number from 1e-06 to 1e+09"),
    ((*GENERATOR, "prior", "fov"), -5, "prior.fov: -5.0, wanted a number from 0.0001"),
    ((*GENERATOR, "prior", "distribution"), 3, "prior.distribution: 3, wanted one of gaussian"),
    ((*GENERATOR, "prior", "file"), "a.json", "prior.file 'a.json': wanted with the distribution"),
    ((*GENERATOR, "more"), 1, "generator.more: 1, wanted no such field, but latent"),
    (("system", "discriminator", "channels"), [], "channels: [], wanted 2 to 14 values"),
    (("system", "kind"), "Other", 'system.kind: "Other", wanted one of PiGANConfig'),
    (("system",), None, "system: null, wanted the fields of a system"),
    (("stages",), [], "stages: [], wanted 1 to 999 values"),
    (("steps",), 10**4000, "steps: 1000"),
    (("optim", "generator", "betas"), [0.0, 1.0], "betas: 1.0, wanted a number from 0 to 0.999999"),
]


@pytest.mark.parametrize(("path", "value", "expected"), LINES, ids=lambda x: str(x)[-60:])
def test_the_line_names_file_field_value_and_what_is_wanted(path, value, expected):
    line = refusal(changed(dumps(tiny("pigan-demo")).replace('"depth": 2', '"depth": 4'), path, value))
    assert line.startswith("run/experiment.json: ")
    assert expected in line


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "3",
        '{"format": 1}',
        '{"format": true}',
        "[" * 10**5,
        "9" * 5000,
        " " * (MOST_BYTES + 1),
    ],
)
def test_what_is_no_experiment_is_refused(text):
    assert refusal(text).startswith("run/experiment.json")


def test_whole_numbers_are_floats_too():
    text = changed(dumps(tiny("pigan-demo")), ("system", "generator", "march", "far"), 4)
    found = loads(text, KINDS, "here").system.generator.march.far
    assert (found, type(found)) == (4.0, float)
