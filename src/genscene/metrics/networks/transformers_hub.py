"""DINOv2 and CLIP as extractors, by the library transformers; weights in a folder or on its hub."""

import importlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from genscene.errors import BadInput, describe_error
from genscene.io.files import user_path
from genscene.io.tensors import require_finite, sha256
from genscene.metrics.networks.extractor import Extractor, standardize

CONFIG, WEIGHTS = "config.json", "model.safetensors"


@dataclass(frozen=True)
class Family:
    """A family of networks, its input and its output."""

    name: str
    network: str  # its class in the library
    types: tuple[str, ...]  # model types of config.json
    mean: tuple[float, float, float]  # of its training data: red, green, blue in [0, 1]
    std: tuple[float, float, float]
    width: str  # field of the config: numbers of a feature
    layer: str
    finish: Callable[[Any], Tensor]  # output of the network -> features
    side: int | None = None  # of the input in pixels; None: as in the config


DINOV2 = Family(
    *("dinov2", "Dinov2Model", ("dinov2",), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    *("hidden_size", "class token, normalised by its layer"),
    finish=lambda output: output.pooler_output,
    side=224,
)
CLIP = Family(
    *("clip", "CLIPVisionModelWithProjection", ("clip", "clip_vision_model")),
    *((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    *("projection_dim", "embedding of length 1"),
    finish=lambda output: normalize(output.image_embeds),
)


def transformer_features(family: Family, given: str | Path) -> Extractor:
    """Extractor of a family with weights in a folder of config.json and model.safetensors, or on the hub."""
    try:
        library = importlib.import_module("transformers")
    except ImportError as error:
        advice = f"pip install 'genscene[metrics]' ({describe_error(error)})"
        raise BadInput(f"{family.name} needs transformers: {advice}") from None
    folder = find_folder(family, given)
    network = load_network(library, family, folder)
    side, config = family.side or network.config.image_size, network.config

    def prepare(images: Tensor) -> Tensor:
        x = interpolate(images.float(), (side, side), mode="bicubic", antialias=True).clamp(0, 255) / 255
        return standardize(x, family.mean, family.std)

    size = f"{config.num_hidden_layers} layers {config.hidden_size} wide, patches of {config.patch_size}"
    name, weights, width = f"{family.name}, {size}", sha256(folder / WEIGHTS), getattr(config, family.width)
    resize = f"bicubic, antialiased, to {side}x{side} by torch, in floats clamped to 0..255, not rounded"
    return Extractor(name, weights, family.layer, width, resize, network, None, "", prepare, family.finish)


# DINOv2's class token after its last normalization (FD-DINOv2, Stein et al. 2023: facebook/dinov2-large)
dinov2_features = partial(transformer_features, DINOV2)
# CLIP's image embedding, of length 1 (CMMD, Jayasumana et al. 2024: openai/clip-vit-large-patch14-336)
clip_features = partial(transformer_features, CLIP)


def find_folder(family: Family, given: str | Path) -> Path:
    """The folder of both files; fetched from the hub, or found in its cache, if `given` is no folder."""
    folder = user_path(given)
    if not folder.is_dir():
        try:
            download = importlib.import_module("huggingface_hub").snapshot_download
            folder = Path(download(str(given), allow_patterns=[CONFIG, WEIGHTS]))
        except Exception as error:  # the library has a dozen classes of errors
            problem = f"neither a folder nor available on the hub ({describe_error(error)})"
            raise BadInput(f"{family.name}: {given} is {problem}") from None
    if not (folder / WEIGHTS).is_file():
        raise BadInput(f"{family.name}: {given} has no {WEIGHTS}, wanted {CONFIG} and {WEIGHTS}")
    return folder


def load_network(library: Any, family: Family, folder: Path) -> Any:
    """The network with every weight filled; no code but that of the library transformers is run."""
    path, logs = folder / CONFIG, library.utils.logging
    options = {"use_safetensors": True, "local_files_only": True, "output_loading_info": True}
    try:
        config = library.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if config.model_type not in family.types:
            wanted = " or ".join(map(repr, family.types))
            raise BadInput(f"{path} is of a model {config.model_type!r}, wanted {wanted}")
        path, model = folder / WEIGHTS, getattr(library, family.network)
        with ExitStack() as restored:
            # no progress bars, no report of unused tensors, e.g. CLIP's text encoder
            restored.callback(logs.set_verbosity, logs.get_verbosity())
            if logs.is_progress_bar_enabled():
                restored.callback(logs.enable_progress_bar)
            logs.set_verbosity_error()
            logs.disable_progress_bar()
            config = getattr(config, "vision_config", config)
            network, report = model.from_pretrained(folder, config=config, dtype=torch.float32, **options)
    except BadInput:
        raise
    except Exception as error:  # a damaged file can raise anything
        raise BadInput(f"{family.name}: {path} cannot be read ({describe_error(error)})") from None
    unfilled = sorted(report["missing_keys"])
    if unfilled:
        raise BadInput(f"{path} leaves {len(unfilled)} tensors unfilled, first {unfilled[0]}")
    require_finite(path, network.state_dict())
    return network.eval().requires_grad_(False)
