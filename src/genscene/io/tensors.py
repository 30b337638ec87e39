"""Files of tensors, of this library or of others: .npz, .safetensors and checkpoints of torch."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from genscene.errors import BadInput, describe_error
from genscene.io.arrays import read_arrays
from genscene.io.files import MIB, open_regular
from genscene.io.foreign_pickles import collect_tensors, read_checkpoint


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """All tensors, all finite, of a .npz, a .safetensors or a torch checkpoint, whose code is not run."""
    path = Path(path)
    try:
        if path.suffix == ".safetensors":
            with open_regular(path, "weights"):
                found = load_file(path)
        elif path.suffix == ".npz":
            found = {name: torch.from_numpy(array) for name, array in read_arrays(path, "weights").items()}
        else:
            found = collect_tensors(read_checkpoint(path))
    except BadInput:
        raise
    except Exception as error:  # a damaged archive can raise anything
        what = f"{path} is not a complete {path.suffix} of weights"
        raise BadInput(f"{what} ({describe_error(error)})") from None
    require_finite(path, found)
    return found


def require_finite(path: Path, found: Mapping[str, Tensor]) -> None:
    """Raise BadInput, naming the file and the tensor, if one of the tensors holds nan or inf."""
    for name, tensor in found.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise BadInput(f"{path}: the weights {name} hold numbers that are not finite (nan or inf)")


def sha256(path: str | Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    with open_regular(path, "file") as file:
        digest = hashlib.sha256()
        while block := file.read(MIB):
            digest.update(block)
    return digest.hexdigest()
