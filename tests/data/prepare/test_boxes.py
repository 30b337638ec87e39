"""Suggested ranges of boxes: sizes and places that are known, by masks, transparency, borders and edges."""

import json
import math
import re

import numpy as np
import pytest
import torch
from PIL import Image

from genscene.cli import main
from genscene.data.prepare import boxes
from genscene.data.prepare.boxes import by_edges, suggest_boxes
from genscene.errors import BadInput
from genscene.systems import PRESETS


def values(lines, name):
    """The numbers of an option in the printed lines."""
    found = re.search(rf"--system\.generator\.{re.escape(name)}((?: -?\d[\d.e-]*)+)", "\n".join(lines))
    return [float(x) for x in found[1].split()]


def write(folder, kind, count=40, side=64):
    """Pictures of a square of 24 pixels that moves by +-12 sideways and +-6 up and down."""
    rng = np.random.default_rng(0)
    for i in range(count):
        x, y = (
            round(side / 2 + m * (2 * i / (count - 1) - 1) * (-1) ** (i * n)) for n, m in ((0, 12), (1, 6))
        )
        mask = np.zeros((side, side), np.uint8)
        mask[y - 12 : y + 12, x - 12 : x + 12] = 255
        color = np.full((side, side, 3), 90, np.uint8)
        color[mask > 0] = rng.integers(120, 255, 3)
        if kind == "transparency":
            color = np.concatenate([color, mask[..., None]], axis=-1)
        (folder / "masks").mkdir(exist_ok=True, parents=True)
        Image.fromarray(color).save(folder / f"{i}.png")
        if kind == "masks":
            Image.fromarray(mask).save(folder / f"masks/{i}.png")


@pytest.mark.parametrize("kind", ["masks", "transparency", "the color of the border"])
def test_sizes_and_places_are_found(tmp_path, kind):
    write(tmp_path, kind)
    lines = suggest_boxes(str(tmp_path), 1, 10.0, 2.732, 0.0)
    view = 2.732 * math.tan(math.radians(5))
    assert kind in lines[0]
    assert values(lines, "boxes.scale-min") == values(lines, "boxes.scale-max")
    assert values(lines, "boxes.scale-min") == pytest.approx([24 / 64 * view] * 3, abs=0.002)
    low, high = (np.array(values(lines, f"boxes.translation-{end}")) for end in ("min", "max"))
    assert high == pytest.approx([0, 12 / 32 * view, 6 / 32 * view], abs=0.05 * view)
    assert low == pytest.approx(-high, abs=0.05 * view)
    assert values(lines, "prior.pitch") == pytest.approx([math.pi / 2, 0], abs=1e-3)


def test_edges_are_where_objects_are():
    images = 0.1 * torch.rand(4, 3, 64, 64)
    images[:, :, 20:44, 10:30] = torch.rand(4, 3, 24, 20)
    found = by_edges(images)
    rows, columns = found.any(dim=2)[0].nonzero()[:, 0], found.any(dim=1)[0].nonzero()[:, 0]
    assert [int(rows[0]), int(rows[-1])] == pytest.approx([20, 44], abs=4)
    assert [int(columns[0]), int(columns[-1])] == pytest.approx([10, 30], abs=4)


def test_rooms_are_measured_nearly_as_they_are(capsys, monkeypatch):
    monkeypatch.setattr(boxes, "EXAMINED", 80)
    words = [
        "boxes",
        "synthetic:rooms",
        "--objects",
        "2",
        "--fov",
        "44",
        "--radius",
        "3.2",
        "--elevation",
        "38",
    ]
    main(["data", *words])
    lines = capsys.readouterr().out.splitlines()
    truth = PRESETS["giraffe-demo"].system.generator.boxes
    scale = values(lines, "boxes.scale-min") + values(lines, "boxes.scale-max")
    assert 0.6 * min(truth.scale_min) < min(scale) < max(scale) < 1.4 * max(truth.scale_max)
    for axis in (0, 1):
        reach = values(lines, "boxes.translation-max")[axis]
        assert reach == pytest.approx(truth.translation_max[axis], rel=0.25)
    assert values(lines, "boxes.count") == [2]


def test_pictures_without_objects_are_refused(tmp_path):
    Image.fromarray(np.full((32, 32, 3), 7, np.uint8)).save(tmp_path / "0.png")
    with pytest.raises(BadInput, match="no objects in 1 pictures"):
        suggest_boxes(str(tmp_path), 1, 10.0, 2.732, 0.0)
    assert main(["data", "boxes", str(tmp_path), "--fov", "-1"]) == 2


def test_options_are_those_of_training(capsys, monkeypatch):
    monkeypatch.setattr(boxes, "EXAMINED", 20)
    lines = suggest_boxes("synthetic:cars", 1, 42.0, 2.6, 0.0)
    words = " ".join(line for line in lines if line.startswith("  --")).split()
    assert main(["train", "giraffe-demo", *words, "--dry-run"]) == 0
    generator = json.loads(capsys.readouterr().out)["system"]["generator"]
    assert generator["prior"]["pitch"] == values(lines, "prior.pitch")
    assert generator["boxes"]["scale_max"] == values(lines, "boxes.scale-max")
