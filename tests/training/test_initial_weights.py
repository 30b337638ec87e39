"""Starting from other weights: which players get them, what does not fit, and resuming."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from data.scenes import write_scene
from genscene.cli import main
from genscene.errors import BadInput
from genscene.experiment.schema import EMA
from genscene.io.generator_file import read
from genscene.training.run import Run, train


def still(experiment, steps=1, **changes):
    """A run whose steps change nothing."""
    optim = {player: replace(each, lr=0.0) for player, each in experiment.optim.items()}
    return replace(experiment, steps=steps, optim=optim, ema=EMA(decay=1.0, warmup=0.0), **changes)


def state(folder):
    return torch.load(folder / "state.pt", weights_only=True)


@pytest.fixture
def first(experiment, tmp_path):
    """A finished run."""
    train(replace(experiment, steps=3), Run(tmp_path / "first", grid_every=0))
    return tmp_path / "first"


def test_a_run_gives_all_players_and_a_file_the_generator(experiment, first, tmp_path):
    before, other = state(first), replace(experiment, seed=5)
    train(still(other, init=str(first)), Run(tmp_path / "all", grid_every=0))
    after = state(tmp_path / "all")
    for part in ("system", "ema"):
        for name, tensor in before[part].items():
            assert torch.equal(tensor, after[part][name]), name
    assert after["step"] == 1
    path = first / "generator.safetensors"
    train(still(other, init=str(path)), Run(tmp_path / "one", grid_every=0))
    after, weights = state(tmp_path / "one"), read(path).generator.state_dict()
    assert all(torch.equal(weights[name], after["system"][f"generator.{name}"]) for name in weights)
    new = [name for name in before["system"] if name.startswith("discriminator.") and "weight" in name]
    assert any(not torch.equal(before["system"][name], after["system"][name]) for name in new)


def test_priors_that_are_to_be_learned_start_as_given(experiment, first, tmp_path):
    learned = replace(experiment, system=replace(experiment.system, orbit="learned"))
    path = first / "generator.safetensors"
    averaged = {f"generator.{n}": t for n, t in read(path).generator.state_dict().items()}
    for init, given in ((first, state(first)["system"]), (path, averaged)):
        train(still(learned, init=str(init)), Run(tmp_path / f"from-{init.name}", grid_every=0))
        after = state(tmp_path / f"from-{init.name}")["system"]
        assert not after["generator.orbit.yaw"].any()
        assert all(torch.equal(after[name], tensor) for name, tensor in given.items())
    with pytest.raises(BadInput, match=r"orbit\.\S+ is none of its tensors"):
        train(replace(experiment, init=str(tmp_path / "from-first")), Run(tmp_path / "back"))


def test_where_a_run_started_is_recorded_and_need_not_be_repeated(experiment, first, tmp_path):
    out, given = tmp_path / "fine", replace(experiment, init=str(first), steps=4)
    train(given, Run(out, grid_every=0, save_every=2))
    whole, again = state(out), replace(given, init="")
    shutil.copyfile(out / "checkpoints" / "00000002.pt", out / "state.pt")
    train(again, Run(out, resume=True, grid_every=0))
    assert json.loads((out / "experiment.json").read_text())["init"] == str(first)
    assert read(out).experiment.init == str(first)
    assert state(out)["step"] == 4
    for name, tensor in state(out)["system"].items():
        assert torch.equal(tensor, whole["system"][name]), name
    with pytest.raises(BadInput, match="another experiment"):
        train(replace(again, init="elsewhere"), Run(out, resume=True))


def test_weights_that_do_not_fit_are_refused_by_name_before_anything_is_written(experiment, first, tmp_path):
    field = replace(experiment.system.generator.field, width=12)
    wider = replace(experiment.system, generator=replace(experiment.system.generator, field=field))
    for init in (first, first / "generator.safetensors"):
        with pytest.raises(BadInput, match=r"--init .*generator\.field\.\S+ has shape \(.*\), wanted \("):
            train(replace(experiment, system=wider, init=str(init)), Run(tmp_path / "new"))
    deeper = replace(experiment.system, generator=replace(experiment.system.generator, mapping_depth=9))
    with pytest.raises(BadInput, match=r"mapping\.network\.\S+ is missing"):
        train(replace(experiment, system=deeper, init=str(first)), Run(tmp_path / "new"))
    with pytest.raises(BadInput, match="no generator at nowhere"):
        train(replace(experiment, init="nowhere"), Run(tmp_path / "new"))
    torch.save({"system": 3}, first / "state.pt")
    with pytest.raises(BadInput, match=r"--init .*state\.pt holds no state of a run"):
        train(replace(experiment, init=str(first)), Run(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_a_scene_of_voxels_goes_on_in_the_box_that_its_photographs_gave(tmp_path):
    folder = write_scene(tmp_path / "figure", count=9, side=24)
    words = [
        "train",
        "nerf-grid-demo",
        "--data",
        str(folder),
        "--steps",
        "2",
        "--batch",
        "64",
        "--grid-every",
        "0",
    ]
    assert main([*words, "--out", str(tmp_path / "first")]) == 0
    before = read(tmp_path / "first").generator.state_dict()
    for init in (tmp_path / "first", tmp_path / "first" / "generator.safetensors"):
        out = tmp_path / f"{init.stem} again"
        frozen = ["--optim.generator.lr", "0", "--ema.decay", "1"]
        assert main([*words, *frozen, "--init", str(init), "--out", str(out)]) == 0
        after = read(out).generator.state_dict()
        assert torch.equal(before["voxels.color.0"], after["voxels.color.0"])
