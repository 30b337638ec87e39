"""genscene analyse ray, slices, truncation, views: their pictures, and what is refused in one line."""

import pytest
import torch
from PIL import Image

from conftest import tiny
from genscene.cli import main
from genscene.experiment.serialise import build_seeded
from genscene.io import generator_file
from genscene.io.generator_file import GeneratorFile
from genscene.layers.mapping import update_w_avg


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files of small generators with new weights, and the folders of two fitted scenes."""
    folder = tmp_path_factory.mktemp("files")
    for name in ("pigan-celeba", "cips-demo", "cgsgan-demo", "giraffe-cars"):
        torch.manual_seed(0)
        experiment = tiny(name)
        generator = build_seeded(experiment).generator.eval()
        update_w_avg(generator)
        generator_file.write(folder / f"{name}.safetensors", GeneratorFile(generator, experiment))
    field = "--system.generator.field"
    small = f"{field}.width 8 {field}.depth 2 {field}.skips 1 --system.generator.march.samples 4"
    march = (
        "--system.generator.march.fine-samples 4 --steps 1 --size 16 --batch 32 --device cpu --grid-every 0"
    )
    for name, octaves in (("whole", 2), ("bare", 0)):
        words = f"train nerf-blender --data synthetic:objects {small} {march} {field}.octaves {octaves}"
        assert main([*words.split(), "--out", str(folder / name)]) == 0
    return folder


GOOD = {
    "ray pigan-celeba.safetensors --samples 4": "both passes",
    "ray whole --pixel 3,4 --view 1": "pass 2: 8 samples",
    "ray giraffe-cars.safetensors --pixel 15,15": "pass 1:",
    "slices pigan-celeba.safetensors --axis z --count 2 --resolution 8 --seed 3": "out.png",
    "truncation cips-demo.safetensors --seeds 0,4 --steps 3 --size 8": "out.png",
    "truncation cgsgan-demo.safetensors --seeds 1 --steps 2 --size 16": "out.png",
    "views whole bare --count 1": "out.png",
}


@pytest.mark.parametrize("words", GOOD)
def test_a_picture_is_written(words, files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(files)
    for out in ("out.png", "again.png"):
        assert main(["analyse", *words.split(), "--out", str(tmp_path / out)]) == 0
    printed = capsys.readouterr().out
    assert GOOD[words] in printed or "pass 2" in printed
    assert (tmp_path / "out.png").read_bytes() == (tmp_path / "again.png").read_bytes()
    with Image.open(tmp_path / "out.png") as image:
        assert min(image.size) > 100
        assert len(set(image.convert("L").resize((64, 64)).getdata())) > 4


REFUSED = {
    "ray cips-demo.safetensors": "its scenes are no fields of density",
    "ray pigan-celeba.safetensors --pixel 99,0": "wanted one of a picture of 16x16",
    "ray pigan-celeba.safetensors --pixel x": "--pixel 'x': wanted column,row like 32,40",
    "slices pigan-celeba.safetensors --axis w": "--axis w: wanted x, y or z",
    "slices cgsgan-demo.safetensors": "its scenes are no fields of density",
    "slices pigan-celeba.safetensors --count 0": "--count 0: wanted",
    "truncation whole": "holds a single scene, wanted a generator of many",
    "views pigan-celeba.safetensors": "wanted scenes fitted to photographs with cameras",
    "slices pigan-celeba.safetensors --resolutoin 8": "did you mean --resolution",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_shown_is_refused_in_one_line(words, files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(files)
    assert main(["analyse", *words.split(), "--out", str(tmp_path / "out.png")]) == 2
    error = capsys.readouterr().err
    assert REFUSED[words] in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_only_pictures_are_written(files, tmp_path, capsys):
    words = ["analyse", "slices", str(files / "pigan-celeba.safetensors"), "--out", str(tmp_path / "out.jpg")]
    assert main(words) == 2
    assert "wanted a file ending with .png" in capsys.readouterr().err
