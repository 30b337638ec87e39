"""benchmarks/gpu.py runs at tiny sizes under Triton's interpreter, and says what it wants without a GPU."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]


def run(*words):
    """The program in a process of its own: it chooses Triton's interpreter for the whole process."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "200"}
    command = [sys.executable, "-m", "benchmarks.gpu", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)


@pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")
def test_the_whole_table_at_tiny_sizes(tmp_path):
    done = run("--tiny", "--repeats", "1", "--out", str(tmp_path / "gpu.json"))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    document = json.loads((tmp_path / "gpu.json").read_text())
    assert document["tiny"]
    assert document["errors"]["random numbers"] == 0
    times = document["times"]
    cases = {row["case"] for row in times}
    assert len(cases) == 7
    for case in cases:
        forms = {row["form"]: row for row in times if row["case"] == case}
        assert {"official fp32", "torch fp32", "triton fp32", "torch bf16", "triton bf16"} <= set(forms)
        assert all(row["milliseconds"] > 0 for row in forms.values())
        assert forms["torch fp32"]["differs"] < 1e-4
        assert forms["triton fp32"]["differs"] < 1e-4
    assert not document["goals"]  # nothing is judged by times of an interpreter


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_one_line_says_what_is_wanted(tmp_path):
    done = run("--out", str(tmp_path / "gpu.json"))
    assert done.returncode == 1
    assert done.stderr.strip().splitlines() == [
        "benchmarks.gpu: torch finds no CUDA device here: wanted one, or --tiny, which shows on a CPU that"
        " everything runs"
    ]
    assert not (tmp_path / "gpu.json").exists()
