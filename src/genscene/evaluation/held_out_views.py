"""Scores of scenes fitted to photographs: PSNR, SSIM and LPIPS of views that were held out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from genscene import __version__
from genscene.contract import MAX_BYTES, Generator, RenderOptions
from genscene.data import SYNTHETIC
from genscene.data.posed.folder import Split, look, splits
from genscene.data.posed.photographs import PosedImages
from genscene.data.sources import album_of
from genscene.errors import BadInput
from genscene.evaluation.bootstrap import Resampling, resample_means
from genscene.evaluation.image_sources import require_finite
from genscene.evaluation.report import Better, Gallery, ImageStrip, Report, Row, Score
from genscene.evaluation.session import Subject
from genscene.experiment.schema import Experiment
from genscene.metrics.image import psnr, ssim
from genscene.metrics.lpips import LPIPS, load_lpips
from genscene.metrics.networks.weights import sha256
from genscene.randomness import RandomStreams

SHOWN = 4  # views in a gallery
TRAINING_ONLY = ("batching", "precrop_steps", "precrop_share")  # of the photographs' configuration
SSIM_WINDOW = "Gaussian window 1.5, 11 pixels, biased covariance, mean over channels"
INTERVALS = (
    "Brackets hold 95 % bootstrap intervals of the mean over views like these, too narrow where there are few; "
    "differences are paired by view. Training again from another seed is not covered."
)
LPIPSFiles = tuple[Path, Path]
PARTS = ("weights", "linear")  # of these: the backbone, and LPIPS's linear layers


@dataclass(frozen=True)
class HeldOutView:
    """A photograph and its rendering."""

    photo: Tensor  # [3, H, W] in [0, 1]
    image: Tensor  # [3, H, W] in [0, 1], rounded to 8 bits
    psnr: float  # decibels
    ssim: float


@torch.no_grad()
def render_held_out(
    generator: Generator, posed: PosedImages, max_bytes: int = MAX_BYTES
) -> Iterator[HeldOutView]:
    """Every photograph with its rendering; where a mask excludes pixels, both are white."""
    device = next(generator.parameters()).device
    scene, options = (
        generator.scene(generator.latents(RandomStreams([0], device))),
        RenderOptions(max_bytes=max_bytes),
    )
    for i in range(len(posed)):
        rendering = generator.render(scene, posed.camera[i : i + 1].to(device), options)
        image = (require_finite(rendering.image)[0].clamp(0, 1).cpu() * 255).round() / 255
        photo = torch.from_numpy(posed.pixels[i].copy()).movedim(-1, 0).float() / 255
        if posed.masks is not None:
            valid = torch.from_numpy(posed.masks[i] > 0)
            image, photo = (torch.where(valid, x, torch.ones_like(x)) for x in (image, photo))
        yield HeldOutView(photo, image, float(psnr((image - photo).square().mean())), ssim(image, photo))


def evaluate_views(
    subjects: Sequence[Subject],
    data: str,
    split: Split = "val",
    lpips_files: Sequence[LPIPSFiles] = (),
    resampling: Resampling | None = None,
) -> Report:
    """The report on scenes that were fitted to the same photographs; data: where these are now, if moved."""
    experiment, networks = common_experiment(subjects, data), load_networks(lpips_files)
    posed, names = album_of(experiment, split), [subject.name for subject in subjects]
    measured = [score_views(subject, posed, networks) for subject in subjects]
    views = {name: scores for name, (scores, _) in zip(names, measured, strict=True)}
    strips = [ImageStrip("photograph", torch.stack([view.photo for view in measured[0][1]]))]
    for name, (_, shown) in zip(names, measured, strict=True):
        strips.append(ImageStrip(name, torch.stack([view.image for view in shown])))
    means = zip(subjects, mean_scores(list(views.values()), resampling), strict=True)
    notes = [INTERVALS] if resampling is not None else []
    notes += [note for subject in subjects for note in warn_other_photographs(subject, experiment)]
    notes += [f"{key}: {each.backbone.name}, {each.backbone.remark}" for key, each in networks.items()]
    height, width = posed.camera.size
    table: dict[str, object] = {
        "genscene": __version__,
        "split": split,
        "size": f"{height}x{width}",
        "SSIM": SSIM_WINDOW,
    }
    table |= {"rounding": "8 bits per channel, sRGB", **view_fields(experiment)}
    for (key, each), files in zip(networks.items(), lpips_files, strict=True):
        hashes = {
            part: f"{file.name}, SHA-256 {sha256(file)}" for part, file in zip(PARTS, files, strict=True)
        }
        about = {"backbone": each.backbone.name, "remark": each.backbone.remark, **hashes}
        table |= {f"{key}: {name}": value for name, value in about.items()}
    return Report(
        " and ".join(names),
        f"{len(posed)} held-out views ({split}) of {experiment.data}, {width}x{height} pixels.",
        [Row(subject.name, scores, subject.description) for subject, scores in means],
        table,
        notes,
        [Gallery("Held-out views", strips)],
        views=views,
    )


def common_experiment(subjects: Sequence[Subject], data: str) -> Experiment:
    """The experiment of the first; BadInput where the held-out views of another one are different."""
    experiments = [
        replace(each.experiment, data=data or each.experiment.data) for each in subjects if each.experiment
    ]
    wanted = view_fields(experiments[0])
    for subject, experiment in zip(subjects, experiments, strict=True):
        fields = view_fields(experiment)
        different = [
            f"{name}: {fields[name]} and {wanted[name]}" for name in wanted if fields[name] != wanted[name]
        ]
        if different:
            names = f"{subject.name} and {subjects[0].name}"
            raise BadInput(f"{names} have different held-out views: {'; '.join(different)}")
    return experiments[0]


def view_fields(experiment: Experiment) -> dict[str, object]:
    """What the held-out views of an experiment depend on."""
    posed = {name: value for name, value in asdict(experiment.posed).items() if name not in TRAINING_ONLY}
    return {"data": experiment.data, "background": experiment.images.background, **posed}


def score_views(
    subject: Subject, posed: PosedImages, networks: Mapping[str, LPIPS]
) -> tuple[list[dict[str, float]], list[HeldOutView]]:
    """The scores of every view, and a few views to show."""
    assert subject.generator is not None
    views = render_held_out(subject.generator, posed)
    scores, shown = [], []
    for i, view in enumerate(
        track(views, subject.name, len(posed), console=Console(stderr=True), transient=True)
    ):
        pair = view.image[None], view.photo[None]
        distances = {key: float(network(*pair)) for key, network in networks.items()}
        scores.append({"psnr": view.psnr, "ssim": view.ssim, **distances})
        if i % -(-len(posed) // SHOWN) == 0:
            shown.append(view)
    return scores, shown


def mean_scores(
    views: Sequence[list[dict[str, float]]], resampling: Resampling | None
) -> list[dict[str, Score]]:
    """Scores of the views of every scene -> their means; with resampling, intervals that are paired by view."""
    rows: list[dict[str, Score]] = [{} for _ in views]
    for key in views[0][0]:
        values = [torch.tensor([view[key] for view in each], dtype=torch.float64) for each in views]
        better: Better = "low" if key.startswith("lpips") else "high"
        unit, digits = ("dB", 2) if key == "psnr" else ("", 4)
        means = [sum(each.tolist()) / len(each) for each in values]
        scores = [Score(key, key.upper(), mean, better, unit, digits=digits) for mean in means]
        if resampling is not None:
            scores = resample_means(values, resampling).attach(scores)
        for row, score in zip(rows, scores, strict=True):
            row[key] = score
    return rows


def load_networks(files: Sequence[LPIPSFiles]) -> dict[str, LPIPS]:
    """LPIPS by every network, by the keys of their scores; BadInput for the same network twice."""
    networks: dict[str, LPIPS] = {}
    for pair in files:
        network = load_lpips(*pair)
        key = f"lpips_{network.backbone.short}"
        if key in networks:
            raise BadInput(
                f"--lpips {pair[0]}: {network.backbone.name} a second time, wanted each network once"
            )
        networks[key] = network
    return networks


def warn_other_photographs(subject: Subject, experiment: Experiment) -> list[str]:
    """A note where the cameras of the experiment's data are not those that a scene was fitted to.

    None where these are unknown: of a converted checkpoint, or of data without a split for training.
    """
    fitted, data = subject.cameras, experiment.data
    if fitted is None or subject.experiment is None:
        return []
    same = data == subject.experiment.data
    if not data.startswith(SYNTHETIC):
        how = experiment.posed
        pose = (
            look(data, "train", how.holdout, how.world).pose.float()
            if "train" in splits(data)
            else fitted.pose
        )
        same = fitted.pose.shape == pose.shape and torch.allclose(fitted.pose, pose, atol=1e-4)
    return [] if same else [f"{subject.name} was fitted to other photographs than those of {data}"]
