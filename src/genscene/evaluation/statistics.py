"""Statistics of image features: moments of all images, features of the first ones, and their protocol."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from genscene.errors import BadInput, describe_error
from genscene.evaluation.image_sources import Provenance
from genscene.io.atomic import atomic, try_lock
from genscene.metrics.frechet import Moments, RunningMoments

KIND, FORMAT = "genscene statistics", 1


@dataclass(frozen=True)
class FeatureStatistics:
    """Statistics of one set of images by one extractor under one protocol."""

    protocol: Mapping[str, str]  # everything that must be equal for two scores to be comparable
    provenance: Provenance  # which images
    running: RunningMoments
    features: Tensor  # [K, D] float32, of the first K images

    @property
    def count(self) -> int:
        """Number of images."""
        return self.running.count

    @property
    def moments(self) -> Moments:
        """Mean and covariance of the features of all images."""
        return self.running.moments()

    def save(self, path: str | Path) -> None:
        """Write a safetensors file with protocol, provenance, count and format in its header."""
        header = {"kind": KIND, "format": FORMAT, "protocol": dict(self.protocol)}
        header |= {"provenance": dict(self.provenance), "count": self.count}
        tensors = {"mean": self.running.mean, "scatter": self.running.scatter, "features": self.features}
        with atomic(path) as partial:
            contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
            save_file(contiguous, partial, metadata={"about": json.dumps(header)})

    @staticmethod
    def load(path: str | Path) -> "FeatureStatistics":
        """Read what `save` wrote; BadInput names a file that holds anything else, or is of another format."""
        try:
            with safe_open(path, framework="pt") as file:
                about = (file.metadata() or {}).get("about", "{}")
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            header = json.loads(about, parse_constant=_refuse_constant)
        except Exception as error:  # a damaged file can raise anything
            raise BadInput(f"{path} is not a complete file of statistics ({describe_error(error)})") from None
        if not isinstance(header, dict) or header.get("kind") != KIND:
            raise BadInput(f"{path} holds no statistics of genscene, wanted a file of evaluate --statistics")
        if header.get("format") != FORMAT:
            got = f"statistics of format {header.get('format')}, this version reads format {FORMAT}"
            raise BadInput(f"{path} holds {got}: write them again with evaluate --statistics")
        problem = "its header or its tensors are incomplete"
        if _is_complete(header) and set(tensors) == {"mean", "scatter", "features"}:
            count, images = header["count"], header["provenance"].get("images")
            other = f"count {count}, but its header names {images} images" if images != count else ""
            problem = find_damage(count, tensors) or other
        if problem:
            raise BadInput(f"{path} holds damaged statistics: {problem}")
        running = RunningMoments(header["count"], tensors["mean"], tensors["scatter"])
        return FeatureStatistics(header["protocol"], header["provenance"], running, tensors["features"])


def find_damage(count: int, tensors: Mapping[str, Tensor]) -> str:
    """What is wrong with mean [D], scatter [D, D] and features [K, D] of so many images; nothing: ""."""
    features, width = tensors.get("features", tensors["mean"][None]), tensors["mean"].numel()
    rows = len(features) if features.dim() else 0
    shapes = {"mean": (width,), "scatter": (width, width), "features": (rows, width)}
    for name, tensor in tensors.items():
        dtype = torch.float32 if name == "features" else torch.float64
        if tensor.dtype != dtype or tensor.shape != shapes[name]:
            return f"{name} is {tensor.dtype} {list(tensor.shape)}, wanted {dtype} {list(shapes[name])}"
        if not bool(tensor.isfinite().all()):
            return f"{name} holds values that are not finite"
    return "" if count >= max(2, rows) and rows else f"count {count}, but {rows} features"


def _is_complete(header: dict[str, Any]) -> bool:
    kinds = {"protocol": dict, "provenance": dict, "count": int}
    if not all(isinstance(header.get(name), kind) for name, kind in kinds.items()):
        return False
    plain = all(isinstance(value, str | int | float) for value in header["provenance"].values())
    texts = all(isinstance(value, str) for value in header["protocol"].values())
    return plain and texts and isinstance(header["provenance"].get("available", 0), int)


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(
        f"its header holds {word}"
    )  # NaN and Infinity, which JSON does not have, but Python reads


class Accumulator:
    """Accumulates features; with a folder, the state survives the process and another one resumes from it."""

    def __init__(self, folder: Path | None, shape: tuple[int, int], max_features: int):
        """For features of shape [N, D], of which the first max_features rows are stored."""
        (self.count, self.width), self.done = shape, 0
        self.running: RunningMoments | None = None
        self.lock = None if folder is None else try_lock(folder / "lock")
        self.folder = folder if self.lock is not None else None  # none where another process works there
        shape = (min(max_features, self.count), self.width)
        if self.folder is None:
            self.features = np.zeros(shape, np.float32)
            return
        rows, size = self.folder / "features.f32", 4 * shape[0] * self.width
        saved = self._load(self.folder) if rows.is_file() and rows.stat().st_size == size else None
        self.features = np.memmap(rows, np.float32, "w+" if saved is None else "r+", shape=shape)
        if saved is not None:
            self.running, self.done = saved, saved.count

    def add(self, indices: range, features: Tensor) -> None:
        """Features [B, D] of the images with these indices; those that were added before are ignored."""
        new = features[max(0, self.done - indices.start) :].cpu()
        if not len(new):
            return
        room = self.features[self.done : self.done + len(new)]
        room[:] = new[: len(room)].numpy()
        part = RunningMoments.of(new)
        self.running = part if self.running is None else self.running.merged(part)
        self.done += len(new)

    def save(self) -> None:
        """Save the state: features first, so that the moments never count more than are there."""
        if self.folder is None or self.running is None:
            return
        if isinstance(self.features, np.memmap):
            self.features.flush()
        tensors = {"mean": self.running.mean, "scatter": self.running.scatter}
        with atomic(self.folder / "moments.safetensors") as partial:
            save_file(tensors, partial, metadata={"count": str(self.done)})

    def close(self) -> None:
        """Release the lock."""
        if self.lock is not None:
            self.lock.close()

    def statistics(self, protocol: Mapping[str, str], provenance: Provenance) -> FeatureStatistics:
        """The statistics of all images."""
        assert self.running is not None
        return FeatureStatistics(protocol, provenance, self.running, torch.from_numpy(self.features))

    def _load(self, folder: Path) -> RunningMoments | None:
        """The moments that an earlier process saved; None where there are none that fit."""
        with suppress(SafetensorError, OSError, KeyError, ValueError):
            with safe_open(folder / "moments.safetensors", framework="pt") as file:
                count = int((file.metadata() or {})["count"])
                tensors = {name: file.get_tensor(name) for name in ("mean", "scatter")}
            damaged = count > self.count or tensors["mean"].shape != (self.width,)
            return (
                None if damaged or find_damage(max(2, count), tensors) else RunningMoments(count, **tensors)
            )
        return None
