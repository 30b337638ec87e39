"""CIPS: one matrix for each picture, in parts, against grouped convolutions of the whole, as released."""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from benchmarks.side import WHOLE, Side, Work, training_step
from genscene.contract import MAX_BYTES, RenderOptions
from genscene.distributed import ProcessGroup
from genscene.experiment.schema import Stage
from genscene.geometry.cameras import Grid
from genscene.layers.stylegan2 import EPS, ModulatedLinear
from genscene.objectives.stylegan2 import StyleGAN2DiscriminatorConfig
from genscene.randomness import RandomStreams
from genscene.systems import PRESETS
from genscene.systems.cips.generator import CIPSGenerator, CIPSGeneratorConfig
from genscene.systems.cips.system import CIPSConfig
from genscene.training.run import init_state

BATCH = 4
NARROW = 128  # channels of pictures above 64 x 64 on a CPU, where the paper's 512 take minutes


class GroupedLinear(ModulatedLinear):
    """A convolution of single pixels with a group and modulated weights for each picture (released code)."""

    def forward(self, x: Tensor, style: Tensor, bias: Tensor | None = None) -> Tensor:
        """x [B, N, inputs], styles [B, style] -> [B, N, outputs]."""
        weight = self.scale * self.weight * self.modulation(style)[:, None]
        if self.demodulate:
            weight = weight * torch.rsqrt(weight.square().sum(dim=2, keepdim=True) + EPS)
        rows = x.mT.reshape(1, -1, x.shape[1], 1)
        found = conv2d(rows, weight.flatten(0, 1)[..., None, None], groups=len(x))
        y = found.view(len(x), -1, x.shape[1]).mT
        return y if bias is None else y + bias


def make_plain(network: nn.Module) -> None:
    """Let all modulated layers of a network compute as released."""
    for module in network.modules():
        if isinstance(module, ModulatedLinear):
            module.__class__ = GroupedLinear


def config_of(pixels: int, width: int) -> CIPSGeneratorConfig:
    """The paper's generator, of such a width, for square pictures."""
    system, size = PRESETS["cips-ffhq-256"].system, (pixels, pixels)
    assert isinstance(system, CIPSConfig)
    table = (min(pixels, 256), min(pixels, 256))
    network = replace(system.generator.network, features=width, widths=(width,) * 7, embedding_size=table)
    return replace(system.generator, network=network, size=size)


def forward(side: Side, pixels: int) -> Work:
    """Pictures without a gradient: four at 64 x 64, else one."""
    count, width = BATCH if pixels == 64 else 1, 512 if side.large or pixels == 64 else NARROW
    generator = CIPSGenerator(config_of(pixels, width)).to(side.device).eval()
    if side.plain:
        make_plain(generator)
    scene = generator.bind(generator.style(generator.latents(RandomStreams(range(count), side.device))))
    view = Grid.whole(count, (pixels, pixels)).to(side.device)
    options = RenderOptions(max_bytes=WHOLE if side.plain else MAX_BYTES)

    @torch.no_grad()
    def work() -> Tensor:
        with side.mixed():
            return generator.render(scene, view, options).image

    return work


def step(side: Side) -> Work:
    """A step of both players at 64 x 64, without R1 -> the losses."""
    preset = PRESETS["cips-ffhq-256"]
    assert isinstance(preset.system, CIPSConfig)
    discriminator = StyleGAN2DiscriminatorConfig(size=64)
    system = replace(preset.system, generator=config_of(64, 512), discriminator=discriminator)
    experiment = replace(preset, system=system, stages=(Stage(0, (64, 64), BATCH),))
    state = init_state(experiment, side.device, ProcessGroup(), side.precision)
    if side.plain:
        make_plain(state.system.generator)
    return training_step(side, state, BATCH, 64)
