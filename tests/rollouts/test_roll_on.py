"""Trajectories of a sampler until a time and of the reference from there on: what is unbiased, and what it costs."""

import math

import pytest
import torch
from rollout_toys import Walk

import svlearn as sv
from svlearn.domains.analytic import FiniteMarkovChain
from svlearn.metering import metered
from svlearn.randomness import seeded
from svlearn.rollouts import roll_on
from svlearn.values import PosteriorMean

ALPHA, NUMBER = 0.3, 8000


def chain():
    return FiniteMarkovChain.random(num_states=3, num_steps=3, seed=2)


def guided(reference, candidates=4):
    target = reference.target(ALPHA)
    return sv.svdd(reference, target, PosteriorMean(target), candidates)


def by_state(rolled, reached):
    """t, a state that more than 50 of the trajectories that count (B, T) reach, and the mean and error of their
    rewards."""
    for t in range(3):
        for state in range(3):
            own = rolled["rewards"][reached[:, t] & (rolled["states"][:, t, 0] == state)]
            if len(own) > 50:
                yield t, state, own.mean(), own.std() / math.sqrt(len(own))


def test_from_there_on_the_rewards_are_those_that_the_reference_makes():
    oracle = chain()
    rolled = roll_on(guided(oracle, [1, 2, 2, 2]), NUMBER, generator=seeded("cpu", 0))
    since, exact = rolled["since"], oracle.mean_table()
    assert since.bincount().min() > NUMBER / 3 - 4 * math.sqrt(NUMBER * 2 / 9) and since.max() == 2
    after, before = (list(by_state(rolled, (since[:, None] > torch.arange(3)) == early)) for early in (False, True))
    assert len(after) == 9 and all(abs(mean - exact[t, state]) < 4 * error for t, state, mean, error in after)
    assert max((mean - exact[t, state]) / error for t, state, mean, error in before) > 8


def test_until_there_the_states_are_the_samplers_own():
    oracle = chain()
    sampler, since = guided(oracle), torch.arange(60) % 3
    rolled = roll_on(sampler, 60, since=since, generator=seeded("cpu", 0))
    paths = sampler.sample(60, generator=seeded("cpu", 0), keep_states=True).paths()[:, 0]
    kept = (torch.arange(4) <= since[:, None])[:, :, None]
    assert torch.equal(rolled["states"][kept], paths[kept]) and not torch.equal(rolled["states"], paths)
    assert torch.equal(rolled["since"], since)
    torch.testing.assert_close(rolled["rewards"], oracle.reward(rolled["states"][:, 3]))


def test_the_cost_is_that_of_the_sampler_and_of_the_steps_that_are_left():
    oracle = chain()
    with metered() as meter:
        roll_on(guided(oracle), 30, since=torch.arange(30) % 3, generator=seeded("cpu", 0))
    assert meter.cost.reference_calls == 30 * 4 * 3 + 10 * (3 + 2 + 1)
    assert meter.cost.reward_calls == 30 * 4 * (3 + 1) + 30


def test_of_a_group_one_particle_is_followed_by_its_weight():
    oracle = chain()
    sampler = sv.smc(oracle, oracle.target(ALPHA), sv.values.Zero(), 16)
    rolled = roll_on(sampler, NUMBER, since=torch.full((NUMBER,), 2), generator=seeded("cpu", 0))
    law = rolled["states"][:, 2, 0].bincount(minlength=3) / NUMBER
    plain, optimal = oracle.marginals()[2], oracle.optimal(ALPHA).marginals()[2]
    assert rolled["states"].shape == (NUMBER, 4, 1)
    assert (law - optimal).abs().sum() < 0.1 < 0.3 < (law - plain).abs().sum()


def test_a_cut_batch_is_the_same():
    oracle = chain()
    whole, cut = (roll_on(guided(oracle), 20, generator=seeded("cpu", 0), max_batch=limit) for limit in (None, 7))
    assert torch.equal(whole["states"], cut["states"])


def test_bad_arguments_are_refused_by_name():
    oracle = chain()
    with pytest.raises(ValueError, match=r"since: expected integers of 0 ... 2, got \[0, 3\]"):
        roll_on(guided(oracle), 2, since=torch.tensor([0, 3]))
    with pytest.raises(ValueError, match=r"since: expected 2 integers, got \(1,\) of torch.int64"):
        roll_on(guided(oracle), 2, since=torch.tensor([0]))
    with pytest.raises(TypeError, match="sampler: expected one with a target, got None"):
        roll_on(sv.ancestral(Walk()), 2)
