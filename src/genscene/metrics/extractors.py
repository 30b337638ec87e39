"""All extractors by their names: one door, behind which networks are imported only when they are asked for."""

from collections.abc import Callable
from dataclasses import dataclass

from genscene.errors import BadInput, suggest
from genscene.metrics.extractor import Extractor


@dataclass(frozen=True)
class Maker:
    """How an extractor is made, and of what."""

    make: Callable[[str], Extractor]
    wants: str = ""  # what its weights may be; nothing: it has none

    def __call__(self, weights: str = "") -> Extractor:
        """The extractor, by a path, a name or "download"; "" where it has no weights."""
        return self.make(weights)


def _random(weights: str) -> Extractor:
    from genscene.metrics.random_features import random_features

    return random_features()


def _squeezenet(weights: str) -> Extractor:
    from genscene.metrics.pooled_squeezenet import squeezenet_features

    return squeezenet_features(weights)


def _inception(weights: str) -> Extractor:
    from genscene.metrics.inception_features import inception_features

    return inception_features(weights)


def _clean(weights: str) -> Extractor:
    from genscene.metrics.inception_features import inception_features

    return inception_features(weights, clean=True)


def _vgg16(weights: str) -> Extractor:
    from genscene.metrics.vgg import vgg_features

    return vgg_features(weights)


def _dinov2(weights: str) -> Extractor:
    from genscene.metrics.hub import dinov2_features

    return dinov2_features(weights)


def _clip(weights: str) -> Extractor:
    from genscene.metrics.hub import clip_features

    return clip_features(weights)


def _mobilefacenet(weights: str) -> Extractor:
    from genscene.metrics.mobilefacenet import mobilefacenet_features

    return mobilefacenet_features(weights)


EXTRACTORS = {
    "random": Maker(_random),
    "squeezenet": Maker(_squeezenet, "a file"),
    "inception": Maker(_inception, "a file, or download"),
    "inception-clean": Maker(_clean, "a file, or download"),
    "vgg16": Maker(_vgg16, "a file, or download"),
    "dinov2": Maker(_dinov2, "a folder, or a name on the hub such as facebook/dinov2-large"),
    "clip": Maker(_clip, "a folder, or a name on the hub such as openai/clip-vit-large-patch14-336"),
    "mobilefacenet": Maker(_mobilefacenet, "a file"),
}


def extractor(name: str, weights: str = "") -> Extractor:
    """An extractor by its name, with weights at a path, "download" or a name on the hub, as it wants them."""
    if name not in EXTRACTORS:
        raise BadInput(f"no extractor {name!r}; {suggest(name, EXTRACTORS)}")
    maker = EXTRACTORS[name]
    if maker.wants and not weights:
        raise BadInput(f"{name} wants weights: {maker.wants}")
    if weights and not maker.wants:
        raise BadInput(f"{name} has no weights, it was given {weights!r}")
    return maker(weights)
