"""Losses of several views: the gradient of their mean, groups without two views of a scene, neighbors."""

from dataclasses import dataclass

import pytest
import torch
from torch.testing import assert_close

from genscene.errors import BadInput
from genscene.objectives.multi_view import MultiViewSystem, mean_over_views
from genscene.objectives.points import center_offset, neighbor_distances


@dataclass(frozen=True)
class Pair:
    """A scene of two tensors, one of which nothing depends on."""

    places: torch.Tensor
    unused: torch.Tensor


def test_views_one_after_the_other_have_the_gradient_of_their_mean():
    w = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    other = torch.randn(3, dtype=torch.float64, requires_grad=True)

    def scene():
        return Pair((w @ w.mT).sin(), other.exp())

    def loss(scene, number):
        return (scene.places * (number + 1)).cos().square().sum() + number

    mean = sum(loss(scene(), i) for i in range(4)) / 4
    (wanted,) = torch.autograd.grad(mean, w)
    found = mean_over_views(scene(), 4, loss)
    assert_close(found, mean)
    found.backward()
    assert_close(w.grad, wanted, rtol=1e-13, atol=1e-13)
    assert other.grad is None


def test_losses_of_views_do_not_keep_their_graphs():
    alive = []

    class Kept(torch.autograd.Function):
        """Counts the graphs that are alive."""

        @staticmethod
        def forward(ctx, x):
            alive.append(1)
            return x.clone()

        @staticmethod
        def backward(ctx, slope):
            alive.pop()
            return slope

    most = []

    def loss(scene, number):
        found = Kept.apply(scene.places).square().sum()
        most.append(len(alive))
        return found

    x = torch.randn(3, requires_grad=True)
    mean_over_views(Pair(2 * x, x), 4, loss).backward()
    assert most == [1, 1, 1, 1]
    assert not alive
    assert_close(x.grad, 8 * x.detach())


class Places:
    """What `MultiViewSystem.places` reads."""

    def __init__(self, views, group, views_in_batch):
        self.config = self
        self.views, self.mbstd_group, self.views_in_batch = views, group, views_in_batch


def test_no_group_of_the_discriminator_has_two_views_of_a_scene():
    system = Places(4, 8 * 4, True)
    places = [MultiViewSystem.places(system, 64, i) for i in range(4)]
    assert [len(each) for each in places] == [16] * 4
    assert torch.cat(places).sort().values.tolist() == list(range(64))
    scene = torch.empty(64, dtype=torch.long)
    for each in places:
        scene[each] = torch.arange(16)
    for group in scene.view(-1, 8):
        assert len(group.unique()) == 8
    with pytest.raises(BadInput, match="of 40 pictures: wanted a multiple of 32, 4 views"):
        MultiViewSystem.places(system, 40, 0)
    assert MultiViewSystem.places(Places(4, 4, False), 6, 3).tolist() == list(range(6))


def test_distances_to_neighbors_leave_out_the_point_itself():
    points = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [0, 3, 0], [0, 0, 9]]])
    assert_close(neighbor_distances(points, 1)[0], torch.tensor([1.0, 1, 9, 81]) / 3)
    assert_close(neighbor_distances(points, 2)[0, 0], torch.tensor((1 + 9) / 6))
    assert_close(center_offset(points), torch.tensor((1 + 9 + 81) / 16 / 3))
