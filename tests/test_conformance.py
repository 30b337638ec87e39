"""What the official implementations compute for given weights and inputs is what we compute."""

import inspect
from contextlib import nullcontext

import pytest
import torch

from conformance import cgsgan, cips, cips_generator, formats, giraffe, graf, metrics, nerf, pigan, splat
from conformance.case import DEVICE, FOLDER, case_names, check_outputs, read_case

# system -> kind of case -> the function that computes its outputs
MAPPED = {
    "cgsgan": cgsgan.KINDS,
    "cips": {**cips.KINDS, **cips_generator.KINDS},
    "formats": formats.KINDS,
    "giraffe": giraffe.KINDS,
    "graf": graf.KINDS,
    "metrics": metrics.KINDS,
    "nerf": nerf.KINDS,
    "pigan": pigan.KINDS,
    "splat": splat.KINDS,
}
AWAITED: set[str] = set()  # systems that do not exist here yet
# kinds whose gradients pass through a discriminator's leaky rectifiers
KINKED = {("pigan", "losses"), *((each, "generator_gradient") for each in ("giraffe", "cips", "cgsgan"))}
# kinds with samples by inverse CDF at the edge of a bin: one rounding, different from CPU to CPU, moves them
RESAMPLED = {("pigan", "generator_staged")}

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no conformance cases at {FOLDER}")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])
@pytest.mark.parametrize("name", [name for name in case_names() if name.split("/")[0] not in AWAITED])
def test_case(name, dtype, tmp_path):
    case = read_case(name, dtype)
    if dtype == torch.float32 and all("atol64" in about for about in case.about["outputs"].values()):
        pytest.skip("all outputs are stored in double precision")
    system, kind = name.split("/")[0], case.about["kind"]
    assert kind in MAPPED.get(system, {}), f"nothing maps the kind {kind} of {name}"
    compute = MAPPED[system][kind]
    scratch = (tmp_path,) if len(inspect.signature(compute).parameters) == 2 else ()

    def kinked(args):
        return ((system, kind) in KINKED and "wrt" in args) or (system, kind) in RESAMPLED

    with DEVICE if DEVICE.type != "cpu" else nullcontext():  # what is made without a device is made there
        found = compute(case, *scratch)
    check_outputs(case, found, kinked)


def test_every_system_is_mapped_or_awaited():
    assert {name.split("/")[0] for name in case_names()} - AWAITED == set(MAPPED)
    assert not AWAITED & set(MAPPED)


def test_every_mapping_has_a_case():
    for system, mapped in MAPPED.items():
        names = [name for name in case_names() if name.startswith(f"{system}/")]
        assert {read_case(name, torch.float64).about["kind"] for name in names} == set(mapped)
