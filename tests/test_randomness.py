"""Draws from rows of probabilities and subsets of places, against the probabilities."""

import math
from collections import Counter

import pytest
import torch

from svlearn.randomness import categorical, seeded, uniform_subset


def test_tokens_come_as_often_as_they_are_likely_and_rows_need_no_sum_of_one():
    probs = torch.tensor([[0.0, 0.5, 0.0, 0.3, 0.2], [2.0, 1.0, 1.0, 4.0, 0.0]])
    number = 40_000
    drawn = categorical(probs.expand(number, 2, 5), seeded("cpu", 0))
    assert drawn.shape == (number, 2) and drawn.dtype == torch.long
    for row, tokens in zip(probs / probs.sum(dim=1, keepdim=True), drawn.T, strict=True):
        shares = tokens.bincount(minlength=5) / number
        error = (row * (1 - row) / number).sqrt()
        assert ((shares - row).abs() <= 4 * error).all()  # so those of probability 0 never come


def test_small_probabilities_are_not_rounded_away():
    """In float32 a token of 3e-8 after one of nearly 1 would have no room."""
    probs = torch.tensor([1.0, 3e-8]).expand(4, 2)
    most, least = 1 - 2**-53, (1 + 1e-8) / (1 + 3e-8)
    with pytest.MonkeyPatch.context() as patch:
        points = torch.tensor([0.0, 0.5, least, most], dtype=torch.float64)
        patch.setattr(torch, "rand", lambda shape, **kwargs: points.view(shape))
        assert categorical(probs).tolist() == [0, 0, 1, 1]


def test_rows_are_independent():
    drawn = categorical(torch.full((50_000, 2, 2), 0.5), seeded("cpu", 1))
    assert abs((drawn[:, 0] == drawn[:, 1]).double().mean() - 0.5) < 4 * 0.5 / math.sqrt(50_000)


def test_what_is_not_a_number_is_refused():
    with pytest.raises(ValueError, match="probs: expected finite numbers"):
        categorical(torch.tensor([[0.5, math.nan], [0.5, 0.5]]))


def test_a_seed_of_any_size_makes_a_stream_of_its_own():
    seeds = [0, 1, True + 1, 2**32, 2**64 - 1, 2**64, 2**64 + 1, 2**200]
    drawn = {torch.rand(2, generator=seeded("cpu", seed, 3)).numpy().tobytes() for seed in seeds}
    assert len(drawn) == len(seeds)
    assert seeded("cpu", True).initial_seed() == seeded("cpu", 1).initial_seed()


def test_a_subset_is_uniform_among_all_of_its_size():
    eligible = torch.tensor([True, False, True, True, True, False, True])
    trials, p = 20_000, 1 / math.comb(5, 2)
    chosen = uniform_subset(eligible.expand(trials, -1), torch.full((trials,), 2), generator=seeded("cpu", 5))
    counts = Counter(map(tuple, chosen.tolist()))
    assert len(counts) == math.comb(5, 2)
    for subset, hits in counts.items():
        assert sum(subset) == 2
        assert not any(place and not allowed for place, allowed in zip(subset, eligible.tolist()))
        assert abs(hits / trials - p) < 4 * math.sqrt(p * (1 - p) / trials)


def test_each_row_has_a_subset_of_its_own_size():
    eligible = (torch.arange(5) < 3).expand(4, -1)
    chosen = uniform_subset(eligible, torch.tensor([0, 1, 2, 3]), generator=seeded("cpu", 6))
    assert chosen.sum(dim=1).tolist() == [0, 1, 2, 3]


def test_a_subset_follows_the_generator():
    eligible, count = torch.ones(20, 9, dtype=torch.bool), torch.full((20,), 4)
    first = uniform_subset(eligible, count, generator=seeded("cpu", 7))
    assert torch.equal(first, uniform_subset(eligible, count, generator=seeded("cpu", 7)))
    assert not torch.equal(first, uniform_subset(eligible, count, generator=seeded("cpu", 8)))
