"""Triton's compiler makes machine code of every kernel, for cards that are not here."""

import os
from importlib.util import find_spec

import pytest

pytestmark = pytest.mark.skipif(
    find_spec("triton") is None or os.environ.get("TRITON_INTERPRET") == "1",
    reason="Triton's compiler is not there (pip install 'genscene[triton]'), or its interpreter is chosen",
)
AMPERE, HOPPER = 80, 90
RAYS = {"rays": "i32", "samples": "i32"}
SIZES = {"points": "i32", "outputs": "i32", "inputs": "i32"}


@pytest.fixture(autouse=True)
def no_cache(tmp_path, monkeypatch):
    """Nothing compiled before is used, or left behind."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))


def compiled(function, constants, numbers, pointer="*fp32", others=None, capability=HOPPER):
    """The machine code's text of a kernel, its pointers and numbers multiples of 16."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    types = {n: (others or {}).get(n, numbers.get(n, pointer)) for n in function.arg_names}
    signature = {n: "constexpr" if n in constants else types[n] for n in function.arg_names}
    given = [i for i, name in enumerate(function.arg_names) if name not in constants]
    attributes = {(i,): [["tt.divisibility", 16]] for i in given}
    source = ASTSource(fn=function, signature=signature, constexprs=constants, attrs=attributes)
    target = GPUTarget("cuda", capability, 32)
    made = triton.compile(source, target=target, options={"num_stages": 3, "enable_fp_fusion": True})
    assert len(made.asm["cubin"]) > 1000
    return made.asm["ptx"]


def layer(precision, derivative, pointer, capability, tile=(64, 64, 32)):
    from genscene.kernels.triton.film import _sine_linear

    names = ("DERIVATIVE", "PRECISION", "WIDEN", "ROWS", "COLUMNS", "INPUTS")
    constants = dict(zip(names, (derivative, precision, False, *tile), strict=True))
    offset = {"offset": "*fp32"}
    return compiled(_sine_linear.fn, constants, SIZES, pointer, offset, capability)


@pytest.mark.parametrize("derivative", [False, True])
def test_layers_in_bfloat16_use_the_tensor_cores(derivative):
    assert "wgmma.mma_async" in layer("ieee", derivative, "*bf16", HOPPER)
    assert "mma.sync" in layer("ieee", derivative, "*bf16", AMPERE)


def test_layers_in_float32_use_them_for_tf32_alone():
    assert "tf32" in layer("tf32", False, "*fp32", HOPPER)
    plain = layer("ieee", False, "*fp32", AMPERE, (32, 32, 16))
    assert "mma" not in plain
    assert "fma.rn.f32" in plain


@pytest.mark.parametrize("capability", [AMPERE, HOPPER])
@pytest.mark.parametrize(("rays", "samples"), [(32, 1), (2, 64)])
def test_compositing(rays, samples, capability):
    from genscene.kernels.triton import compositing

    constants = {"CHANNELS": 3, "RAYS": rays, "SAMPLES": samples}
    for kernel in (compositing._forward, compositing._backward):
        compiled(kernel, constants, RAYS, capability=capability)


def test_random_numbers():
    from genscene.kernels.triton.streams import _hash_uniform

    numbers = {"first": "i32", "count": "i32"}
    text = compiled(_hash_uniform, {"BLOCK": 256}, numbers, others={"keys": "*i64"}, capability=AMPERE)
    assert "shr.u64" in text  # logical shifts: zeros enter from the left
