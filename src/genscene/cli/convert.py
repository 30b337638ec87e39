"""genscene convert CHECKPOINT: official checkpoints to generator files, without executing what is in them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from genscene.cli.shared.options import parse, print_line, require_suffix
from genscene.contract import Generator, System
from genscene.errors import BadInput
from genscene.experiment.schema import Experiment
from genscene.io import generator_file
from genscene.io.atomic import locked
from genscene.io.generator_file import GeneratorFile
from genscene.systems.cgsgan import convert as cgsgan
from genscene.systems.cips import convert as cips
from genscene.systems.giraffe import convert as giraffe
from genscene.systems.graf import convert as graf
from genscene.systems.nerf import convert as nerf
from genscene.systems.pigan import convert as pigan
from genscene.training.checkpoint import Retention, save
from genscene.training.loop import TrainState
from genscene.training.resume import can_resume

CONVERTERS: dict[str, Callable[[Path, str], tuple[Experiment, Generator]]] = {
    "cgsgan": cgsgan.convert,
    "cips": cips.convert,
    "giraffe": giraffe.convert,
    "graf": graf.convert,
    "pigan": pigan.convert,
    "nerf": nerf.convert,
}
# of checkpoints that hold a discriminator to train on with
PLAYERS: dict[str, Callable[[Path, str], tuple[Experiment, System]]] = {
    "cgsgan": cgsgan.convert_players,
    "cips": cips.convert_players,
}


@dataclass(frozen=True)
class Convert:
    """All options of the verb."""

    # pi-GAN: generator.pth, or an ema.pth beside one, or of a step, 20210512-1200ema.pth beside
    # 20210512-1200generator.pth; NeRF: NNNNNN.tar, model_NNNNNN.npy; GRAF, GIRAFFE: model.pt;
    # CIPS: *_g_ema.pt, or a file of its training; CGS-GAN: *.pkl
    checkpoint: Positional[Path]
    out: Path  # FILE.safetensors
    system: Literal["pigan", "nerf", "graf", "giraffe", "cips", "cgsgan"] = "pigan"  # of the checkpoint
    # whose cameras, boxes, background or data it gets; default: one of its sizes
    preset: str = ""
    # folder to train on from, of CGS-GAN or a file of CIPS's training: with its discriminator
    run: Path | None = None
    licence: str = ""  # of the weights, to be stored in the file


def main(words: list[str]) -> None:
    """Run the verb."""
    about = "Official checkpoints to generator files. Nothing in the checkpoint is executed."
    options = parse(Convert, words, "genscene convert", description=about)
    require_suffix("--out", options.out, (".safetensors",))
    if options.run is not None:
        check_run(options, options.run)
    experiment, generator = CONVERTERS[options.system](options.checkpoint, options.preset)
    # read before anything is written
    players = PLAYERS[options.system](options.checkpoint, options.preset) if options.run is not None else None
    generator_file.write(options.out, GeneratorFile(generator, experiment, licence=options.licence))
    count = sum(parameter.numel() for parameter in generator.parameters())
    print_line(
        f"{options.out}: {count} parameters; render it with: genscene render {options.out} --out pictures.png"
    )
    if options.run is not None and players is not None:
        write_run(options, options.run, players, generator)


def check_run(options: Convert, folder: Path) -> None:
    """Raise BadInput where the checkpoint has no players for a run, or the folder is that of another."""
    if options.system not in PLAYERS:
        raise BadInput(
            f"--run {folder}: only files of {', '.join(PLAYERS)} have a discriminator to train on with"
        )
    can_resume(folder, resume=False)


def write_run(options: Convert, folder: Path, found: tuple[Experiment, System], average: Generator) -> None:
    """Write both players of a training's file, and the averaged generator, as those of a run."""
    experiment, players = found
    content = GeneratorFile(average, experiment, licence=options.licence)
    with locked(folder / ".lock") as holder:
        if holder:
            raise BadInput(f"--run {folder}: {holder} trains there: wait for its end, or choose another")
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        save(folder, TrainState(experiment, players, average, {}), content, 0, Retention())
    print_line(f"{folder}: train on from it with: genscene train PRESET --init {folder}")
