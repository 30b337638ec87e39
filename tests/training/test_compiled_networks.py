"""Training with torch.compile: losses and gradients, names of tensors, penalties, and what is refused."""

import copy
import sys
from dataclasses import replace

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from torch.testing import assert_close

from conftest import tiny
from genscene.cli import main
from genscene.compilation import compile_networks, find_compiler, unless_penalized
from genscene.contract import ImageBatch, RayBatch, StepContext
from genscene.distributed import ProcessGroup
from genscene.errors import BadInput
from genscene.experiment.schema import Stage
from genscene.experiment.serialise import build_seeded
from genscene.geometry.cameras import Rays
from genscene.kernels import _cpu, joint_linear
from genscene.systems import PRESETS
from genscene.training.loop import requires_grad_only
from genscene.training.run import Run, check, init_state, train

needs_compiler = pytest.mark.skipif(not find_compiler(), reason="no C++ compiler is installed")
CPU = torch.device("cpu")


def images():
    """Four random images, as small as they can be: each layer of a discriminator takes seconds to compile."""
    return ImageBatch(torch.rand(4, 3, 4, 4, generator=torch.Generator().manual_seed(1)))


def rays(count):
    """Rays towards the origin, from 4 away, and random colors."""
    numbers = torch.Generator().manual_seed(1)
    ends = torch.rand(1, count, 3, generator=numbers) - 0.5
    origins = torch.tensor([0.0, 0.0, 4.0]).expand_as(ends)
    return RayBatch(Rays(origins, ends - origins), torch.rand(1, count, 3, generator=numbers))


def losses_and_gradients(name, mode, batches):
    """The generator's loss on each of the batches, and the gradients of its weights."""
    experiment = tiny(name)
    if name == "pigan-carla":
        discriminator = replace(experiment.system.discriminator, channels=(4, 4))
        experiment = replace(experiment, system=replace(experiment.system, discriminator=discriminator))
    system, found = build_seeded(experiment), []
    compile_networks(system, mode)
    (turn,) = (each for each in system.turns() if each.player == "generator")
    with requires_grad_only(system, "generator"):
        for batch in batches:
            loss, _ = turn.loss(batch, StepContext(0, 0, seed=0))
            loss.backward()
            found.append((loss, {name: x.grad for name, x in system.generator.named_parameters()}))
            system.zero_grad()
    return found


@needs_compiler
@pytest.mark.filterwarnings("ignore:The .grad attribute")  # which torch's compiler reads
@pytest.mark.parametrize(
    ("name", "batches"), [("pigan-carla", [images()]), ("nerf-blender", [rays(24), rays(40)])]
)
def test_compiled_networks_have_the_losses_and_gradients_of_others(name, batches):
    found = losses_and_gradients(name, "default", batches)
    assert_close(found, losses_and_gradients(name, "off", batches), rtol=1e-3, atol=1e-6)


@needs_compiler
def test_a_compiled_run_learns_and_saves_what_another_does(tmp_path):
    pixels = torch.randint(256, (16, 16, 3), generator=torch.Generator().manual_seed(1))
    Image.fromarray(pixels.byte().numpy()).save(tmp_path / "picture.png")
    experiment = replace(tiny("image"), data=str(tmp_path / "picture.png"), stages=(Stage(0, (16, 16), 64),))
    weights = []
    for mode in ("off", "reduce-overhead"):
        train(experiment, Run(tmp_path / mode, "cpu", compile=mode, grid_every=0))
        weights.append(load_file(tmp_path / mode / "generator.safetensors"))
    assert_close(*weights, rtol=1e-3, atol=1e-5)
    train(replace(experiment, steps=4), Run(tmp_path / "reduce-overhead", "cpu", resume=True, grid_every=0))


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
