"""A short run on a small scene of photographs, for tests to damage."""

import json

import pytest
import torch
from PIL import Image

from genscene.cli import main
from genscene.geometry.cameras import look_at

SMALL = [
    "--bounds",
    "1.3",
    "--system.generator.voxels.levels",
    "4",
    "6",
    "8",
    "--batch",
    "64",
    "--grid-every",
    "0",
    "--device",
    "cpu",
]


def refused(words, capsys):
    """The line that a refused call prints."""
    assert main(words) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    return line


def scene(root, radius=4.0):
    """A Blender scene of 4 + 2 images of 40 pixels: a red square on white."""
    for split, count in (("train", 4), ("val", 2)):
        angle = torch.linspace(0.1, 6, count, dtype=torch.float64)
        eye = radius * torch.stack(
            [0.8 * angle.cos(), 0.8 * angle.sin(), torch.full_like(angle, 0.6)], dim=-1
        )
        pose = look_at(eye, (0.0, 0.0, 1.0)) * torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64)
        frames = [{"file_path": f"./{split}/{i}", "transform_matrix": pose[i].tolist()} for i in range(count)]
        (root / split).mkdir(parents=True)
        for i in range(count):
            picture = Image.new("RGB", (40, 40), "white")
            picture.paste((200, 40 * i, 0), (12, 12, 28, 28))
            picture.save(root / split / f"{i}.png")
        (root / f"transforms_{split}.json").write_text(json.dumps({"camera_angle_x": 0.7, "frames": frames}))
    return root


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two scenes and a run on the first, with checkpoints at steps 2 and 4."""
    root = tmp_path_factory.mktemp("runs")
    scene(root / "a"), scene(root / "b", 5.0)
    words = ["train", "nerf-grid-demo", "--data", str(root / "a"), "--out", str(root / "run"), *SMALL]
    assert main([*words, "--steps", "4", "--save-every", "2", "--size", "20"]) == 0
    return root


def copy_of(runs, tmp_path):
    """A copy of the run that can be damaged, and the call that resumes it."""
    out = tmp_path / "copy"
    (out / "checkpoints").mkdir(parents=True)
    for name in ("experiment.json", "checkpoints/00000002.pt", "checkpoints/00000004.pt", "state.pt"):
        (out / name).write_bytes((runs / "run" / name).read_bytes())
    words = ["train", "nerf-grid-demo", "--data", str(runs / "a"), "--out", str(out), *SMALL, "--size", "20"]
    return out, [*words, "--steps", "6", "--resume"]
