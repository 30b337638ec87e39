"""Weights of networks that measure: read from files a person names, checked tensor by tensor, known by their hash."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from genscene.errors import BadInput
from genscene.io.foreign_pickles import collect_tensors, read_checkpoint
from genscene.io.rename import Rules, rename


def read(path: Path) -> dict[str, Tensor]:
    """All collect_tensors of a .npz, a .safetensors or a checkpoint of torch, which is not run; all of them finite."""
    if not path.is_file():
        raise BadInput(f"no weights at {path}")
    return finite(path, _read(path))


def finite(path: Path, found: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same collect_tensors; BadInput names the file and the first that holds nan or inf, by which nothing is measured."""
    for name, tensor in found.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise BadInput(f"{path}: the weights {name} hold numbers that are not finite (nan or inf)")
    return found


def _read(path: Path) -> dict[str, Tensor]:
    if path.suffix not in (".npz", ".safetensors"):
        return collect_tensors(read_checkpoint(path))
    try:
        return _arrays(path) if path.suffix == ".npz" else load_file(path)
    except Exception as error:  # a damaged archive can raise anything
        said = " ".join(str(error).split())
        raise BadInput(
            f"{path} is no whole {path.suffix} of weights ({type(error).__name__}: {said})"
        ) from None


def fitted(
    path: Path, found: Mapping[str, Tensor], rules: Rules, wanted: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """What was found in a file under our names; BadInput names the file and the first tensor that does not fit."""
    try:
        return rename(found, rules, wanted)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None


def sha256(path: Path) -> str:
    """What a file of weights is known by, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _arrays(path: Path) -> dict[str, Tensor]:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        return {name: torch.from_numpy(stored[name]) for name in stored.files}
