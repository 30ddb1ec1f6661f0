"""Rewards over alpha that are huge: weights keep their digits, and what no float64 holds is an error with its place."""

import math

import pytest
import torch
from inference_toys import MARKOV

from svlearn.evaluation.bounds import normalizer_bounds
from svlearn.inference.proposals import Policy
from svlearn.inference.samplers import beam_search, best_of_n, smc, svdd
from svlearn.inference.samples import History, Samples
from svlearn.inference.tree_search import tree_search
from svlearn.metering import Cost
from svlearn.randomness import draw_by, seeded
from svlearn.targets import NonFiniteError, Target
from svlearn.values import Learned, Zero


@pytest.mark.parametrize("level", [0.0, 1e15, -3e15])
def test_weights_in_a_group_keep_their_digits(level):
    """r = level + the token: from 1e15 on log Σw is a multiple of 1/8 nats, and the weights were 6 % off."""
    target = Target(lambda x: level + x[:, 0].double(), 1.0)
    samples = smc(MARKOV, target, Zero(), 7, 0.0).sample(50, generator=seeded("cpu", 0))
    expected = samples.states[..., 0].double().log_softmax(dim=1)
    torch.testing.assert_close(samples.log_weights, expected, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(samples.log_weights.exp().sum(dim=1), torch.ones(50).double(), rtol=1e-13, atol=0)


HUGE = Target(lambda x: 1e300 * (x[:, 0] == 3).double(), 1e-10)


@pytest.mark.parametrize(
    "sampler",
    [
        smc(MARKOV, HUGE, Zero(), 30),
        smc(MARKOV, HUGE, Zero(), 30, num_candidates=3),
        svdd(MARKOV, HUGE, Zero(), 30),
    ],
    ids=["smc", "nested", "svdd"],
)
def test_an_overflow_is_an_error_with_group_and_step(sampler):
    with pytest.raises(
        NonFiniteError, match=r"log_weights: expected numbers below inf, got (inf|nan) in group \d at t = 5"
    ):
        sampler.sample(3, generator=seeded("cpu", 0))


def test_one_on_the_way_names_the_step_at_which_it_came():
    class Huge(torch.nn.Module):
        def forward(self, x, t):
            return 1e300 * (t == 2).double()

    target = Target(lambda x: x[:, 0].double(), 1e-10)
    for sampler in (smc(MARKOV, target, Learned(Huge()), 4), svdd(MARKOV, target, Learned(Huge()), 4)):
        with pytest.raises(NonFiniteError, match="in group 0 at t = 2"):
            sampler.sample(3, generator=seeded("cpu", 0))


def test_of_a_tree_too():
    with pytest.raises(NonFiniteError, match=r"reward / alpha: expected numbers that a float64 can hold, .* group \d"):
        tree_search(MARKOV, HUGE, None, 30).sample(3, generator=seeded("cpu", 0))


def test_who_weighs_nothing_takes_the_largest_all_the_same():
    for sampler in (best_of_n(MARKOV, HUGE, 30), beam_search(MARKOV, HUGE, Zero(), 8, 4)):
        samples = sampler.sample(3, generator=seeded("cpu", 0))
        assert (samples.rewards[:, 0] == 1e300).all()
        assert samples.draw().flatten().tolist() == [3, 3, 3]


def test_nobody_draws_by_weights_that_are_no_numbers():
    nothing = torch.zeros(2, 0)
    for bad in (math.nan, math.inf):
        weights = torch.tensor([[0.0, -math.inf], [bad, -1.0]]).double()
        samples = Samples(torch.zeros(2, 2, 1), torch.zeros(2, 2), weights, None, Cost(), History(nothing, nothing))
        for draw in (samples.draw, samples.draw_with_rewards):
            with pytest.raises(ValueError, match="log_weights: expected numbers, got .* in group 1"):
                draw()
    died = torch.full((1, 3), -math.inf).double()
    samples = Samples(torch.zeros(1, 3, 1), None, died, None, Cost(), History(nothing, nothing))
    assert samples.draw().shape == (1, 1)  # a group that died: a uniform one


def test_rows_longer_than_torch_s_multinomial_takes(monkeypatch):
    number = 2**24 + 2
    with pytest.raises(RuntimeError, match="2.24"):
        torch.multinomial(torch.ones(number), 1)
    weights = torch.zeros(number)
    weights[-1] = 1.0
    assert draw_by(weights, 3, seeded("cpu", 0)).tolist() == [number - 1] * 3
    monkeypatch.setattr("svlearn.randomness.MOST_CATEGORIES", 3)  # what comes then has the same law
    shares = torch.tensor([[0.1, 0.0, 0.4, 0.5], [5.0, 1.0, 2.0, 2.0]]).double()
    drawn = draw_by(shares, 40_000, seeded("cpu", 1))
    for row, places in zip(shares / shares.sum(dim=1, keepdim=True), drawn, strict=True):
        frequencies = places.bincount(minlength=4) / 40_000
        assert ((frequencies - row).abs() <= 4 * (row * (1 - row) / 40_000).sqrt()).all()


def test_bounds_of_more_paths_than_that(monkeypatch):
    monkeypatch.setattr("svlearn.randomness.MOST_CATEGORIES", 50)
    policy = Policy(MARKOV)
    bounds = normalizer_bounds(
        smc(MARKOV, MARKOV.target(0.6), Zero(), 20, proposal=policy), 100, generator=seeded("cpu", 0)
    )
    assert bounds.lower < MARKOV.log_normalizer(0.6) < bounds.upper + 4 * bounds.upper_standard_error
