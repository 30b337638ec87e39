"""Published folders: the card, its numbers and licence, the file beside it, uploading to a stand-in."""

import json
import sys
from dataclasses import replace

import pytest
import torch
from PIL import Image

import genscene
from conftest import tiny
from genscene.cli import main
from genscene.evaluation.image_sources import fingerprint
from genscene.experiment.serialise import build_seeded
from genscene.export.model_card import Card, CardScore, render_card, yaml_lines
from genscene.io.generator_file import GeneratorFile, read, write
from hub_stand_in import StandIn

SMALL = ["--size", "12", "--samples", "6", "--device", "cpu"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A generator trained on a folder of this machine."""
    path = tmp_path_factory.mktemp("publish") / "g.safetensors"
    experiment = tiny("pigan-demo")
    experiment = replace(experiment, data="/home/somebody/cars.zip", init="/a/b")
    generator = build_seeded(experiment).generator
    with torch.no_grad():
        generator.field.density.bias.fill_(30.0)
    write(path, GeneratorFile(generator, experiment, licence="mit", measured={"psnr": 3.0}))
    return path


def report(path, sums, **more):
    """A report of generators with these checksums."""
    scores = {"fid": {"title": "FID", "value": 12.345678, "better": "low", "extractor": "inception"}}
    rows = {f"g{i}": {**scores, "is": {"title": "IS", "value": float(i)}} for i in range(1, len(sums) + 1)}
    protocol = {"protocol": "pi-GAN", "psi": 1.0, "size": "16x16", "real: source": "/home/somebody/cars.zip"}
    protocol |= {f"generator {i}: content": each for i, each in enumerate(sums, 1) if each}
    document = {"generators": rows, "protocol": protocol, "notes": ["few images"], **more}
    path.write_text(json.dumps(document))
    return path


def test_a_folder_has_the_file_the_card_and_pictures(model, tmp_path, capsys):
    out = tmp_path / "my-cars"
    numbers = report(tmp_path / "r.json", ["0" * 64, fingerprint(genscene.load(model))])
    words = ["publish", str(model), "--out", str(out), "--report", str(numbers), "--datasets", "me/cars"]
    assert main([*words, "--seeds", "0,5", *SMALL]) == 0
    assert capsys.readouterr().out == f"{out}: README.md, generator.safetensors, pictures.png\n"
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md",
        "generator.safetensors",
        "pictures.png",
    ]
    content = read(out / "generator.safetensors")
    assert content.licence == "mit"
    assert content.measured == {"psnr": 3.0, "fid": 12.345678, "is": 2.0}
    assert (content.experiment.data, content.experiment.init) == ("cars.zip", "b")
    before = genscene.load(model)
    assert all(
        torch.equal(a, b) for a, b in zip(content.generator.parameters(), before.parameters(), strict=True)
    )
    with Image.open(out / "pictures.png") as picture:
        assert picture.size == (5 * 12, 2 * 12)
    text = (out / "README.md").read_text()
    assert text.startswith("---\nlibrary_name: genscene\nlicense: mit\ntags:\n- genscene\n- pigan\n- gan\n")
    assert (
        "pipeline_tag: unconditional-image-generation\ndatasets:\n- me/cars\nmetrics:\n- fid\n- is\n" in text
    )
    assert "    - type: fid\n      name: FID\n      value: 12.345678\n" in text
    assert "# my-cars" in text
    assert "| FID | 12.35 | low | inception |" in text
    assert "(protocol: pi-GAN; size: 16x16; psi: 1.0; real images of: cars.zip)" in text
    assert "- few images" in text
    assert "somebody" not in text
    assert b"somebody" not in (out / "generator.safetensors").read_bytes()
    assert 'genscene.load("generator.safetensors")' in text


def test_the_code_of_a_card_runs(model, tmp_path, monkeypatch):
    assert main(["publish", str(model), "--out", f"{tmp_path}/card", "--no-pictures", *SMALL]) == 0
    monkeypatch.chdir(tmp_path / "card")
    code = (tmp_path / "card" / "README.md").read_text().split("```python\n")[1].split("```")[0]
    names = {}
    exec(code, names)
    assert names["picture"].shape == (3, 3, 16, 16)
    assert sorted(path.name for path in (tmp_path / "card").iterdir()) == [
        "README.md",
        "generator.safetensors",
    ]


def test_a_folder_is_uploaded_and_loaded_again(model, tmp_path, monkeypatch, capsys):
    hub = StandIn(tmp_path / "hub")
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    words = ["publish", str(model), "--out", f"{tmp_path}/out", "--push", "hf://me/cars@dev", "--private"]
    assert main([*words, "--licence", "Own licence, v2", "--seeds", "1", *SMALL]) == 0
    assert "hf://me/cars@dev: hub:me/cars" in capsys.readouterr().out
    assert hub.made == [("me/cars", True)]
    ((repo, names, revision, message),) = hub.commits
    assert (repo, names, revision) == (
        "me/cars",
        ["README.md", "generator.safetensors", "pictures.png"],
        "dev",
    )
    assert "model card" in message
    text = (hub.root / "me" / "cars" / "README.md").read_text()
    assert "license: other\nlicense_name: own-licence-v2\n" in text
    assert 'genscene.load("hf://me/cars@dev")' in text
    assert "# cars\n" in text
    assert genscene.load("hf://me/cars").latent_dim == genscene.load(model).latent_dim


def test_words_of_yaml_are_quoted_where_they_could_be_numbers_or_markup():
    value = {"a": "plain", "b": "3d", "c": [True, 1.5, "no", "x: y", "ü\n"], "d": {"e": ["f"]}}
    assert [*yaml_lines(value)] == [
        *("a: plain", 'b: "3d"', "c:", "- true", "- 1.5", '- "no"', '- "x: y"', '- "\\u00fc\\n"'),
        *("d:", "  e:", "  - f"),
    ]


def test_a_card_of_a_single_scene_without_numbers():
    card = Card("fox", "nerf", False, False, True, 10, 20, (30, 40))
    text = render_card(card)
    assert "pipeline_tag: image-to-3d" in text
    assert "license" not in text
    assert "One scene in space: NeRF (Mildenhall et al. 2020)" in text
    assert "Nothing was measured, or no report was given." in text
    assert "model-index" not in text
    scored = replace(card, scores=[CardScore("psnr", "PSNR", 31.256, "high", "dB")])
    assert "| PSNR | 31.26 dB | high |  |" in render_card(scored)
    assert "| trained on | not stated |\n| training | 20 steps, pictures of 30 x 40 pixels |" in text
    read_from = render_card(replace(card, steps=0, data="fox.ply"))
    assert "| training | not stated: it was read from fox.ply |" in read_from
    assert "experiment" not in read_from


def other_report(path):
    return report(path, ["0" * 64])


def two_without_sums(path):
    return report(path, ["", ""])


WRONG = {
    "other": (other_report, "is a report of g1, none of which has these weights"),
    "which": (two_without_sums, "is a report of g1, g2, none of which has these weights"),
    "no report": (lambda path: path.write_text("[]"), "is no report, wanted the JSON of genscene evaluate"),
    "no value": (
        lambda path: path.write_text('{"generators": {"a": {"fid": {}}}, "protocol": {}}'),
        "fid has no value, wanted the JSON of genscene evaluate",
    ),
    "--datasets a/b/c": (None, "--datasets a/b/c: wanted names on the hub like owner/name"),
    "--push me/cars": (None, "me/cars: wanted hf://owner/name"),
    "--push hf://me/cars/x.ply": (None, "the folder has several files"),
    "--push hf://another/cars": (
        None,
        "hf://another/cars could not be written (PermissionError: 403 Forbidden:",
    ),
    "--private": (None, "--private: wanted with --push"),
    "--seeds x": (None, "--seeds 'x': wanted numbers like 0-7"),
}


@pytest.mark.parametrize(("make", "line"), WRONG.values(), ids=WRONG)
def test_bad_input_is_one_line(make, line, model, tmp_path, monkeypatch, capsys, request):
    monkeypatch.setitem(sys.modules, "huggingface_hub", StandIn(tmp_path / "hub"))
    more = request.node.callspec.id.split()
    if make:
        make(tmp_path / "r.json")
        more = ["--report", str(tmp_path / "r.json")]
    assert main(["publish", str(model), "--out", f"{tmp_path}/out", *more, *SMALL]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert line in err
    assert (tmp_path / "out").exists() == ("another" in line)  # what could not be uploaded is there


def test_a_folder_that_is_not_empty_is_not_touched(model, tmp_path, capsys):
    (tmp_path / "README.md").write_text("mine")
    assert main(["publish", str(model), "--out", str(tmp_path), *SMALL]) == 2
    assert "not an empty folder" in capsys.readouterr().err
    assert (tmp_path / "README.md").read_text() == "mine"
