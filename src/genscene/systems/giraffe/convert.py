"""GIRAFFE's released checkpoints: model files with the moving averages under generator_test."""

from dataclasses import replace
from pathlib import Path

from genscene.errors import BadInput
from genscene.experiment.schema import Experiment
from genscene.io.foreign_pickles import read_state_dict
from genscene.io.rename import Rules, rename
from genscene.systems.giraffe.generator import GIRAFFEGenerator, GIRAFFEGeneratorConfig
from genscene.systems.giraffe.presets import PRESETS
from genscene.systems.giraffe.system import GIRAFFEConfig

FIELD: Rules = (
    (r"fc_in\.(weight|bias)", r"point.\1"),
    (r"fc_z\.(weight|bias)", r"shape.\1"),
    (r"blocks\.(\d+)\.(weight|bias)", r"layers.\1.\2"),
    (r"fc_z_skips\.(\d+)\.(weight|bias)", r"skip_shapes.\1.\2"),
    (r"fc_p_skips\.(\d+)\.(weight|bias)", r"skip_points.\1.\2"),
    (r"sigma_out\.(weight|bias)", r"density.\1"),
    (r"feat_view\.(weight|bias)", r"feature_layer.\1"),
    (r"fc_z_view\.(weight|bias)", r"appearance.\1"),
    (r"fc_view\.(weight|bias)", r"direction.\1"),
    (r"feat_out\.(weight|bias)", r"feature.\1"),
)
RENDERER: Rules = (
    (r"conv_in\.(weight|bias)", r"first.\1"),
    (r"conv_layers\.(\d+)\.(weight|bias)", r"layers.\1.\2"),
    (r"conv_rgb\.(\d+)\.(weight|bias)", r"rgb.\1.\2"),
    (r"conv_rgb\.(weight|bias)", r"rgb.0.\1"),
    (r"upsample_(?:2|rgb)\.1\.f", None),  # the blur, [1, 2, 1]
)


def within(official: str, ours: str, rules: Rules) -> Rules:
    """The rules for a part that the official model and ours have under these names."""
    return tuple((rf"{official}\.{a}", None if b is None else f"{ours}.{b}") for a, b in rules)


GENERATOR: Rules = (
    *within("decoder", "objects.0", FIELD),
    *within("background_generator", "background", FIELD),
    *within("neural_renderer", "renderer", RENDERER),
)
DISCRIMINATOR: Rules = (
    (r"blocks\.(\d+)\.weight", r"layers.\1.weight"),
    (r"conv_out\.weight", "last.weight"),
    (r"conv_img\.(weight|bias)", r"first.\1"),
    *(
        (rf"resnet\.{2 * i}\.conv_{a}\.(weight|bias)", rf"blocks.{i}.{b}.\1")
        for i in range(12)
        for a, b in (("0", "first"), ("1", "second"), ("s", "shortcut"))
    ),
    (r"fc\.(weight|bias)", r"last.\1"),
)

# by the numbers of the shape code and of a feature, which tell released models apart but for their data
DEFAULTS = {
    (256, 128): "giraffe-celeba",
    (256, 256): "giraffe-celebahq-256",
    (64, 128): "giraffe-clevr2345-256",
}


def convert(path: Path, preset: str) -> tuple[Experiment, GIRAFFEGenerator]:
    """Read a released model file; preset: whose boxes and cameras it gets, which the file does not hold.

    Raises BadInput where its tensors do not fit the preset. Nothing in the file is executed.
    """
    found = read_state_dict(path, "model", "generator_test.")
    first, last = (found.get(f"decoder.{name}.weight") for name in ("fc_z", "feat_out"))
    if first is None or last is None:
        raise BadInput(f"{path} is no checkpoint of GIRAFFE: it has no generator_test.decoder")
    preset = preset or DEFAULTS.get((first.shape[-1], len(last)), "")
    if preset not in PRESETS:
        raise BadInput(f"no preset {preset!r} of GIRAFFE to take boxes from; known: {', '.join(PRESETS)}")
    experiment = PRESETS[preset]
    assert isinstance(experiment.system, GIRAFFEConfig)
    config = official(experiment.system.generator)
    generator = GIRAFFEGenerator(config)
    renamed = rename(found, GENERATOR, dict(generator.named_parameters()))
    generator.load_state_dict(renamed, strict=False)  # but for the random frequencies, which are constants
    return replace(experiment, system=replace(experiment.system, generator=config)), generator


def official(config: GIRAFFEGeneratorConfig) -> GIRAFFEGeneratorConfig:
    """The same generator with the conventions of the released code, in which its weights were trained.

    There the background's rotation maps points into it; here its inverse does.
    """
    low, high = config.background_rotation
    return replace(
        config,
        object=replace(config.object, direction_extent=config.object.extent),
        background=replace(config.background, direction_extent=config.background.extent),
        background_rotation=(0.0 - high, 0.0 - low),
        pixels="border",
        axis_depth=True,
    )
