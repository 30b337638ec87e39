"""Generator files on the Hugging Face hub: hf://owner/name[/file][@revision]; its library is optional."""

import importlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genscene.errors import BadInput, describe_error
from genscene.version import __version__

NAME = "[A-Za-z0-9][A-Za-z0-9._-]*"
# pathlib makes one slash of two; revisions may have slashes
ADDRESS = re.compile(rf"hf:/{{1,2}}(?P<repo>{NAME}/{NAME})(?:/(?P<file>[^@]+?))?/?(?:@(?P<revision>[^@]+))?")
GENERATOR = "generator.safetensors"  # where no file is named
ENDINGS = (".safetensors", ".ply", ".splat")  # of files that are fetched: no program is among them
WANTED = "wanted hf://owner/name, and perhaps /FILE.safetensors and @revision"


@dataclass(frozen=True)
class HubAddress:
    """A file in a repository of models on the hub."""

    repo: str  # owner/name
    file: str = GENERATOR  # path in the repository
    revision: str | None = None  # a branch, tag or commit; None: the newest

    def __str__(self) -> str:
        file = "" if self.file == GENERATOR else f"/{self.file}"
        return f"hf://{self.repo}{file}{f'@{self.revision}' if self.revision else ''}"


def is_on_hub(path: str | Path) -> bool:
    """Whether a path is one of the hub."""
    return str(path).startswith("hf:/")


def parse_address(path: str | Path) -> HubAddress:
    """hf://owner/name[/file][@revision] -> the address; BadInput for all else.

    A file without an ending is a folder that holds generator.safetensors.
    """
    found = ADDRESS.fullmatch(str(path))
    file = (found["file"] if found else "") or GENERATOR
    if found is None or ".." in file.split("/"):
        raise BadInput(f"{path}: {WANTED}")
    if "." not in file.rpartition("/")[2]:
        file = f"{file}/{GENERATOR}"
    if not file.endswith(ENDINGS):
        raise BadInput(f"{path}: {file} is no file of a generator; {WANTED}")
    return HubAddress(found["repo"], file, found["revision"])


def local_path(path: str | Path) -> Path:
    """A path as it is; of one on the hub the file in the library's cache, fetched where it is not there.

    Raises BadInput where the library is not installed, or the file is not there.
    """
    if not is_on_hub(path):
        return Path(path)
    address = parse_address(path)
    library = hub_library(str(address))
    try:
        fetched = library.hf_hub_download(
            address.repo,
            address.file,
            revision=address.revision,
            library_name="genscene",
            library_version=__version__,
        )
    except Exception as error:  # the library has dozens of classes of errors
        raise BadInput(f"{address} could not be fetched ({describe_error(error)}); {WANTED}") from None
    return Path(fetched)


def push_folder(folder: Path, names: Sequence[str], address: HubAddress, private: bool) -> str:
    """Upload files of a folder as one commit; the repository is made where it is not there -> its URL.

    Raises BadInput where the library is not installed, or the hub refuses.
    """
    library = hub_library(str(address))
    try:
        api = library.HfApi(library_name="genscene", library_version=__version__)
        url = api.create_repo(address.repo, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=address.repo,
            folder_path=str(folder),
            allow_patterns=list(names),
            revision=address.revision,
            commit_message=f"Generator and model card of genscene {__version__}",
        )
    except Exception as error:  # as above
        wanted = (
            f"wanted a token that may write there (hf auth login), then hf upload {address.repo} {folder}"
        )
        raise BadInput(f"{address} could not be written ({describe_error(error)}); {wanted}") from None
    return str(url)


def hub_library(what: str) -> Any:
    """The library huggingface_hub; BadInput, naming what needs it, where it is not installed."""
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError as error:
        advice = f"pip install 'genscene[hub]' ({describe_error(error)})"
        raise BadInput(f"{what} needs huggingface_hub: {advice}") from None
