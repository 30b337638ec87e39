"""Nearest neighbours in parts are those of the whole, and copies are told from chance."""

import pytest
import torch
from torch.testing import assert_close

from genscene.errors import BadInput
from genscene.evaluation import neighbours
from genscene.evaluation.neighbours import memorised, nearest


def test_parts_find_what_the_whole_holds(monkeypatch):
    monkeypatch.setattr(neighbours, "COLUMNS", 7)
    fake, real = torch.randn(30, 5, dtype=torch.float64), torch.randn(40, 5, dtype=torch.float64)
    whole = torch.linalg.vector_norm(fake[:, None] - real, dim=-1).topk(9, largest=False)
    index, apart = nearest(fake, real, 9)
    assert torch.equal(index, whole.indices)
    assert_close(apart, whole.values)


def test_a_copy_is_at_no_distance():
    real = torch.randn(300, 64) + 100  # far from 0, where squares in float32 lose the difference
    rows = torch.tensor([7, 250, 3])
    index, apart = nearest(real[rows], real)
    assert torch.equal(index[:, 0], rows)
    assert (apart == 0).all()


def test_what_is_learnt_is_not_what_is_copied():
    real, held, build_seeded = torch.randn(400, 6), torch.randn(400, 6), torch.randn(400, 6)
    assert memorised(build_seeded, real, held) < 0.04
    assert memorised(build_seeded, real) < 0.04
    copies = torch.cat([build_seeded[:200], real[:200] + 0.001])
    assert memorised(copies, real, held) == pytest.approx(0.5, abs=0.03)
    assert memorised(build_seeded + 50, real, held) == 0


def test_copies_count_where_reals_repeat_each_other():
    real = torch.randn(100, 4).repeat(2, 1)
    assert memorised(real[:50], real) == 1
    assert memorised(torch.randn(50, 4), real) == 0


@pytest.mark.parametrize(
    ("fake", "real", "k"),
    [((3, 4), (5, 3), 1), ((0, 4), (5, 4), 1), ((3, 4), (5, 4), 6), ((3, 4), (5, 4), 0)],
)
def test_what_has_no_neighbours_is_refused(fake, real, k):
    with pytest.raises(BadInput, match="wanted"):
        nearest(torch.zeros(fake), torch.zeros(real), k)


def test_few_unseen_pictures_are_refused():
    with pytest.raises(BadInput, match="99 unseen pictures, wanted 100"):
        memorised(torch.randn(5, 3), torch.randn(200, 3), torch.randn(99, 3))
