"""The code of docs/python.md runs from top to bottom."""

import re
from pathlib import Path

import torch

from genscene.experiment.serialise import build_seeded
from genscene.io import generator_file
from genscene.io.generator_file import GeneratorFile
from genscene.layers.mapping import update_w_avg
from genscene.systems import PRESETS

PAGE = Path(__file__).parents[1] / "docs" / "python.md"


def blocks():
    """The python blocks of the page, each padded so that errors name its lines."""
    text = PAGE.read_text()
    for found in re.finditer(r"```python\n(.*?)```", text, re.S):
        yield "\n" * text[: found.start(1)].count("\n") + found.group(1)


def test_the_code_of_the_page_runs_in_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    experiment = PRESETS["pigan-demo"]
    generator = build_seeded(experiment).generator.eval()
    update_w_avg(generator)
    generator_file.write("runs/cars/generator.safetensors", GeneratorFile(generator, experiment))
    names = {"__name__": "page"}
    for block in blocks():
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["white"].isfinite().all()
    assert names["image"].shape == (3, 3, 24, 32)
    assert torch.equal(names["pictures"][0], names["pictures"][0].clamp(0, 1))
    assert (tmp_path / "cars.png").exists()
    assert (tmp_path / "ball.glb").exists()
    said = re.findall(r"print\(error\)  # (.*)", PAGE.read_text())
    assert said[0] in capsys.readouterr().out
