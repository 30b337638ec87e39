"""What is kept of the features of one side: moments of all, the features of the first many, and how they were got."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from genscene.errors import BadInput
from genscene.evaluation.protocol import agree
from genscene.evaluation.sides import Notes
from genscene.io.atomic import atomic, try_lock
from genscene.metrics.frechet import Moments, RunningMoments

KIND = "genscene statistics"


@dataclass(frozen=True)
class Statistics:
    """Of one side, by one extractor, under one protocol."""

    protocol: Mapping[str, str]  # all that must be equal for two numbers to be compared
    notes: Notes  # what the pictures are
    tally: RunningMoments
    features: Tensor  # [K, D] float32, of the first K pictures

    @property
    def moments(self) -> Moments:
        """Mean and covariance of the features of all pictures."""
        return self.tally.moments()

    def beside(self, other: "Statistics", names: tuple[str, str]) -> None:
        """Raise BadInput where the other's protocol is not this one's; names: what to call the two."""
        agree(self.protocol, other.protocol, names)

    def save(self, path: str | Path) -> None:
        """Write them as one safetensors file, protocol and notes in its header."""
        about = {
            "kind": KIND,
            "protocol": dict(self.protocol),
            "notes": dict(self.notes),
            "count": self.tally.count,
        }
        tensors = {"mean": self.tally.mean, "scatter": self.tally.scatter, "features": self.features}
        with atomic(path) as partial:
            whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
            save_file(whole, partial, metadata={"about": json.dumps(about)})

    @staticmethod
    def load(path: str | Path) -> "Statistics":
        """Read what `save` wrote; BadInput names the file where it holds anything else."""
        try:
            with safe_open(path, framework="pt") as file:
                about = json.loads((file.metadata() or {}).get("about", "{}"), parse_constant=no_number)
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except Exception as error:  # a damaged file can raise anything
            raise BadInput(
                f"{path} is no whole file of statistics ({' '.join(str(error).split())})"
            ) from None
        if not ours(about) or set(tensors) != {"mean", "scatter", "features"}:
            raise BadInput(f"{path} holds no statistics of genscene: wanted what evaluate --statistics wrote")
        count, told = about["count"], about["notes"].get("pictures")
        wrong = misfit(count, tensors) or (
            f"count {count}, but {told} pictures are told of" if told != count else ""
        )
        if wrong:
            raise BadInput(f"{path} holds damaged statistics: {wrong}")
        tally = RunningMoments(count, tensors["mean"], tensors["scatter"])
        return Statistics(about["protocol"], about["notes"], tally, tensors["features"])


def ours(about: Any) -> bool:
    """Whether a header tells of statistics."""
    if not isinstance(about, dict) or about.get("kind") != KIND:
        return False
    kinds = {"protocol": dict, "notes": dict, "count": int}
    if not all(isinstance(about.get(name), kind) for name, kind in kinds.items()):
        return False
    words, notes = about["protocol"].values(), about["notes"]
    plain = all(isinstance(value, str | int | float) for value in notes.values())
    return plain and isinstance(notes.get("of", 0), int) and all(isinstance(value, str) for value in words)


def no_number(word: str) -> None:
    """What JSON does not know, but Python reads: NaN and Infinity; raises ValueError."""
    raise ValueError(f"its header holds {word}")


def misfit(count: int, tensors: Mapping[str, Tensor]) -> str:
    """What is wrong with mean [D], scatter [D, D] and features [K, D] of so many pictures; nothing: ""."""
    features, width = tensors.get("features", tensors["mean"][None]), tensors["mean"].numel()
    rows = len(features) if features.dim() else 0
    shapes = {"mean": (width,), "scatter": (width, width), "features": (rows, width)}
    for name, tensor in tensors.items():
        dtype = torch.float32 if name == "features" else torch.float64
        if tensor.dtype != dtype or tensor.shape != shapes[name]:
            return f"{name} is {tensor.dtype} {list(tensor.shape)}, wanted {dtype} {list(shapes[name])}"
        if not bool(tensor.isfinite().all()):
            return f"{name} holds numbers that are not finite"
    return "" if count >= max(2, rows) and rows else f"count {count}, but {rows} features were kept"


class Growing:
    """Statistics in the making; with a folder they outlive the process and go on from there."""

    def __init__(self, folder: Path | None, count: int, width: int, keep: int):
        """For so many pictures of features so wide, of which the first `keep` are kept."""
        self.folder, self.count, self.width = folder, count, width
        self.tally: RunningMoments | None = None
        shape, self.done = (min(keep, count), width), 0
        self.lock = None if folder is None else try_lock(folder / "lock")
        if folder is None or self.lock is None:  # where another process is at it: without
            self.folder, self.features = None, np.zeros(shape, np.float32)
            return
        rows, size = folder / "features.f32", 4 * shape[0] * width
        known = self._known() if rows.is_file() and rows.stat().st_size == size else None
        self.features = np.memmap(rows, np.float32, "w+" if known is None else "r+", shape=shape)
        if known is not None:
            self.tally, self.done = known, known.count

    def add(self, places: range, features: Tensor) -> None:
        """Features [B, D] of the pictures at these places; those that were there before are left out."""
        new = features[max(0, self.done - places.start) :].cpu()
        if not len(new):
            return
        room = self.features[self.done : self.done + len(new)]
        room[:] = new[: len(room)].numpy()
        part = RunningMoments.of(new)
        self.tally = part if self.tally is None else self.tally.merged(part)
        self.done += len(new)

    def save(self) -> None:
        """Note how far it has come, features first."""
        if self.folder is None or self.tally is None:
            return
        if isinstance(self.features, np.memmap):
            self.features.flush()
        tensors = {"mean": self.tally.mean, "scatter": self.tally.scatter}
        with atomic(self.folder / "tally.safetensors") as partial:
            save_file(tensors, partial, metadata={"count": str(self.done)})

    def close(self) -> None:
        """Let other processes go on from here."""
        if self.lock is not None:
            self.lock.close()

    def whole(self, protocol: Mapping[str, str], notes: Notes) -> Statistics:
        """The statistics of all pictures."""
        assert self.tally is not None
        return Statistics(protocol, notes, self.tally, torch.from_numpy(self.features))

    def _known(self) -> RunningMoments | None:
        """The tally an earlier process left; None where there is none, or none that fits."""
        assert self.folder is not None
        try:
            with safe_open(self.folder / "tally.safetensors", framework="pt") as file:
                count = int((file.metadata() or {})["count"])
                tensors = {name: file.get_tensor(name) for name in ("mean", "scatter")}
        except (SafetensorError, OSError, KeyError, ValueError):
            return None
        fits = (
            tensors["mean"].shape == (self.width,)
            and count <= self.count
            and not misfit(max(2, count), tensors)
        )
        return RunningMoments(count, **tensors) if fits else None
