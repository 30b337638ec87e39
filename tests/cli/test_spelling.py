"""Misspelt options and values are told before torch is imported; none that a verb takes is refused."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import genscene
from genscene.cli import main
from genscene.cli.shared.options import check_spelling, check_values, classes, fields_of, preset_names
from genscene.errors import BadInput
from genscene.experiment.serialise import dumps
from genscene.systems import PRESETS

VERBS = (
    "render",
    "view",
    "interpolate",
    "analyse",
    "evaluate",
    "compare",
    "convert",
    "publish",
    "doctor",
    "presets",
)
SUBVERBS = (
    *(("export", name) for name in ("mesh", "pointcloud", "cameras", "prior")),
    *(("data", name) for name in ("inspect", "synthesize", "pack", "poses")),
)


def options_of(words, capsys):
    """Every option that the help of a verb names."""
    assert main([*words, "--help-all" if words[0] == "train" else "--help"]) == 0
    found = set(re.findall(r"--[a-z][\w.-]*", capsys.readouterr()[0]))
    return sorted(found)


@pytest.mark.parametrize("words", [*((verb,) for verb in VERBS), *SUBVERBS], ids=" ".join)
def test_no_option_of_a_verb_is_refused(words, capsys):
    for option in options_of(words, capsys):
        check_spelling(words[0], [*words[1:], option])
        check_spelling(words[0], [*words[1:], f"{option}=3"])


@pytest.mark.parametrize("preset", PRESETS)
def test_no_option_of_a_preset_is_refused(preset, capsys):
    options = options_of(("train", preset), capsys)
    assert len(options) > 50
    check_spelling("train", [preset, *options])


def test_the_presets_are_those_that_can_be_trained():
    assert preset_names() == set(PRESETS)


def test_fields_of_bases_and_of_derived_classes_are_known():
    assert {"loss", "noise_steps"} <= set(fields_of(["SystemConfig"]))
    assert {"out", "seeds", "size", "memory"} <= set(fields_of(["Render"]))
    assert "recompute" in fields_of(["PiGANConfig"])
    assert len(classes()) > 100


MISSPELT = {
    "render x --sized 3": "no option --sized; did you mean --size? (see genscene render --help)",
    "render x --out a.png --veiw-lock": "did you mean --view-lock?",
    "interpolate x --seed 3": "did you mean --seeds?",
    "analyse x --agianst y": "did you mean --against?",
    "evaluate x --metrcs fid": "did you mean --metrics?",
    "compare x y --protokol=a": "no option --protokol; did you mean --protocol?",
    "export mesh x --resolutoin 3": "did you mean --resolution? (see genscene export mesh --help)",
    "data synthesize cars --cuont 3": "did you mean --count?",
    "train pigan-demo --stepps 3": "did you mean --steps? (see genscene train pigan-demo --help)",
    "train pigan-demo --optim.generator.rl 3": "did you mean --optim.generator.lr?",
    "train pigan-demo --system.generator.feild.width 3": "did you mean --system.generator.field.width?",
    "train pigan-demo --system.march.samples 3": "did you mean --system.generator.march.samples?",
    "train pigan-demo --field.width=3": "did you mean --system.generator.field.width?",
    "train pigan-demo --stages.0.bach 3": "did you mean --stages.0.batch?",
    "train pigan-demo --lr 3": "did you mean --stages.0.lr or --optim.PLAYER.lr?",
    "train pigan-demo --nothing-like-it 3": "no option --nothing-like-it (see",
    "train pigan-dmo": "no preset 'pigan-dmo'; did you mean 'pigan-demo'?",
}


@pytest.mark.parametrize(("line", "expected"), MISSPELT.items(), ids=MISSPELT)
def test_the_nearest_is_named(line, expected):
    verb, *words = line.split()
    with pytest.raises(BadInput, match=re.escape(expected)):
        check_spelling(verb, words)


IMPOSSIBLE = {
    "render x --frames abc": "--frames abc: wanted a whole number",
    "render x --show=foo": "--show foo: wanted one of 'image', 'depth'",
    "evaluate x --psi 2": "--psi 2: wanted a number from 0 to 1, or None",
    "evaluate x --count 1": "--count 1: wanted 2 or more, or None",
    "data poses x --matching all": "--matching all: wanted one of 'exhaustive', 'sequential'",
    "train pigan-demo --steps 0": "--steps 0: wanted 1 or more",
    "train pigan-demo --batch 3.5": "--batch 3.5: wanted a whole number, or None",
    "train pigan-demo --precision fp8": "--precision fp8: wanted one of 'fp32', 'tf32', 'medium', 'bf16'",
    "train pigan-demo --system.generator.march.samples 0": "march.samples 0: wanted a number from 1 to",
    "train pigan-demo --optim.generator.lr -1": "--optim.generator.lr -1: wanted 0 or more",
    "train pigan-demo --stages.0.start half": "--stages.0.start half: wanted a whole number",
}


@pytest.mark.parametrize(("line", "expected"), IMPOSSIBLE.items(), ids=IMPOSSIBLE)
def test_values_that_cannot_be_are_told_by_option(line, expected):
    verb, *words = line.split()
    with pytest.raises(BadInput, match=re.escape(expected)):
        check_values(verb, words)


POSSIBLE = [
    "render x --frames 12 --show normals --fps 1e3 --device auto --size 3x4 --seeds x",
    "evaluate x --count None --psi .5 --split test --no-cache --batch 1_000",
    "export mesh x --level 1e-3 --seed -1 --resolution +8",
    "train nerf-grid-demo --bounds 1 2 3 --stages.0.size 3 x --images.flip --resume --data -5",
]


@pytest.mark.parametrize("line", POSSIBLE)
def test_values_that_may_be_are_left_to_the_parser(line):
    verb, *words = line.split()
    check_values(verb, words)


@pytest.mark.parametrize("preset", PRESETS)
def test_no_value_of_a_preset_is_refused(preset):
    def options(value, path):
        if isinstance(value, dict):
            return [each for key, part in value.items() for each in options(part, [*path, key])]
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return [each for i, part in enumerate(value) for each in options(part, [*path, str(i)])]
        return [] if isinstance(value, list | bool) else ["--" + ".".join(path).replace("_", "-"), str(value)]

    document = json.loads(dumps(PRESETS[preset]))
    document["system"].pop("kind")
    document.pop("format")
    words = options(document, [])
    assert len(words) > 80
    check_values("train", [preset, *words])


@pytest.mark.parametrize(
    "line",
    ["render x --sized 3", "render x --frames x", "train pigan-demo --stepps 3", "train pigan-dmo"],
)
def test_torch_is_not_imported_for_it(line):
    code = "import sys; from genscene.cli import main; code = main(sys.argv[1:]);"
    code += "sys.exit(99 if 'torch' in sys.modules else code)"
    environment = os.environ | {"PYTHONPATH": str(Path(genscene.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code, *line.split()], env=environment, capture_output=True)
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
