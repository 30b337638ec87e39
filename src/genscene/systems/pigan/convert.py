"""pi-GAN's released checkpoints: pickled generators, and the lists of their moving averages."""

import re
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from genscene.errors import BadInput
from genscene.experiment.schema import Experiment
from genscene.io.foreign_pickles import collect_tensors, find_placeholders, read_checkpoint
from genscene.io.rename import Rules, rename
from genscene.io.unpickler import Placeholder
from genscene.layers.mapping import update_w_avg
from genscene.systems.pigan.generator import PiGANGenerator
from genscene.systems.pigan.presets import PRESETS
from genscene.systems.pigan.system import PiGANConfig

GENERATOR: Rules = (
    (r"(?:siren\.)?network\.(\d+)\.layer\.(weight|bias)", r"field.layers.\1.\2"),
    (r"(?:siren\.)?final_layer\.(weight|bias)", r"field.density.\1"),
    (r"(?:siren\.)?color_layer_sine\.layer\.(weight|bias)", r"field.color_layer.\1"),
    (r"(?:siren\.)?color_layer_linear\.0\.(weight|bias)", r"field.color.\1"),
    (r"(?:siren\.)?mapping_network\.network\.(\d+)\.(weight|bias)", r"mapping.network.\1.\2"),
    (r"(?:siren\.)?spatial_embeddings", "field.grid"),
)
DISCRIMINATOR: Rules = (
    (r"layers\.(\d+)\.network\.0\.(?:conv\.)?(weight|bias)", r"blocks.\1.first.\2"),
    (r"layers\.(\d+)\.network\.2\.(?:conv\.)?(weight|bias)", r"blocks.\1.second.\2"),
    (r"layers\.(\d+)\.proj\.(weight|bias)", r"blocks.\1.shortcut.\2"),
    (r"fromRGB\.(\d+)\.model\.0\.(weight|bias)", r"from_rgb.\1.\2"),
    (r"final_layer\.(weight|bias)", r"last.\1"),
    (r"pose_layer\.(weight|bias)", None),  # not used by the released code
)

# The box warp is in no tensor: it follows from the pickled class. The preset adds cameras and distances.
CLASSES = {
    "TALLSIREN": "pigan-carla-release",
    "SPATIALSIRENBASELINE": "pigan-celeba-release",
    "EmbeddingPiGAN128": "pigan-celeba-grid128",
    "EmbeddingPiGAN256": "pigan-celeba-grid256",
}


def convert(path: Path, preset: str) -> tuple[Experiment, PiGANGenerator]:
    """Read a generator.pth, or an ema.pth beside one, as trained or released; preset: to take cameras from.

    Raises BadInput where the file is neither, or its tensors do not fit. Nothing in the file is executed.
    """
    found = read_checkpoint(path)
    averages = next(find_placeholders(found, "ExponentialMovingAverage"), None)
    module = found if averages is None else read_checkpoint(generator_beside(path))
    experiment = experiment_of(field_class(module, path), preset)
    assert isinstance(experiment.system, PiGANConfig)
    generator = PiGANGenerator(experiment.system.generator)
    named = collect_tensors(module)
    if averages is not None:
        named = averaged(named, averages, path)
    load_official(generator, named)
    update_w_avg(generator)
    return experiment, generator


def load_official(generator: PiGANGenerator, tensors: dict[str, Tensor]) -> None:
    """Load official tensors into a generator; all but w_avg, which they do not hold."""
    renamed = rename(tensors, GENERATOR, dict(generator.named_parameters()))
    generator.load_state_dict({"mapping.w_avg": generator.mapping.w_avg} | renamed)


def generator_beside(path: Path) -> Path:
    """The pickled generator beside a list of moving averages, which holds no names and no class.

    The official training writes 20210512-1200ema.pth and 20210512-1200generator.pth, the release has ema.pth
    and generator.pth.
    """
    own = re.sub(r"ema2?(\.\w+)$", r"generator\1", path.name)
    choices = [path.with_name(name) for name in dict.fromkeys((own, "generator.pth")) if name != path.name]
    found = next((choice for choice in choices if choice.is_file()), None)
    if found is None:
        names = " or ".join(choice.name for choice in choices)
        raise BadInput(f"{path} is a list of moving averages without names: put its {names} beside it")
    return found


def field_class(module: object, path: Path) -> str:
    """The class of the pickled field."""
    for kind in CLASSES:
        if next(find_placeholders(module, kind), None) is not None:
            return kind
    name = module.name if isinstance(module, Placeholder) else type(module).__name__
    wanted = " or ".join(CLASSES)
    raise BadInput(f"{path} holds no generator of pi-GAN: found {name}, wanted a module with {wanted}")


def experiment_of(kind: str, preset: str) -> Experiment:
    """The released experiment of a class of field, with the cameras of another preset where one is given."""
    experiment = PRESETS[CLASSES[kind]]
    if not preset:
        return experiment
    if preset not in PRESETS:
        raise BadInput(f"no preset {preset!r} of pi-GAN to take cameras from; known: {', '.join(PRESETS)}")
    system, other = experiment.system, PRESETS[preset].system
    assert isinstance(system, PiGANConfig)
    assert isinstance(other, PiGANConfig)
    generator = replace(other.generator, field=system.generator.field)
    return replace(PRESETS[preset], system=replace(other, generator=generator))


def averaged(named: dict[str, Tensor], averages: Placeholder, path: Path) -> dict[str, Tensor]:
    """The moving averages, which are in the order of the parameters, under the parameters' names."""
    values = averages.attributes.get("shadow_params")
    if not isinstance(values, list) or len(values) != len(named):
        count = len(values) if isinstance(values, list) else 0
        raise BadInput(
            f"{path} lists {count} moving averages, the generator beside it has {len(named)} tensors"
        )
    return dict(zip(named, values, strict=True))
