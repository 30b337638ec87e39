"""What the official implementations compute for given weights and inputs is what we compute."""

import inspect

import pytest
import torch

from conformance import formats, metrics, nerf, pigan
from conformance.case import FOLDER, cases, judge, opened

MAPPED = {"pigan": pigan.CASES, "nerf": nerf.CASES}
KINDS = {"formats": formats.KINDS, "metrics": metrics.KINDS}  # systems whose cases are mapped by their kind
AWAITED = {"graf", "giraffe", "cips", "cgsgan", "splat"}  # systems that do not exist here yet
GRADIENTS = ("gd_conv", "gd_rgb", "gd_final", "grad_real", "gg_net3", "gg_map0", "gg_sigma", "gg_rgb")
KINKED = {"pigan/losses": GRADIENTS}  # all pass through the discriminator's leaky rectifiers

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no conformance cases at {FOLDER}")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])
@pytest.mark.parametrize("name", [name for name in cases() if name.split("/")[0] not in AWAITED])
def test_case(name, dtype, tmp_path):
    system, case = name.split("/")
    mapped = KINDS.get(system) or MAPPED.get(system, {})
    case = opened(name, dtype)
    key = case.about["kind" if system in KINDS else "case"]
    assert key in mapped, f"nothing maps the case {name}"
    compute = mapped[key]
    extra = (tmp_path,) if len(inspect.signature(compute).parameters) == 2 else ()
    if dtype == torch.float64 or any("atol64" not in about for about in case.about["outputs"].values()):
        judge(case, compute(case, *extra), KINKED.get(name, ()))


def test_every_case_is_mapped_or_awaited():
    systems = {name.split("/")[0] for name in cases()}
    assert systems - AWAITED == set(MAPPED) | set(KINDS)
    assert not AWAITED & (set(MAPPED) | set(KINDS))
    for system, mapped in MAPPED.items():
        assert {name.split("/")[1] for name in cases() if name.startswith(f"{system}/")} == set(mapped)
