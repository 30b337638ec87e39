"""Options that evaluate and compare share, and the evaluation they describe."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import Annotated, Literal

import torch
from tyro.conf import UseAppendAction

from genscene.cli.shared.evaluation_results import check_output, output
from genscene.cli.shared.options import parse_size
from genscene.devices import Device, pick_device, require_memory
from genscene.distributed import ProcessGroup, joined
from genscene.errors import BadInput, suggest
from genscene.evaluation.comparison import compare
from genscene.evaluation.extract_features import measure
from genscene.evaluation.fitted_pictures import evaluate_pictures
from genscene.evaluation.held_out_views import HeldOut, evaluate_views
from genscene.evaluation.intervals.bootstrap import LEAST_IMAGES, Resampling
from genscene.evaluation.protocol import PROTOCOLS, select_protocol, without_augmentation
from genscene.evaluation.registry import METRICS, default_metrics, extractor_names, load_extractor
from genscene.evaluation.report import Report
from genscene.evaluation.session import EvaluatedModel, EvaluationSession, evaluation_size, is_images
from genscene.experiment.schema import ImageConfig
from genscene.experiment.validation import validate
from genscene.geometry.cameras import Size
from genscene.hub import local_path
from genscene.io import generator_file
from genscene.metrics.networks import EXTRACTORS
from genscene.metrics.networks.extractor import Extractor
from genscene.ranges import Count, Natural, Range, Share

PIXEL = 100  # bytes of a pixel that is rendered, or resized


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
    count: Annotated[int, Range(2)] | None = None  # generated images, instead of the protocol's number
    reals: Natural | None = None  # real images, instead of the protocol's number; 0: all
    # side, or height x width, of all images in pixels, instead of the generator's; of held-out views the
    # longer side
    size: str = ""
    psi: Share | None = None  # truncation, 0 to 1, instead of the protocol's
    seed: int = 0  # of latent codes and cameras
    # of generators conditioned on cameras: the style of each picture knows its own (FID); off: the mean one,
    # as if a scene were rendered from everywhere (FID3D)
    own_camera: bool = False
    cameras: Literal["prior", "data"] = "prior"  # of generated images; data: those of the real ones
    # generated images have the noise of training: jittered samples, and noise on densities as at its end
    training_noise: bool = False
    # weights of networks: files, or, where it says so, the word download
    inception: str = ""  # Inception's TensorFlow weights of 2015-12-05, for fid, kid and is; or download
    vgg16: str = ""  # torchvision's VGG16, for pr; or download
    dinov2: str = ""  # a folder with config.json and model.safetensors, or a name on the hub, for fd_dinov2
    clip: str = ""  # the same, for cmmd
    squeezenet: str = ""  # SqueezeNet 1.1, for --extractor squeezenet
    mobilefacenet: str = ""  # a face embedding, for identity
    cache: bool = True  # save statistics by content, and resume what an earlier call left
    batch: Count = 32  # images at once
    device: Device = "auto"  # auto: cuda where there is one, else mps, else cpu
    # of the views of a scene fitted to photographs; default: val
    split: Literal["train", "val", "test"] | None = None
    # of a scene fitted to photographs: also LPIPS, by files of AlexNet, VGG16 or SqueezeNet and of linear
    # layers; once for each network
    lpips: UseAppendAction[tuple[tuple[Path, Path], ...]] = ()
    statistics: Path | None = None  # a folder: write the statistics of the real images there
    # NAME.html: write a page, and scores and protocol as NAME.json; NAME.md: the table alone; NAME.png: the
    # images of the page alone
    out: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be meant before anything is loaded."""
        validate(self)
        if self.extractor not in EXTRACTORS:
            known = suggest(self.extractor, EXTRACTORS)
            raise BadInput(f"--extractor: no extractor {self.extractor!r}; {known}")
        extractor_names(self.metric_names, self.extractor)
        select_protocol(self.protocol)
        if self.size:
            parse_size(self.size)

    @property
    def metric_names(self) -> list[str]:
        """The metrics that were named, each once."""
        return list(dict.fromkeys(name.strip() for name in self.metrics.split(","))) if self.metrics else []

    def load_extractor(self, name: str, size: Size) -> Extractor:
        """The extractor of a name with its weights; BadInput names the option that is missing."""
        option = name.removesuffix("_clean")
        weights, (_, wanted) = vars(self).get(option, ""), EXTRACTORS.get(name, ("", ""))
        if wanted and not weights:
            raise BadInput(f"{name} needs weights: --{option} {wanted}")
        return load_extractor(name, size, weights).on(pick_device(self.device))


def run(
    paths: Sequence[Path], options: EvaluationOptions, resampling: Resampling | None = None, title: str = ""
) -> None:
    """Evaluate what is at the paths, and print and write the report; with resampling it has intervals."""
    check_output(options.out)
    report = evaluate(paths, options, resampling)
    if report is not None:
        output(replace(report, title=title or report.title), options.out)


def evaluate(
    paths: Sequence[Path],
    options: EvaluationOptions,
    resampling: Resampling | None = None,
    names: Sequence[str] = (),
) -> Report | None:
    """The report on what is at the paths, in the main process; names: of the models, else the paths'."""
    device = pick_device(options.device)
    with joined(device) as group:
        models, measured = load_models(paths, device, names), None
        if any(model.is_fitted for model in models):
            require_fitted(models, options, resampling is not None)
        else:
            session = make_session(models, options, group)
            least = session.least if resampling is None else LEAST_IMAGES
            measured = measure(replace(session, least=least), models)
        if not group.is_main:
            return None
        if measured is None and models[0].batch == "pixels":
            return evaluate_pictures(models, options.data)
        if measured is None:
            size = parse_size(options.size) if options.size else None
            which = HeldOut(options.data, options.split or "val", size)
            return evaluate_views(models, which, options.lpips, resampling)
        if options.statistics is not None:
            for name, each in measured.real.items():
                each.save(options.statistics / f"{name}.safetensors")
        return compare(measured, resampling)


def load_models(
    paths: Sequence[Path], device: torch.device, names: Sequence[str] = ()
) -> list[EvaluatedModel]:
    """The generators, on the device, and the folders and zips of generated images at the paths."""
    models = []
    for name, path in zip(names or unique_names(paths), map(local_path, paths), strict=True):
        if is_images(path):
            models.append(EvaluatedModel(name, path))
            continue
        if path.is_file() and path.suffix != ".safetensors":
            wanted = "a generator (.safetensors), the folder of a run, or a folder or zip of images"
            raise BadInput(f"{path}: wanted {wanted}")
        file = generator_file.read(path)
        generator = file.generator.to(device)
        models.append(EvaluatedModel(name, path, generator, file.experiment, file.cameras, file.to_files))
    return models


def unique_names(paths: Sequence[Path]) -> list[str]:
    """Folders of runs, or files; paths where these are the same, numbered where even those are the same."""
    short = [path.parent.name if path.name == "generator.safetensors" else path.stem for path in paths]
    names: list[str] = []
    for path, name in zip(paths, short, strict=True):
        unique = name if name and short.count(name) == 1 else str(path)
        choices = chain([unique], (f"{unique} #{number}" for number in count(2)))
        names.append(next(choice for choice in choices if choice not in names))
    return names


def require_fitted(models: Sequence[EvaluatedModel], options: EvaluationOptions, resampled: bool) -> None:
    """Raise BadInput where some are not scenes fitted to photographs, or options do not apply to these."""
    if len({model.batch for model in models}) > 1:
        kinds = "scenes fitted to photographs, functions fitted to a picture and generators of many scenes"
        raise BadInput(f"{kinds} cannot be compared: wanted all of one kind")
    if models[0].batch == "surface":
        raise BadInput(f"{models[0].path} is a solid, of which nothing is evaluated: genscene export mesh")
    views = ["split", "size", "lpips"] if models[0].fits_photographs else []
    allowed = {"data", "cache", "device", "out", *views, *(["seed"] if resampled else [])}
    default = vars(EvaluationOptions())
    given = [name for name, value in vars(options).items() if name not in allowed and value != default[name]]
    if given:
        with_what = "held-out views (--split, --size, --lpips)" if views else "its picture (--data)"
        why = f"of generators of many scenes; what was fitted is compared with {with_what}"
        raise BadInput(f"--{', --'.join(given)}: {why}")


def make_session(
    models: Sequence[EvaluatedModel], options: EvaluationOptions, group: ProcessGroup
) -> EvaluationSession:
    """The session: data, size, background and fit are those of the first model where none are given."""
    for name in ("lpips", "split"):
        if getattr(options, name):
            raise BadInput(f"{models[0].path}: --{name} compares with photographs; wanted one fitted to some")
    protocol = select_protocol(options.protocol, options.reals, options.count, options.psi)
    experiment, named = models[0].experiment, options.metric_names
    data = options.data or (experiment.data if experiment else "")
    if not data:
        what = "a generator whose training data is unknown" if experiment else "images"
        raise BadInput(f"{models[0].path}: {what}; --data PATH names the real images to compare with")
    images = without_augmentation(experiment.images if experiment else ImageConfig())
    if experiment is not None and data != experiment.data:
        images = replace(images, limit=0, index="")  # they are meant for the training data
    given_size = options.size or str(protocol.size or "")
    size = parse_size(given_size) if given_size else evaluation_size(models, data)
    what = f"{options.batch} images of {size[0]}x{size[1]} pixels at once"
    require_memory(PIXEL * options.batch * size[0] * size[1], what, "lower --batch or --size")
    metrics = named or [*protocol.metrics, *common_metrics(models, data)]
    return EvaluationSession(
        protocol,
        size,
        images,
        {name: options.load_extractor(name, size) for name in extractor_names(metrics, options.extractor)},
        data,
        metrics,
        explicit=bool(named),
        extractor=options.extractor,
        face_embedding=options.load_extractor("mobilefacenet", size) if "identity" in metrics else None,
        seed=options.seed,
        own_camera=options.own_camera,
        data_cameras=options.cameras == "data",
        training_noise=options.training_noise,
        device=pick_device(options.device),
        batch=options.batch,
        cache=options.cache,
        group=group,
    )


def common_metrics(models: Sequence[EvaluatedModel], data: str) -> list[str]:
    """Metrics of generators themselves that all of the models have by default."""
    own = [default_metrics(each.generator, data) if each.generator else [] for each in models]
    return [name for name in own[0] if all(name in each for each in own)]


def describe_choices() -> str:
    """The metrics, and a line for each protocol."""
    lines, width = [f"metrics: {', '.join(METRICS)}", "", "protocols:"], max(map(len, PROTOCOLS))
    for name, each in PROTOCOLS.items():
        counts = " against ".join(str(number or "all") for number in each.wanted)
        lines.append(f"  {name:{width}}  {each.source}: {', '.join(each.metrics)}; {counts}")
    return "\n".join(lines)
