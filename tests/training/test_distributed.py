"""Two processes give the weights of one with the joint batch."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

import genscene.training.run as running
from genscene.distributed import ProcessGroup
from genscene.errors import BadInput
from genscene.experiment.schema import Stage
from genscene.experiment.serialise import dumps
from genscene.training.run import Run, check, train

RUNNER = """
import sys
from pathlib import Path
from genscene.experiment.serialise import loads
from genscene.systems import KINDS
from genscene.training.run import Run, train
experiment = loads(Path(sys.argv[1]).read_text(), KINDS, "test")
train(experiment, Run(Path(sys.argv[2]), device="cpu", grid_every=0))
left = [thread for thread in Path("/proc/self/task").glob("*/comm") if "gloo" in thread.read_text()]
assert not left, "threads of the group are left"
"""


@pytest.mark.parametrize("accumulation", [1, 2])
def test_two_processes_give_the_weights_of_one(experiment, tmp_path, accumulation):
    joint = replace(experiment, steps=5, stages=(Stage(0, (16, 16), 4, accumulation),))
    (tmp_path / "experiment.json").write_text(dumps(joint))
    (tmp_path / "runner.py").write_text(RUNNER)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(running.__file__).parents[2])}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
    command += [
        "--nproc-per-node",
        "2",
        str(tmp_path / "runner.py"),
        str(tmp_path / "experiment.json"),
        str(tmp_path / "two"),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    train(replace(joint, stages=(Stage(0, (16, 16), 4),)), Run(tmp_path / "one", device="cpu", grid_every=0))
    one, two = (torch.load(tmp_path / name / "state.pt", weights_only=True) for name in ("one", "two"))
    for part in ("system", "ema"):
        for name, value in one[part].items():
            assert_close(two[part][name], value, atol=1e-5, rtol=0)
    assert len((tmp_path / "two" / "metrics.jsonl").read_text().splitlines()) == 5


def test_a_batch_that_does_not_split_evenly_is_refused(experiment):
    with pytest.raises(BadInput, match="3 processes"):
        check(experiment, Run(Path()), ProcessGroup(0, 3))
