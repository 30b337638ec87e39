"""pi-GAN's released checkpoints under our names: pickled generators, and the lists of their running means."""

from dataclasses import replace
from pathlib import Path

from torch import Tensor

from genscene.errors import BadInput
from genscene.experiment.schema import Experiment
from genscene.io.foreign_pickles import Inert, contents, inert, tensors
from genscene.io.rename import Rules, rename
from genscene.systems.pigan.generator import PiGANGenerator
from genscene.systems.pigan.presets import PRESETS
from genscene.systems.pigan.system import PiGANConfig

GENERATOR: Rules = (
    (r"(?:siren\.)?network\.(\d+)\.layer\.(weight|bias)", r"field.layers.\1.\2"),
    (r"(?:siren\.)?final_layer\.(weight|bias)", r"field.density.\1"),
    (r"(?:siren\.)?color_layer_sine\.layer\.(weight|bias)", r"field.tint.\1"),
    (r"(?:siren\.)?color_layer_linear\.0\.(weight|bias)", r"field.color.\1"),
    (r"(?:siren\.)?mapping_network\.network\.(\d+)\.(weight|bias)", r"mapping.\1.\2"),
    (r"(?:siren\.)?spatial_embeddings", "field.grid"),
)
DISCRIMINATOR: Rules = (
    (r"layers\.(\d+)\.network\.0\.(?:conv\.)?(weight|bias)", r"blocks.\1.first.\2"),
    (r"layers\.(\d+)\.network\.2\.(?:conv\.)?(weight|bias)", r"blocks.\1.second.\2"),
    (r"layers\.(\d+)\.proj\.(weight|bias)", r"blocks.\1.shortcut.\2"),
    (r"fromRGB\.(\d+)\.model\.0\.(weight|bias)", r"entrances.\1.\2"),
    (r"final_layer\.(weight|bias)", r"last.\1"),
    (r"pose_layer\.(weight|bias)", None),  # never used by the released code
)

# The box warp is in no tensor: the pickled class tells it. The preset adds cameras, distances and background.
CLASSES = {
    "TALLSIREN": "pigan-carla-release",
    "SPATIALSIRENBASELINE": "pigan-celeba-release",
    "EmbeddingPiGAN128": "pigan-celeba-grid128",
    "EmbeddingPiGAN256": "pigan-celeba-grid256",
}


def convert(path: Path, preset: str) -> tuple[Experiment, PiGANGenerator]:
    """A released generator.pth, or an ema.pth beside one, as ours; preset: whose cameras it gets, "" for its class's.

    Raises BadInput where the file is neither, or its tensors do not fit. Nothing in the file is executed.
    """
    found = contents(path)
    means = next(inert(found, "ExponentialMovingAverage"), None)
    module = found if means is None else companion(path)
    kind = field_class(module, path)
    experiment = experiment_of(kind, preset, path)
    assert isinstance(experiment.system, PiGANConfig)
    generator = PiGANGenerator(experiment.system.generator)
    named = tensors(module)
    if means is not None:
        named = shadowed(named, means, path)
    fill(generator, rename(named, GENERATOR, dict(generator.named_parameters())))
    generator.settle()
    return experiment, generator


def companion(path: Path) -> object:
    """The pickled generator beside a list of running means, which has no names and no class of its own."""
    beside = path.with_name("generator.pth")
    if not beside.is_file():
        raise BadInput(
            f"{path} is a list of running means without names: put the generator.pth it came with beside it"
        )
    return contents(beside)


def field_class(module: object, path: Path) -> str:
    """The class of the pickled field."""
    for kind in CLASSES:
        if next(inert(module, kind), None) is not None:
            return kind
    name = module.name if isinstance(module, Inert) else type(module).__name__
    raise BadInput(
        f"{path} holds no generator of pi-GAN: found {name}, wanted a module with {' or '.join(CLASSES)}"
    )


def experiment_of(kind: str, preset: str, path: Path) -> Experiment:
    """The released experiment that fits a class of field, with another's cameras if a preset is given."""
    experiment = PRESETS[CLASSES[kind]]
    system = experiment.system
    assert isinstance(system, PiGANConfig)
    if not preset:
        return experiment
    if preset not in PRESETS:
        raise BadInput(f"no preset {preset!r} of pi-GAN to take cameras from; known: {', '.join(PRESETS)}")
    other = PRESETS[preset].system
    assert isinstance(other, PiGANConfig)
    return replace(
        PRESETS[preset],
        system=replace(other, generator=replace(other.generator, field=system.generator.field)),
    )


def shadowed(named: dict[str, Tensor], means: Inert, path: Path) -> dict[str, Tensor]:
    """The running means, in the order of the parameters, under the parameters' names."""
    values = means.attributes.get("shadow_params")
    if not isinstance(values, list) or len(values) != len(named):
        count = len(values) if isinstance(values, list) else 0
        raise BadInput(
            f"{path} lists {count} running means, the generator beside it has {len(named)} tensors"
        )
    return dict(zip(named, values, strict=True))


def fill(generator: PiGANGenerator, values: dict[str, Tensor]) -> None:
    """Put renamed tensors into a generator."""
    generator.load_state_dict({"average": generator.average} | values)
