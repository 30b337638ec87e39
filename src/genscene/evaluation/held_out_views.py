"""Scores of scenes fitted to photographs: PSNR, SSIM and LPIPS of views that were held out."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from genscene.contract import Generator, SystemConfig
from genscene.data.images import SYNTHETIC
from genscene.data.posed import PosedImages, Split, available_splits, load_posed
from genscene.data.progress import track_progress
from genscene.data.sources import posed_images
from genscene.errors import BadInput
from genscene.evaluation.image_sources import require_finite
from genscene.evaluation.intervals.bootstrap import Resampling, resample_means, with_intervals
from genscene.evaluation.protocol import require_same_protocol
from genscene.evaluation.report import Better, Report, Row, Score
from genscene.evaluation.session import EvaluatedModel
from genscene.experiment.schema import Experiment
from genscene.geometry.cameras import Rays, Size
from genscene.geometry.transforms import WorldTransform
from genscene.io.tensors import sha256
from genscene.metrics.image import psnr, ssim
from genscene.metrics.lpips import LPIPS, load_lpips
from genscene.randomness import RandomStreams
from genscene.version import __version__

SHOWN = 4  # views in a gallery
SAMPLED, MOST_VIEWS = 1 << 16, 200  # pixels and views of an estimate while training
# of the configuration of photographs; what was composited on is images.background
TRAINING_ONLY = ("limit", "batching", "precrop_steps", "precrop_share", "background", "bounds")
COMPARED_BY = {
    "rounding": "8 bits per channel, sRGB",
    "SSIM": "Gaussian window 1.5, 11 pixels, biased covariance, mean over channels",
}
INTERVALS = (
    "Brackets: 95 % bootstrap intervals of the mean over views like these, too narrow where there are few;"
    " differences are paired by view. Training again from another seed is not covered."
)
LPIPSFiles = tuple[Path, Path]  # weights of a backbone, and of LPIPS's linear layers
ViewScores = Mapping[str, float]  # of one view, by the keys of the scores


@dataclass(frozen=True)
class HeldOutView:
    """A photograph and its rendering."""

    photo: Tensor  # [3, H, W] in [0, 1]
    image: Tensor  # [3, H, W] in [0, 1], rounded to 8 bits
    scores: ViewScores


@torch.no_grad()
def render_held_out(
    generator: Generator, posed: PosedImages, networks: Collection[tuple[str, LPIPS]] = ()
) -> Iterator[HeldOutView]:
    """Every photograph with its rendering; where a mask excludes pixels, both are white.

    networks: LPIPS by the keys of its scores, beside PSNR in decibels and SSIM.
    """
    device = next(generator.parameters()).device
    scene = generator.scene(generator.latents(RandomStreams([0], device)))
    for i in range(len(posed)):
        image = rounded(generator.render(scene, posed.camera[i : i + 1].to(device)).image)[0]
        photo = torch.from_numpy(posed.pixels[i].copy()).movedim(-1, 0).float() / 255
        if posed.masks is not None:
            valid = torch.from_numpy(posed.masks[i] > 0)
            image, photo = (torch.where(valid, x, torch.ones_like(x)) for x in (image, photo))
        scores = {"psnr": float(psnr((image - photo).square().mean())), "ssim": ssim(image, photo)}
        distances = {key: float(network(image[None], photo[None])) for key, network in networks}
        yield HeldOutView(photo, image, scores | distances)


def rounded(image: Tensor) -> Tensor:
    """Rendered colors -> the same in [0, 1], rounded to 8 bits, on the CPU; BadInput where not finite."""
    return (require_finite(image).clamp(0, 1).cpu() * 255).round() / 255


@torch.no_grad()
def estimate_psnr(
    generator: Generator, posed: PosedImages, system: SystemConfig, sampled: int = SAMPLED
) -> list[float]:
    """PSNR of held-out views in decibels as above, each of random pixels of the view, `sampled` of all views.

    Of more views than `MOST_VIEWS`, so many that are evenly spaced. Where all pixels are no more than
    `sampled`, or the system renders whole pictures, the numbers are those of `render_held_out`.
    """
    if system.batch == "photographs":
        return [view.scores["psnr"] for view in render_held_out(generator, posed)]
    device, every = next(generator.parameters()).device, range(0, len(posed), -(-len(posed) // MOST_VIEWS))
    scene = generator.scene(generator.latents(RandomStreams([0], device)))
    count, found = max(1, sampled // len(every)), []
    for i in every:
        rays = posed.camera[i : i + 1].rays(system.pixels)
        chosen = torch.randperm(len(rays), generator=torch.Generator().manual_seed(i))[:count]
        some = Rays(rays.origins[:, chosen].to(device), rays.directions[:, chosen].to(device))
        photo = torch.from_numpy(posed.pixels[i].reshape(-1, 3)[chosen.numpy()])
        error = rounded(generator.render(scene, some).image)[0, :, 0] - photo.mT / 255
        if posed.masks is not None:
            error *= torch.from_numpy(posed.masks[i].reshape(-1)[chosen.numpy()] > 0)
        found.append(float(psnr(error.square().mean())))
    return found


@dataclass(frozen=True)
class HeldOut:
    """Which views scenes are compared with."""

    data: str = ""  # where the photographs are now, if they were moved
    split: Split = "val"
    size: Size | None = None  # the longer side, or height and width, instead of that of training

    def experiment(self, trained: Experiment) -> Experiment:
        """The experiment with these photographs, at this size."""
        found = replace(trained, data=self.data or trained.data)
        if self.size is None:
            return found
        stages = tuple(replace(stage, size=self.size) for stage in found.stages)
        posed = replace(found.posed, side=max(self.size), downscale=1.0)
        return replace(found, stages=stages, posed=posed)

    def load(self, experiment: Experiment, first: EvaluatedModel) -> PosedImages:
        """The views, in the world of a scene; BadInput where they cannot have the size."""
        posed = posed_images(experiment, self.split, known_world(first, experiment.data))
        height, width = posed.camera.size
        side = max(height, width)
        if self.size not in (None, (height, width), (side, side)):
            given, size = ("x".join(map(str, each)) for each in (self.size, (height, width)))
            raise BadInput(
                f"--size {given}: wanted a longer side of at most {side}, or {size} as photographed"
            )
        return posed


def reduction_note(posed: PosedImages) -> list[str]:
    """A note where the photographs were reduced to the size of training."""
    height, width = posed.camera.size
    if posed.stored in (None, (height, width)):
        return []
    stored = "x".join(map(str, reversed(posed.stored)))
    how = f"reduced to {width}x{height} as in training; --size {max(posed.stored)} scores them as they are"
    return [f"the photographs are of {stored} pixels, {how}"]


def known_world(model: EvaluatedModel, data: str) -> WorldTransform | None:
    """From the files' world to a scene's, where no training photographs are there to determine it."""
    if model.to_files is None or data.startswith(SYNTHETIC) or "train" in available_splits(data):
        return None
    return WorldTransform.from_matrix(model.to_files).inverse()


def evaluate_views(
    models: Sequence[EvaluatedModel],
    which: HeldOut,
    lpips_files: Sequence[LPIPSFiles] = (),
    resampling: Resampling | None = None,
) -> Report:
    """The report on scenes that were fitted to the same photographs."""
    experiment, (networks, fields) = common_experiment(models, which), load_networks(lpips_files)
    posed, notes = which.load(experiment, models[0]), [INTERVALS] if resampling is not None else []
    notes += [] if which.size else reduction_note(posed)
    views: dict[str, list[ViewScores]] = {}
    strips: list[tuple[str, Tensor]] = []
    for model in models:
        assert model.generator is not None
        rendered = render_held_out(model.generator, posed, networks.items())
        views[model.name], shown = [], []
        for i, view in enumerate(track_progress(rendered, model.name, len(posed))):
            views[model.name].append(view.scores)
            if i % -(-len(posed) // SHOWN) == 0:
                shown.append(view)
        strips += [] if strips else [("photograph", torch.stack([view.photo for view in shown]))]
        strips.append((model.name, torch.stack([view.image for view in shown])))
        if is_fitted_elsewhere(model, experiment, models[0]):
            notes.append(f"{model.name} was fitted to other photographs than those of {experiment.data}")
    notes += [f"{key}: {each.backbone.name}, {each.backbone.remark}" for key, each in networks.items()]
    height, width = posed.camera.size
    table = {"genscene": __version__, "split": which.split, "size": f"{height}x{width}"}
    scores = zip(models, mean_scores(list(views.values()), resampling), strict=True)
    return Report(
        ", ".join(views),
        f"{len(posed)} held-out views ({which.split}) of {experiment.data}, {width}x{height} pixels.",
        [Row(model.name, means, model.description) for model, means in scores],
        {**table, **view_fields(experiment), **fields},
        notes,
        strips,
        views=views,
    )


def common_experiment(models: Sequence[EvaluatedModel], which: HeldOut) -> Experiment:
    """The experiment of the first; BadInput where the held-out views of another one are different."""
    experiments = [model.experiment for model in models if model.experiment is not None]
    first, *others = (which.experiment(each) for each in experiments)
    for model, other in zip(models[1:], others, strict=True):
        require_same_protocol(view_fields(other), view_fields(first), (model.name, models[0].name))
    return first


def view_fields(experiment: Experiment) -> dict[str, str]:
    """What the held-out views of an experiment depend on, and how they are compared."""
    posed = asdict(experiment.posed).items()
    fields = {"data": experiment.data, "background": experiment.images.background, **COMPARED_BY}
    return fields | {name: str(value) for name, value in posed if name not in TRAINING_ONLY}


def load_networks(files: Sequence[LPIPSFiles]) -> tuple[dict[str, LPIPS], dict[str, str]]:
    """LPIPS by every network, by the keys of their scores, and what these depend on.

    Raises BadInput for the same network twice.
    """
    networks, fields = dict[str, LPIPS](), dict[str, str]()
    for pair in files:
        network = load_lpips(*pair)
        key, name = f"lpips_{network.backbone.short}", network.backbone.name
        if key in networks:
            raise BadInput(f"--lpips {pair[0]}: {name} a second time, wanted each network once")
        weights, linear = (f"{file.name}, SHA-256 {sha256(file)}" for file in pair)
        networks[key] = network
        fields |= {key: name, f"{key}_weights": weights, f"{key}_linear": linear}
    return networks, fields


def mean_scores(
    views: Sequence[Sequence[ViewScores]], resampling: Resampling | None
) -> list[dict[str, Score]]:
    """Scores of every view of every scene -> their means; with resampling, intervals paired by view."""
    columns = []
    for key in views[0][0]:
        values = [[view[key] for view in each] for each in views]
        better: Better = "low" if key.startswith("lpips") else "high"
        unit, digits = ("dB", 2) if key == "psnr" else ("", 4)
        scores = [Score(key, key.upper(), sum(x) / len(x), better, unit, digits=digits) for x in values]
        if resampling is not None:
            every = [torch.tensor(x, dtype=torch.float64) for x in values]
            scores = with_intervals(scores, resample_means(every, resampling))
        columns.append(scores)
    return [{column[i].key: column[i] for column in columns} for i in range(len(views))]


def is_fitted_elsewhere(model: EvaluatedModel, experiment: Experiment, first: EvaluatedModel) -> bool:
    """Whether a scene was fitted to other cameras than those of the experiment's data, as far as known."""
    fitted, data, config = model.cameras, experiment.data, experiment.posed
    if fitted is None or model.experiment is None:
        return False  # e.g. a converted checkpoint
    if data.startswith(SYNTHETIC):
        return data != model.experiment.data
    if "train" not in available_splits(data):
        if model.to_files is None or first.to_files is None:
            return False
        return not torch.allclose(model.to_files, first.to_files, atol=1e-4)
    pose = load_posed(data, "train", config.holdout, config.world).pose.float()
    return fitted.pose.shape != pose.shape or not torch.allclose(fitted.pose, pose, atol=1e-4)
