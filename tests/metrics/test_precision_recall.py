"""Precision, recall, density, coverage, nearest neighbors and memorization."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from genscene.errors import BadInput
from genscene.metrics import precision_recall as module
from genscene.metrics.precision_recall import (
    ROWS,
    memorization,
    nearest_neighbors,
    neighbor_radii,
    pairwise_distances,
    precision_recall,
)


def test_equal_sets_have_full_precision_and_recall():
    x = torch.randn(200, 5)
    found = precision_recall(x, x.clone())
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)
    assert found.density > 1  # an image lies in its own ball besides those of its neighbors


def test_distant_sets_have_no_precision_and_no_recall():
    found = precision_recall(torch.randn(50, 5), torch.randn(60, 5) + 100)
    assert (found.precision, found.recall, found.density, found.coverage) == (0, 0, 0, 0)


def test_one_of_two_modes_has_precision_but_little_recall():
    real = torch.cat([torch.randn(100, 4), torch.randn(100, 4) + 50])
    found = precision_recall(torch.randn(150, 4) * 0.5, real)
    assert found.precision > 0.9
    assert found.recall <= 0.5
    assert found.coverage <= 0.5
    assert precision_recall(real, real[:100]).precision <= 0.6


def test_radii_leave_out_the_feature_itself():
    line = torch.tensor([[0.0], [1.0], [3.0], [7.0], [15.0]])
    assert_close(neighbor_radii(line, 1), torch.tensor([1.0, 1, 2, 4, 8]))
    assert_close(neighbor_radii(line, 3), torch.tensor([7.0, 6, 4, 7, 14]))
    for count in (0, 5):
        with pytest.raises(BadInput, match=f"{count} neighbors among 5 features"):
            neighbor_radii(line, count)


def test_many_features_are_compared_in_blocks():
    x, y = torch.randn(ROWS + 50, 2), torch.randn(ROWS + 10, 2)
    distances = torch.cdist(x, y)
    found = precision_recall(x, y)
    inside = (distances <= neighbor_radii(y)).any(1)
    assert found.precision == pytest.approx(inside.float().mean().item())
    inside = (distances <= neighbor_radii(x)[:, None]).any(0)
    assert found.recall == pytest.approx(inside.float().mean().item())


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("neighbors", [1, 2, 6])
def test_settings_of_precision_and_recall_are_those_of_the_definition(neighbors, half):
    fake, real = torch.randn(45, 3), torch.randn(38, 3) + 0.4

    def rounded(x):
        return x.astype(np.float16).astype(np.float32) if half else x

    def distances(a, b):
        exact = np.linalg.norm(rounded(a.numpy())[:, None].astype(np.float64) - rounded(b.numpy()), axis=-1)
        return rounded(exact.astype(np.float32))

    radius = {len(x): np.sort(distances(x, x), axis=1)[:, neighbors] for x in (fake, real)}
    inside = distances(fake, real) <= radius[38] + (0 if half else 1e-6)
    found = precision_recall(fake, real, neighbors, half)
    assert_close(
        neighbor_radii(real, neighbors, half), torch.from_numpy(radius[38]), atol=2e-3 * half + 1e-6, rtol=0
    )
    assert found.precision == pytest.approx(inside.any(1).mean(), abs=0.03 * half)
    assert found.density == pytest.approx(inside.sum() / (neighbors * 45), abs=0.03 * half)
    assert found.coverage == pytest.approx(inside.any(0).mean(), abs=0.03 * half)
    inside = distances(fake, real) <= radius[45][:, None] + (0 if half else 1e-6)
    assert found.recall == pytest.approx(inside.any(0).mean(), abs=0.03 * half)


def test_half_precision_rounds_features_and_distances():
    a, b = torch.randn(5, 4), torch.randn(6, 4)
    ((rows, distances),) = pairwise_distances(a, b, half=True)
    assert rows == slice(0, 5)
    assert distances.dtype == torch.float32
    assert torch.equal(distances, torch.cdist(a.half().float(), b.half().float()).half().float())


def test_nearest_neighbors_in_blocks_are_those_of_the_whole(monkeypatch):
    monkeypatch.setattr(module, "COLUMNS", 7)
    fake, real = torch.randn(30, 5, dtype=torch.float64), torch.randn(40, 5, dtype=torch.float64)
    whole = torch.linalg.vector_norm(fake[:, None] - real, dim=-1).topk(9, largest=False)
    index, distances = nearest_neighbors(fake, real, 9)
    assert torch.equal(index, whole.indices)
    assert_close(distances, whole.values)


def test_the_distance_of_a_copy_is_zero():
    real = torch.randn(300, 64) + 100  # far from 0, where squares in float32 lose the difference
    rows = torch.tensor([7, 250, 3])
    index, distances = nearest_neighbors(real[rows], real)
    assert torch.equal(index[:, 0], rows)
    assert (distances == 0).all()


def test_memorization_is_the_fraction_of_copies():
    real, held_out, fresh = torch.randn(400, 6), torch.randn(400, 6), torch.randn(400, 6)
    assert memorization(fresh, real, held_out) < 0.04
    assert memorization(fresh, real) < 0.04
    copies = torch.cat([fresh[:200], real[:200] + 0.001])
    assert memorization(copies, real, held_out) == pytest.approx(0.5, abs=0.03)
    assert memorization(fresh + 50, real, held_out) == 0


def test_memorization_counts_copies_of_reals_that_repeat():
    real = torch.randn(100, 4).repeat(2, 1)
    assert memorization(real[:50], real) == 1
    assert memorization(torch.randn(50, 4), real) == 0


@pytest.mark.parametrize(
    ("fake", "real", "k"),
    [((3, 4), (5, 3), 1), ((0, 4), (5, 4), 1), ((3, 4), (5, 4), 6), ((3, 4), (5, 4), 0)],
)
def test_features_without_enough_neighbors_are_rejected(fake, real, k):
    with pytest.raises(BadInput, match="wanted"):
        nearest_neighbors(torch.zeros(fake), torch.zeros(real), k)


def test_memorization_needs_enough_unseen_images():
    with pytest.raises(BadInput, match="99 unseen images, wanted at least 100"):
        memorization(torch.randn(5, 3), torch.randn(200, 3), torch.randn(99, 3))
