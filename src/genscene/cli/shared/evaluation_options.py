"""Options that evaluate and compare share, and the evaluation they describe."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import UseAppendAction, arg

from genscene.cli.shared.options import parse_size, require_range
from genscene.distributed import ProcessGroup, init_group
from genscene.errors import BadInput, suggest
from genscene.evaluation.bootstrap import Resampling
from genscene.evaluation.comparison import compare
from genscene.evaluation.extract_features import measure
from genscene.evaluation.held_out_views import evaluate_views
from genscene.evaluation.protocol import PROTOCOLS, Protocol, select_protocol, without_augmentation
from genscene.evaluation.registry import GENERATOR_METRICS, METRICS, extractor_names, load_extractor
from genscene.evaluation.report import Report
from genscene.evaluation.session import EvaluationSession, Subject, evaluation_size, is_images
from genscene.experiment.schema import ImageConfig
from genscene.io import generator_file
from genscene.metrics.networks import EXTRACTORS, build_extractor
from genscene.training.devices import Device, pick_device

MOST = 10**9  # images


@dataclass(frozen=True)
class NetworkWeights:
    """Weights of the networks that compute features: files, or, where it says so, the word download."""

    inception: str = ""  # Inception's TensorFlow weights of 2015-12-05, for fid, kid and is; or download
    vgg16: str = ""  # torchvision's VGG16, for pr; or download
    dinov2: str = ""  # a folder with config.json and model.safetensors, or a name on the hub, for fd_dinov2
    clip: str = ""  # the same, for cmmd
    squeezenet: str = ""  # SqueezeNet 1.1, for --extractor squeezenet
    mobilefacenet: str = ""  # a face embedding, for identity


@dataclass(frozen=True)
class EvaluationOptions:
    """What is compared with what, and how."""

    # a folder, a zip, synthetic:NAME, or statistics; default: the training data of the (first) generator
    data: str = ""
    protocol: str = "tracking"  # of the names above
    # of the names above, separated by commas; default: the protocol's, and those of the generator
    metrics: str = ""
    # of frechet, kernel, precision_recall and memorization: random, squeezenet, inception, ...
    extractor: str = "random"
    count: int | None = None  # generated images, instead of the protocol's number
    reals: int | None = None  # real images, instead of the protocol's number; 0: all
    size: str = ""  # side, or height x width, of all images in pixels, instead of the generator's
    psi: float | None = None  # truncation, 0 to 1, instead of the protocol's
    seed: int = 0  # of latent codes and cameras
    weights: Annotated[NetworkWeights, arg(name="")] = NetworkWeights()
    cache: bool = True  # save statistics by content, and resume what an earlier call left
    batch: int = 32  # images at once
    device: Device = "auto"  # auto: cuda where there is one, else mps, else cpu
    split: Literal["train", "val", "test"] = "val"  # of the views of a scene fitted to photographs
    # of a scene fitted to photographs: also LPIPS, by files of AlexNet, VGG16 or SqueezeNet and of linear
    # layers; once for each network
    lpips: UseAppendAction[tuple[tuple[Path, Path], ...]] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be meant before anything is loaded."""
        require_range("--batch", self.batch, 1, MOST)
        require_range("--count", 2 if self.count is None else self.count, 2, MOST)
        require_range("--reals", 0 if self.reals is None else self.reals, 0, MOST)
        require_range("--psi", 1 if self.psi is None else self.psi, 0, 1)
        require_range("--seed", self.seed, -(2**63), 2**63 - 1)
        if self.extractor not in EXTRACTORS:
            known = suggest(self.extractor, EXTRACTORS)
            raise BadInput(f"--extractor: no extractor {self.extractor!r}; {known}")
        extractor_names(self.metric_names, self.extractor)
        if "identity" in self.metric_names and not self.weights.mobilefacenet:
            raise BadInput("identity needs a face embedding: --mobilefacenet FILE")

    @property
    def metric_names(self) -> list[str]:
        """The metrics that were named, each once."""
        return list(dict.fromkeys(name.strip() for name in self.metrics.split(","))) if self.metrics else []


def run(
    paths: Sequence[Path],
    options: EvaluationOptions,
    resampling: Resampling | None = None,
    statistics: Path | None = None,
) -> Report | None:
    """Evaluate what is at the paths; None in processes that are not the main one.

    statistics: a folder to which the statistics of the real images are written.
    """
    protocol = select_protocol(options.protocol, options.reals, options.count, options.psi)
    subjects, device = with_unique_names([load_subject(path) for path in paths]), pick_device(options.device)
    if any(subject.is_fitted for subject in subjects):
        require_fitted(subjects, options, resampling is not None, statistics is not None)
        subjects = [replace(each, generator=each.generator.to(device)) for each in subjects if each.generator]
        return evaluate_views(subjects, options.data, options.split, options.lpips, resampling)
    if options.lpips:
        raise BadInput("--lpips compares with photographs: wanted a scene that was fitted to some")
    data, group = subjects[0].data(options.data), init_group(device)
    try:
        measured = measure(make_session(subjects, data, options, protocol, group), subjects)
        if not group.is_main:
            return None
        report = compare(measured, resampling)
        if statistics is not None:
            for name, each in measured.real.items():
                each.save(statistics / f"{name}.safetensors")
        return report
    finally:
        group.close()


def require_fitted(
    subjects: Sequence[Subject], options: EvaluationOptions, resampled: bool, statistics: bool
) -> None:
    """Raise BadInput where some are not scenes fitted to photographs, or options do not apply to these."""
    if not all(subject.is_fitted for subject in subjects):
        raise BadInput("scenes fitted to photographs and generators of many scenes cannot be compared")
    values, default = ({**vars(each), **vars(each.weights)} for each in (options, EvaluationOptions()))
    allowed = {"weights", "data", "split", "lpips", "cache", "device", *(["seed"] if resampled else [])}
    given = [name for name in values if name not in allowed and values[name] != default[name]]
    given += ["statistics"] if statistics else []
    if given:
        views = "a scene fitted to photographs is compared with held-out views (--split, --lpips)"
        raise BadInput(f"--{', --'.join(given)}: of generators of many scenes; {views}")


def make_session(
    subjects: Sequence[Subject],
    data: str,
    options: EvaluationOptions,
    protocol: Protocol,
    group: ProcessGroup,
) -> EvaluationSession:
    """The session: size, background and fit are those of the first subject."""
    names, experiment, device = options.metric_names, subjects[0].experiment, pick_device(options.device)
    images = without_augmentation(experiment.images if experiment else ImageConfig())
    if experiment is not None and data != experiment.data:
        images = replace(images, limit=0)  # it is meant for the training data
    size = parse_size(options.size) if options.size else (protocol.size, protocol.size)
    size = size if min(size) else evaluation_size(subjects, data)
    default = [
        name
        for name, metric in GENERATOR_METRICS.items()
        if all(each.generator and metric.by_default(each.generator, data) for each in subjects)
    ]
    metrics, extractors, weights = names or [*protocol.metrics, *default], {}, vars(options.weights)
    for name in extractor_names(metrics, options.extractor):
        option = name.removesuffix("_clean")
        _, wanted = EXTRACTORS.get(name, ("", ""))
        if wanted and not weights[option]:
            raise BadInput(f"{name} needs weights: --{option} {wanted}")
        extractors[name] = load_extractor(name, size, weights.get(option, "")).on(device)
    faces = build_extractor("mobilefacenet", weights["mobilefacenet"]) if "identity" in metrics else None
    faces = faces.on(device) if faces else None
    what = (data, metrics, bool(names), options.extractor, faces, options.seed, device, options.batch)
    return EvaluationSession(protocol, size, images, extractors, *what, cache=options.cache, group=group)


def load_subject(path: Path) -> Subject:
    """The generator, or the generated images, at a path."""
    if is_images(path):
        return Subject(path)
    if path.is_file() and path.suffix != ".safetensors":
        wanted = "a generator (.safetensors), the folder of a run, or a folder or zip of images"
        raise BadInput(f"{path}: wanted {wanted}")
    content = generator_file.read(path)
    return Subject(path, content.generator, content.experiment, content.cameras)


def with_unique_names(subjects: Sequence[Subject]) -> list[Subject]:
    """The same subjects; those of one name are called by their paths, those of one path are numbered."""
    names = [subject.name for subject in subjects]
    found: dict[str, Subject] = {}
    for subject in subjects:
        name = subject.name if names.count(subject.name) == 1 else str(subject.path)
        choices = (name, *(f"{name} #{k}" for k in range(2, len(subjects) + 2)))
        alias = next(choice for choice in choices if choice not in found)
        found[alias] = replace(subject, alias=alias)
    return list(found.values())


def describe_choices() -> str:
    """The metrics, and a line for each protocol."""
    lines, width = [f"metrics: {', '.join(METRICS)}", "", "protocols:"], max(map(len, PROTOCOLS))
    for name, each in PROTOCOLS.items():
        generated, real = (count or "all" for count in each.wanted)
        lines.append(
            f"  {name:{width}}  {each.source}: {', '.join(each.metrics)}; {generated} against {real}"
        )
    return "\n".join(lines)
