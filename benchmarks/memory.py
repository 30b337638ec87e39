"""Peak memory: fakes of any size are trained on in the memory of small ones.

python -m benchmarks.memory CASE prints the peak in MiB: of a generator's turn that above what was in use
before; of a whole step that of the process.
"""

import os
import resource
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from benchmarks import cips, splats
from benchmarks.side import Side
from genscene.cli import configure_process
from genscene.contract import ImageBatch, PosedImageBatch, StepContext
from genscene.data.batches import ray_batches
from genscene.data.images import ImageSet
from genscene.data.posed import PosedImages
from genscene.distributed import ProcessGroup
from genscene.evaluation.extract_features import extract_features
from genscene.evaluation.image_sources import StoredImages
from genscene.evaluation.protocol import PROTOCOLS, Preparation
from genscene.evaluation.session import EvaluationSession
from genscene.experiment.schema import ImageConfig, Stage
from genscene.geometry.cameras import Camera
from genscene.geometry.transforms import WorldTransform
from genscene.metrics.frechet import frechet_distance
from genscene.metrics.kernel import kernel_distance
from genscene.metrics.networks.random_features import random_features
from genscene.randomness import RandomStreams
from genscene.systems import PRESETS
from genscene.systems.nerf.presets import TURNTABLE
from genscene.systems.nerf.system import NeRFConfig
from genscene.systems.pigan.system import PiGANConfig
from genscene.systems.splats.system import SplatsConfig
from genscene.training.loop import requires_grad_only, train_step
from genscene.training.run import init_state

BATCH = 2
CASES = {
    "generator's turn, 32 x 32": (32, False, False),
    "generator's turn, 64 x 64": (64, False, False),
    "generator's turn, 64 x 64, recomputed": (64, True, False),
    "generator's turn, 128 x 128, recomputed": (128, True, False),
    "generator's turn, 256 x 256, recomputed": (256, True, False),
    "whole step of both players, 256 x 256, recomputed, and the program": (256, True, True),
}
NERF = "NeRF, 1024 rays of 100 photographs of 800 x 800, and the program"
IMAGES = (
    "50,000 pictures of 64 x 64 by random convolutions, with Frechet and kernel distance, and the program"
)
PLANE = {
    f"picture of CIPS, {side} x {side}, {how}": (side, how == "at once")
    for how in ("in parts", "at once")
    for side in (256, 512, 1024)
}
STEPS = {  # preset, side of the images, pictures
    "step of CGS-GAN, 256 x 256, batch of 4": ("cgsgan-ffhqc-256", 256, 4),
    "step of fitting 200,000 Gaussians, 400 x 400": ("splat", 400, 1),
}
LARGE = {"step of CGS-GAN, 256 x 256, batch of 4"}
NAMES = (*CASES, *PLANE, *STEPS, NERF, IMAGES)


def peak_mebibytes() -> float:
    """Peak memory of this process, in MiB."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def measure(side: int, recompute: bool, whole: bool) -> float:
    """The peak of a turn of pi-GAN's generator, or of a whole step, with a batch of two."""
    preset = PRESETS["pigan-celeba"]
    assert isinstance(preset.system, PiGANConfig)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    config = replace(preset.system, recompute=recompute)
    images = ImageBatch(torch.rand(BATCH, 3, side, side, device=device))
    if whole:
        experiment = replace(preset, system=config, stages=(Stage(0, (side, side), BATCH),))
        train_step(init_state(experiment, device, ProcessGroup(), "fp32"), images, 1)
        return peak_mebibytes()
    system = config.build().to(device)
    before = peak_mebibytes()
    with requires_grad_only(system, "generator"):
        system.sample_fakes(images, StepContext(0), 1).images.square().mean().backward()
    return peak_mebibytes() - before


def measure_plane(side: int, whole: bool) -> float:
    """The peak of a picture of CIPS without a gradient, above that of one of 16 x 16."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    cips.forward(Side(whole, device), 16)()
    work = cips.forward(Side(whole, device), side)
    before = peak_mebibytes()
    work()
    return peak_mebibytes() - before


def measure_step(name: str, side: int, count: int) -> float:
    """The peak of two steps of all players on pictures with cameras, above that of a small picture."""
    splats.picture(Side(False, torch.device("cpu")), 1000, 32, gradients=True)()  # compiled before
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    experiment, before = PRESETS[name], peak_mebibytes()
    system = experiment.system
    if isinstance(system, SplatsConfig):
        generator = replace(system.generator, capacity=200_000, initial=200_000, degree=3)
        experiment = replace(experiment, system=replace(system, generator=generator, degree_every=0))
    experiment = replace(experiment, stages=(Stage(0, (side, side), count),))
    state = init_state(experiment, device, ProcessGroup(), "fp32")
    cameras = state.system.generator.prior.sample(RandomStreams(range(count)), (side, side))
    assert isinstance(cameras, Camera)
    batch = PosedImageBatch(torch.rand(count, 3, side, side), cameras).to(device)
    for _ in range(2):
        train_step(state, batch, 0)
    return peak_mebibytes() - before


def measure_nerf() -> float:
    """The peak of two steps of the released NeRF's settings on a set of the usual size."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (100, 800, 800, 3), np.uint8)
    camera = TURNTABLE.sample(RandomStreams(range(100)), (800, 800))
    photographs = PosedImages(
        pixels, camera, torch.tensor([[2.0, 6.0]]).repeat(100, 1), None, WorldTransform()
    )
    experiment = PRESETS["nerf-blender-release"]
    assert isinstance(experiment.system, NeRFConfig)
    experiment = replace(experiment, system=experiment.system.adapt(photographs))
    state = init_state(experiment, device, ProcessGroup(), "fp32")
    for step, batch in zip(range(2), ray_batches(experiment, photographs, 0), strict=False):
        train_step(state, batch.to(device), step)
    return peak_mebibytes()


def measure_evaluation(count: int = 50_000, side: int = 64) -> float:
    """The peak of streaming so many images, mapped from a file, and of comparing them with themselves."""
    with tempfile.TemporaryDirectory() as folder:
        pixels = np.lib.format.open_memmap(f"{folder}/pixels.npy", "w+", np.uint8, (count, side, side, 3))
        for start in range(0, count, 1000):
            rows = pixels[start : start + 1000]
            rows[:] = np.random.default_rng(start).integers(0, 256, rows.shape, np.uint8)
            ImageSet(pixels).release_memory()
        os.environ["GENSCENE_CACHE"] = folder
        extractors = {"random": random_features()}
        session = EvaluationSession(PROTOCOLS["genscene"], (side, side), ImageConfig(), extractors)
        images = StoredImages(ImageSet(pixels), Preparation(), "noise")
        found = extract_features(session, images, "images")["random"]
        frechet_distance(found.moments, found.moments)
        kernel_distance(found.features, found.features)
        return peak_mebibytes()


if __name__ == "__main__":
    configure_process()
    name = sys.argv[1]
    others: dict[str, Callable[[], float]] = {NERF: measure_nerf, IMAGES: measure_evaluation}
    others |= {each: partial(measure_plane, *numbers) for each, numbers in PLANE.items()}
    others |= {each: partial(measure_step, *what) for each, what in STEPS.items()}
    print(f"{others[name]() if name in others else measure(*CASES[name]):.1f}")
