"""Beam search: the best of what it saw, the largest reward where it can see it, and a beam of distinct states."""

import math

import pytest
import torch
from inference_toys import BASE, MARKOV
from tensordict import TensorDict

from svlearn.inference.beam import Beam
from svlearn.inference.log_weights import LogWeights
from svlearn.inference.samplers import beam_search, svdd
from svlearn.inference.selection import Candidates
from svlearn.randomness import seeded
from svlearn.targets import Target
from svlearn.values import PosteriorMean, Zero

B, K, M = 7, 3, 4


def recording(reward):
    """The reward, and the list of all rewards that it gave, batch by batch."""
    rewards = []

    def record(x):
        rewards.append(reward(x))
        return rewards[-1]

    return record, rewards


@pytest.mark.parametrize("oracle", [MARKOV, BASE], ids=["markov", "gaussian"])
@pytest.mark.parametrize("alpha", [0.0, 0.7])
def test_it_returns_the_best_finished_candidate_that_it_saw(oracle, alpha):
    reward, scores = recording(oracle.reward)
    samples = beam_search(oracle, Target(reward, alpha), oracle.mean_value(), K, M).sample(
        B, generator=seeded("cpu", 0)
    )
    assert len(scores) == 1  # all K · M of each group at once
    best = scores[0].view(B, K * M).amax(dim=1)
    assert torch.equal(samples.rewards[:, 0], best)
    assert bool((samples.rewards.diff(dim=1) <= 0).all())
    drawn, rewards = samples.draw_with_rewards(generator=seeded("cpu", 1))
    assert torch.equal(rewards, best) and torch.equal(drawn, samples.states[:, 0])
    assert samples.log_normalizer is None
    torch.testing.assert_close(oracle.reward(samples.states.flatten(0, 1)).view(B, K), samples.rewards)


def test_alpha_changes_nothing():
    states = [
        beam_search(BASE, BASE.target(alpha), BASE.mean_value(), K, M).sample(B, generator=seeded("cpu", 0)).states
        for alpha in (0.0, 0.7)
    ]
    assert torch.equal(*states)


@pytest.mark.parametrize("alpha", [0.0, 0.7])
def test_with_the_exact_value_and_many_candidates_it_finds_the_largest_reward(alpha):
    samples = beam_search(MARKOV, MARKOV.target(alpha), MARKOV.mean_value(), 2, 300).sample(
        40, generator=seeded("cpu", 0)
    )
    assert bool((samples.rewards[:, 0] == MARKOV.reward.table.max()).all())


def test_a_beam_of_one_is_greedy_svdd():
    beam = beam_search(BASE, BASE.target(0.0), BASE.mean_value(), 1, M).sample(B, generator=seeded("cpu", 0))
    greedy = svdd(BASE, BASE.target(0.0), BASE.mean_value(), M).sample(B, generator=seeded("cpu", 0))
    assert torch.equal(beam.states, greedy.states)


@pytest.mark.parametrize("width", [3, 8])
def test_a_beam_of_discrete_states_holds_each_once_while_others_are_left(width):
    """300 candidates a step see all five states."""
    samples = beam_search(MARKOV, MARKOV.target(0.0), MARKOV.mean_value(), width, 300 // width).sample(
        20, generator=seeded("cpu", 0), keep_states=True
    )
    order = MARKOV.reward.table.argsort(descending=True)
    expected = torch.cat([order, order[:1].expand(width)])[:width]
    assert torch.equal(samples.states[:, :, 0], expected.expand(20, -1))
    for t, x in enumerate(samples.history.states):
        order = MARKOV.mean_table()[t].argsort(descending=True)
        assert torch.equal(x[:, : min(5, width), 0], order[: min(5, width)].expand(20, -1)), t


def hand_made(values, x, final=False):
    """One group of two particles with two candidates each."""
    values = torch.tensor(values).view(1, 2, 2)
    nothing = torch.zeros(1, 2, 2, dtype=torch.float64)
    return Candidates(values, nothing, LogWeights(nothing[:, :, 0]), nothing, nothing[:, 0, 0], 1, final, x=x)


@pytest.mark.parametrize(
    ("values", "tokens", "kept"),
    [
        ([1.0, 3.0, 3.0, 2.0], [[0, 1], [5, 5], [5, 5], [0, 2]], [1, 3]),  # the copy of the best is left out
        ([1.0, 3.0, 3.0, 2.0], [[0, 1], [5, 5], [5, 6], [0, 2]], [1, 2]),  # equal values, other states
        ([0.0, 0.0, 0.0, 0.0], [[0, 0], [0, 0], [0, 0], [0, 1]], [0, 3]),
        ([2.0, 3.0, 3.0, 2.0], [[5, 5], [5, 5], [5, 5], [5, 5]], [1, 2]),  # copies fill up, the best first
    ],
)
def test_which_candidates_of_a_group_survive(values, tokens, kept):
    noise = torch.empty(1, 0)
    tokens = torch.tensor(tokens)
    assert Beam()(hand_made(values, tokens), noise).index.tolist() == [kept]
    nested = TensorDict({"a": tokens[:, 0], "b": {"c": tokens[:, 1:]}}, batch_size=[4])
    survivors = Beam()(hand_made(values, nested, final=True), noise)
    assert survivors.index.tolist() == [kept] and survivors.log_weights.tolist() == [[0.0, -math.inf]]


def test_continuous_states_are_not_compared():
    assert Beam()(hand_made([1.0, 3.0, 3.0, 2.0], torch.zeros(4, 2)), torch.empty(1, 0)).index.tolist() == [[1, 2]]
    assert Beam()(hand_made([1.0, 3.0, 3.0, 2.0], None), torch.empty(1, 0)).index.tolist() == [[1, 2]]


def test_groups_do_not_interact_and_max_batch_changes_nothing():
    value = PosteriorMean(MARKOV.target(0.0))
    sampler = beam_search(MARKOV, MARKOV.target(0.0), value, K, M)
    whole = sampler.sample(B, generator=seeded("cpu", 0))
    cut = sampler.sample(B, generator=seeded("cpu", 0), max_batch=5)
    assert torch.equal(whole.states, cut.states) and torch.equal(whole.rewards, cut.rewards)


def test_what_it_costs():
    cost = beam_search(BASE, BASE.target(0.0), BASE.mean_value(), K, M).sample(B).cost
    assert (cost.reference_calls, cost.value_calls, cost.reward_calls) == (B * K * 5, B * K * M * 5, B * K * M)
    cost = beam_search(BASE, BASE.target(0.0), PosteriorMean(BASE.target(0.0)), K, M).sample(B).cost
    assert (cost.reference_calls, cost.reward_calls) == (B * K * M * 5, B * K * M * 6)


def test_bad_input():
    with pytest.raises(ValueError, match="beam_width: expected an integer of at least 1, got 0"):
        beam_search(BASE, BASE.target(0.0), Zero(), 0, 2)
    with pytest.raises(ValueError, match="num_candidates: expected 6 numbers"):
        beam_search(BASE, BASE.target(0.0), Zero(), 2, [2, 2])
    with pytest.raises(ValueError, match="Beam cannot retain a given trajectory"):
        beam_search(BASE, BASE.target(0.0), Zero(), 2, 2).sample_conditionally(torch.zeros(1, 6, 2).double())
