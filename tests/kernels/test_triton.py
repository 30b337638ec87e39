"""Triton's kernels agree with the reference, values and gradients, under Triton's interpreter on the CPU."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from genscene import kernels
from genscene.cli import main
from genscene.errors import BadInput
from genscene.kernels import _folded, _torch, choice

CASES = Path(__file__).with_name("interpreted.py")
needs_triton = pytest.mark.skipif(
    find_spec("triton") is None, reason="triton is not installed (pip install 'genscene[triton]')"
)


@needs_triton
def test_the_kernels_agree_with_the_reference_under_the_interpreter():
    """In a process of its own: the interpreter is chosen before Triton is imported, for the whole process."""
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(CASES)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "[100%]" in done.stdout


def test_a_cpu_is_given_torch_and_doctor_says_why(capsys, monkeypatch):
    monkeypatch.delenv("GENSCENE_KERNELS", raising=False)
    assert not choice.choose(torch.device("cpu")).triton
    assert main(["doctor"]) == 0
    assert "kernels on cpu: torch (Triton's kernels are for CUDA, not for cpu)" in capsys.readouterr().out


def test_the_environment_chooses_the_kernels(monkeypatch, capsys):
    x = torch.ones(1, 2, 3)
    monkeypatch.setenv("GENSCENE_KERNELS", "torch")
    assert not choice.uses_triton(x)
    assert choice.choose(x.device).why == "GENSCENE_KERNELS=torch"
    monkeypatch.setenv("GENSCENE_KERNELS", "cuda")
    with pytest.raises(BadInput, match="GENSCENE_KERNELS is 'cuda', wanted one of auto, torch, triton"):
        choice.uses_triton(x)
    assert main(["doctor"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_kernels_of_triton_want_triton_and_something_to_run_on(monkeypatch):
    monkeypatch.setenv("GENSCENE_KERNELS", "triton")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(choice, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match="triton, which is not installed"):
        choice.uses_triton(torch.ones(1))
    monkeypatch.setattr(choice, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BadInput, match="wanted a CUDA device, or TRITON_INTERPRET=1"):
        choice.uses_triton(torch.ones(1))
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert choice.choose(torch.device("cpu")) == choice.Choice(True, "GENSCENE_KERNELS=triton, interpreted")


@pytest.mark.parametrize(
    ("capability", "failure", "why"),
    [
        ((7, 5), None, "want compute capability 8.0 or more, this card has 7.5"),
        ((9, 0), RuntimeError("ptxas"), "ptxas"),
    ],
)
def test_a_card_whose_kernels_fail_is_given_torch(monkeypatch, capability, failure, why):
    """What is installed is stood in for: there is no card."""
    module = type(sys)("genscene.kernels.triton.check")

    def largest_errors(device):
        raise failure

    module.largest_errors = largest_errors
    monkeypatch.setitem(sys.modules, "genscene.kernels.triton.check", module)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: capability)
    found = choice._tried.__wrapped__(0)
    assert not found.triton
    assert why in found.why


@pytest.mark.parametrize(("error", "triton"), [(1e-7, True), (1e-3, False), (float("nan"), False)])
def test_a_card_whose_kernels_are_wrong_is_given_torch(monkeypatch, error, triton):
    module = type(sys)("genscene.kernels.triton.check")
    module.largest_errors = lambda device: {"a layer": (error, 1e-5), "random numbers": (0.0, 0.0)}
    monkeypatch.setitem(sys.modules, "genscene.kernels.triton.check", module)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (9, 0))
    found = choice._tried.__wrapped__(0)
    assert found.triton == triton
    assert triton or "a layer" in found.why


def test_without_triton_the_door_is_the_cpu_code():
    given = [torch.randn(shape) for shape in ((2, 5, 3), (4, 3), (4,), (2, 4), (2, 4))]
    assert torch.equal(kernels.film_sine(*given), _folded.film_sine(*given))
    keys = torch.arange(3)
    assert torch.equal(kernels.hash_uniform(keys, 1, 4), _torch.hash_uniform(keys, 1, 4))
