"""Training with torch.compile: losses and gradients, names of tensors, penalties, and what is refused."""

import copy
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from conftest import tiny
from genscene.cli import main
from genscene.contract import ImageBatch, RayBatch
from genscene.distributed import ProcessGroup
from genscene.errors import BadInput
from genscene.experiment.schema import Stage
from genscene.geometry.cameras import Rays
from genscene.kernels import _cpu, joint_linear
from genscene.systems import PRESETS
from genscene.training.compilation import compile_networks, find_compiler, unless_penalized
from genscene.training.loop import train_step
from genscene.training.run import Run, check, init_state, train

needs_compiler = pytest.mark.skipif(not find_compiler(), reason="no C++ compiler is installed")
CPU = torch.device("cpu")


def images():
    """Four random images."""
    return ImageBatch(torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1)))


def rays(count):
    """Rays towards the origin, from 4 away, and random colors."""
    numbers = torch.Generator().manual_seed(1)
    ends = torch.rand(1, count, 3, generator=numbers) - 0.5
    origins = torch.tensor([0.0, 0.0, 4.0]).expand_as(ends)
    return RayBatch(Rays(origins, ends - origins), torch.rand(1, count, 3, generator=numbers))


def steps(name, mode, batches):
    """The numbers that steps of plain gradient descent log, and the weights behind them."""
    torch.manual_seed(0)
    experiment = replace(tiny(name), stages=(Stage(0, (16, 16), 4),))
    optim = {player: replace(each, lr=1.0) for player, each in experiment.optim.items()}
    state = init_state(replace(experiment, optim=optim), CPU, ProcessGroup(), "fp32")
    players = {player: torch.optim.SGD(getattr(state.system, player).parameters()) for player in optim}
    state = replace(state, optimizers=players)
    compile_networks(state.system, mode)
    logged = [train_step(state, batch, step) for step, batch in enumerate(batches)]
    return logged, state.system.state_dict()


@needs_compiler
@pytest.mark.filterwarnings("ignore:The .grad attribute")  # which torch's compiler reads
@pytest.mark.parametrize(
    ("name", "mode", "batches"),
    [("pigan-carla", "default", [images()]), ("nerf-blender", "reduce-overhead", [rays(24), rays(40)])],
)
def test_compiled_networks_are_trained_as_others_are(name, mode, batches):
    logged, weights = steps(name, mode, batches)
    wanted, others = steps(name, "off", batches)
    assert_close(logged, wanted, rtol=1e-5, atol=1e-6)
    assert_close(weights, others, rtol=1e-4, atol=1e-6)  # which have moved by their gradients


@needs_compiler
def test_gradients_of_a_compiled_layer_are_those_of_the_layer():
    weight = torch.randn(64, 32, requires_grad=True)
    bias = torch.randn(64, requires_grad=True)
    x = torch.randn(2, 1024, 32, requires_grad=True)
    assert _cpu.suits(x, weight)  # uncompiled it is one operation of oneDNN and numba, which is not traced
    compiled = torch.compile(lambda x: joint_linear([x], weight, bias, rectify=True), fullgraph=True)
    found, wanted = (
        torch.autograd.grad(layer(x).square().mean(), (x, weight, bias))
        for layer in (compiled, lambda x: joint_linear([x], weight, bias, rectify=True))
    )
    assert_close(found, wanted, rtol=1e-4, atol=1e-6)


def test_names_of_tensors_remain_and_copies_are_not_compiled(experiment):
    state = init_state(experiment, CPU, ProcessGroup(), "fp32")
    names = list(state.system.state_dict())
    compile_networks(state.system, "default")
    assert list(state.system.state_dict()) == names
    field, copied = state.system.generator.field, copy.deepcopy(state.system.generator).field
    assert field._compiled_call_impl is not None
    assert copied._compiled_call_impl is None
    assert state.ema.field._compiled_call_impl is None


def test_a_discriminator_is_not_compiled_where_a_penalty_differentiates_it_twice():
    module, calls = nn.Linear(3, 1), []
    module._compiled_call_impl = lambda x: calls.append("compiled") or module._call_impl(x)
    call = unless_penalized(module)
    x = torch.randn(2, 3)
    call(x)
    assert calls == ["compiled"]
    call(x.requires_grad_())
    assert calls == ["compiled"]
    module.requires_grad_(False)  # in the generator's turn
    call(x)
    assert calls == ["compiled"] * 2


@pytest.mark.parametrize("name", ["sdf", "image"])
def test_losses_with_derivatives_are_refused(name):
    experiment = PRESETS[name]
    if name == "image":
        check(experiment, Run(compile="default"), ProcessGroup())
        experiment = replace(experiment, system=replace(experiment.system, target="gradient"))
    with pytest.raises(BadInput, match="--compile default: wanted off"):
        check(experiment, Run(compile="default"), ProcessGroup())


def test_without_a_compiler_nothing_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CXX", "no-such-compiler")
    words = ["train", "pigan-demo", "--data", "synthetic:cars", "--device", "cpu"]
    assert main([*words, "--out", str(tmp_path / "run"), "--compile", "default"]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "no C++ compiler no-such-compiler was found" in line
    assert not list(tmp_path.iterdir())
    assert main(["doctor"]) == 0
    assert "--compile on a CPU: no no-such-compiler" in capsys.readouterr().out


def test_a_compiler_that_fails_is_named_before_anything_is_written(tmp_path, experiment, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("torch.compile is not supported\non Python 4")

    monkeypatch.setattr(torch, "compile", fail)
    monkeypatch.setenv("CXX", sys.executable)
    with pytest.raises(BadInput, match=r"fails on cpu, wanted off: RuntimeError: torch\.compile is not"):
        train(experiment, Run(tmp_path / "run", "cpu", compile="default"))
    assert not list(tmp_path.iterdir())
