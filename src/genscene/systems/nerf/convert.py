"""NeRF's released checkpoints: the PyTorch port's .tar files, the official .npy files of Keras weights."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genscene.errors import BadInput
from genscene.experiment.schema import Experiment
from genscene.io.files import MAX_READ, MIB, open_regular, read_bytes
from genscene.io.foreign_pickles import read_checkpoint, unpickle
from genscene.io.rename import Rules, rename
from genscene.io.unpickler import Placeholder
from genscene.layers.nerf_field import FieldConfig, NeRFField
from genscene.systems.nerf.generator import NeRFGenerator
from genscene.systems.nerf.presets import PRESETS, official
from genscene.systems.nerf.system import NeRFConfig

NETWORK: Rules = (
    (r"pts_linears\.(\d+)\.(weight|bias)", r"layers.\1.\2"),
    (r"alpha_linear\.(weight|bias)", r"density.\1"),
    (r"feature_linear\.(weight|bias)", r"feature.\1"),
    (r"views_linears\.0\.(weight|bias)", r"color_layer.\1"),
    (r"rgb_linear\.(weight|bias)", r"color.\1"),
)
NO_VIEWS: Rules = (
    (r"pts_linears\.(\d+)\.(weight|bias)", r"layers.\1.\2"),
    (r"output_linear\.color\.(weight|bias)", r"color.\1"),
    (r"output_linear\.density\.(weight|bias)", r"density.\1"),
    (r"views_linears\.0\.(weight|bias)", None),  # there, but never used
)
KERAS = [
    *(f"pts_linears.{i}" for i in range(8)),
    "feature_linear",
    "views_linears.0",
    "rgb_linear",
    "alpha_linear",
]
StateDicts = dict[str, dict[str, Tensor]]


def rename_official(network: NeRFField, found: dict[str, Tensor]) -> dict[str, Tensor]:
    """One official network's tensors under the names of ours."""
    wanted = dict(network.named_parameters())
    if not any(name.startswith("output_linear") for name in found):
        return rename(found, NETWORK, wanted)
    split = {name: tensor for name, tensor in found.items() if not name.startswith("output_linear")}
    for end in ("weight", "bias"):
        # red, green, blue, density, and sometimes one that is never used
        rows = found[f"output_linear.{end}"]
        split |= {f"output_linear.color.{end}": rows[:3], f"output_linear.density.{end}": rows[3:4]}
    return rename(split, NO_VIEWS, wanted)


def convert(path: Path, preset: str) -> tuple[Experiment, NeRFGenerator]:
    """Read a checkpoint NNNNNN.tar of the PyTorch port, or an official model_NNNNNN.npy.

    Files beside it are read, too: settings (args.txt, config.txt), and an official model_fine_NNNNNN.npy.
    preset: whose background, bounds and samples it gets where no settings say; "" for nerf-blender-release.
    """
    preset = preset or "nerf-blender-release"
    if preset not in PRESETS:
        raise BadInput(f"no preset {preset!r} of NeRF to take bounds from; known: {', '.join(PRESETS)}")
    content = state_dicts(path)
    experiment = with_settings(PRESETS[preset], settings_beside(path), content)
    assert isinstance(experiment.system, NeRFConfig)
    generator = NeRFGenerator(experiment.system.generator)
    for ours, theirs in (
        (generator.coarse, "network_fn_state_dict"),
        (generator.fine, "network_fine_state_dict"),
    ):
        if ours is not None:
            ours.load_state_dict(rename_official(ours, content[theirs]))
    return experiment, generator


def state_dicts(path: Path) -> StateDicts:
    """The state dicts of a checkpoint, read without executing anything."""
    if path.suffix == ".npy":
        fine = path.with_name(path.name.replace("model_", "model_fine_", 1))
        both = {"network_fn_state_dict": read_keras(path)}
        return both | ({"network_fine_state_dict": read_keras(fine)} if fine.is_file() else {})
    content = read_checkpoint(path)
    if not isinstance(content, dict) or not isinstance(content.get("network_fn_state_dict"), dict):
        raise BadInput(f"{path} is no checkpoint of nerf-pytorch: it has no network_fn_state_dict")
    return content


def settings_beside(path: Path) -> dict[str, str]:
    """Settings 'name = value' of args.txt or config.txt beside a checkpoint, if there are any."""
    found: dict[str, str] = {}
    for name in ("config.txt", "args.txt"):
        file = path.with_name(name)
        if file.is_file():
            lines = read_bytes(file, "settings", MIB).decode(errors="replace").splitlines()
            pairs = (re.fullmatch(r"\s*(\w+)\s*=\s*(.*?)\s*", line) for line in lines)
            found |= {pair[1]: pair[2] for pair in pairs if pair}
    return found


def with_settings(experiment: Experiment, settings: dict[str, str], content: StateDicts) -> Experiment:
    """The experiment with the sizes of the weights, and what the settings say."""
    system = experiment.system
    assert isinstance(system, NeRFConfig)
    config, march = system.generator, system.generator.march
    field, fine_samples = field_config(content["network_fn_state_dict"]), 0
    if "network_fine_state_dict" in content:
        fine_samples = int(settings.get("N_importance", march.fine_samples))
        fine = field_config(content["network_fine_state_dict"])
        config = replace(config, fine_width=fine.width, fine_depth=fine.depth)
    march = replace(
        march,
        samples=int(settings.get("N_samples", march.samples)),
        fine_samples=fine_samples,
        jitter=float(settings.get("perturb", march.jitter)) > 0,
    )
    background = config.background
    if settings.get("dataset_type", "blender") == "blender" and "white_bkgd" in settings:
        background = "white" if settings["white_bkgd"] == "True" else "black"
    generator = official(replace(config, field=field, march=march, background=background))
    return replace(experiment, system=replace(system, generator=generator))


def field_config(state: Mapping[str, Tensor]) -> FieldConfig:
    """The sizes of a network of nerf-pytorch, from its tensors."""
    first = state["pts_linears.0.weight"]
    view_dependent = "rgb_linear.weight" in state
    views = state["views_linears.0.weight"].shape[1] - len(first) if view_dependent else 27
    widths = {
        int(m[1]): t.shape[1]
        for n, t in state.items()
        if (m := re.fullmatch(r"pts_linears\.(\d+)\.weight", n))
    }
    return FieldConfig(
        width=len(first),
        depth=len(widths),
        skips=tuple(i for i, width in sorted(widths.items()) if i and width > len(first)),
        octaves=(first.shape[1] - 3) // 6,
        direction_octaves=(views - 3) // 6,
        view_dependent=view_dependent,
    )


def read_keras(path: Path) -> dict[str, Tensor]:
    """One network of the official code, a list of Keras arrays, under the PyTorch port's names."""
    found = keras_arrays(path)
    if len(found) != 2 * len(KERAS):
        raise BadInput(
            f"{path} holds {len(found)} arrays, wanted the {2 * len(KERAS)} of a NeRF with view directions"
        )
    named: dict[str, Tensor] = {}
    for name, kernel, bias in zip(KERAS, found[::2], found[1::2], strict=True):
        # Keras' kernels are (in, out)
        named |= {f"{name}.weight": kernel.mT.contiguous(), f"{name}.bias": bias}
    return named


def keras_arrays(path: Path) -> list[Tensor]:
    """The arrays in a .npy file of objects, in order, read without executing anything."""
    try:
        with open_regular(path, "weights", MAX_READ) as file:
            version = np.lib.format.read_magic(file)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            _, _, dtype = read(file)
            if not dtype.hasobject:
                raise ValueError(f"an array of {dtype}, wanted objects")
            return [keras_array(part) for part in unpickle(file).state[4]]
    except BadInput as error:
        raise BadInput(str(error) if str(path) in str(error) else f"{path}: {error}") from None
    except Exception as error:  # a damaged pickle can raise anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise BadInput(f"{path} holds no weights of the official NeRF ({reason[:120]})") from None


def keras_array(part: Any) -> Tensor:
    """A pickled float32 array from its placeholder: (version, shape, dtype, column-major, bytes)."""
    if not isinstance(part, Placeholder) or not isinstance(part.state, tuple) or len(part.state) != 5:
        raise ValueError("an object that is no array is among the weights")
    _, shape, dtype, columns, data = part.state
    if not isinstance(dtype, Placeholder) or dtype.arguments[:1] != ("f4",):
        raise ValueError("numbers that are not float32")
    if isinstance(data, Placeholder):  # older pickles write bytes as text
        data = data.arguments[0].encode("latin1")
    numbers = np.frombuffer(data, "<f4").reshape(shape, order="F" if columns else "C")
    return torch.from_numpy(np.ascontiguousarray(numbers).copy())
