"""What a run resumes from is looked at: lost and damaged states, absurd numbers, other experiments."""

import json
import math

import pytest
import torch

from genscene.cli import main
from training import fitted
from training.fitted import copy_of, refused

runs = fitted.runs


@pytest.mark.parametrize("resume", [True, False])
def test_a_run_without_its_state_is_not_overwritten(runs, tmp_path, capsys, resume):
    out, words = copy_of(runs, tmp_path)
    (out / "state.pt").unlink()
    before = sorted(out.rglob("*"))
    line = refused(words if resume else words[:-1], capsys)
    assert f"holds 00000002.pt, 00000004.pt: copy one to {out / 'state.pt'}" in line
    assert sorted(out.rglob("*")) == before
    (out / "state.pt").write_bytes((out / "checkpoints" / "00000002.pt").read_bytes())
    assert main(words) == 0
    steps = [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert steps == [2, 3, 4, 5]


def transpose_color(state):
    """A tensor in another shape."""
    state["system"]["generator.voxels.color.0"] = state["system"]["generator.voxels.color.0"].T.contiguous()


def transpose_moments(state):
    """A moment of Adam in another shape."""
    moments = state["optimizers"]["generator"]["state"]
    key = next(k for k, v in moments.items() if v["exp_avg"].shape == (64, 12))
    moments[key]["exp_avg"] = moments[key]["exp_avg"].T.contiguous()


def adam(state, key=0):
    """What Adam remembers of one weight."""
    return state["optimizers"]["generator"]["state"][key]


def set_option(name, value):
    """Change an option of the optimiser."""
    return lambda state: state["optimizers"]["generator"]["param_groups"][0].update({name: value})


GROUP, WEIGHT = "state.pt: optimizers.generator.param_groups.0", "state.pt: optimizers.generator.state.0"
DAMAGE = {
    "text": (b"hello\n", "damaged or no checkpoint of torch;"),
    "cut": (None, "damaged or no checkpoint of torch;"),
    "another content": (lambda state: state.clear(), "holds no state of a run of this experiment;"),
    "shape": (transpose_color, "generator.voxels.color.0 has shape (12, 64), wanted (64, 12);"),
    "moments": (transpose_moments, "moments of another shape"),
    "no moments": (lambda state: state["optimizers"]["generator"]["state"].clear(), "state is empty"),
    "one moment": (lambda state: adam(state).pop("exp_avg"), f"{WEIGHT} holds other fields"),
    "nan": (lambda state: adam(state)["exp_avg"].fill_(math.nan), f"{WEIGHT}.exp_avg holds numbers that are"),
    "squares": (lambda state: adam(state)["exp_avg_sq"].fill_(-1.0), f"{WEIGHT}.exp_avg_sq holds"),
    "turns": (lambda state: adam(state)["step"].fill_(1e9), f"{WEIGHT}.step is 1e+09, wanted a whole number"),
    "half a turn": (lambda state: adam(state)["step"].fill_(0.5), f"{WEIGHT}.step is 0.5"),
    "a weight too many": (
        lambda state: state["optimizers"]["generator"]["state"].update({99: adam(state)}),
        "generator.state.99: there are",
    ),
    "rate": (set_option("lr", math.inf), f"{GROUP}.lr is inf, wanted a finite number"),
    "betas": (set_option("betas", (0.9, 1.0)), f"{GROUP}.betas is (0.9, 1.0), wanted (0.9, 0.99), as it is"),
    "eps": (set_option("eps", -1.0), f"{GROUP}.eps is -1.0, wanted"),
    "steps": (lambda state: state.update(step=10**9), "step is 1000000000, wanted a number from 0 to 6"),
    "steps below 0": (lambda state: state.update(step=-1), "step is -1"),
    "steps that are none": (lambda state: state.update(step="4"), "step is '4'"),
    "experiment": (lambda state: state.update(experiment=3), "experiment is no text"),
}


@pytest.mark.parametrize(("damage", "expected"), DAMAGE.values(), ids=DAMAGE)
def test_the_line_of_a_damaged_state_says_how_to_resume(runs, tmp_path, capsys, damage, expected):
    out, words = copy_of(runs, tmp_path)
    state = out / "state.pt"
    if callable(damage):
        document = torch.load(state, weights_only=True)
        damage(document)
        torch.save(document, state)
    else:
        state.write_bytes(damage or state.read_bytes()[:9000])
    line = refused(words, capsys)
    assert expected in line
    assert f"holds 00000002.pt, 00000004.pt: copy one to {state} to resume from there" in line


def test_a_lost_experiment_is_known_from_the_state(runs, tmp_path, capsys):
    out, words = copy_of(runs, tmp_path)
    whole = json.loads((out / "experiment.json").read_text())
    (out / "experiment.json").unlink()
    assert '(state.pt: there "seed": 0, here "seed": 1)' in refused([*words, "--seed", "1"], capsys)
    assert not (out / "experiment.json").exists()
    assert main(words) == 0
    assert json.loads((out / "experiment.json").read_text()) == whole | {"steps": 6}
    capsys.readouterr()
    other = json.dumps(whole | {"seed": 7})
    (out / "experiment.json").write_text(other)
    assert "(experiment.json: there" in refused(words, capsys)
    assert (out / "experiment.json").read_text() == other


def test_a_state_that_says_nothing_needs_the_experiment_beside_it(runs, tmp_path, capsys):
    out, words = copy_of(runs, tmp_path)
    document = torch.load(out / "state.pt", weights_only=True)
    del document["experiment"]
    torch.save(document, out / "state.pt")
    (out / "experiment.json").rename(tmp_path / "kept.json")
    assert "its experiment.json is lost" in refused(words, capsys)
    (tmp_path / "kept.json").rename(out / "experiment.json")
    assert main(words) == 0


def test_a_checkpoint_that_is_the_damaged_file_is_not_named(runs, tmp_path, capsys):
    out, words = copy_of(runs, tmp_path)
    (out / "checkpoints" / "00000004.pt").unlink()
    (out / "checkpoints" / "00000004.pt").hardlink_to(out / "state.pt")
    (out / "state.pt").write_bytes(b"hello")
    assert "holds 00000002.pt: copy" in refused(words, capsys)
