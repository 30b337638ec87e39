"""Random numbers belong to their picture, or to their ray."""

import pytest
import torch
from torch.testing import assert_close

from genscene import contract
from genscene.contract import StepContext
from genscene.randomness import BatchCounterStreams, CounterStreams, RandomStreams, derive_seed


@pytest.mark.parametrize("streams", [RandomStreams, BatchCounterStreams])
def test_a_stream_does_not_depend_on_its_neighbors(streams):
    together, alone = streams([5, 6, 7]), streams([6])
    for shape in ((), (3,), (2, 40)):
        assert torch.equal(together.uniform(*shape)[1], alone.uniform(*shape)[0])
        assert torch.equal(together.normal(*shape)[1], alone.normal(*shape)[0])


@pytest.mark.parametrize("streams", [RandomStreams, BatchCounterStreams])
def test_neighboring_seeds_give_unrelated_numbers(streams):
    numbers = streams(range(50)).normal(200)
    correlation = torch.corrcoef(numbers).fill_diagonal_(0)
    assert correlation.abs().max() < 0.35
    assert streams([0]).uniform(1000).min() >= 0
    assert streams([0]).uniform(1000).max() < 1


def test_counters_of_a_batch_go_on_from_call_to_call():
    once, twice = BatchCounterStreams([3, 4]), BatchCounterStreams([3, 4])
    assert torch.equal(once.uniform(5), torch.cat([twice.uniform(2), twice.uniform(3)], dim=1))
    assert len(once) == 2
    many = BatchCounterStreams(range(20)).normal(5000)
    assert_close(many.mean(), torch.tensor(0.0), atol=0.02, rtol=0)
    assert_close(many.std(), torch.tensor(1.0), atol=0.02, rtol=0)


def test_the_streams_of_a_step_on_cuda_are_counters(monkeypatch):
    monkeypatch.setattr(contract, "BatchCounterStreams", lambda seeds, device: (seeds, device))
    context = StepContext(5, seed=3, first=2)
    seeds, device = context.random_streams(2, 1, "cuda")
    assert (len(seeds), device) == (2, "cuda")
    assert isinstance(context.random_streams(2, 1, "cpu"), RandomStreams)
    own = RandomStreams(seeds).uniform(3)
    assert torch.equal(own, context.random_streams(2, 1, "cpu").uniform(3))


def test_published_seeds_give_the_numbers_that_they_gave():
    scenes = [[-0.39237695932388306, 0.2452128380537033], [-0.9753791093826294, 0.9573834538459778]]
    assert_close(RandomStreams([0, 1]).normal(2), torch.tensor(scenes), atol=1e-6, rtol=0)
    places = [[0.13989627361297607, 0.7605046033859253], [0.783038854598999, 0.03225719928741455]]
    assert torch.equal(BatchCounterStreams([0, 1]).uniform(2), torch.tensor(places))


def test_derived_seeds_depend_on_order_sign_and_count():
    seeds = {derive_seed(1, 2), derive_seed(2, 1), derive_seed(-1, 2), derive_seed(1), derive_seed(1, 2, 0)}
    assert len(seeds) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_part_of_a_batch_of_rays_has_the_numbers_of_the_whole():
    whole, part = CounterStreams(7, 0, 10), CounterStreams(7, 4, 3)
    for name in ("uniform", "normal"):
        assert torch.equal(getattr(whole, name)(10, 5)[:, 4:7], getattr(part, name)(3, 5))
    many = CounterStreams(3, 0, 1000)
    uniform, normal = many.uniform(1000, 50)[0], many.normal(1000, 50)[0]
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert_close(uniform.mean(), torch.tensor(0.5), atol=0.01, rtol=0)
    assert_close(normal.std(), torch.tensor(1.0), atol=0.02, rtol=0)
    assert torch.corrcoef(uniform.T)[0, 1].abs() < 0.1
    assert torch.corrcoef(uniform[:40])[0, 1].abs() < 0.5


def test_rays_have_one_stream_each_and_no_others():
    streams = CounterStreams(7, 0, 10)
    assert len(streams) == 1
    assert streams.uniform(10).shape == (1, 10)
    with pytest.raises(AssertionError, match="random numbers for 9 rays, there are 10"):
        streams.uniform(9, 2)


def test_the_streams_of_a_step_are_those_of_the_place_in_the_joint_batch():
    whole, part = StepContext(5, seed=3).random_streams(4, 1, "cpu"), StepContext(5, seed=3, first=2)
    assert torch.equal(whole.normal(6)[2:], part.random_streams(2, 1, "cpu").normal(6))
    first = {float(StepContext(step, seed=s).random_streams(1, t, "cpu").uniform()) for s, step, t in
             ((3, 5, 1), (4, 5, 1), (3, 6, 1), (3, 5, 2))}  # fmt: skip
    assert len(first) == 4
    rays = StepContext(5, seed=3).ray_streams(8, 0, "cpu").uniform(8)
    assert torch.equal(rays[:, 5:], StepContext(5, seed=3, first=5).ray_streams(3, 0, "cpu").uniform(3))
