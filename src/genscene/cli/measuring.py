"""What evaluate and compare share: the options of a protocol, and how they lay out a measurement."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from tyro.conf import arg

from genscene.cli.shared.options import parse_size, require_range
from genscene.distributed import ProcessGroup
from genscene.errors import BadInput, suggest
from genscene.evaluation.desk import Desk, Subject, is_pictures
from genscene.evaluation.measures import extractor_for
from genscene.evaluation.protocol import PROTOCOLS, Protocol, protocol_of, untreated
from genscene.evaluation.stream import Streaming, Task
from genscene.experiment.schema import ImageConfig
from genscene.io.generator_file import read
from genscene.metrics.networks import EXTRACTORS, build_extractor
from genscene.metrics.networks.extractor import Extractor
from genscene.training.devices import Device, pick_device

MOST = 10**9  # pictures


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
    # what frechet, kernel and manifold look through: random, squeezenet, inception, ...
    extractor: str = "random"
    count: int | None = None  # generated pictures, instead of the protocol's number
    reals: int | None = None  # real pictures, instead of the protocol's number; 0: all
    size: str = ""  # side, or height x width, of all pictures in pixels, instead of the generator's
    psi: float | None = None  # truncation, 0 to 1, instead of the protocol's
    seed: int = 0  # of latents and cameras
    weights: Annotated[Weights, arg(name="")] = Weights()
    cache: bool = True  # keep statistics by content, and go on where an earlier call stopped
    batch: int = 32  # pictures at once
    device: Device = "auto"  # auto: cuda where there is one, else mps, else cpu

    def __post_init__(self) -> None:
        require_range("--batch", self.batch, 1, MOST)
        require_range("--count", 2 if self.count is None else self.count, 2, MOST)
        require_range("--reals", 0 if self.reals is None else self.reals, 0, MOST)
        require_range("--psi", 1 if self.psi is None else self.psi, 0, 1)
        require_range("--seed", self.seed, -(2**63), 2**63 - 1)
        if self.extractor not in EXTRACTORS:
            raise BadInput(
                f"--extractor: no extractor {self.extractor!r}; {suggest(self.extractor, EXTRACTORS)}"
            )

    def chosen(self) -> Protocol:
        """The protocol, with what was changed."""
        return protocol_of(self.protocol, self.reals, self.count, self.psi)


def subject(path: Path) -> Subject:
    """What stands at a path: a generator, or generated pictures."""
    if is_pictures(path):
        return Subject(path)
    if path.is_file() and path.suffix != ".safetensors":
        wanted = "a generator (.safetensors), the folder of a run, or a folder or zip of pictures"
        raise BadInput(f"{path}: wanted {wanted}")
    content = read(path)
    return Subject(path, content.generator, content.experiment, cameras=content.cameras)


def lay_out(measured: Subject, data: str, options: Measuring, names: list[str], group: ProcessGroup) -> Desk:
    """Find size, background and extractors for a subject that is compared with data."""
    device, protocol, experiment = pick_device(options.device), options.chosen(), measured.experiment
    pictures = untreated(experiment.images if experiment else ImageConfig())
    size = parse_size(options.size) if options.size else measured.size(protocol, data)
    extractors = {}
    for name in names:
        option = name.removesuffix("-clean")
        weights = getattr(options.weights, option, "")
        if name in EXTRACTORS and EXTRACTORS[name].weights and not weights:
            raise BadInput(f"{name} wants weights: --{option} {EXTRACTORS[name].weights}")
        extractors[name] = extractor_for(name, size, weights).on(device)
    task, trained_on = (
        Task(protocol, size, pictures, tuple(extractors.values())),
        experiment.data if experiment else "",
    )
    streaming = Streaming(options.batch, cache=options.cache, group=group)
    return Desk(task, extractors, streaming, device, options.seed, trained_on)


def asked_for(how: Measuring, more: Iterable[str]) -> list[str]:
    """The metrics that were named, else the protocol's and some more."""
    if how.metrics:
        names = list(dict.fromkeys(name.strip() for name in how.metrics.split(",")))
        if "identity" in names and not how.weights.mobilefacenet:
            raise BadInput("identity wants an embedding: --mobilefacenet FILE")
        return names
    return [*how.chosen().metrics, *more]


def changed(how: Measuring, *spared: str) -> list[str]:
    """The names of the options that were given, but for those that are spared."""
    now, default = ({**vars(each), **vars(each.weights)} for each in (how, Measuring()))
    return [name for name in now if name not in (*spared, "weights") and now[name] != default[name]]


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
    return (lambda: build_extractor("mobilefacenet", weights).on(device)) if weights else None
