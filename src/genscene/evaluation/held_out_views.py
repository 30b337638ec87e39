"""Scores of scenes fitted to photographs: PSNR, SSIM and LPIPS of views that were held out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from genscene import __version__
from genscene.contract import Generator
from genscene.data.images import SYNTHETIC
from genscene.data.posed import PosedImages, Split, available_splits, load_posed
from genscene.data.progress import track_progress
from genscene.data.sources import posed_images
from genscene.errors import BadInput
from genscene.evaluation.bootstrap import Resampling, resample_means
from genscene.evaluation.image_sources import require_finite
from genscene.evaluation.report import Gallery, ImageStrip, Report, Row, Score
from genscene.evaluation.session import Subject
from genscene.experiment.schema import Experiment
from genscene.io.tensors import sha256
from genscene.metrics.image import psnr, ssim
from genscene.metrics.lpips import LPIPS, load_lpips
from genscene.randomness import RandomStreams

SHOWN = 4  # views in a gallery
TRAINING_ONLY = ("batching", "precrop_steps", "precrop_share")  # of the configuration of photographs
SSIM_WINDOW = "Gaussian window 1.5, 11 pixels, biased covariance, mean over channels"
INTERVALS = (
    "Brackets: 95 % bootstrap intervals of the mean over views like these, too narrow where there are few;"
    " differences are paired by view. Training again from another seed is not covered."
)
LPIPSFiles = tuple[Path, Path]  # weights of a backbone, and of LPIPS's linear layers
ViewScores = list[dict[str, float]]  # of every view, by the keys of the scores


@dataclass(frozen=True)
class HeldOutView:
    """A photograph and its rendering."""

    photo: Tensor  # [3, H, W] in [0, 1]
    image: Tensor  # [3, H, W] in [0, 1], rounded to 8 bits
    psnr: float  # decibels
    ssim: float


@torch.no_grad()
def render_held_out(generator: Generator, posed: PosedImages) -> Iterator[HeldOutView]:
    """Every photograph with its rendering; where a mask excludes pixels, both are white."""
    device = next(generator.parameters()).device
    scene = generator.scene(generator.latents(RandomStreams([0], device)))
    for i in range(len(posed)):
        rendering = generator.render(scene, posed.camera[i : i + 1].to(device))
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
    posed, views, shown = posed_images(experiment, split), {}, {}
    notes = [INTERVALS] if resampling is not None else []
    for subject in subjects:
        views[subject.name], shown[subject.name] = score_views(subject, posed, networks)
        if is_fitted_elsewhere(subject, experiment):
            notes.append(f"{subject.name} was fitted to other photographs than those of {experiment.data}")
    height, width = posed.camera.size
    table = {"genscene": __version__, "split": split, "size": f"{height}x{width}", "SSIM": SSIM_WINDOW}
    table |= {"rounding": "8 bits per channel, sRGB", **view_fields(experiment)}
    for (key, network), files in zip(networks.items(), lpips_files, strict=True):
        notes.append(f"{key}: {network.backbone.name}, {network.backbone.remark}")
        hashes = [f"{file.name}, SHA-256 {sha256(file)}" for file in files]
        table |= {key: network.backbone.name, f"{key}_weights": hashes[0], f"{key}_linear": hashes[1]}
    strips = [ImageStrip("photograph", torch.stack([view.photo for view in next(iter(shown.values()))]))]
    strips += [ImageStrip(name, torch.stack([view.image for view in each])) for name, each in shown.items()]
    scores = zip(subjects, mean_scores(list(views.values()), resampling), strict=True)
    return Report(
        " and ".join(views),
        f"{len(posed)} held-out views ({split}) of {experiment.data}, {width}x{height} pixels.",
        [Row(subject.name, means, subject.description) for subject, means in scores],
        table,
        notes,
        [Gallery("Held-out views", strips)],
        views=views,
    )


def common_experiment(subjects: Sequence[Subject], data: str) -> Experiment:
    """The experiment of the first; BadInput where the held-out views of another one are different."""
    experiments = [subject.experiment for subject in subjects if subject.experiment is not None]
    found = [replace(each, data=data or each.data) for each in experiments]
    wanted = view_fields(found[0])
    for subject, fields in zip(subjects, map(view_fields, found), strict=True):
        names = [name for name in fields if fields[name] != wanted[name]]
        different = [f"{name}: {fields[name]} and {wanted[name]}" for name in names]
        if different:
            pair = f"{subject.name} and {subjects[0].name}"
            raise BadInput(f"{pair} have different held-out views: {'; '.join(different)}")
    return found[0]


def view_fields(experiment: Experiment) -> dict[str, str]:
    """What the held-out views of an experiment depend on."""
    posed = {
        name: str(value) for name, value in asdict(experiment.posed).items() if name not in TRAINING_ONLY
    }
    return {"data": experiment.data, "background": experiment.images.background, **posed}


def load_networks(files: Sequence[LPIPSFiles]) -> dict[str, LPIPS]:
    """LPIPS by every network, by the keys of their scores; BadInput for the same network twice."""
    networks: dict[str, LPIPS] = {}
    for pair in files:
        network = load_lpips(*pair)
        key, name = f"lpips_{network.backbone.short}", network.backbone.name
        if key in networks:
            raise BadInput(f"--lpips {pair[0]}: {name} a second time, wanted each network once")
        networks[key] = network
    return networks


def score_views(
    subject: Subject, posed: PosedImages, networks: Mapping[str, LPIPS]
) -> tuple[ViewScores, list[HeldOutView]]:
    """The scores of every view, and a few views to show."""
    assert subject.generator is not None
    views = track_progress(render_held_out(subject.generator, posed), subject.name, len(posed))
    scores, shown = [], []
    for i, view in enumerate(views):
        pair = view.image[None], view.photo[None]
        distances = {key: float(network(*pair)) for key, network in networks.items()}
        scores.append({"psnr": view.psnr, "ssim": view.ssim, **distances})
        if i % -(-len(posed) // SHOWN) == 0:
            shown.append(view)
    return scores, shown


def mean_scores(views: Sequence[ViewScores], resampling: Resampling | None) -> list[dict[str, Score]]:
    """Scores of every view of every scene -> their means; with resampling, intervals paired by view."""
    rows: list[dict[str, Score]] = [{} for _ in views]
    for key in views[0][0]:
        values = [torch.tensor([view[key] for view in each], dtype=torch.float64) for each in views]
        blank = Score(key, key.upper(), 0.0, "low" if key.startswith("lpips") else "high", digits=4)
        if key == "psnr":
            blank = replace(blank, unit="dB", digits=2)
        scores = [replace(blank, value=sum(each.tolist()) / len(each)) for each in values]
        if resampling is not None:
            scores = resample_means(values, resampling).attach(scores)
        for row, score in zip(rows, scores, strict=True):
            row[key] = score
    return rows


def is_fitted_elsewhere(subject: Subject, experiment: Experiment) -> bool:
    """Whether a scene was fitted to other cameras than those of the experiment's data, as far as known."""
    fitted, data, config = subject.cameras, experiment.data, experiment.posed
    if fitted is None or subject.experiment is None:
        return False  # e.g. a converted checkpoint
    if data.startswith(SYNTHETIC):
        return data != subject.experiment.data
    if "train" not in available_splits(data):
        return False
    pose = load_posed(data, "train", config.holdout, config.world).pose.float()
    return fitted.pose.shape != pose.shape or not torch.allclose(fitted.pose, pose, atol=1e-4)
