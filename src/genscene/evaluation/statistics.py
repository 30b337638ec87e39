"""Statistics of image features: moments of all images, features of the first ones, and their protocol."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from genscene.devices import require_memory
from genscene.errors import BadInput, describe_error
from genscene.evaluation.image_sources import Provenance
from genscene.experiment.validation import Place, build
from genscene.io.atomic import atomic, reserve
from genscene.metrics.frechet import Moments, RunningMoments
from genscene.ranges import Range

KIND, FORMAT = "genscene statistics", 1


@dataclass(frozen=True)
class Header:
    """What the header of a file says."""

    kind: str
    format: int
    protocol: dict[str, str]
    provenance: dict[str, str | int | float]
    count: Annotated[int, Range(1, 2**53)]

    def check(self) -> None:
        """Raise BadInput for a number of images, of which these were chosen, that is none."""
        available = self.provenance.get("available", self.count)
        if type(available) is not int or not 0 < available < 2**53:
            raise BadInput(f"provenance.available {available}: wanted a whole number from 1")


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
            size = Path(path).stat().st_size
            require_memory(size, f"{path}", "wanted statistics of fewer features")
            with safe_open(path, framework="pt") as file:
                about = (file.metadata() or {}).get("about", "{}")
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            header = json.loads(about)
            json.dumps(header, allow_nan=False)  # Python reads NaN and Infinity, which JSON does not have
            found = f"{header.get('kind', 'no statistics')} of format {header.get('format')}"
        except BadInput:
            raise
        except Exception as error:  # a damaged file can raise anything
            raise BadInput(f"{path} is not a complete file of statistics ({describe_error(error)})") from None
        if found != f"{KIND} of format {FORMAT}":
            wanted = f"wanted {KIND} of format {FORMAT}: write them with evaluate --statistics"
            raise BadInput(f"{path} holds {found}, {wanted}")
        said: Header = build(header, Header, Place(str(path)))
        if set(tensors) != {"mean", "scatter", "features"}:
            raise BadInput(f"{path} holds damaged statistics: its tensors are incomplete")
        count, rows, images = said.count, tensors["features"].shape[:1].numel(), said.provenance.get("images")
        problem = find_damage(tensors)
        if not problem and not 0 < rows <= count == images:
            problem = f"count {count}, but {rows} features, and {images} images in its header"
        if problem:
            raise BadInput(f"{path} holds damaged statistics: {problem}")
        running = RunningMoments(count, tensors["mean"], tensors["scatter"])
        return FeatureStatistics(said.protocol, said.provenance, running, tensors["features"])


def find_damage(tensors: Mapping[str, Tensor]) -> str:
    """What is wrong with mean [D], scatter [D, D] in float64, features [K, D] in float32; nothing: ""."""
    width = tensors["mean"].numel()
    for name, tensor in tensors.items():
        dtype = torch.float32 if name == "features" else torch.float64
        shape = {"mean": [width], "scatter": [width, width], "features": [*tensor.shape[:1], width]}[name]
        if tensor.dtype != dtype or list(tensor.shape) != shape:
            return f"{name} is {tensor.dtype} {list(tensor.shape)}, wanted {dtype} {shape}"
        if not bool(tensor.isfinite().all()):
            return f"{name} holds values that are not finite"
    if bool((tensors["scatter"].diagonal() < 0).any()):
        return "scatter holds squared deviations below 0"
    return ""


class Accumulator:
    """Accumulates features; with a folder, the state survives the process and another one resumes from it."""

    def __init__(self, folder: Path | None, shape: tuple[int, int], max_features: int):
        """For features of shape [N, D], of which the first max_features rows are stored."""
        self.folder, (self.count, self.width) = folder, shape
        self.running: RunningMoments | None = None
        self.digest = hashlib.blake2b()  # of the stored features that were added
        stored = (min(max_features, self.count), self.width)
        try:
            self.features = np.zeros(stored, np.float32) if folder is None else self._map(folder, stored)
        except OSError:  # no room on the disk: in memory, and not stored
            self.features, self.folder = np.zeros(stored, np.float32), None

    @property
    def done(self) -> int:
        """Number of images whose features were added."""
        return self.running.count if self.running else 0

    def add(self, indices: range, features: Tensor) -> None:
        """Features [B, D] of the images with these indices; those that were added before are ignored."""
        new = features[max(0, self.done - indices.start) :].cpu()
        if len(new):
            room = self.features[self.done : self.done + len(new)]
            room[:] = new[: len(room)].numpy()
            self.digest.update(room.ravel().view(np.uint8).data)
            part = RunningMoments.of(new)
            self.running = self.running.merged(part) if self.running else part

    def save(self) -> None:
        """Save the state, where there is room: features first, so that the moments never count more."""
        if isinstance(self.features, np.memmap) and self.folder and self.running:
            with suppress(OSError, SafetensorError):
                self.features.flush()
                tensors = {name: torch.as_tensor(value) for name, value in vars(self.running).items()}
                with atomic(self.folder / "moments.safetensors") as partial:
                    save_file(tensors, partial, {"digest": self._digest(tensors)})

    def _digest(self, tensors: Mapping[str, Tensor]) -> str:
        """A checksum of the stored features and of the moments."""
        both = self.digest.copy()
        for name in sorted(tensors):
            both.update(tensors[name].numpy().tobytes())
        return both.hexdigest()

    def statistics(self, protocol: Mapping[str, str], provenance: Provenance) -> FeatureStatistics:
        """The statistics of all images."""
        assert self.running is not None
        return FeatureStatistics(protocol, provenance, self.running, torch.from_numpy(self.features))

    def _map(self, folder: Path, shape: tuple[int, int]) -> np.ndarray:
        """Features [K, D] on disk, those of an earlier process where they are whole; OSError without room."""
        path = folder / "features.f32"
        if path.is_file() and path.stat().st_size == 4 * shape[0] * shape[1]:
            self.features = np.memmap(path, np.float32, "r+", shape=shape)
            self.running = self._load(folder / "moments.safetensors")
        if self.running is None:
            self.features = np.memmap(path, np.float32, "w+", shape=shape)
            reserve(path)
        return self.features

    def _load(self, path: Path) -> RunningMoments | None:
        """The moments that an earlier process saved; None where they, or the features, are not those."""
        with suppress(SafetensorError, OSError, KeyError, TypeError, ValueError):
            with safe_open(path, framework="pt") as file:
                digest = (file.metadata() or {})["digest"]
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            running = RunningMoments(int(tensors["count"]), tensors["mean"], tensors["scatter"])
            if 0 < running.count <= self.count and running.mean.shape == (self.width,):
                self.digest.update(self.features[: running.count].ravel().view(np.uint8).data)
                if digest == self._digest(tensors):
                    return running
        self.digest = hashlib.blake2b()
        return None
