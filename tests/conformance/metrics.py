"""What torch-fidelity, StyleGAN3's metrics and scikit-image compute, from our parts."""

from collections.abc import Callable
from typing import Any

import torch

from conformance.case import Case
from genscene.io.rename import rename
from genscene.metrics.frechet import Moments, frechet
from genscene.metrics.image import psnr
from genscene.metrics.inception import RULES, Inception
from genscene.metrics.inception_score import inception_score
from genscene.metrics.kid import discrepancy, draw, kid
from genscene.metrics.manifold import manifold, radii
from genscene.metrics.similarity import Window, ssim, ssim_map
from genscene.metrics.spectrum import counts, decibels, magnitude_log, power, profile

Results = dict[str, Any]


def distance(case: Case) -> Results:
    a, b = (Moments.of(case[f"features_{i}"]) for i in (1, 2))
    streamed = Moments.over(case["features_1"].split(7))
    found = frechet(streamed, b)
    return {
        "mean_1": a.mean,
        "cov_1": streamed.covariance,
        "mean_2": b.mean,
        "cov_2": b.covariance,
        "fd": [found],
        "fd_sqrtm": [found],
        "fd_same": [frechet(a, streamed)],
    }


def kernel_distance(case: Case) -> Results:
    options, fake, real = case.about["constructor"], case["features_1"], case["features_2"]
    numbers = (options["subsets"], options["subset_size"], options["rng_seed"])
    found = kid(fake, real, *numbers)
    drawn = list(draw(len(fake), len(real), *numbers))
    return {
        "mean": [found.mean],
        "std": [found.deviation],
        "per_subset": found.each,
        "stylegan3": [found.mean],
        "first90_unbiased": discrepancy(fake[:90], real[:90])[None],
        "first90_biased": discrepancy(fake[:90], real[:90], unbiased=False)[None],
        "subset_1": torch.stack([one for one, _ in drawn]),
        "subset_2": torch.stack([other for _, other in drawn]),
    }


def precision_recall(case: Case) -> Results:
    neighbours = case.about["constructor"]["neighbourhood"]
    found = manifold(case["features_1"], case["features_2"], neighbours)
    reach = {f"radius_{i}": radii(case[f"features_{i}"], neighbours) for i in (1, 2)}
    return reach | {"precision": [found.precision], "recall": [found.recall]}


def score(case: Case) -> Results:
    options = case.about["constructor"]
    parts = inception_score(case["logits"], options["splits"], options["rng_seed"])
    return {
        "mean": [parts.mean],
        "std": [parts.deviation],
        "single": [inception_score(case["logits"], 1).mean],
    }


def spectra(case: Case) -> Results:
    images = case["images"]
    profiles, size = profile(power(images)), images.shape[-1]
    return {
        "profile": profiles,
        "profile_mean_db": decibels(profiles, size),
        "magnitude_log": magnitude_log(images),
        "counts": counts(size),
    }


def similarity(case: Case) -> Results:
    a, b = (case[f"image_{i}"].movedim(-1, 0) for i in (1, 2))
    return {
        "ssim": [ssim(a, b)],
        "ssim_sample_cov": [ssim(a, b, Window(sample=True))],
        "ssim_uniform7": [ssim(a, b, Window(gaussian=False, sample=True))],
        "ssim_grey": [ssim(a[:1], b[:1])],
        "ssim_map": ssim_map(a, b).movedim(0, -1),
        "psnr": psnr((a - b).square().mean())[None],
    }


def inception(case: Case) -> Results:
    network = Inception().to(case.dtype)
    network.load_state_dict(rename(case.weights("inception"), RULES, network.state_dict()))
    with torch.no_grad():
        seen = network(case["images"])
    return vars(seen)


CASES: dict[str, Callable[..., Results]] = {
    "frechet": distance,
    "frechet_singular": distance,
    "inception": inception,
    "inception_score": score,
    "kid": kernel_distance,
    "power_spectrum": spectra,
    "precision_recall": precision_recall,
    "ssim_psnr": similarity,
}
