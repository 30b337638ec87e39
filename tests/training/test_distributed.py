"""Two processes give the weights of one with the joint batch."""

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from shutil import copyfile

import pytest
import torch

import genscene.training.run as running
from conftest import tiny
from data.scenes import write_scene
from genscene.cli import main
from genscene.distributed import ProcessGroup
from genscene.errors import BadInput
from genscene.experiment.schema import Stage
from genscene.experiment.serialise import dumps
from genscene.training.run import Run, check, train

torch.set_num_threads(1)  # as the two processes have: sums of products depend on it
RUNNER = """
import sys
from pathlib import Path
from genscene.experiment.serialise import loads
from genscene.systems import KINDS
from genscene.training.run import Run, train
experiment = loads(Path(sys.argv[1]).read_text(), KINDS, "test")
train(experiment, Run(Path(sys.argv[2]), device="cpu", grid_every=0, save_every=2))
left = [thread for thread in Path("/proc/self/task").glob("*/comm") if "gloo" in thread.read_text()]
assert not left, "threads of the group are left"
"""


def train_in_two(experiment, out):
    """Train in two processes."""
    recipe, runner = out.with_suffix(".json"), out.with_suffix(".py")
    recipe.write_text(dumps(experiment))
    runner.write_text(RUNNER)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(running.__file__).parents[2])}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
    command += ["--nproc-per-node", "2", str(runner), str(recipe), str(out)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr


LOSES = """
import os, signal, sys
from genscene import heartbeat
from genscene.cli import main
from genscene.training.logger import Logger
import genscene.training.run as running
heartbeat.BEAT, heartbeat.SILENT = 0.2, 20
step = running.train_step

def stops(state, batch, number):
    if number == 3 and state.group.rank == 1:
        os.kill(os.getpid(), getattr(signal, sys.argv[1]))
    return step(state, batch, number)

running.train_step = stops
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("kind", ["SIGKILL", "SIGSTOP"])
def test_a_lost_process_is_named_and_the_others_end(tmp_path, kind):
    out = tmp_path / "run"
    words = "train pigan-demo --data synthetic:cars --images.limit 8 --size 16 --batch 4 --grid-every 0"
    words += f" --system.discriminator.mbstd-group 2 --device cpu --save-every 2 --steps 1000 --out {out}"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    variables = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(running.__file__).parents[2])}
    variables |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    command = [sys.executable, "-c", LOSES, kind, *words.split()]
    pipe = {"stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, env=os.environ | variables | {"RANK": r}, **pipe) for r in "01"]
    try:
        _, said = both[0].communicate(timeout=120)
    finally:
        both[1].kill()
        both[1].communicate()
    assert both[0].returncode == 1, said
    (line,) = [line for line in said.splitlines() if line.startswith("genscene: ")]
    assert line == (
        f"genscene: process 1 of the 2 was lost: start all again with --resume --out {out}, which goes on"
        " from the checkpoint of step 2 (step 3 was done)"
    )
    assert "Traceback" not in said
    assert "gloo" not in said
    assert main([*words.replace("1000", "4").split(), "--resume"]) == 0


def largest_difference(a, b):
    """Of any weight of two runs, the moving average included."""
    one, two = (torch.load(out / "state.pt", weights_only=True) for out in (a, b))
    pairs = [(one[part], two[part]) for part in ("system", "ema")]
    return max(float((x[name].float() - y[name].float()).abs().max()) for x, y in pairs for name in x)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_two_processes_give_the_weights_of_one(experiment, tmp_path, accumulation):
    joint = replace(experiment, steps=5, stages=(Stage(0, (16, 16), 4, accumulation),))
    train_in_two(joint, tmp_path / "two")
    train(replace(joint, stages=(Stage(0, (16, 16), 4),)), Run(tmp_path / "one", device="cpu", grid_every=0))
    assert largest_difference(tmp_path / "one", tmp_path / "two") < 1e-5
    assert len((tmp_path / "two" / "metrics.jsonl").read_text().splitlines()) == 5


@pytest.mark.parametrize("name", ["nerf-blender", "nerf-grid-demo", "pigan-demo"])
def test_a_run_of_two_processes_resumed_by_one_is_that_of_one(tmp_path, name):
    joint = tiny(name, 4)
    if joint.system.batch == "rays":
        data = str(write_scene(tmp_path / "scene", 0, 8, 16, fov=30.0))
        joint = replace(joint, data=data, stages=(Stage(0, (16, 16), 64),))
    train_in_two(joint, tmp_path / "both")
    copyfile(tmp_path / "both" / "checkpoints" / "00000002.pt", tmp_path / "both" / "state.pt")
    for out in (tmp_path / "both", tmp_path / "one"):
        train(joint, Run(out, device="cpu", grid_every=0, resume=True))
    assert largest_difference(tmp_path / "one", tmp_path / "both") < 1e-6


def test_a_batch_that_does_not_split_evenly_is_refused(experiment):
    with pytest.raises(BadInput, match="3 processes"):
        check(experiment, Run(Path()), ProcessGroup(0, 3))
