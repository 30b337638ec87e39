"""What evaluate and compare share: the options of a protocol, and how they lay out a measurement."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from tyro.conf import arg

from genscene.cli.options import size_of
from genscene.errors import BadInput
from genscene.evaluation.desk import Desk, Subject, is_pictures
from genscene.evaluation.measures import extractor_for
from genscene.evaluation.protocol import PROTOCOLS, Protocol, protocol_of, untreated
from genscene.evaluation.stream import Streaming, Task
from genscene.experiment import Pictures
from genscene.metrics.extractor import Extractor
from genscene.metrics.extractors import extractor
from genscene.processes import Processes
from genscene.training.devices import Device, pick_device
from genscene.training.published import load, opened


@dataclass(frozen=True)
class Weights:
    """Files of the networks that look at pictures; where it says so, the word download."""

    inception: str = ""  # Inception's TensorFlow weights of 2015-12-05, for fid, kid and is; or download
    vgg16: str = ""  # torchvision's VGG16, for pr; or download
    dinov2: str = ""  # a folder with config.json and model.safetensors, or a name on the hub, for fd-dinov2
    clip: str = ""  # the same, for cmmd
    squeezenet: str = ""  # SqueezeNet 1.1, for --extractor squeezenet
    mobilefacenet: str = ""  # a face embedding, for identity


@dataclass(frozen=True)
class Measuring:
    """How pictures are measured."""

    protocol: str = "tracking"  # whose: one of the names below
    metrics: str = ""  # which numbers, a,b,c; default: the protocol's
    extractor: str = "random"  # what frechet, kernel and manifold look through: random, squeezenet, inception, ...
    count: int | None = None  # generated pictures, instead of the protocol's number
    reals: int | None = None  # real pictures, instead of the protocol's number; 0: all
    size: str = ""  # side, or height x width, of all pictures in pixels, instead of the generator's
    psi: float | None = None  # truncation, instead of the protocol's
    seed: int = 0  # of latents and cameras
    weights: Annotated[Weights, arg(name="")] = Weights()
    cache: bool = True  # keep statistics by content, and go on where an earlier call stopped
    batch: int = 32  # pictures at once
    device: Device = "auto"  # auto: cuda where there is one, else mps, else cpu

    def __post_init__(self) -> None:
        if self.batch < 1 or (self.count is not None and self.count < 2) or (self.reals is not None and self.reals < 0):
            raise BadInput("--batch must be at least 1, --count at least 2, --reals at least 0")

    def chosen(self) -> Protocol:
        """The protocol, with what was changed."""
        return protocol_of(self.protocol, self.reals, self.count, self.psi)


def subject(path: Path) -> Subject:
    """What stands at a path: a generator, or generated pictures."""
    if is_pictures(path):
        return Subject(path)
    return Subject(path, load(path), opened(path)[0])


def lay_out(measured: Subject, data: str, options: Measuring, names: list[str], group: Processes) -> Desk:
    """Find size, background and extractors for a subject that is compared with data."""
    device, protocol, experiment = pick_device(options.device), options.chosen(), measured.experiment
    pictures = untreated(experiment.pictures if experiment else Pictures())
    size = size_of(options.size) if options.size else measured.size(protocol, data)
    extractors = {}
    for name in names:
        weights = getattr(options.weights, name.removesuffix("-clean"), "")
        extractors[name] = extractor_for(name, size, weights).on(device)
    task, trained_on = Task(protocol, size, pictures, tuple(extractors.values())), experiment.data if experiment else ""
    streaming = Streaming(options.batch, cache=options.cache, group=group)
    return Desk(task, extractors, streaming, device, options.seed, trained_on)


def asked_for(how: Measuring, more: Iterable[str]) -> list[str]:
    """The metrics that were named, else the protocol's and some more."""
    if how.metrics:
        names = how.metrics.split(",")
        if "identity" in names and not how.weights.mobilefacenet:
            raise BadInput("identity wants an embedding: --mobilefacenet FILE")
        return names
    return [*how.chosen().metrics, *more]


def protocols() -> str:
    """The protocols there are, a line each."""
    width = max(map(len, PROTOCOLS))
    return "\n".join(f"  {name:{width}}  {describe(protocol)}" for name, protocol in PROTOCOLS.items())


def describe(protocol: Protocol) -> str:
    """A protocol in a line."""
    real, fake = (str(side.count or "all") for side in (protocol.reals, protocol.fakes))
    return f"{protocol.source}: {', '.join(protocol.metrics)}; {fake} against {real}"


def embedding(options: Measuring, device: torch.device) -> Callable[[], Extractor] | None:
    """What makes the extractor that tells who is who; None where no weights are given."""
    weights = options.weights.mobilefacenet
    return (lambda: extractor("mobilefacenet", weights).on(device)) if weights else None
