"""Cases recorded from the official implementations: reading them, and judging what we make of them."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

FOLDER = Path(os.environ.get("GENSCENE_CONFORMANCE") or Path(__file__).parents[2] / "../shared/conformance")


@dataclass(frozen=True)
class Case:
    """One case, its arrays as tensors of one precision."""

    folder: Path
    about: dict[str, Any]
    arrays: dict[str, np.ndarray]
    dtype: torch.dtype

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting the case needs, flat."""
        return self.about["settings"]

    def __getitem__(self, name: str) -> Tensor:
        """An input."""
        return self.cast(self.arrays[f"inputs/{name}"])

    def cast(self, array: np.ndarray) -> Tensor:
        """An array as a tensor, floating numbers in the precision of this run."""
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        return tensor.to(self.dtype) if tensor.is_floating_point() else tensor

    def weights(self, name: str) -> dict[str, Tensor]:
        """A state dict under its official names: entry i is drawn from RandomState([seed, i])."""
        spec = self.about["state_dicts"][name]
        return {
            e[0]: self.cast(_drawn(spec["seed"], i, e, self.arrays, name))
            for i, e in enumerate(spec["tensors"])
        }


def cases() -> list[str]:
    """All cases, as SYSTEM/CASE."""
    return sorted(path.parent.relative_to(FOLDER).as_posix() for path in FOLDER.glob("*/*/case.json"))


def opened(name: str, dtype: torch.dtype) -> Case:
    """A case by its name."""
    folder = FOLDER / name
    with np.load(folder / "io.npz") as stored:
        arrays = {key: stored[key] for key in stored.files}
    return Case(folder, json.loads((folder / "case.json").read_text()), arrays, dtype)


def judge(case: Case, results: dict[str, Any], kinked: tuple[str, ...] = ()) -> None:
    """Every stored output must be there and within the case's tolerance for this precision.

    Kinked outputs hang on units that lie within single-precision rounding of the corner of a rectifier: which side
    they fall on depends on the order of a convolution's sums. There only double precision decides sharply.
    """
    double = case.dtype == torch.float64
    wanted = case.about["outputs"]
    names = case.about.get("outputs64", []) if double and "outputs64" in case.about else list(wanted)
    missing = sorted(set(names) - set(results))
    assert not missing, f"{case.about['case']}: nothing maps to {missing}"
    for name in names:
        stored = case.arrays[
            f"outputs64/{name}" if double and "outputs64" in case.about else f"outputs/{name}"
        ]
        got = (
            results[name].detach().numpy() if isinstance(results[name], Tensor) else np.asarray(results[name])
        )
        assert got.shape == stored.shape, f"{name}: shape {got.shape}, wanted {stored.shape}"
        if stored.dtype.kind in "iu":
            assert np.array_equal(got, stored), f"{name}: integers differ"
            continue
        off = np.abs(got.astype(np.float64) - stored.astype(np.float64)).max(initial=0)
        sharp = double and got.dtype == np.float64 and ("outputs64" in case.about or "atol64" in wanted[name])
        limit = allowed(wanted[name], stored, sharp)
        if name in kinked and not double:
            limit *= 50
        assert off <= limit, f"{name}: off by {off:.3g}, allowed {limit:.3g}"


def allowed(about: dict[str, Any], stored: np.ndarray, double: bool) -> float:
    """The case's own tolerance; in double precision 1e-7 of the largest value."""
    if double:
        return float(about.get("atol64", 1e-7 * max(1e-12, np.abs(stored).max(initial=0))))
    return float(about["atol"])


def _drawn(seed: int, index: int, entry: list[Any], arrays: dict[str, np.ndarray], name: str) -> np.ndarray:
    if entry[2] == "npz":
        return arrays[f"weights/{name}/{entry[0]}"].reshape(entry[1])
    if isinstance(entry[2], dict):
        return np.array(entry[2]["values"], entry[2]["dtype"]).reshape(entry[1])
    mean, spread = entry[2:]
    if spread == 0:
        return np.full(entry[1], mean, np.float32)
    numbers = np.random.RandomState([seed, index]).standard_normal(tuple(entry[1]))
    return (numbers * spread + mean).astype(np.float32)
