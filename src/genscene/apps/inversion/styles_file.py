"""What files of styles share: safetensors whose tensors `PREFIX.NAME` are styles of one generator."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from genscene.contract import Generator
from genscene.errors import BadInput
from genscene.geometry.cameras import batch_shapes, check_shapes, named_tensors
from genscene.io.files import open_regular
from genscene.io.generator_file import mismatch, weights_sha256
from genscene.layers.mapping import map_tensors

MAX_BYTES = 1 << 32  # of a file


@dataclass(frozen=True)
class StylesKind:
    """A kind of files of styles."""

    name: str  # what they hold, and the entry of the header with their format: latents
    format: int
    prefix: str  # of the names of tensors that are styles
    wanted: str  # the end of error lines


def read_styles_file(
    path: Path, kind: StylesKind, generator: Generator, source: str | Path
) -> tuple[Mapping[str, str], Any, dict[str, Tensor]]:
    """The header, the styles on the device of the generator, and all other tensors of a file.

    source: the generator, for error lines. Raises BadInput, naming the file, for any other file, for one of
    other weights, and for tensors that are no styles.
    """
    header, tensors = _read(path, kind)
    if header["generator"] != weights_sha256(generator):
        raise BadInput(f"{path}: its {kind.name} are of another generator, wanted those of {source}")
    of_none = no_style(generator)
    names = {kind.prefix + name: like for name, like in named_tensors(of_none).items()}
    styles = {name: tensor for name, tensor in tensors.items() if name.startswith(kind.prefix)}
    # how many there are is checked below
    wrong = mismatch(styles, {name: styles.get(name, like).to(like.dtype) for name, like in names.items()})
    if wrong:
        raise BadInput(f"{path}: its {kind.name} cannot be used: {wrong}")
    order = iter(names)
    w = map_tensors(lambda like: styles[next(order)].to(device=like.device, dtype=like.dtype), of_none)
    check_shapes(str(path), w, batch_shapes(of_none))
    return header, w, {name: tensor for name, tensor in tensors.items() if name not in styles}


def style_tensors(w: Any, kind: StylesKind, generator: Generator) -> dict[str, Tensor]:
    """Styles as the tensors of a file; BadInput where they are none of the generator."""
    check_shapes(kind.name, w, batch_shapes(no_style(generator)))
    return {kind.prefix + name: tensor for name, tensor in named_tensors(w).items()}


def no_style(generator: Generator) -> Any:
    """The styles of no scene."""
    return generator.style(next(generator.parameters()).new_zeros(0, generator.latent_dim))


def _read(path: Path, kind: StylesKind) -> tuple[Mapping[str, str], dict[str, Tensor]]:
    """The header and the tensors of a file."""
    with open_regular(path, f"file of {kind.name}", MAX_BYTES):
        pass
    try:
        with safe_open(path, framework="pt") as file:
            header: Mapping[str, str] = file.metadata() or {}
            if kind.name not in header or "generator" not in header:
                raise BadInput(f"{path} holds no {kind.name}, {kind.wanted}")
            if header[kind.name] != str(kind.format):
                found = f"{path} is a file of {kind.name} of format {header[kind.name]}"
                raise BadInput(f"{found}, this version reads format {kind.format}")
            return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise BadInput(f"{path} is not a whole safetensors file ({error}); {kind.wanted}") from None
