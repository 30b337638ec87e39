"""torch.compile for the networks of a run: their operations are fused by a compiler at the first steps."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, Literal

import torch
from torch import Tensor, nn

from genscene.contract import System, SystemConfig
from genscene.errors import BadInput, describe_error
from genscene.layers.mapping import MappingNetwork

Compile = Literal["off", "default", "reduce-overhead"]  # the latter two are modes of torch.compile
VARIANTS = 64  # of one network: by stage, gradient mode, what requires gradients; beyond: not compiled


def check_compile(config: SystemConfig, mode: Compile) -> None:
    """Raise BadInput for a loss that compiled networks cannot have; nothing is compiled."""
    if mode != "off" and config.differentiates_twice:
        raise BadInput(
            f"--compile {mode}: wanted off, this loss contains derivatives of the network, and torch.compile"
            " has no second derivatives"
        )


def compiler_name() -> str:
    """The C++ compiler that torch.compile calls on a CPU: CXX, or that of the system."""
    return os.environ.get("CXX") or {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")


def find_compiler() -> str:
    """Its path; empty where it is not installed."""
    return shutil.which(compiler_name()) or ""


def require_compiler(mode: Compile, device: torch.device) -> None:
    """Raise BadInput where torch.compile cannot compile for a device: a small function is compiled and run.

    It takes seconds; nothing is done for off.
    """
    if mode == "off":
        return
    if device.type == "cpu" and not find_compiler():
        raise BadInput(
            f"--compile {mode}: no C++ compiler {compiler_name()} was found, wanted one (CXX), or off"
        )
    try:
        torch.compile(lambda x: x.sin() + 1, dynamic=True)(torch.zeros(8, device=device))
    except Exception as error:  # of dynamo, inductor, Triton, the C++ compiler, or this version of Python
        raise BadInput(
            f"--compile {mode}: torch.compile fails on {device}, wanted off: {describe_error(error)}"
        ) from None


def compile_networks(system: System, mode: Compile) -> None:
    """Compile the networks of a system at their first evaluation; names of their tensors remain.

    Numbers of points and sizes vary without a new compilation. Copies of a network are not compiled.
    """
    if mode == "off":
        return
    torch._dynamo.config.recompile_limit = VARIANTS
    for network in generator_networks(system.generator):
        network.compile(dynamic=True, mode=mode)
    discriminator = getattr(system, "discriminator", None)
    if discriminator is not None:
        discriminator.compile(dynamic=True, mode=mode)
        discriminator._compiled_call_impl = unless_penalized(discriminator)


def start_step(mode: Compile) -> None:
    """Before each step: what CUDA graphs gave in the step before may be overwritten."""
    if mode == "reduce-overhead":
        torch.compiler.cudagraph_mark_step_begin()


def generator_networks(generator: nn.Module) -> Iterator[nn.Module]:
    """The networks that a generator has, but for its mapping network, which has a row for each picture."""
    children = [each for each in generator.children() if not isinstance(each, MappingNetwork)]
    return chain.from_iterable(each if isinstance(each, nn.ModuleList) else (each,) for each in children)


def unless_penalized(discriminator: nn.Module) -> Callable[..., Any]:
    """The compiled discriminator, but uncompiled where a penalty may differentiate it twice.

    Second derivatives of compiled networks are not implemented in torch. They are needed where both images
    and weights require gradients.
    """
    compiled = discriminator._compiled_call_impl
    assert compiled is not None

    def call(images: Tensor, *given: Any, **named: Any) -> Any:
        learns = any(x.requires_grad for x in discriminator.parameters())
        chosen = discriminator._call_impl if learns and images.requires_grad else compiled
        return chosen(images, *given, **named)

    return call
