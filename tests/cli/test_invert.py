"""genscene invert: files from pictures, which other verbs take; one line for what cannot be inverted."""

import pytest
import torch
from PIL import Image

from conftest import tiny
from genscene.apps.interpolate import styles_of_seeds
from genscene.apps.inversion.latents_file import read_latents
from genscene.cli import main
from genscene.experiment.serialise import build_seeded
from genscene.export.pictures import save_png
from genscene.io import generator_file
from genscene.io.generator_file import GeneratorFile
from genscene.layers.mapping import update_w_avg
from genscene.randomness import RandomStreams

QUICK = (("--steps", "2"), ("--renderings", "32"), ("--encoder-steps", "3"), ("--device", "cpu"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small generator, two pictures of its scenes, and pictures that it has none of."""
    folder, experiment = tmp_path_factory.mktemp("invert"), tiny("cgsgan-demo")
    generator = build_seeded(experiment).generator.eval()
    update_w_avg(generator)
    generator_file.write(folder / "g.safetensors", GeneratorFile(generator, experiment))
    with torch.no_grad():
        view = generator.prior.sample(RandomStreams([0, 1]), (16, 16))
        images = generator.render(generator.bind(styles_of_seeds(generator, [3, 4])), view).image
    for i, image in enumerate(images.clamp(0, 1)):
        save_png(folder / f"{i}.png", image)
    Image.new("RGB", (30, 20), "white").save(folder / "wide.png")
    Image.new("RGB", (8, 8), "white").save(folder / "small.png")
    Image.new("L", (24, 24), "white").save(folder / "mask24.png")
    Image.new("L", (16, 16), "black").save(folder / "black.png")
    mask = Image.new("L", (16, 16), "black")
    mask.paste(255, (4, 4, 12, 12))
    mask.save(folder / "mask.png")
    transparent = Image.open(folder / "0.png").convert("RGBA")
    transparent.putalpha(mask)
    transparent.save(folder / "transparent.png")
    (folder / "text.png").write_text("no picture")
    return folder


@pytest.fixture
def run(folder, tmp_path, monkeypatch, capsys):
    """Run the verb on files of the folder -> exit code, output, errors."""
    monkeypatch.chdir(folder)

    def call(*words):
        files = ["--generator", "g.safetensors", "--out", f"{tmp_path}/w.safetensors"]
        quick = [word for option in QUICK if option[0] not in words for word in option]
        code = main(["invert", *words, *files, *quick])
        found = capsys.readouterr()
        return code, found.out, found.err

    return call


def test_latents_of_pictures_are_rendered_by_other_verbs(run, folder, tmp_path, capsys):
    code, out, err = run("0.png", "1.png", "--preview", f"{tmp_path}/p.png")
    assert code == 0, err
    assert "0.png: scene 0, camera 0" in out
    assert "s a picture, compared in 16x16 pixels" in out
    with Image.open(tmp_path / "p.png") as preview:
        assert preview.height == 32
    latents = ["--latents", f"{tmp_path}/w.safetensors"]
    generator = generator_file.load(folder / "g.safetensors")
    found = read_latents(tmp_path / "w.safetensors", generator)
    assert {each["name"] for each in found.pictures} == {"0.png", "1.png"}
    for words in (
        ["render", "g.safetensors", "--path", "photographs", "--out", f"{tmp_path}/r.png"],
        ["interpolate", "g.safetensors", "--frames", "2", "--out", f"{tmp_path}/r.gif"],
        ["export", "splats", "g.safetensors", "--seed", "1", "--out", f"{tmp_path}/r.ply"],
    ):
        assert main([*words, *latents]) == 0, capsys.readouterr().err


def test_pictures_of_one_scene_have_one_latent_and_tuned_weights_a_file(run, folder, tmp_path):
    words = ["--shared", "--weights", f"{tmp_path}/t.safetensors", "--tuning-steps", "2"]
    code, _, err = run("0.png", "1.png", *words)
    assert code == 0, err
    tuned = generator_file.load(tmp_path / "t.safetensors")
    found = read_latents(tmp_path / "w.safetensors", tuned)
    assert len(found) == 1
    assert len(found.cameras) == 2
    given = generator_file.load(folder / "g.safetensors")
    assert any(not torch.equal(a, b) for a, b in zip(tuned.parameters(), given.parameters(), strict=True))
    assert main(["render", "g.safetensors", "--latents", f"{tmp_path}/w.safetensors", "--out", "x.png"]) == 2


@pytest.mark.parametrize(
    "words", ["0.png --masks mask.png", "transparent.png", "0.png --free roll distance fov"]
)
def test_masks_alpha_and_more_of_the_camera_are_used(run, words):
    code, _, err = run(*words.split())
    assert code == 0, err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("wide.png", "wide.png: 30x20 pixels, wanted square, as the generator's pictures: crop it"),
        ("small.png", "small.png: 8x8 pixels, wanted 16x16 or more, or a smaller --side"),
        ("text.png", "text.png is no picture that can be read"),
        ("g.safetensors", "g.safetensors is no picture that can be read"),
        ("none.png", "none.png is no picture that can be read: no image at none.png"),
        ("0.png --masks mask24.png", "mask24.png: the mask has 24x24 pixels, wanted 16x16 as 0.png"),
        ("0.png 1.png --masks mask.png", "1 masks of 2 pictures: wanted as many"),
        ("0.png --masks black.png", "black.png: nothing of the picture is shown"),
        ("", "0 pictures: wanted 1 to 1000"),
        ("0.png --steps -1", "--steps -1: wanted a number from 0 to 100000"),
        ("0.png --renderings 3", "--renderings 3: wanted a number from 16"),
        ("0.png --weights w.png", "--weights w.png: wanted a file ending with .safetensors"),
        (
            "0.png --weights g.safetensors",
            "--weights g.safetensors: wanted another file than --out and --generator",
        ),
        ("0.png --preview a.gif", "--preview a.gif: wanted a file ending with .png"),
        ("0.png --fre roll", "no option --fre; did you mean --free?"),
        ("0.png --free yaw", "--free"),
    ],
)
def test_what_cannot_be_inverted_is_one_line(run, tmp_path, words, line):
    code, out, err = run(*words.split())
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert line in err
    assert list(tmp_path.iterdir()) == []
