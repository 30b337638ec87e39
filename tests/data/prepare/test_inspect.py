"""The report of genscene data inspect."""

import json

import pytest

from data.folders import image_folder, zip_folder
from genscene.data.prepare.inspect import inspect
from genscene.geometry.priors import CameraPrior
from genscene.randomness import RandomStreams


@pytest.mark.parametrize("zipped", [False, True])
def test_report_on_images(tmp_path, zipped):
    folder = image_folder(tmp_path / "images")
    text = "\n".join(inspect(zip_folder(folder, tmp_path / "i.zip") if zipped else folder))
    for words in ("6 images, 1 other files", "10x8 (5)", "RGB (5)", "broken.jpg", "genscene train"):
        assert words in text


def test_report_on_labels(tmp_path):
    folder = image_folder(tmp_path / "images")
    labels = CameraPrior().sample(RandomStreams(range(4)), (4, 4)).label().tolist()
    rows = [[f"inner/{i}.png", row] for i, row in enumerate(labels)]
    (folder / "dataset.json").write_text(json.dumps({"labels": rows}))
    text = "\n".join(inspect(folder))
    for words in (
        "cameras for 4 of 6 images",
        "distance 1.000 +- 0.000, field of view 12.000 +- 0.000 degrees",
    ):
        assert words in text
