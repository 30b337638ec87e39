"""Feature extractors by name; a network's module is imported only when its extractor is built."""

from importlib import import_module

from genscene.errors import BadInput, suggest
from genscene.metrics.networks.extractor import Extractor

EXTRACTORS = {  # name -> module of this package that defines NAME_features; what weights may be given as
    "random": ("random_features", ""),  # none
    "squeezenet": ("backbones", "a file"),
    "inception": ("inception", "a file, or download"),
    "inception_clean": ("inception", "a file, or download"),
    "vgg16": ("backbones", "a file, or download"),
    "dinov2": ("transformers_hub", "a folder, or a name on the hub such as facebook/dinov2-large"),
    "clip": ("transformers_hub", "a folder, or a name on the hub such as openai/clip-vit-large-patch14-336"),
    "mobilefacenet": ("mobilefacenet", "a file"),
}


def build_extractor(name: str, weights: str = "") -> Extractor:
    """An extractor by name, with weights at a path, "download" or a name on the hub, as the table says."""
    if name not in EXTRACTORS:
        raise BadInput(f"no extractor {name!r}; {suggest(name, EXTRACTORS)}")
    module, wanted = EXTRACTORS[name]
    if bool(weights) != bool(wanted):
        problem = f"needs weights: {wanted}" if wanted else f"has no weights, got {weights!r}"
        raise BadInput(f"{name} {problem}")
    build = getattr(import_module(f"{__name__}.{module}"), f"{name}_features")
    return build(weights) if weights else build()
