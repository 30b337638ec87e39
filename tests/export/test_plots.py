"""Every distribution of a prior can be plotted."""

import json
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from genscene.export.plots import POINT, plot_prior
from genscene.geometry.priors import CameraPrior, Distribution
from genscene.randomness import RandomStreams


@pytest.mark.parametrize("distribution", get_args(Distribution))
def test_a_prior_is_plotted_in_all_three_panels(distribution, tmp_path):
    labels = [
        [f"{i}.png", row]
        for i, row in enumerate(CameraPrior().sample(RandomStreams(range(9)), (1, 1)).label().tolist())
    ]
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels}))
    plot_prior(
        tmp_path / "prior.png", CameraPrior(distribution, file=str(tmp_path / "dataset.json")), count=200
    )
    with Image.open(tmp_path / "prior.png") as image:
        points = (np.asarray(image) == POINT).all(-1)
    thirds = np.array_split(points, 3, axis=1)
    assert all(third.sum() >= 5 for third in thirds)
