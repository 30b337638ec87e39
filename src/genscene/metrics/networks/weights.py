"""Weight files of evaluation networks: local or downloaded, checked, identified by their SHA-256."""

import http.client
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from genscene.errors import BadInput, describe_error
from genscene.io.atomic import atomic, cache_folder
from genscene.io.rename import Rules, rename
from genscene.io.tensors import read_tensors, sha256

Network = TypeVar("Network", bound=nn.Module)
DOWNLOAD = "download"  # given instead of a path
RELEASE = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights"
PUBLISHED = {  # network -> URL of its published weights, first digits of their SHA-256
    "inception": (f"{RELEASE}/pt_inception-2015-12-05-6726825d.pth", "6726825d"),
    "vgg16": ("https://download.pytorch.org/models/vgg16-397923af.pth", "397923af"),
}
SAME_NAMES: Rules = ((r"(.+)", r"\1"),)  # where a network's tensors have the names of the file


def find_weights(name: str, given: str | Path) -> tuple[Path, str, bool]:
    """Weights given as a path or "download" -> file, its SHA-256, whether it is that of published numbers."""
    url, checksum = PUBLISHED[name]
    path = cache_folder() / "weights" / Path(url).name if given == DOWNLOAD else Path(given)
    if not path.is_file():
        if given != DOWNLOAD:
            raise BadInput(f"no weights of {name} at {given}, wanted a file or {DOWNLOAD!r}")
        try:
            with atomic(path) as partial:
                torch.hub.download_url_to_file(url, str(partial), hash_prefix=checksum)
        except (OSError, RuntimeError, http.client.HTTPException) as error:  # network, disk, checksum
            problem = f"could not fetch {url} ({describe_error(error)})"
            raise BadInput(f"{problem}: fetch it and give its path") from None
    digest = sha256(path)
    return path, digest, digest.startswith(checksum)


def load_weights(
    network: Network, path: str | Path, rules: Rules = SAME_NAMES, found: Mapping[str, Tensor] | None = None
) -> Network:
    """The network, frozen, with all tensors of a file (`found`, if already read), which must fit exactly."""
    found, wanted = read_tensors(path) if found is None else found, network.state_dict()
    try:
        state = rename(found, rules, wanted)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    network.load_state_dict({n: t.to(wanted[n].dtype) for n, t in state.items()}, assign=True)
    return network.eval().requires_grad_(False)
