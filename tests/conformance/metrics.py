"""Mappings of metrics: what torch-fidelity, StyleGAN3 and scikit-image compute, by our functions."""

from collections.abc import Callable, Iterator
from functools import partial, reduce
from typing import Any

import torch
from torch import Tensor

from conformance.case import Case
from genscene.metrics.frechet import Moments, RunningMoments, frechet_distance
from genscene.metrics.image import SSIMWindow, psnr, ssim, ssim_map
from genscene.metrics.inception_score import inception_score
from genscene.metrics.kernel import kernel_distance, mmd, polynomial_kernel, sample_subsets
from genscene.metrics.networks.inception import (
    RULES,
    Inception,
    fold_batch_norm,
    resize_clean,
    resize_tensorflow,
)
from genscene.metrics.networks.weights import load_weights
from genscene.metrics.precision_recall import neighbor_radii, precision_recall
from genscene.metrics.spectrum import (
    mean_log_magnitude,
    power_spectrum,
    radial_profile,
    ring_index,
    to_decibels,
)

Results = dict[str, Any]
RESIZE = {"tensorflow1_bilinear": resize_tensorflow, "clean": resize_clean}


def outputs(case: Case) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and arguments of all outputs."""
    for name, about in case.about["outputs"].items():
        yield name, about.get("args", {})


def frechet(case: Case) -> Results:
    """Moments, merged from batches of 7, and distances of two sets."""

    def moments(name: str) -> Moments:
        batches = map(RunningMoments.of, case[name].split(7))
        return reduce(RunningMoments.merged, batches).moments(case.settings["ddof"])

    results: Results = {}
    for name, args in outputs(case):
        if args["of"] == "distance":
            results[name] = [frechet_distance(*map(moments, args["features"]))]
        else:
            results[name] = getattr(moments(args["features"]), args["of"])
    return results


def kid(case: Case) -> Results:
    """Estimates over subsets, or of the first rows of both sets; the rows of the subsets."""
    x, y, s = case["features_1"], case["features_2"], case.settings
    subsets = (s["subsets"], s["subset_size"], s["rng_seed"])
    kernel = partial(polynomial_kernel, degree=s["degree"], gamma=s["gamma"], coef0=s["coef0"])
    sampled = [torch.stack(rows) for rows in zip(*sample_subsets(len(x), len(y), *subsets), strict=True)]
    rows = dict(zip(("rows of features_1", "rows of features_2"), sampled, strict=True))
    results: Results = {}
    for name, args in outputs(case):
        estimator = partial(mmd, unbiased=not args["biased"], kernel=kernel)
        if "rows" in args:
            results[name] = estimator(x[: args["rows"]], y[: args["rows"]])[None]
            continue
        # of subsets that are all of both sets we compute one
        estimates = kernel_distance(x, y, *subsets, estimator).estimates.expand(s["subsets"])
        values = {
            "mean": estimates.mean()[None],
            "stylegan3 formula": estimates.mean()[None],
            "standard deviation": estimates.std(correction=s["ddof"])[None],
            "estimate per subset": estimates,
        }
        results[name] = (values | rows)[args["of"]]
    return results


def precision_and_recall(case: Case) -> Results:
    """Precision, recall, density and coverage, and the radii of both sets."""
    s = case.settings
    options = (s["neighbourhood"], s["half_precision"])
    found = vars(precision_recall(case[s["generated"]], case[s["real"]], *options))
    radii = {f"radius_{i}": neighbor_radii(case[f"features_{i}"], *options) for i in (1, 2)}
    return radii | {name: [value] for name, value in found.items()}


def score(case: Case) -> Results:
    """Mean or standard deviation of the inception score over parts."""
    results: Results = {}
    for name, args in outputs(case):
        seed = case.settings["rng_seed"] if args["shuffle"] else None
        parts = inception_score(case["logits"], args["splits"], seed).estimates
        results[name] = (parts.std(correction=case.settings["ddof"]) if name == "std" else parts.mean())[None]
    return results


def spectra(case: Case) -> Results:
    """Radial profiles of power spectra, and the mean magnitude."""
    images, s = case["images"], case.settings
    window = None
    if s["window"] is not None:
        line = getattr(torch.signal.windows, s["window"])(s["size"], dtype=torch.float64)
        window = torch.outer(line, line)
    power = power_spectrum(images, s["grey_weights"], window, s["remove_mean"])
    profiles = radial_profile(power, s["bins"])
    return {
        "profile": profiles,
        "profile_mean_db": to_decibels(profiles.mean(dim=0) / s["size"] ** 4, floor=0),
        "magnitude_log": mean_log_magnitude(power, s["log_eps"]),
        "counts": torch.bincount(ring_index(s["size"]).flatten(), minlength=s["bins"])[: s["bins"]],
    }


def ssim_psnr(case: Case) -> Results:
    """PSNR, SSIM of channels, and its map, border pixels left out as the arguments say."""
    s = case.settings
    both = torch.stack([case[f"image_{i}"] for i in (1, 2)]).movedim(-1, 1)
    results: Results = {}
    for name, args in outputs(case):
        if "window" not in args:
            results[name] = psnr((both[0] - both[1]).square().mean() / args["data_range"] ** 2)[None]
            continue
        gaussian = args["window"] == "gaussian"
        window = SSIMWindow(gaussian, s["sigma"], args["taps"], args["sample_covariance"], s["K1"], s["K2"])
        assert window.side == args["taps"], f"{name}: a window of {window.side} pixels"
        a, b = both[:, args["channels"]] / s["data_range"]
        results[name] = similarity(a, b, window, args["border"], case.about["outputs"][name]["shape"])
    return results


def similarity(a: Tensor, b: Tensor, window: SSIMWindow, border: int, shape: list[int]) -> Any:
    """Images [C, H, W] -> SSIM, its mean where a single number is wanted, its map [H, W, C] elsewhere."""
    if shape == [1] and border == window.side // 2:
        return [ssim(a, b, window)]
    height, width = a.shape[1:]
    inner = ssim_map(a, b, window)[:, border : height - border, border : width - border]
    return inner.mean()[None] if shape == [1] else inner.movedim(0, -1)


def inception(case: Case) -> Results:
    """Features and logits of the network with the case's weights."""
    s = case.settings
    network = Inception(s["classes"]).to(case.dtype)
    (weights,) = case.about["state_dicts"]
    load_weights(network, weights, RULES, fold_batch_norm(case.weights(weights), weights))
    resized = RESIZE[s["resize"]](case["images"].to(case.dtype), s["input_size"])
    features = network((resized - s["mean"]) / s["scale"])
    return {name: features[args["feature"]] for name, args in outputs(case)}


KINDS: dict[str, Callable[[Case], Results]] = {
    "frechet": frechet,
    "inception": inception,
    "inception_score": score,
    "kid": kid,
    "power_spectrum": spectra,
    "precision_recall": precision_and_recall,
    "ssim_psnr": ssim_psnr,
}
