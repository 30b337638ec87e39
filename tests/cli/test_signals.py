"""Signals leave no partial file, whichever verb was writing one: real processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import genscene
from conftest import tiny
from genscene.experiment.serialise import build_seeded
from genscene.io.generator_file import GeneratorFile, write

SLOW_DISK = """
import os, sys, time
sync = os.fsync

def slow(descriptor):  # the file is whole, and has not its name yet
    time.sleep(60 * ("/out/" in os.readlink(f"/proc/self/fd/{descriptor}")))
    sync(descriptor)

os.fsync = slow
from genscene.cli import main
sys.exit(main(sys.argv[1:]))
"""
CASES = {
    "mp4": ("render MODEL --out OUT/a.mp4 --path orbit --size 8 --frames 2", signal.SIGTERM, 143),
    "gif": ("interpolate MODEL --out OUT/a.gif --seeds 0-1 --size 8 --frames 2", signal.SIGINT, 130),
    "png": ("render MODEL --out OUT/a.png --size 8", signal.SIGHUP, 143),
    "json": ("export cameras MODEL --out OUT/a.json", signal.SIGTERM, 143),
    "glb": ("export mesh MODEL --out OUT/a.glb --resolution 16 --level 0.02", signal.SIGHUP, 143),
    "set": ("data synthesize cars --out OUT/set --count 2 --size 8", signal.SIGTERM, 143),
    "page": (
        "evaluate MODEL --out OUT/e.json --metrics spectrum --count 40 --reals 40 --data synthetic:cars",
        signal.SIGINT,
        130,
    ),
}


def start(words, model, out):
    """A process of the command line on a disk that is slow."""
    out.mkdir()
    words = words.replace("MODEL", str(model)).replace("OUT", str(out))
    variables = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(genscene.__file__).parents[1])}
    command = [sys.executable, "-c", SLOW_DISK, *words.split()]
    return subprocess.Popen(command, env=os.environ | variables, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small generator."""
    path = tmp_path_factory.mktemp("signals") / "g.safetensors"
    experiment = tiny("pigan-demo")
    write(path, GeneratorFile(build_seeded(experiment).generator, experiment))
    return path


@pytest.mark.parametrize(("words", "kind", "code"), CASES.values(), ids=CASES)
def test_a_signal_leaves_no_partial_file(model, tmp_path, words, kind, code):
    out = tmp_path / "out"
    process = start(words, model, out)
    until = time.monotonic() + 120
    while not list(out.rglob("*.partial*")) and process.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(kind)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code, said
    assert "Traceback" not in said
    assert not list(out.iterdir())


def test_what_was_ignored_remains_ignored(model, tmp_path):
    out = tmp_path / "out"
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # inherited
    try:
        process = start("export cameras MODEL --out OUT/a.json", model, out)
    finally:
        signal.signal(signal.SIGHUP, before)
    while not list(out.iterdir()):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert process.poll() is None
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 143
