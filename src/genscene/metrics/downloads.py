"""Files of published weights: named by path, or fetched once into the cache; known by how their SHA-256 begins."""

import http.client
from dataclasses import dataclass
from pathlib import Path

import torch

from genscene.errors import BadInput, suggest
from genscene.io.atomic import atomic, cache_folder
from genscene.metrics.weights import sha256

DOWNLOAD = "download"  # instead of a path


@dataclass(frozen=True)
class Download:
    """A file that its authors save_generator."""

    url: str
    prefix: str  # of its SHA-256 in hexadecimal

    @property
    def file(self) -> str:
        """Its name."""
        return self.url.rsplit("/", 1)[-1]

    @property
    def stem(self) -> str:
        """What it is: its name without the checksum and the ending."""
        return self.file.removesuffix(".pth").removesuffix(f"-{self.prefix}")


RELEASE = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights"
KNOWN = {
    "inception": Download(f"{RELEASE}/pt_inception-2015-12-05-6726825d.pth", "6726825d"),
    "vgg16": Download("https://download.pytorch.org/models/vgg16-397923af.pth", "397923af"),
}


def weights_file(name: str, given: str | Path) -> Path:
    """A path, which must exist, or "download" -> the file; fetched if it is not in the cache yet."""
    if given != DOWNLOAD:
        path = Path(given)
        if not path.is_file():
            raise BadInput(f"no weights of {name} at {path}, wanted a file{_or_download(name)}")
        return path
    if name not in KNOWN:
        raise BadInput(f"weights of {name} cannot be fetched, wanted a path; {suggest(name, KNOWN)}")
    path = cache_folder() / "weights" / KNOWN[name].file
    if not path.is_file():
        _fetch(KNOWN[name], path)
    return path


def checked(path: Path, prefix: str) -> str:
    """SHA-256 of a file in hexadecimal; BadInput if it begins otherwise than wanted."""
    found = sha256(path)
    if not found.startswith(prefix):
        what = [f" ({known.stem})" for known in KNOWN.values() if known.prefix == prefix]
        began = f"SHA-256 begins {found[: len(prefix)]}, wanted {prefix}{''.join(what)}"
        raise BadInput(f"{path}: {began}: other weights, or a damaged file")
    return found


def _fetch(wanted: Download, path: Path) -> None:
    try:
        with atomic(path) as partial:
            torch.hub.download_url_to_file(wanted.url, str(partial), hash_prefix=wanted.prefix)
    except BadInput:
        raise
    except (
        OSError,
        RuntimeError,
        http.client.HTTPException,
    ) as error:  # no network, no room; another checksum
        said = " ".join(str(error).split()) or type(error).__name__
        raise BadInput(
            f"could not fetch {wanted.url} ({said}): fetch it yourself and name its path"
        ) from None


def _or_download(name: str) -> str:
    return f" or {DOWNLOAD!r}" if name in KNOWN else ""
