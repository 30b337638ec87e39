"""The inception score of certain and of uncertain classes, by parts or in order."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from genscene.errors import BadInput
from genscene.metrics.inception_score import inception_score


def test_the_inception_score_is_the_number_of_classes():
    certain = torch.eye(5).repeat(20, 1) * 1000
    assert inception_score(certain, parts=1).mean == pytest.approx(5)
    assert inception_score(torch.ones(40, 7)).mean == pytest.approx(1)
    assert inception_score(torch.ones(40, 7)).deviation == pytest.approx(0, abs=1e-12)
    with pytest.raises(BadInput, match="3 images in 10 parts"):
        inception_score(torch.ones(3, 7))


@pytest.mark.parametrize(("parts", "seed"), [(1, None), (4, None), (3, 5), (7, 2020)])
def test_the_inception_score_of_parts_is_that_of_the_definition(parts, seed):
    logits = 2 * torch.randn(59, 6)
    order = np.arange(59) if seed is None else np.random.RandomState(seed).permutation(59)
    p = logits.double().softmax(dim=1).numpy()[order]
    wanted = []
    for i in range(parts):
        part = p[i * 59 // parts : (i + 1) * 59 // parts]
        wanted.append(np.exp((part * np.log(part / part.mean(0))).sum(1).mean()))
    found = inception_score(logits, parts, seed)
    assert_close(found.estimates, torch.tensor(wanted, dtype=torch.float64))
    assert found.mean == pytest.approx(np.mean(wanted))
    assert found.deviation == pytest.approx(np.std(wanted))
