"""Generator files on the hub, by a stand-in of its library: addresses, loading, every verb, error lines."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import genscene
from conftest import tiny
from genscene.cli import main
from genscene.errors import BadInput
from genscene.experiment.serialise import build_seeded
from genscene.hub import GENERATOR, HubAddress, local_path, parse_address
from genscene.io.generator_file import GeneratorFile, write
from genscene.training.initial_weights import initial_weights
from hub_stand_in import StandIn


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A small generator file."""
    path = tmp_path_factory.mktemp("hub") / GENERATOR
    experiment = tiny("pigan-demo")
    write(path, GeneratorFile(build_seeded(experiment).generator, experiment))
    return path


@pytest.fixture
def hub(file, tmp_path, monkeypatch):
    """A hub with the repository me/cars, which holds the generator, and again in a folder."""
    hub = StandIn(tmp_path / "hub")
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    (hub.root / "me" / "cars" / "small").mkdir(parents=True)
    shutil.copy(file, hub.root / "me" / "cars" / GENERATOR)
    shutil.copy(file, hub.root / "me" / "cars" / "small" / GENERATOR)
    return hub


ADDRESSES = {
    "hf://me/cars": HubAddress("me/cars"),
    "hf://me/cars/": HubAddress("me/cars"),
    "hf://me/cars@v1.0": HubAddress("me/cars", GENERATOR, "v1.0"),
    "hf://me/cars@refs/pr/3": HubAddress("me/cars", GENERATOR, "refs/pr/3"),
    "hf://me-2/cars_v1.5/best.safetensors": HubAddress("me-2/cars_v1.5", "best.safetensors"),
    "hf://me/cars/small": HubAddress("me/cars", f"small/{GENERATOR}"),
    "hf://me/cars/a/b.ply@0123abc": HubAddress("me/cars", "a/b.ply", "0123abc"),
}


@pytest.mark.parametrize(("text", "address"), ADDRESSES.items(), ids=ADDRESSES)
def test_addresses_are_read_as_text_and_as_paths(text, address):
    assert parse_address(text) == address
    assert parse_address(Path(text)) == address  # with one slash
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        *(
            "hf://me",
            "hf://me/cars@",
            "hf://me/../x",
            "hf://me/cars/../../x.ply",
            "hf:///x/y",
            "hf://-me/cars",
        ),
        *(
            "hf://me/cars/model.pkl",
            "hf://me/cars/pytorch_model.bin@main",
            "hf://me/ca rs",
            "hf://me/cars@a@b",
        ),
    ],
)
def test_what_is_no_address_is_refused_before_anything_is_fetched(text, hub):
    with pytest.raises(BadInput, match="wanted hf://owner/name"):
        local_path(text)
    assert not hub.fetched


def test_a_generator_is_loaded_from_the_hub(file, hub):
    found = genscene.load("hf://me/cars@v2")
    assert hub.fetched == [("me/cars", GENERATOR, "v2")]
    here = genscene.load(file)
    assert all(torch.equal(a, b) for a, b in zip(found.parameters(), here.parameters(), strict=True))
    assert local_path(file) == file


SMALL = "--size 8 --samples 4 --device cpu"
VERBS = (
    f"render HUB --out a.png --seeds 0 --frames 2 {SMALL}",
    f"interpolate HUB --seeds 0,1 --frames 2 --out a.gif {SMALL}",
    "export mesh HUB --out a.ply --resolution 8 --level 0.01",
    "export cameras HUB --out a.json --frames 2",
    "export prior HUB --out a.png --count 5",
    "export splats HUB --out a.ply --splats 8 --steps 1 --views 1 --side 8",
    "evaluate HUB --count 4 --reals 4 --size 16 --metrics frechet --device cpu --out a.json",
    "compare HUB HUB/small --data synthetic:cars --count 30 --reals 12 --size 16 --resamples 39 --device cpu",
    "train pigan-demo --init HUB --out run --steps 1 --batch 2 --images.limit 4 --dry-run --size 16",
)


@pytest.mark.parametrize("words", VERBS)
def test_every_verb_takes_an_address(words, hub, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words.replace("HUB", "hf://me/cars").split()) == 0, capsys.readouterr().err
    assert hub.fetched or "--dry-run" in words


def test_training_starts_from_the_hub(hub):
    found = initial_weights(replace(tiny("pigan-demo"), init="hf://me/cars"))
    assert hub.fetched == [("me/cars", GENERATOR, None)]
    assert found.ema


def test_what_is_not_there_is_one_line(hub, capsys):
    assert main(["render", "hf://me/nothing", "--out", "a.png"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("genscene: hf://me/nothing could not be fetched (FileNotFoundError: 404 Client Err")
    assert err.count("\n") == 1


def test_without_the_library_the_extra_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert main(["render", "hf://me/cars", "--out", "a.png"]) == 2
    assert "hf://me/cars needs huggingface_hub: pip install 'genscene[hub]'" in capsys.readouterr().err
