"""The code of docs/python.md and docs/rasterize.md runs from top to bottom."""

import re
import sys
from pathlib import Path

import torch

from genscene.experiment.serialise import build_seeded
from genscene.io import generator_file
from genscene.io.generator_file import GeneratorFile
from genscene.layers.mapping import update_w_avg
from genscene.systems import PRESETS

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "python.md"


def blocks(page=PAGE):
    """The python blocks of a page, each padded so that errors name its lines."""
    text = page.read_text()
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


def test_the_code_about_the_rasteriser_runs():
    page, names = DOCS / "rasterize.md", {"__name__": "page"}
    before = set(sys.modules)
    try:
        for block in blocks(page):
            exec(compile(block, str(page), "exec"), names)
    finally:
        for name in set(sys.modules) - before:
            if name.startswith("gsplat"):
                del sys.modules[name]
    assert names["image"].shape == (1, 256, 256, 3)
    assert names["means"].grad.isfinite().all()
