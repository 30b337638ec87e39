"""Random numbers belong to their picture."""

import torch

from genscene.randomness import RandomStreams, derive_seed


def test_a_stream_does_not_know_its_neighbours():
    together, alone = RandomStreams([5, 6, 7]), RandomStreams([6])
    for shape in ((), (3,), (2, 40)):
        assert torch.equal(together.uniform(*shape)[1], alone.uniform(*shape)[0])
        assert torch.equal(together.normal(*shape)[1], alone.normal(*shape)[0])


def test_neighbouring_seeds_share_nothing():
    numbers = RandomStreams(range(50)).normal(200)
    correlation = torch.corrcoef(numbers).fill_diagonal_(0)
    assert correlation.abs().max() < 0.35
    assert RandomStreams([0]).uniform(1000).min() >= 0
    assert RandomStreams([0]).uniform(1000).max() < 1


def test_mixing_tells_order_and_sign_apart():
    seeds = {derive_seed(1, 2), derive_seed(2, 1), derive_seed(-1, 2), derive_seed(1), derive_seed(1, 2, 0)}
    assert len(seeds) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)
