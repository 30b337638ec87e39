"""Weight files of evaluation networks: local or downloaded, checked, identified by their SHA-256."""

import hashlib
import http.client
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from genscene.errors import BadInput, suggest
from genscene.io.atomic import atomic, cache_folder
from genscene.io.foreign_pickles import collect_tensors, read_checkpoint
from genscene.io.rename import Rules, rename

Network = TypeVar("Network", bound=nn.Module)
DOWNLOAD = "download"  # given instead of a path
RELEASE = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights"
DOWNLOADS = {  # file names end with the first digits of their SHA-256
    "inception": f"{RELEASE}/pt_inception-2015-12-05-6726825d.pth",
    "vgg16": "https://download.pytorch.org/models/vgg16-397923af.pth",
}
SAME_NAMES: Rules = ((r"(.+)", r"\1"),)  # where a network's tensors have the names of the file


def weights_file(name: str, given: str | Path) -> Path:
    """Weights of a network, given as a path or "download" -> path of the file, in the cache if downloaded."""
    if given != DOWNLOAD:
        if not Path(given).is_file():
            download = f" or {DOWNLOAD!r}" if name in DOWNLOADS else ""
            raise BadInput(f"no weights of {name} at {given}, wanted a file{download}")
        return Path(given)
    if name not in DOWNLOADS:
        raise BadInput(f"no download of weights of {name}, wanted a path; {suggest(name, DOWNLOADS)}")
    url = DOWNLOADS[name]
    path = cache_folder() / "weights" / url.rsplit("/", 1)[-1]
    if path.is_file():
        return path
    try:
        with atomic(path) as partial:
            torch.hub.download_url_to_file(url, str(partial), hash_prefix=_checksum(url))
    except BadInput:
        raise
    except (OSError, RuntimeError, http.client.HTTPException) as error:  # network, disk, checksum
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BadInput(f"could not fetch {url} ({reason}): fetch it and give its path") from None
    return path


def sha256(path: str | Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def identify(name: str, path: Path, required: bool = False) -> tuple[str, bool]:
    """SHA-256 of a file; whether it is a network's published one: if required, BadInput if it is not."""
    digest, wanted = sha256(path), _checksum(DOWNLOADS[name])
    published = digest.startswith(wanted)
    if required and not published:
        got = f"SHA-256 begins {digest[: len(wanted)]}, wanted {wanted} ({Path(DOWNLOADS[name]).stem})"
        raise BadInput(f"{path}: {got}: other weights, or a damaged file")
    return digest, published


def _checksum(url: str) -> str:
    return Path(url).stem.rsplit("-", 1)[-1]


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """All tensors, all finite, of a .npz, a .safetensors or a torch checkpoint, whose code is not run."""
    path = Path(path)
    if not path.is_file():
        raise BadInput(f"no weights at {path}")
    if path.suffix not in (".npz", ".safetensors"):
        return check_finite(path, collect_tensors(read_checkpoint(path)))
    try:
        if path.suffix == ".safetensors":
            return check_finite(path, load_file(path))
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return check_finite(path, {name: torch.from_numpy(stored[name]) for name in stored.files})
    except BadInput:
        raise
    except Exception as error:  # a damaged archive can raise anything
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise BadInput(f"{path} is not a complete {path.suffix} of weights ({reason})") from None


def check_finite(path: Path, found: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors; BadInput names the file and the first that holds nan or inf."""
    for name, tensor in found.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise BadInput(f"{path}: the weights {name} hold numbers that are not finite (nan or inf)")
    return found


def load_weights(
    network: Network, path: str | Path, rules: Rules = SAME_NAMES, found: Mapping[str, Tensor] | None = None
) -> Network:
    """The network with the tensors of a file (`found`, if already read), in eval mode, without gradients.

    BadInput names the first tensor that no rule matches, that is left unfilled, or of another shape.
    """
    found, wanted = read_weights(path) if found is None else found, network.state_dict()
    try:
        state = rename(found, rules, wanted)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    state = {name: tensor.to(wanted[name].dtype) for name, tensor in state.items()}
    network.load_state_dict(state, assign=True)
    return network.eval().requires_grad_(False)
