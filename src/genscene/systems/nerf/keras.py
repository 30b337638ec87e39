"""The official NeRF's weights: model_NNNNNN.npy, a pickled list of Keras' arrays, read without running it."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genscene.errors import BadInput
from genscene.io.foreign_pickles import Inert, unpickled

LAYERS = [
    *(f"pts_linears.{i}" for i in range(8)),
    "feature_linear",
    "views_linears.0",
    "rgb_linear",
    "alpha_linear",
]


def network(path: Path) -> dict[str, Tensor]:
    """The tensors of one network under the names of the PyTorch port; kernels are turned from (in, out)."""
    found = arrays(path)
    if len(found) != 2 * len(LAYERS):
        raise BadInput(
            f"{path} holds {len(found)} arrays, wanted the {2 * len(LAYERS)} of a NeRF with view directions"
        )
    named: dict[str, Tensor] = {}
    for name, kernel, bias in zip(LAYERS, found[::2], found[1::2], strict=True):
        named |= {f"{name}.weight": kernel.mT.contiguous(), f"{name}.bias": bias}
    return named


def beside(path: Path) -> Path:
    """The fine network's file beside a coarse one's."""
    return path.with_name(path.name.replace("model_", "model_fine_", 1))


def arrays(path: Path) -> list[Tensor]:
    """The arrays in a .npy file of objects, in their order."""
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            _, _, kind = read(file)
            if not kind.hasobject:
                raise ValueError(f"an array of {kind}, wanted objects")
            return [array(part) for part in unpickled(file).state[4]]
    except FileNotFoundError:
        raise BadInput(f"no weights at {path}") from None
    except Exception as error:  # a damaged pickle can raise anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise BadInput(f"{path} holds no weights of the official NeRF ({reason[:120]})") from None


def array(part: Any) -> Tensor:
    """A pickled array of float32 numbers, from its stand-in: (version, shape, kind, column by column, bytes)."""
    if not isinstance(part, Inert) or not isinstance(part.state, tuple) or len(part.state) != 5:
        raise ValueError("something that is no array stands among the weights")
    _, shape, kind, columns, data = part.state
    if not isinstance(kind, Inert) or kind.arguments[:1] != ("f4",):
        raise ValueError("numbers that are not float32")
    if isinstance(data, Inert):  # older pickles write bytes as text
        data = data.arguments[0].encode("latin1")
    numbers = np.frombuffer(data, "<f4").reshape(shape, order="F" if columns else "C")
    return torch.from_numpy(np.ascontiguousarray(numbers).copy())
