"""DINOv2 and CLIP as extractors, by the library transformers; weights in a folder or on its hub."""

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
from genscene.metrics.networks.extractor import Extractor
from genscene.metrics.networks.weights import check_finite, sha256

CONFIG, WEIGHTS = "config.json", "model.safetensors"


@dataclass(frozen=True)
class Family:
    """A family of networks, its input and its output."""

    name: str
    network: str  # its class in the library
    types: tuple[str, ...]  # model types of config.json
    mean: tuple[float, float, float]  # of its training data: red, green, blue in [0, 1]
    std: tuple[float, float, float]
    output: str  # field of the network's output
    width: str  # field of the config: numbers of that output
    layer: str
    unit: bool = False  # normalize features to length 1
    side: int | None = None  # of the input in pixels; None: as in the config


DINOV2 = Family(
    *("dinov2", "Dinov2Model", ("dinov2",), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    *("pooler_output", "hidden_size", "class token, normalised by its layer"),
    side=224,
)
CLIP = Family(
    *("clip", "CLIPVisionModelWithProjection", ("clip", "clip_vision_model")),
    *((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    *("image_embeds", "projection_dim", "embedding of length 1"),
    unit=True,
)


class Transformer(nn.Module):
    """A network of the library with its preprocessing."""

    def __init__(self, family: Family, network: nn.Module, side: int) -> None:
        super().__init__()
        self.family, self.network, self.side = family, network, side

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] of 0 to 255 -> features [B, width]."""
        size = (self.side, self.side)
        x = interpolate(images.float(), size, mode="bicubic", antialias=True).clamp(0, 255) / 255
        mean, std = (x.new_tensor(v)[:, None, None] for v in (self.family.mean, self.family.std))
        features: Tensor = getattr(self.network(pixel_values=(x - mean) / std), self.family.output)
        return normalize(features) if self.family.unit else features


def dinov2_features(given: str | Path) -> Extractor:
    """Extractor of DINOv2's class token after its last normalization (FD-DINOv2, Stein et al. 2023).

    given: a folder of config.json and model.safetensors, or a name on the hub such as facebook/dinov2-large.
    """
    return _features(DINOV2, given)


def clip_features(given: str | Path) -> Extractor:
    """Extractor of CLIP's image embedding, of length 1 (CMMD, Jayasumana et al. 2024).

    given: as for DINOv2; openai/clip-vit-large-patch14-336 is that of published numbers.
    """
    return _features(CLIP, given)


def _features(family: Family, given: str | Path) -> Extractor:
    folder = _folder(family, given)
    network = _network(family, folder)
    config = network.config
    side = family.side or config.image_size
    size = f"{config.num_hidden_layers} layers {config.hidden_size} wide, patches of {config.patch_size}"
    return Extractor(
        compute=Transformer(family, network, side).eval().requires_grad_(False),
        name=f"{family.name}, {size}",
        weights=sha256(folder / WEIGHTS),
        layer=family.layer,
        width=getattr(config, family.width),
        resize=f"bicubic, antialiased, to {side}x{side} by torch, in floats clamped to 0..255, not rounded",
    )


def _folder(family: Family, given: str | Path) -> Path:
    """The folder of both files; fetched from the hub, or found in its cache, if `given` is no folder."""
    folder = Path(given).expanduser()
    if not folder.is_dir():
        hub = _import(family, "huggingface_hub")
        try:
            folder = Path(hub.snapshot_download(str(given), allow_patterns=[CONFIG, WEIGHTS]))
        except Exception as error:  # the library has a dozen classes of errors
            reason = f"neither a folder nor available on the hub ({_line(error)})"
            raise BadInput(f"{family.name}: {given} is {reason}") from None
    missing = [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]
    if missing:
        raise BadInput(f"{family.name}: {given} has no {missing[0]}, wanted {CONFIG} and {WEIGHTS}")
    return folder


def _network(family: Family, folder: Path) -> Any:
    """The library's network with every weight filled; no code but the library's own is run."""
    library, path = _import(family, "transformers"), folder / CONFIG
    try:
        config = library.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if config.model_type not in family.types:
            wanted = " or ".join(map(repr, family.types))
            raise BadInput(f"{path} is of a model {config.model_type!r}, wanted {wanted}")
        path = folder / WEIGHTS
        with _quiet(library.utils.logging):
            network, report = getattr(library, family.network).from_pretrained(
                folder,
                config=getattr(config, "vision_config", config),
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                dtype=torch.float32,
            )
    except BadInput:
        raise
    except Exception as error:  # a damaged file can raise anything
        raise BadInput(f"{family.name}: {path} cannot be read ({_line(error)})") from None
    unfilled = sorted(report["missing_keys"])
    if unfilled:
        raise BadInput(f"{path} leaves {len(unfilled)} tensors unfilled, first {unfilled[0]}")
    check_finite(path, network.state_dict())
    return network


@contextmanager
def _quiet(logs: Any) -> Iterator[None]:
    """Without the library's progress bars and its report of unused tensors, e.g. CLIP's text encoder."""
    verbosity, bars = logs.get_verbosity(), logs.is_progress_bar_enabled()
    logs.set_verbosity_error()
    logs.disable_progress_bar()
    try:
        yield
    finally:
        logs.set_verbosity(verbosity)
        if bars:
            logs.enable_progress_bar()


def _import(family: Family, name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        reason = f"pip install genscene[metrics] ({_line(error)})"
        raise BadInput(f"{family.name} needs {name}: {reason}") from None


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
