"""The intervals that an advice states hold the truth as often as they say, over whole advices on a chain whose every
figure is known: with r = x_T of one dimension each choice among M candidates by the exact mean value adds s_t e(M)."""

import math

import numpy as np
import pytest
import torch

import svlearn as sv
from svlearn.advising import trained_values
from svlearn.advising.schedule import expected_largest
from svlearn.domains.analytic import LinearGaussianChain, QuadraticReward

T, KEPT, STD = 3, 0.8, 0.6
SPREADS = [KEPT**T, *(STD * KEPT ** (T - t) for t in range(1, T + 1))]  # of v_t given x_{t-1}
TARGET_STD = math.sqrt(sum(each**2 for each in SPREADS))
RUNS = 50


def chain():
    linear = QuadraticReward(torch.zeros(1, 1), torch.ones(1))
    matrices, stds = torch.full((T, 1, 1), KEPT), torch.full((T,), STD)
    return LinearGaussianChain(torch.zeros(1), 1.0, matrices, torch.zeros(T, 1), stds, linear)


def reward_of(numbers):
    """E[r] of svdd at α = 0 with these candidates at 0 ... T."""
    return sum(spread * expected_largest(number) for spread, number in zip(SPREADS, numbers, strict=True))


def best_of(number):
    """E[max of n] of r, linear between whole numbers."""
    low, share = int(number), number - int(number)
    ends = expected_largest(low), expected_largest(low + 1)
    return TARGET_STD * ((1 - share) * ends[0] + share * ends[1])


def advised(seed, **options):
    reference = chain()
    target = sv.Target(reference.reward, alpha=0.0)
    return sv.advise(reference, target, for_samples=10**6, seed=seed, **options)


def test_the_exact_reward_is_that_of_the_sampler():
    reference = chain()
    target = sv.Target(reference.reward, alpha=0.0)
    numbers = [2, 1, 4, 3]
    sampler = sv.svdd(reference, target, reference.mean_value(), numbers)
    rewards = sampler.sample(20000, generator=torch.Generator().manual_seed(0)).rewards.double()
    assert abs(float(rewards.mean()) - reward_of(numbers)) < 4 * float(rewards.std()) / 20000**0.5
    plain = sv.ancestral(reference, target).sample(20000, generator=torch.Generator().manual_seed(1)).rewards
    assert abs(float(plain.std()) - TARGET_STD) < 4 * TARGET_STD / 40000**0.5


@pytest.mark.slow
def test_the_interval_of_the_gain_holds_it_as_often_as_it_says():
    held = []
    for seed in range(RUNS):
        advice = advised(seed, budget="10000 calls", trainable={})
        if advice.gain is None:  # nothing is stated
            continue
        row = advice.front.loc[advice.recommended]
        truth = reward_of(advice.sampler.num_candidates) - best_of(row["price"] / (T + 1))
        held.append(advice.gain.low < truth < advice.gain.high)
    assert len(held) > 0.9 * RUNS and 0.84 <= np.mean(held) <= 0.96


@pytest.mark.slow
def test_the_interval_of_the_break_even_holds_it_as_often_as_it_says(monkeypatch):
    """The trained value is the exact one, and its fit is for nothing; what trains nothing is best-of-N alone."""
    monkeypatch.setattr(trained_values, "train", lambda value, reference, *_, **__: (reference.mean_value(), {}))
    monkeypatch.setattr("svlearn.advising.making.Making.add_training_free", lambda *_: None)
    held = []
    for seed in range(RUNS):
        options = {"per_sample": 6.5, "prices": {"value_calls": 0.1}, "trainable": {"exact": chain().mean_value()}}
        advice = advised(seed, budget="4000 calls", **options)
        if advice.gain is None:
            continue
        row = advice.front.loc[advice.recommended]
        reached = reward_of(advice.sampler.num_candidates)
        low, high = 1.0, 200.0
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if best_of(middle) < reached else (low, middle)
        truth = row["training_price"] / (high * (T + 1) - row["price"])
        held.append(advice.break_even.low <= truth <= advice.break_even.high)
    assert len(held) > 0.9 * RUNS and 0.84 <= np.mean(held) <= 0.96
