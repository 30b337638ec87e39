"""torch.compile against ours and plain: networks forward and backward, and whole steps; seconds of the CPU.

The sides of a case are computed in turn in this process; ratios are medians of the repeats. Plain is the
reference, eager; compiled is `genscene train --compile default`, without the time of the compilation itself.
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.side import SECOND, Side, training_step
from genscene import kernels
from genscene.cli import configure_process
from genscene.compilation import compile_networks
from genscene.contract import Generator
from genscene.distributed import ProcessGroup
from genscene.experiment.schema import Stage
from genscene.layers.nerf_field import NeRFField
from genscene.systems import PRESETS
from genscene.training.run import init_state

CPU = Side(plain=False, device=torch.device("cpu"))
SIDES = ("ours", "plain", "compiled")
Call = Callable[[], object]


def network(module: nn.Module, *given: Tensor) -> dict[str, Call]:
    """A network forward and backward, gradients of all inputs but the first, too -> calls of the sides."""
    inputs = [given[0], *(x.requires_grad_() for x in given[1:])]
    fused = copy.deepcopy(module)
    fused.compile(dynamic=True)

    def work(module: nn.Module, around: Callable[[], AbstractContextManager[object]]) -> None:
        with around():
            out = module(*inputs)
        found = [x for x in (out if isinstance(out, tuple) else [out]) if isinstance(x, Tensor)]
        torch.stack([x.square().mean() for x in found or [out.logits]]).sum().backward()
        module.zero_grad()

    ours, plain = partial(work, module, nullcontext), partial(work, module, kernels.oracle)
    return {"ours": ours, "plain": plain, "compiled": partial(work, fused, nullcontext)}


def step(name: str, side: int, batch: int) -> dict[str, Call]:
    """The step of a preset at random images -> the call of each side."""
    experiment = replace(PRESETS[name], stages=(Stage(0, (side, side), batch),))
    calls: dict[str, Call] = {}
    for each in SIDES:
        state = init_state(experiment, CPU.device, ProcessGroup(), "fp32")
        compile_networks(state.system, "default" if each == "compiled" else "off")
        one = training_step(CPU, state, batch, side, SECOND)
        calls[each] = partial(within, kernels.oracle, one) if each == "plain" else one
    return calls


def within(around: Callable[[], AbstractContextManager[object]], call: Call) -> object:
    """What a call returns, made inside a context."""
    with around():
        return call()


def generator(name: str) -> Generator:
    """The generator of a preset."""
    return PRESETS[name].system.build_generator()


def rows(*shape: int) -> Tensor:
    """Normal numbers."""
    return torch.randn(*shape)


def pigan_field(name: str, points: int) -> dict[str, Call]:
    """The field of a preset at points of two pictures."""
    found = generator(name)
    with torch.no_grad():
        w = found.style(rows(2, found.latent_dim))
    return network(found.get_submodule("field"), rows(2, points, 3) / 8, rows(2, points, 3), w)


def nerf_field() -> dict[str, Call]:
    """NeRF's field at 8192 points."""
    field = generator("nerf-blender").get_submodule("coarse")
    assert isinstance(field, NeRFField)
    return network(field, rows(1, 8192, 3), rows(1, 8192, 3))


def giraffe_field() -> dict[str, Call]:
    """The field of GIRAFFE's objects, at points of two."""
    field = generator("giraffe-celeba").get_submodule("objects.0")
    return network(field, rows(2, 8192, 3), rows(2, 8192, 3), rows(2, 256), rows(2, 256))


def cips_network() -> dict[str, Call]:
    """CIPS's network at the pixels of two pictures of 32 x 32."""
    found = generator("cips-ffhq-256").get_submodule("network")
    return network(found, rows(2, 1024, 1024), rows(2, 512))


def discriminator(name: str, side: int, batch: int, channels: int = 3) -> dict[str, Call]:
    """A discriminator's gradient without penalties."""
    return network(
        PRESETS[name].system.build().get_submodule("discriminator"), rows(batch, channels, side, side)
    )


CASES: dict[str, Callable[[], dict[str, Call]]] = {
    "pi-GAN field": partial(pigan_field, "pigan-celeba", 4096),
    "pi-GAN field, demo": partial(pigan_field, "pigan-demo", 4096),
    "NeRF field": nerf_field,
    "GIRAFFE field": giraffe_field,
    "CIPS network": cips_network,
    "pi-GAN discriminator, 64 x 64": partial(discriminator, "pigan-celeba", 64, 2),
    "StyleGAN2 discriminator, 32 x 32": partial(discriminator, "cips-demo", 32, 4, 5),
    "pigan-demo, step": partial(step, "pigan-demo", 32, 4),
    "giraffe-demo, step": partial(step, "giraffe-demo", 64, 4),
    "cips-demo, step": partial(step, "cips-demo", 64, 4),
}


def measure(calls: dict[str, Call], repeats: int) -> dict[str, list[float]]:
    """Seconds of the processor of every side, in turn; two rounds before are not counted."""
    times: dict[str, list[float]] = {each: [] for each in SIDES}
    for _ in range(repeats + 2):
        for each in SIDES:
            start = time.process_time()
            calls[each]()
            times[each].append(time.process_time() - start)
    return {each: found[2:] for each, found in times.items()}


def main() -> None:
    """Measure the cases and print their ratios."""
    options = argparse.ArgumentParser(prog="benchmarks.compiled", description=__doc__)
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--only", default="", help="only cases whose name contains this")
    chosen = options.parse_args()
    configure_process()
    torch.set_num_threads(1)
    print(
        "| what | ours, s | compiled : ours | plain : ours | first call compiled, s |\n|---|---|---|---|---|"
    )
    for name in (name for name in CASES if chosen.only in name):
        torch.manual_seed(0)
        calls = CASES[name]()
        start = time.monotonic()
        calls["compiled"]()
        first = time.monotonic() - start
        times = measure(calls, chosen.repeats)
        ratios = [
            statistics.median(a / b for a, b in zip(times[each], times["ours"], strict=True))
            for each in ("compiled", "plain")
        ]
        ours = statistics.median(times["ours"])
        print(f"| {name} | {ours:.3f} | {ratios[0]:.2f} | {ratios[1]:.2f} | {first:.0f} |", flush=True)


if __name__ == "__main__":
    main()
