"""Cases recorded from the official implementations: reading them, computing their outputs, comparing."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

DEVICE = torch.device(os.environ.get("GENSCENE_CONFORMANCE_DEVICE") or "cpu")  # that computes the cases
FOLDER = Path(os.environ.get("GENSCENE_CONFORMANCE") or Path(__file__).parents[2] / "../shared/conformance")
Args = dict[str, Any]
Results = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One case; inputs and weights are tensors of one precision, and leaves of the graph."""

    folder: Path
    about: dict[str, Any]  # the content of case.json
    arrays: dict[str, np.ndarray]  # the content of io.npz
    dtype: torch.dtype
    leaves: dict[str, Tensor] = field(default_factory=dict, repr=False)  # inputs and weights read so far

    @property
    def settings(self) -> Args:
        """Every setting the case needs, flat."""
        return self.about["settings"]

    def outputs(self) -> dict[str, Args]:
        """The arguments of every output, over the settings of the case."""
        return {name: self.settings | about.get("args", {}) for name, about in self.about["outputs"].items()}

    @property
    def gradients(self) -> set[str]:
        """What the gradients among the outputs are taken with respect to: inputs/NAME or STATE_DICT/NAME."""
        return {leaf_name(args) for args in self.outputs().values() if "wrt" in args}

    def __contains__(self, name: str) -> bool:
        """Whether there is an input of this name."""
        return f"inputs/{name}" in self.arrays

    def __getitem__(self, name: str) -> Tensor:
        """An input, with or without "inputs/" in front of its name."""
        key = f"inputs/{name.removeprefix('inputs/')}"
        return self._leaf(key, lambda: self.arrays[key])

    def weights(self, state_dict: str) -> dict[str, Tensor]:
        """A state dict under its official names: entry i is generated from RandomState([seed, i])."""
        spec, found = self.about["state_dicts"][state_dict], {}
        for i, entry in enumerate(spec["tensors"]):

            def generate(i: int = i, entry: list[Any] = entry) -> np.ndarray:
                return _generate(spec["seed"], i, entry, self.arrays, state_dict)

            found[entry[0]] = self._leaf(f"{state_dict}/{entry[0]}", generate)
        return found

    def cast(self, array: np.ndarray) -> Tensor:
        """An array as a tensor, floating numbers in the precision of this run."""
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        return tensor.to(DEVICE, self.dtype if tensor.is_floating_point() else tensor.dtype)

    def _leaf(self, key: str, read: Callable[[], np.ndarray]) -> Tensor:
        if key not in self.leaves:
            self.leaves[key] = self.cast(read()).requires_grad_(key in self.gradients)
        return self.leaves[key]


def case_names() -> list[str]:
    """All cases, as SYSTEM/CASE."""
    return sorted(path.parent.relative_to(FOLDER).as_posix() for path in FOLDER.glob("*/*/case.json"))


def read_case(name: str, dtype: torch.dtype) -> Case:
    """A case by its name."""
    folder = FOLDER / name
    with np.load(folder / "io.npz") as stored:
        arrays = {key: stored[key] for key in stored.files}
    return Case(folder, json.loads((folder / "case.json").read_text()), arrays, dtype)


def new_case(
    settings: Args,
    inputs: Mapping[str, Any],
    outputs: Mapping[str, Args],
    state_dicts: Mapping[str, list[list[Any]]] | None = None,
) -> Case:
    """A case in double precision that is not stored.

    outputs: their args, and their shape under "shape" where a mapping reads it. state_dicts: their entries.
    """
    about = {
        "settings": settings,
        "outputs": {name: {"shape": args.get("shape", []), "args": args} for name, args in outputs.items()},
        "state_dicts": {
            name: {"seed": i, "tensors": entries}
            for i, (name, entries) in enumerate((state_dicts or {}).items())
        },
    }
    arrays = {f"inputs/{name}": np.asarray(value) for name, value in inputs.items()}
    return Case(FOLDER, about, arrays, torch.float64)


def attach(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Replace parameters by tensors under our names, so that gradients reach the official tensors."""
    for name, tensor in tensors.items():
        owner, _, leaf = name.rpartition(".")
        part = module.get_submodule(owner)
        assert getattr(part, leaf).shape == tensor.shape, name
        delattr(part, leaf)
        setattr(part, leaf, tensor)


def leaf_name(args: Args) -> str:
    """What a gradient is taken with respect to: inputs/NAME or STATE_DICT/NAME."""
    wrt: str = args["wrt"]
    return wrt if wrt.startswith("inputs/") else f"{args['state_dict']}/{wrt}"


def compute_outputs(case: Case, quantity: Callable[[str, Args], Any]) -> Results:
    """All outputs of a case: gradients and stored parts of what `quantity` computes for a name and arguments.

    The arguments that it gets say what to compute and of which input, not what is differentiated or stored.
    """
    results: Results = {}
    with torch.set_grad_enabled(bool(case.gradients)):
        for name, args in case.outputs().items():
            stored = {key: args.pop(key) for key in ("wrt", "state_dict", "reshape", "index") if key in args}
            if "wrt" in stored and "rows" in args:
                rows = args.pop("rows")
                stored.setdefault("index", [[None, rows, None]])
            values = quantity(name, args)
            if "wrt" in stored:
                leaf = case.leaves[leaf_name(stored)]
                (values,) = torch.autograd.grad(values.sum(), leaf, retain_graph=True, allow_unused=True)
                values = torch.zeros_like(leaf) if values is None else values
            results[name] = stored_part(values, stored.get("reshape"), stored.get("index"))
    return results


def once(compute: Callable[[Args], Any]) -> Callable[[Args], Any]:
    """The same function, computed once for all arguments that differ in "of" and "pass" alone."""
    found: dict[str, Any] = {}

    def cached(args: Args) -> Any:
        key = json.dumps({name: args[name] for name in sorted(args) if name not in ("of", "pass")})
        if key not in found:
            found[key] = compute(args)
        return found[key]

    return cached


def stored_part(values: Any, reshape: list[int] | None, index: list[Any] | None) -> np.ndarray:
    """The part of a full array that is stored; index: for each axis an integer or [start, stop, step]."""
    full = np.atleast_1d(values.detach().cpu().numpy() if isinstance(values, Tensor) else values)
    if reshape is not None:
        full = full.reshape(reshape)
    return full[tuple(slice(*part) if isinstance(part, list) else part for part in index or [])]


def fed_part(batch: Tensor, args: Args) -> Tensor:
    """The members of a batch [B, ...] that are fed: the pictures of the arguments, or the first rows."""
    if args.get("pictures") is not None:
        return batch[args["pictures"]]
    return batch[: args.get("rows")]


def check_outputs(case: Case, results: Results, kinked: Callable[[Args], bool] = lambda args: False) -> None:
    """Every stored output must be there and within the case's tolerance for this precision.

    Kinked outputs depend on units that lie within single-precision rounding of the corner of a rectifier: on
    which side they are depends on the order of a convolution's sums. There only double precision is decisive.
    """
    double = case.dtype == torch.float64
    wanted = case.about["outputs"]
    both = case.about.get("outputs64") is not None
    names = case.about["outputs64"] if double and both else list(wanted)
    missing = sorted(set(names) - set(results))
    assert not missing, f"{case.about['case']}: nothing maps to {missing}"
    for name in names:
        stored = case.arrays[f"outputs64/{name}" if double and both else f"outputs/{name}"]
        values = results[name]
        got = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
        assert got.shape == stored.shape, f"{name}: shape {got.shape}, wanted {stored.shape}"
        if stored.dtype.kind in "iu":
            assert np.array_equal(got, stored), f"{name}: integers differ"
            continue
        off = np.abs(got.astype(np.float64) - stored.astype(np.float64)).max(initial=0)
        sharp = double and got.dtype == np.float64 and (both or "atol64" in wanted[name])
        limit = tolerance(wanted[name], stored, sharp)
        if not double and kinked(wanted[name].get("args", {})):
            limit *= 50
        assert off <= limit, f"{name}: off by {off:.3g}, allowed {limit:.3g}"


def tolerance(about: dict[str, Any], stored: np.ndarray, double: bool) -> float:
    """The case's own tolerance; in double precision 1e-7 of the largest value."""
    if double:
        return float(about.get("atol64", 1e-7 * max(1e-12, np.abs(stored).max(initial=0))))
    return float(about["atol"])


def _generate(
    seed: int, index: int, entry: list[Any], arrays: dict[str, np.ndarray], name: str
) -> np.ndarray:
    if entry[2] == "npz":
        return arrays[f"weights/{name}/{entry[0]}"].reshape(entry[1])
    if isinstance(entry[2], dict):
        return np.array(entry[2]["values"], entry[2]["dtype"]).reshape(entry[1])
    mean, std = entry[2:]
    if std == 0:
        return np.full(entry[1], mean, np.float32)
    numbers = np.random.RandomState([seed, index]).standard_normal(tuple(entry[1]))
    return (numbers * std + mean).astype(np.float32)
