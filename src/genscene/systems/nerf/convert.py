"""NeRF's released checkpoints under our names: the PyTorch port's .tar files, the official .npy files."""

import re
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from genscene.errors import BadInput
from genscene.experiment.schema import Experiment
from genscene.io.foreign_pickles import contents
from genscene.io.rename import Rules, rename
from genscene.render.volume import March
from genscene.systems.nerf import keras
from genscene.systems.nerf.field import FieldConfig
from genscene.systems.nerf.generator import Legacy, NeRFGenerator, NeRFGeneratorConfig
from genscene.systems.nerf.presets import PRESETS
from genscene.systems.nerf.system import NeRFConfig

NETWORK: Rules = (
    (r"pts_linears\.(\d+)\.(weight|bias)", r"layers.\1.\2"),
    (r"alpha_linear\.(weight|bias)", r"density.\1"),
    (r"feature_linear\.(weight|bias)", r"feature.\1"),
    (r"views_linears\.0\.(weight|bias)", r"tint.\1"),
    (r"rgb_linear\.(weight|bias)", r"color.\1"),
)
PLAIN: Rules = (
    (r"pts_linears\.(\d+)\.(weight|bias)", r"layers.\1.\2"),
    (r"output_linear\.color\.(weight|bias)", r"color.\1"),
    (r"output_linear\.density\.(weight|bias)", r"density.\1"),
    (r"views_linears\.0\.(weight|bias)", None),  # there, but never used
)


def legacy(config: NeRFGeneratorConfig) -> NeRFGeneratorConfig:
    """The released code's encoding, pixels, bins, last interval and depth."""
    march: March = replace(config.march, tail=1e10, bins="between")
    field: FieldConfig = replace(config.field, legacy_encoding=True)
    return replace(config, field=field, march=march, legacy=Legacy(pixel_corners=True, raw_depth=True))


def network(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """One network's tensors under our names."""
    if not any(name.startswith("output_linear") for name in found):
        return rename(found, NETWORK, wanted)
    split = {name: tensor for name, tensor in found.items() if not name.startswith("output_linear")}
    for end in ("weight", "bias"):
        rows = found[
            f"output_linear.{end}"
        ]  # red, green, blue, density, and sometimes one that is never used
        split |= {f"output_linear.color.{end}": rows[:3], f"output_linear.density.{end}": rows[3:4]}
    return rename(split, PLAIN, wanted)


def convert(path: Path, preset: str) -> tuple[Experiment, NeRFGenerator]:
    """A checkpoint NNNNNN.tar of the PyTorch port, or an official model_NNNNNN.npy, as ours.

    What lies beside it is read: settings (args.txt, config.txt), and an official model_fine_NNNNNN.npy.

    preset: whose background, bounds and samples it gets where no settings say, "" for nerf-blender-release.
    """
    content = opened(path)
    experiment = settled(PRESETS[known(preset or "nerf-blender-release")], beside(path), content)
    assert isinstance(experiment.system, NeRFConfig)
    generator = NeRFGenerator(experiment.system.generator)
    for ours, theirs in (("coarse", "network_fn_state_dict"), ("fine", "network_fine_state_dict")):
        part = getattr(generator, ours)
        if part is not None:
            part.load_state_dict(network(content[theirs], dict(part.named_parameters())))
    return experiment, generator


def known(preset: str) -> str:
    """The preset's name; BadInput where it is none of NeRF's."""
    if preset not in PRESETS:
        raise BadInput(f"no preset {preset!r} of NeRF to take bounds from; known: {', '.join(PRESETS)}")
    return preset


def opened(path: Path) -> dict[str, dict[str, Tensor]]:
    """The state dicts in a checkpoint, read without executing anything."""
    if path.suffix == ".npy":
        fine = keras.beside(path)
        both = {"network_fn_state_dict": keras.network(path)}
        return both | ({"network_fine_state_dict": keras.network(fine)} if fine.is_file() else {})
    content = contents(path)
    if not isinstance(content, dict) or not isinstance(content.get("network_fn_state_dict"), dict):
        raise BadInput(f"{path} is no checkpoint of nerf-pytorch: it has no network_fn_state_dict")
    return content


def beside(path: Path) -> dict[str, str]:
    """Settings 'name = value' in the args.txt or config.txt beside a checkpoint; none where there is neither."""
    found: dict[str, str] = {}
    for name in ("config.txt", "args.txt"):
        file = path.with_name(name)
        if file.is_file():
            lines = file.read_text(errors="replace").splitlines()
            pairs = (re.fullmatch(r"\s*(\w+)\s*=\s*(.*?)\s*", line) for line in lines)
            found |= {pair[1]: pair[2] for pair in pairs if pair}
    return found


def settled(
    experiment: Experiment, settings: dict[str, str], content: dict[str, dict[str, Tensor]]
) -> Experiment:
    """The experiment with what the weights and the settings tell."""
    system = experiment.system
    assert isinstance(system, NeRFConfig)
    config = system.generator
    state = content["network_fn_state_dict"]
    first = state["pts_linears.0.weight"]
    views = state["views_linears.0.weight"].shape[1] - len(first) if "rgb_linear.weight" in state else 27
    field = FieldConfig(
        width=len(first),
        depth=sum(bool(re.fullmatch(r"pts_linears\.\d+\.weight", name)) for name in state),
        octaves=(first.shape[1] - 3) // 6,
        direction_octaves=(views - 3) // 6,
        view_dependent="rgb_linear.weight" in state,
    )
    fine = int(settings.get("N_importance", config.fine)) if "network_fine_state_dict" in content else 0
    march = replace(config.march, samples=int(settings.get("N_samples", config.march.samples)))
    background = config.background
    if settings.get("dataset_type", "blender") == "blender" and "white_bkgd" in settings:
        background = "white" if settings["white_bkgd"] == "True" else "black"
    made = legacy(replace(config, field=field, march=march, fine=fine, background=background))
    return replace(experiment, system=replace(system, generator=made))
