"""genscene convert CHECKPOINT: official checkpoints into ours, without running what is in them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from genscene.cli.options import parse, tell
from genscene.contract import Generator
from genscene.errors import BadInput
from genscene.experiment.schema import Experiment
from genscene.io.generator_file import save_generator
from genscene.systems.nerf import convert as nerf
from genscene.systems.pigan import convert as pigan

CONVERTERS: dict[str, Callable[[Path, str], tuple[Experiment, Generator]]] = {
    "pigan": pigan.convert,
    "nerf": nerf.convert,
}


@dataclass(frozen=True)
class Convert:
    """All options of the verb."""

    checkpoint: Positional[
        Path
    ]  # pi-GAN: generator.pth, or an ema.pth beside one; NeRF: NNNNNN.tar, model_NNNNNN.npy
    out: Path  # FILE.safetensors
    system: Literal["pigan", "nerf"] = "pigan"  # whose checkpoint it is
    preset: str = ""  # whose cameras and background it gets; default: its class's, or nerf-blender-release


def main(words: list[str]) -> None:
    """Run the verb."""
    about = "Official checkpoints into ours. Nothing in the file is executed."
    options = parse(Convert, words, "genscene convert", description=about)
    if options.out.suffix != ".safetensors":
        raise BadInput(f"--out {options.out}: wanted a file ending with .safetensors")
    experiment, generator = CONVERTERS[options.system](options.checkpoint, options.preset)
    save_generator(options.out, generator, experiment)
    count = sum(parameter.numel() for parameter in generator.parameters())
    tell(f"{options.out}: {count} parameters; see it with: genscene render {options.out} --out pictures.png")
