"""A full disk under a verb is one line that names the file, and no partial file: real processes."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import genscene
from conftest import tiny
from genscene.cli.shared import evaluation_results
from genscene.experiment.serialise import build_seeded
from genscene.io.generator_file import GeneratorFile, write

CASES = {
    "mp4": "render MODEL --out OUT/a.mp4 --path orbit --size 32 --frames 4",
    "gif": "render MODEL --out OUT/a.gif --path orbit --size 32 --frames 4",
    "png": "render MODEL --out OUT/a.png --size 32",
    "json": "export cameras MODEL --out OUT/a.json --frames 40",
    "glb": "export mesh MODEL --out OUT/a.glb --resolution 16 --level 0.02",
    "set": "data synthesize cars --out OUT/a --count 2 --size 64",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small generator."""
    path = tmp_path_factory.mktemp("full") / "g.safetensors"
    experiment = tiny("pigan-demo")
    write(path, GeneratorFile(build_seeded(experiment).generator, experiment))
    return path


def limit():
    """No file can have more than 500 bytes, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))


@pytest.mark.parametrize("words", CASES.values(), ids=CASES)
def test_a_full_disk_is_one_line_and_leaves_nothing(model, tmp_path, words):
    out = tmp_path / "out"
    words = words.replace("MODEL", str(model)).replace("OUT", str(out)).split()
    variables = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(genscene.__file__).parents[1])}
    command = [sys.executable, "-m", "genscene", *words]
    given = {"env": os.environ | variables, "capture_output": True, "text": True, "timeout": 120}
    done = subprocess.run(command, preexec_fn=limit, **given)
    assert done.returncode == 2, done.stderr
    line = done.stderr.splitlines()[-1]
    assert line.startswith(f"genscene: cannot use {out / 'a'}"), done.stderr
    assert "File too large; wanted" in line
    assert "Traceback" not in done.stderr
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("large", ["render_page", "to_json"])
def test_page_and_numbers_are_written_both_or_none(tmp_path, monkeypatch, large):
    monkeypatch.setattr(evaluation_results, "print_report", lambda report: None)
    for name in ("render_page", "to_json"):
        monkeypatch.setattr(evaluation_results, name, lambda report, n=name: "x" * (10**6 * (n == large)))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError, match=r"e\.(html|json)"):
            evaluation_results.output(None, tmp_path / "e.html")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())
