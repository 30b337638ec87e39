"""Faults of machines: two processes in one folder, full disks."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from genscene.errors import BadInput
from genscene.experiment.serialise import dumps
from genscene.io.atomic import locked
from genscene.training import run as running
from genscene.training.run import Run, train

RUNNER = """
import sys
from pathlib import Path
from genscene.experiment.serialise import loads
from genscene.systems import KINDS
from genscene.training.run import Run, train
experiment = loads(Path(sys.argv[1]).read_text(), KINDS, "test")
train(experiment, Run(Path(sys.argv[2]), device="cpu", save_every=1, grid_every=0))
"""


@pytest.fixture
def long_run(experiment, tmp_path):
    """A process that trains for very long, and its folder."""
    recipe, out = tmp_path / "recipe.json", tmp_path / "run"
    recipe.write_text(dumps(replace(experiment, steps=10**6)))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(running.__file__).parents[2])}
    command = [sys.executable, "-c", RUNNER, str(recipe), str(out)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not (out / "state.pt").exists() and time.monotonic() < until:
        time.sleep(0.05)
    yield process, out
    process.kill()
    process.wait()


def test_a_folder_is_trained_in_by_one_process_until_it_dies(experiment, long_run):
    process, out = long_run
    given, run = replace(experiment, steps=10**6), Run(out, resume=True, grid_every=0)
    with pytest.raises(BadInput, match=f"process {process.pid} on .* trains there"):
        train(given, run)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with pytest.raises(BadInput, match="another experiment"):  # the lock is free
        train(replace(given, seed=3), run)
    assert not (out / ".lock").exists()


def test_a_lock_leaves_nothing_behind(tmp_path):
    path = tmp_path / "new" / "run" / ".lock"
    with locked(path) as holder:
        assert holder == ""
        with locked(path) as other:
            assert other.startswith(f"process {os.getpid()} on ")
        assert path.exists()
    assert not list(tmp_path.iterdir())


@pytest.fixture
def small_files():
    """Files of more than 100 KiB cannot be written, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size=100 << 10):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_under_the_log_names_it(experiment, tmp_path, small_files):
    run = Run(tmp_path / "run", device="cpu", save_every=1, grid_every=0, resume=True)
    train(replace(experiment, steps=2), run)
    log = run.out / "metrics.jsonl"
    log.write_text(json.dumps({"step": 0, "padding": "x" * (200 << 10)}) + "\n")
    small_files(log.stat().st_size + 20)
    with pytest.raises(OSError, match=r"metrics\.jsonl") as error:
        train(replace(experiment, steps=4), run)
    assert error.value.errno == errno.EFBIG
    small_files(resource.RLIM_INFINITY)
    train(replace(experiment, steps=4), run)
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [0, 2, 3]


def test_a_full_disk_leaves_the_checkpoint_before(experiment, tmp_path, small_files):
    run = Run(tmp_path / "run", device="cpu", save_every=1, grid_every=0)
    train(replace(experiment, steps=2), run)
    before = (run.out / "state.pt").read_bytes()
    small_files(len(before) // 2)
    with pytest.raises(BadInput, match=r"the checkpoint before is whole, go on with --resume") as error:
        train(replace(experiment, steps=4), replace(run, resume=True))
    assert "\n" not in str(error.value)
    assert (run.out / "state.pt").read_bytes() == before
    assert not [path for path in run.out.rglob("*") if "partial" in path.name]
    small_files(resource.RLIM_INFINITY)
    train(replace(experiment, steps=4), replace(run, resume=True))
