"""Feature extractors by name; a network's module is imported only when its extractor is built."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module

from genscene.errors import BadInput, suggest
from genscene.metrics.networks.extractor import Extractor


@dataclass(frozen=True)
class Entry:
    """The function that builds an extractor, and the weights that it needs."""

    module: str  # in this package
    function: str
    weights: str = ""  # what they may be given as; empty: none needed
    options: Mapping[str, bool] = field(default_factory=dict)


FILE, DOWNLOAD, HUB = "a file", "a file, or download", "a folder, or a name on the hub such as "
EXTRACTORS = {
    "random": Entry("random_features", "random_features"),
    "squeezenet": Entry("squeezenet", "squeezenet_features", FILE),
    "inception": Entry("inception", "inception_features", DOWNLOAD),
    "inception_clean": Entry("inception", "inception_features", DOWNLOAD, {"clean": True}),
    "vgg16": Entry("vgg16", "vgg16_features", DOWNLOAD),
    "dinov2": Entry("transformers_hub", "dinov2_features", f"{HUB}facebook/dinov2-large"),
    "clip": Entry("transformers_hub", "clip_features", f"{HUB}openai/clip-vit-large-patch14-336"),
    "mobilefacenet": Entry("mobilefacenet", "mobilefacenet_features", FILE),
}


def build_extractor(name: str, weights: str = "") -> Extractor:
    """An extractor by name, with weights at a path, "download" or a name on the hub, as its entry says."""
    if name not in EXTRACTORS:
        raise BadInput(f"no extractor {name!r}; {suggest(name, EXTRACTORS)}")
    entry = EXTRACTORS[name]
    if entry.weights and not weights:
        raise BadInput(f"{name} needs weights: {entry.weights}")
    if weights and not entry.weights:
        raise BadInput(f"{name} has no weights, got {weights!r}")
    build = getattr(import_module(f"{__name__}.{entry.module}"), entry.function)
    return build(*filter(None, [weights]), **entry.options)
