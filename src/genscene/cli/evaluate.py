"""genscene evaluate GENERATOR: how good it is, in numbers."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from tyro.conf import Positional

from genscene.cli.options import parse, tell
from genscene.cli.scores import score
from genscene.data import SYNTHETIC
from genscene.data.synthetic import SETS
from genscene.errors import BadInput, nearest
from genscene.evaluation import reader
from genscene.files import atomic
from genscene.system import PosedConfig
from genscene.training.published import load, opened
from genscene.training.run import fresh

METRICS = ("steadiness", "frechet-pose")


@dataclass(frozen=True)
class Evaluate:
    """All options of the verb."""

    generator: Positional[Path]  # a .safetensors file, or the folder of a run
    data: str = ""  # synthetic:NAME, whose poses are known; default: what it was trained on
    metrics: str = ",".join(METRICS)  # which numbers
    count: int = 2048  # pictures for the Frechet distance
    split: Literal["train", "val", "test"] = "val"  # of a scene learnt from photographs: which of them
    # of a scene learnt from photographs: also LPIPS, by files of SqueezeNet's weights and of LPIPS's linear layers
    lpips: tuple[Path, Path] | None = None
    out: Path | None = None  # also write the numbers and how they were got as JSON


def main(words: list[str]) -> None:
    """Run the verb."""
    options = parse(Evaluate, words, "genscene evaluate", description="How good a generator is, in numbers.")
    asked = options.metrics.split(",")
    for name in asked:
        if name not in METRICS:
            raise BadInput(f"no metric {name!r}; {nearest(name, METRICS)}")
    generator, (experiment, _) = load(options.generator), opened(options.generator)
    if isinstance(experiment.system, PosedConfig):
        experiment = replace(experiment, data=options.data or experiment.data)
        score(generator, experiment, options.split, options.out, options.lpips)
        return
    if options.lpips is not None:
        raise BadInput("--lpips compares with photographs: it wants a scene that was learnt from some")
    source = options.data or experiment.data
    name = source.removeprefix(SYNTHETIC)
    if not source.startswith(SYNTHETIC) or name not in SETS:
        known = ", ".join(SYNTHETIC + known for known in SETS)
        raise BadInput(f"--data {source}: these numbers need pictures whose poses are known: {known}")
    if options.count < 128:
        raise BadInput(f"--count {options.count}: wanted at least 128 pictures")
    stick = reader.yardstick(name)
    found: dict[str, object] = {"data": source, "reader_error_degrees": torch.rad2deg(torch.tensor(stick.error)).item()}
    if "steadiness" in asked:
        found["steadiness"] = reader.steadiness(generator, stick)
        tell(f"steadiness {found['steadiness']:.3f}  (1: each latent is one thing that turns as the camera does)")
    if "frechet-pose" in asked:
        before, after = (
            reader.distance(g, stick, options.count) for g in (fresh(experiment).generator.eval(), generator)
        )
        found |= {"frechet_pose": after, "frechet_pose_untrained": before, "frechet_pose_photographs": stick.floor}
        found |= {"pictures": options.count, "size": reader.SIZE}
        less = f"{before / after:.0f}x below the untrained {before:.3f}"
        tell(f"frechet-pose {after:.4f}  ({less}; between photographs {stick.floor:.4f})")
    if options.out is not None:
        with atomic(options.out) as partial:
            partial.write_text(json.dumps(found, indent=2) + "\n")
