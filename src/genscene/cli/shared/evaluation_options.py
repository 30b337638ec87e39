"""Options that evaluate and compare share, and the evaluation they describe."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import UseAppendAction, arg

from genscene.cli.options import bounded, size_of
from genscene.contract import PosedConfig
from genscene.distributed import ProcessGroup, join
from genscene.errors import BadInput, nearest
from genscene.evaluation.bootstrap import Resampling
from genscene.evaluation.comparison import compare, measure
from genscene.evaluation.extract_features import Streaming
from genscene.evaluation.held_out_views import evaluate_views
from genscene.evaluation.protocol import PROTOCOLS, Protocol, select_protocol, without_augmentation
from genscene.evaluation.registry import METRICS, GeneratorMetric, extractor_names, load_extractor
from genscene.evaluation.report import Report
from genscene.evaluation.session import EvaluationSession, Subject, common_size, is_images
from genscene.experiment.schema import Pictures
from genscene.io.generator_file import load, opened
from genscene.metrics.extractors import EXTRACTORS, extractor
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

    data: str = (
        ""  # a folder, a zip, synthetic:NAME, or statistics; default: training data of the (first) generator
    )
    protocol: str = "tracking"  # one of the names below
    metrics: str = ""  # names, separated by commas; default: the protocol's and those of the generator
    extractor: str = (
        "random"  # of frechet, kernel, precision_recall, memorization: random, squeezenet, inception, ...
    )
    count: int | None = None  # generated images, instead of the protocol's number
    reals: int | None = None  # real images, instead of the protocol's number; 0: all
    size: str = ""  # side, or height x width, of all images in pixels, instead of the generator's
    psi: float | None = None  # truncation, 0 to 1, instead of the protocol's
    seed: int = 0  # of latent codes and cameras
    weights: Annotated[NetworkWeights, arg(name="")] = NetworkWeights()
    cache: bool = True  # save statistics by content, and resume what an earlier call left
    batch: int = 32  # images at once
    device: Device = "auto"  # auto: cuda where there is one, else mps, else cpu
    split: Literal["train", "val", "test"] = (
        "val"  # of a scene fitted to photographs: views that are evaluated
    )
    # of a scene fitted to photographs: also LPIPS, by files of AlexNet, VGG16 or SqueezeNet and of linear layers; once
    # for each network
    lpips: UseAppendAction[tuple[tuple[Path, Path], ...]] = ()

    def __post_init__(self) -> None:
        bounded("--batch", self.batch, 1, MOST)
        bounded("--count", 2 if self.count is None else self.count, 2, MOST)
        bounded("--reals", 0 if self.reals is None else self.reals, 0, MOST)
        bounded("--psi", 1 if self.psi is None else self.psi, 0, 1)
        bounded("--seed", self.seed, -(2**63), 2**63 - 1)
        if self.extractor not in EXTRACTORS:
            raise BadInput(
                f"--extractor: no extractor {self.extractor!r}; {nearest(self.extractor, EXTRACTORS)}"
            )

    @property
    def metric_names(self) -> list[str]:
        """The metrics that were named, each once; BadInput for unknown names, before anything is loaded."""
        names = list(dict.fromkeys(name.strip() for name in self.metrics.split(","))) if self.metrics else []
        extractor_names(names, self.extractor)
        if "identity" in names and not self.weights.mobilefacenet:
            raise BadInput("identity needs a face embedding: --mobilefacenet FILE")
        return names

    def changed(self, *except_: str) -> list[str]:
        """The names of options that were given, but for some."""
        now, default = ({**vars(each), **vars(each.weights)} for each in (self, EvaluationOptions()))
        return [name for name in now if name not in (*except_, "weights") and now[name] != default[name]]


def run(
    paths: Sequence[Path],
    options: EvaluationOptions,
    resampling: Resampling | None = None,
    statistics: Path | None = None,
) -> Report | None:
    """Evaluate what is at the paths; None in processes that are not the main one.

    statistics: a folder to which the statistics of the real images are written.
    """
    protocol, names = (
        select_protocol(options.protocol, options.reals, options.count, options.psi),
        options.metric_names,
    )
    subjects = with_unique_names([load_subject(path) for path in paths])
    if are_fitted_scenes(subjects):
        require_no_options(options, resampling is not None, statistics)
        for subject in subjects:
            assert subject.generator is not None
            subject.generator.to(pick_device(options.device))
        return evaluate_views(subjects, options.data, options.split, options.lpips, resampling)
    if options.lpips:
        raise BadInput("--lpips compares with photographs: wanted a scene that was fitted to some")
    data, group = subjects[0].data(options.data), join(pick_device(options.device))
    try:
        session = make_session(subjects, data, options, protocol, names, group)
        measured = measure(session, subjects)
        if not group.first:
            return None
        report = compare(session, subjects, measured, resampling)
        if statistics is not None:
            for name, each in measured.real.items():
                each.save(statistics / f"{name}.safetensors")
        return report
    finally:
        group.leave()


def make_session(
    subjects: Sequence[Subject],
    data: str,
    options: EvaluationOptions,
    protocol: Protocol,
    names: list[str],
    group: ProcessGroup,
) -> EvaluationSession:
    """The session: size, background and training data are those of the first subject."""
    device, experiment = pick_device(options.device), subjects[0].experiment
    size = size_of(options.size) if options.size else common_size(subjects, protocol, data)
    metrics = names or [*protocol.metrics, *default_generator_metrics(subjects, data)]
    extractors = {}
    for name in extractor_names(metrics, options.extractor):
        option = name.removesuffix("-clean")
        weights = getattr(options.weights, option, "")
        if name in EXTRACTORS and EXTRACTORS[name].wants and not weights:
            raise BadInput(f"{name} needs weights: --{option} {EXTRACTORS[name].wants}")
        extractors[name] = load_extractor(name, size, weights).on(device)
    faces = options.weights.mobilefacenet
    return EvaluationSession(
        protocol,
        size,
        without_augmentation(experiment.pictures if experiment else Pictures()),
        extractors,
        data,
        metrics,
        bool(names),
        options.extractor,
        (lambda: extractor("mobilefacenet", faces)) if faces else None,
        Streaming(options.batch, cache=options.cache, group=group),
        device,
        options.seed,
        experiment.data if experiment else "",
    )


def default_generator_metrics(subjects: Sequence[Subject], data: str) -> list[str]:
    """The metrics of the generator that are computed for all subjects without being named."""
    return [
        name
        for name, metric in METRICS.items()
        if isinstance(metric, GeneratorMetric)
        and all(s.generator is not None and metric.by_default(s.generator, data) for s in subjects)
    ]


def load_subject(path: Path) -> Subject:
    """The generator, or the generated images, at a path."""
    if is_images(path):
        return Subject(path)
    if path.is_file() and path.suffix != ".safetensors":
        wanted = "a generator (.safetensors), the folder of a run, or a folder or zip of images"
        raise BadInput(f"{path}: wanted {wanted}")
    return Subject(path, load(path), opened(path)[0])


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


def are_fitted_scenes(subjects: Sequence[Subject]) -> bool:
    """Whether all are scenes fitted to photographs; BadInput where only some are."""
    fitted = [s.experiment is not None and isinstance(s.experiment.system, PosedConfig) for s in subjects]
    if any(fitted) and not all(fitted):
        raise BadInput("scenes fitted to photographs and generators of many scenes cannot be compared")
    return all(fitted)


def require_no_options(options: EvaluationOptions, resampled: bool, statistics: Path | None) -> None:
    """Raise BadInput for options that have no meaning for scenes fitted to photographs."""
    allowed = ("data", "split", "lpips", "cache", "device", *(("seed",) if resampled else ()))
    given = options.changed(*allowed) + (["statistics"] if statistics is not None else [])
    if given:
        raise BadInput(
            f"--{', --'.join(given)}: of generators of many scenes; a scene fitted to photographs is compared with its"
            " held-out views (--split, --lpips)"
        )


def list_protocols() -> str:
    """A line for each protocol."""
    lines, width = [], max(map(len, PROTOCOLS))
    for name, each in PROTOCOLS.items():
        generated, real = (count or "all" for count in each.wanted)
        lines.append(
            f"  {name:{width}}  {each.source}: {', '.join(each.metrics)}; {generated} against {real}"
        )
    return "\n".join(lines)
