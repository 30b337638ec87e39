"""The cases that are timed."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from benchmarks import cgsgan, cips, extractors, giraffe, nerf, pigan, splats
from benchmarks.side import Side, Work
from genscene.training.loop import Precision


@dataclass(frozen=True)
class Case:
    """Two ways to compute the same: the plain one, in float32, and ours."""

    make: Callable[[Side], Work]
    precision: Precision = "fp32"  # of ours
    exact: bool = True  # both must agree to 1e-5
    systems: bool = False  # of two systems, or sizes: both run as the command line does
    large: bool = False  # run where it is asked for alone: --large, or by --only
    # what ours makes, such as Gaussians: there is no plain side, and their number a second is printed
    makes: int = 0


def splats_case(count: int, pixels: int, gradients: bool) -> Case:
    """Splatting against plain torch tiles, whose gradients of the largest pictures take 8 to 15 GB: alone."""
    alone = gradients and count * pixels > 30e6
    make = partial(splats.picture, count=count, pixels=pixels, gradients=gradients)
    large = count > 8192 or pixels > 256
    return Case(make, exact=False, large=large, makes=count if alone else 0)


CASES = {
    "pi-GAN field, forward": Case(pigan.forward),
    "pi-GAN field, forward, bf16": Case(pigan.forward, "bf16", exact=False),
    "pi-GAN field, forward and backward": Case(pigan.backward),
    "pi-GAN field, forward and backward, bf16": Case(pigan.backward, "bf16", exact=False),
    "pi-GAN render": Case(pigan.render),
    "pi-GAN step": Case(pigan.step),
    "pi-GAN step, medium": Case(pigan.step, "medium"),
    "pi-GAN step, bf16": Case(pigan.step, "bf16", exact=False),
    "pi-GAN step, bf16, one rendering for both players": Case(
        partial(pigan.step, shared=True), "bf16", exact=False
    ),
    "two steps of the demo": Case(pigan.demo_steps),
    "two steps of the demo, bf16": Case(pigan.demo_steps, "bf16", exact=False),
    "NeRF step": Case(nerf.step),
    "NeRF step, medium": Case(nerf.step, "medium"),
    "NeRF step, bf16": Case(nerf.step, "bf16", exact=False),
    "NeRF render": Case(nerf.render, exact=False),  # untrained: rounding moves the samples of the second pass
    "NeRF render, 100 x 100": Case(partial(nerf.render, pixels=100), exact=False, large=True),
    "GIRAFFE forward, faces, against decoding every sample": Case(
        partial(giraffe.forward, name="giraffe-celeba")
    ),
    "GIRAFFE forward, CLEVR, against decoding every sample": Case(
        partial(giraffe.forward, name="giraffe-clevr2-256")
    ),
    "GIRAFFE step, faces, against decoding every sample": Case(partial(giraffe.step, name="giraffe-celeba")),
    "GIRAFFE step, CLEVR, against decoding every sample": Case(
        partial(giraffe.step, name="giraffe-clevr2-256")
    ),
    "GRAF's picture, 64 x 64, against GIRAFFE's": Case(
        partial(giraffe.graf_and_giraffe, pixels=64), exact=False, systems=True
    ),
    "GRAF's picture, 256 x 256, against GIRAFFE's": Case(
        partial(giraffe.graf_and_giraffe, pixels=256), exact=False, systems=True
    ),
    "GIRAFFE's picture, 256 x 256, against 64 x 64": Case(giraffe.large_and_small, exact=False, systems=True),
    "GIRAFFE's picture, 256 x 256, against 64 x 64, of the same width": Case(
        partial(giraffe.large_and_small, levels=2), exact=False, systems=True
    ),
    **{
        f"CIPS forward, {n} x {n}, against grouped convolutions": Case(partial(cips.forward, pixels=n))
        for n in (64, 256, 1024)
    },
    "CIPS step, 64 x 64, against grouped convolutions": Case(cips.step),
    **{
        f"{name} of {count} Gaussians, {pixels} x {pixels}": splats_case(count, pixels, gradients)
        for count in (8192, 109056, 240128)
        for pixels in (128, 256, 512)
        for name, gradients in (("picture", False), ("picture and gradients", True))
    },
    **{
        f"CGS-GAN, z to {what} at {side} x {side}": Case(
            partial(cgsgan.forward, side=side, picture=picture), makes=count, large=side > 256
        )
        for side, count in cgsgan.GAUSSIANS.items()
        for what, picture in ((f"{count} Gaussians", False), (f"a picture of {count} Gaussians", True))
    },
    "Inception features": Case(extractors.inception),
    "random features of 128 pictures, 64 x 64": Case(extractors.convolutions),
}
