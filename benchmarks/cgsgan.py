"""CGS-GAN's generator at the published sizes, with random weights: a latent code to Gaussians, a picture."""

import torch
from torch import Tensor

from benchmarks.side import Side, Work
from genscene.randomness import RandomStreams
from genscene.scenes import Gaussians
from genscene.systems import PRESETS

GAUSSIANS = {256: 109_056, 512: 240_128, 1024: 502_272, 2048: 1_026_560}  # side of pictures -> in each


def forward(of: Side, side: int, picture: bool) -> Work:
    """One latent code, without a gradient -> where its Gaussians are, or a picture of them."""
    generator = PRESETS[f"cgsgan-ffhqc-{side}"].system.build_generator().to(of.device).eval()
    z = generator.latents(RandomStreams([0], of.device))
    view = generator.prior.sweep(1, (side, side)).to(of.device)

    @torch.no_grad()
    def work() -> Tensor:
        scene = generator.scene(z)
        assert isinstance(scene, Gaussians)
        assert scene.means.shape[1] == GAUSSIANS[side]
        return generator.render(scene, view).image if picture else scene.means

    return work
