"""genscene convert CHECKPOINT: official checkpoints into ours, without running what is in them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from genscene.cli.options import parse, tell
from genscene.errors import BadInput
from genscene.systems.pigan.convert import convert
from genscene.training.published import publish


@dataclass(frozen=True)
class Convert:
    """All options of the verb."""

    checkpoint: Positional[Path]  # pi-GAN: generator.pth, or an ema.pth that lies beside one
    out: Path  # FILE.safetensors
    system: Literal["pigan"] = "pigan"  # whose checkpoint it is
    preset: str = ""  # whose cameras and background it gets; default: those of the pickled class


def main(words: list[str]) -> None:
    """Run the verb."""
    about = "Official checkpoints into ours. Nothing in the file is executed."
    options = parse(Convert, words, "genscene convert", description=about)
    if options.out.suffix != ".safetensors":
        raise BadInput(f"--out {options.out}: wanted a file ending with .safetensors")
    experiment, generator = convert(options.checkpoint, options.preset)
    publish(options.out, generator, experiment)
    count = sum(parameter.numel() for parameter in generator.parameters())
    tell(f"{options.out}: {count} parameters; see it with: genscene render {options.out} --out pictures.png")
