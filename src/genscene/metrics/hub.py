"""DINOv2 and CLIP as extractors, by the library transformers; weights lie in a folder or on Hugging Face's hub."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize

from genscene.errors import BadInput
from genscene.metrics.extractor import Extractor
from genscene.metrics.precision import full_precision
from genscene.metrics.weights import finite, sha256

FILES = ("config.json", "model.safetensors")
Colors = tuple[float, float, float]  # red, green, blue


@dataclass(frozen=True)
class Kind:
    """A family of networks, and how pictures are shown to it."""

    name: str
    network: str  # its class in the library
    types: tuple[str, ...]  # what config.json may call it
    output: str  # the field of what it gives
    mean: Colors  # of what it was trained on, in [0, 1]
    deviation: Colors
    unit: bool  # whether its features are brought to length 1


DINOV2 = Kind(
    "dinov2",
    "Dinov2Model",
    ("dinov2",),
    "pooler_output",
    (0.485, 0.456, 0.406),
    (0.229, 0.224, 0.225),
    unit=False,
)
CLIP = Kind(
    "clip",
    "CLIPVisionModelWithProjection",
    ("clip", "clip_vision_model"),
    "image_embeds",
    (0.48145466, 0.4578275, 0.40821073),
    (0.26862954, 0.26130258, 0.27577711),
    unit=True,
)


class Looking(nn.Module):
    """A network of the library, shown pictures as its family wants them."""

    def __init__(self, kind: Kind, network: nn.Module, side: int) -> None:
        super().__init__()
        self.kind, self.network, self.side = kind, network, side

    def forward(self, images: Tensor) -> Tensor:
        """Pictures [B, 3, H, W] of 0 to 255 -> features [B, width]."""
        with full_precision(images.device):
            found = self.network(pixel_values=self.shown(images))
            features: Tensor = getattr(found, self.kind.output)
            return normalize(features) if self.kind.unit else features

    def shown(self, images: Tensor) -> Tensor:
        """Pictures [B, 3, H, W] of 0 to 255 -> what the network is given [B, 3, side, side]."""
        size = (self.side, self.side)
        x = interpolate(images.float(), size, mode="bicubic", antialias=True).clamp(0, 255) / 255
        mean, deviation = (
            x.new_tensor(numbers)[:, None, None] for numbers in (self.kind.mean, self.kind.deviation)
        )
        return (x - mean) / deviation


def dinov2_features(given: str | Path) -> Extractor:
    """DINOv2's class token after its last normalisation, what FD-DINOv2 looks at (Stein et al. 2023).

    given: a folder with config.json and model.safetensors, or a name on the hub such as facebook/dinov2-large.
    """
    folder = _folder(DINOV2, given)
    network = _loaded(DINOV2, folder)
    return _extractor(
        DINOV2, folder, network, 224, network.config.hidden_size, "class token, normalised by its layer"
    )


def clip_features(given: str | Path) -> Extractor:
    """CLIP's embedding of a picture, of length 1, what CMMD looks at (Jayasumana et al. 2024).

    given: a folder with config.json and model.safetensors, or a name on the hub; openai/clip-vit-large-patch14-336 is
    that of published numbers.
    """
    folder = _folder(CLIP, given)
    network = _loaded(CLIP, folder)
    about = network.config
    return _extractor(CLIP, folder, network, about.image_size, about.projection_dim, "embedding of length 1")


def _extractor(kind: Kind, folder: Path, network: Any, side: int, width: int, layer: str) -> Extractor:
    about = network.config
    return Extractor(
        name=f"{kind.name}, {about.num_hidden_layers} layers {about.hidden_size} wide, patches of {about.patch_size}",
        weights=sha256(folder / FILES[1]),
        layer=layer,
        width=width,
        resize=f"bicubic, antialiased, to {side}x{side} by torch, in floats clamped to 0..255, not rounded",
        look=Looking(kind, network, side).eval().requires_grad_(False),
    )


def _folder(kind: Kind, given: str | Path) -> Path:
    """Where both files lie; fetched from the hub, or found in its cache, if what is given is no folder."""
    folder = Path(given).expanduser()
    if not folder.is_dir():
        folder = _fetched(kind, str(given))
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise BadInput(f"{kind.name}: {given} has no {missing[0]}, wanted {' and '.join(FILES)}")
    return folder


def _fetched(kind: Kind, name: str) -> Path:
    hub = _library(kind, "huggingface_hub")
    try:
        return Path(hub.snapshot_download(name, allow_patterns=list(FILES)))
    except Exception as error:  # no network, no such name: the library has a dozen kinds
        raise BadInput(
            f"{kind.name}: {name} is no folder, and no name the hub gives ({_line(error)})"
        ) from None


def _loaded(kind: Kind, folder: Path) -> Any:
    """The library's network with its weights, each one filled; no code but the library's own is run."""
    library = _library(kind, "transformers")
    try:
        about = library.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # a damaged file can raise anything
        raise BadInput(f"{kind.name}: {folder / FILES[0]} cannot be read ({_line(error)})") from None
    if about.model_type not in kind.types:
        wanted = " or ".join(map(repr, kind.types))
        raise BadInput(f"{folder / FILES[0]} is of a model {about.model_type!r}, wanted {wanted}")
    try:
        with _quiet(library):
            network, report = getattr(library, kind.network).from_pretrained(
                folder,
                config=getattr(about, "vision_config", about),
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                dtype=torch.float32,
            )
    except Exception as error:  # likewise
        raise BadInput(f"{kind.name}: {folder / FILES[1]} cannot be read ({_line(error)})") from None
    unfilled = sorted(report["missing_keys"])
    if unfilled:
        raise BadInput(f"{folder / FILES[1]} leaves {len(unfilled)} tensors unfilled, first {unfilled[0]}")
    finite(folder / FILES[1], network.state_dict())
    return network


@contextmanager
def _quiet(library: Any) -> Iterator[None]:
    """Without the library's table of tensors that are not wanted, e.g. those that read CLIP's texts, and its bars."""
    logs = library.utils.logging
    loud, bars = logs.get_verbosity(), logs.is_progress_bar_enabled()
    logs.set_verbosity_error()
    logs.disable_progress_bar()
    try:
        yield
    finally:
        logs.set_verbosity(loud)
        if bars:
            logs.enable_progress_bar()


def _library(kind: Kind, name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise BadInput(f"{kind.name} wants {name}: pip install genscene[metrics] ({_line(error)})") from None


def _line(error: BaseException) -> str:
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words[:200]}"
