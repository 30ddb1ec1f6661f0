"""Trees of texts that end before T: what is finished is called no more, and log Z and the weights stay exact."""

import math

import pytest
import torch
from finished_toys import LENGTHS, TARGET, T, Words
from inference_toys import assert_unbiased

from svlearn.domains.analytic import TokenTree
from svlearn.inference.tree_search import tree_search
from svlearn.randomness import seeded
from svlearn.values import Learned, PosteriorMean

ALPHA, R = 0.6, 24
TREE = TokenTree.random(3, 5, seed=2, end=0)
REWARD = TREE.target(ALPHA)
INDEPENDENT = {"widening_factor": 1.0, "widening_exponent": 1.0}


class Strict(TokenTree):
    """It refuses to be called for a text that is finished."""

    def forward(self, x, t, previous=None):
        assert len(x) > 0 and not self.finished(x).any()
        return super().forward(x, t, previous)


STRICT = Strict(TREE.probs, TREE.num_tokens, TREE.length, TREE.reward, TREE.end)


class Wrong(torch.nn.Module):
    def forward(self, x, t):
        return torch.cos(3.0 * x.double().sum(dim=1) + 2.0 * t)


VALUES = {"none": None, "exact": TREE.soft_value(ALPHA), "wrong": Learned(Wrong()), "point": PosteriorMean(REWARD)}


@pytest.mark.parametrize("value", VALUES)
def test_log_z_stays_unbiased(value):
    samples = tree_search(TREE, REWARD, VALUES[value], 4, **INDEPENDENT).sample(3000, generator=seeded("cpu", 1))
    assert_unbiased(samples, TREE.log_normalizer(ALPHA))


@pytest.mark.parametrize("value", ["none", "wrong", "point"])
def test_every_node_that_is_not_finished_costs_one_call(value):
    reference = TREE if value == "point" else STRICT
    samples = tree_search(reference, REWARD, VALUES[value], R).sample(8, generator=seeded("cpu", 2), keep_states=True)
    paths, lineage = samples.paths(), samples.history.lineage
    calls = valued = 0
    for tree in range(8):
        for t in range(TREE.num_steps):
            held = {}
            for leaf in range(R):
                held[int(lineage[tree, t, leaf])] = paths[tree, leaf, t], paths[tree, leaf, max(0, t - 1)]
            moving = sum(not TREE.finished(x[None]).item() for x, _ in held.values())
            ended = sum(
                bool(TREE.finished(x[None])) and not bool(TREE.finished(before[None])) for x, before in held.values()
            )
            calls, valued = calls + moving + (ended if value == "point" else 0), valued + moving + ended
    leaves = samples.log_weights > -math.inf
    assert samples.cost.reference_calls == calls
    assert samples.cost.value_calls == (0 if value == "none" else valued)
    assert samples.cost.reward_calls - (valued if value == "point" else 0) == leaves.sum()
    assert bool(TREE.finished(samples.states.flatten(0, 1)).all())


def test_a_finished_node_has_one_child():
    """So a text is scored once for each time that it was drawn token by token."""
    samples = tree_search(TREE, REWARD, None, R, **INDEPENDENT).sample(8, generator=seeded("cpu", 3), keep_states=True)
    paths, lineage = samples.paths(), samples.history.lineage
    for t in range(1, TREE.num_steps):
        finished = TREE.finished(paths[:, :, t].flatten(0, 1)).view(8, R)
        for tree in range(8):
            for node in lineage[tree, t][finished[tree]].unique():
                assert len(lineage[tree, t + 1][lineage[tree, t] == node].unique()) == 1


def test_the_same_samples_where_nothing_is_left_to_chance():
    """Of words that start as they will end, log Z is the reward itself; caches are those of the rows."""
    x = torch.stack([torch.zeros_like(LENGTHS), LENGTHS], dim=1)
    found, calls = [], []
    for says in (True, False):
        samples = tree_search(Words(says), TARGET, None, 5).resume(x, 0, generator=seeded("cpu", 0))
        found.append(samples.log_normalizer)
        calls.append(samples.cost.reference_calls)
        assert torch.equal(samples.states, torch.stack([LENGTHS, LENGTHS], dim=1)[:, None].expand(-1, 5, -1))
    truth = TARGET(torch.stack([LENGTHS, LENGTHS], dim=1)) / TARGET.alpha
    for each in found:
        torch.testing.assert_close(each, truth, rtol=0, atol=1e-12)
    assert calls[0] < calls[1] and calls[1] >= 7 * T


@pytest.mark.parametrize("value", ["none", "wrong", "point"])
def test_max_batch_changes_no_sample(value):
    sampler = tree_search(TREE, REWARD, VALUES[value], 12)
    whole, cut = (sampler.sample(6, generator=seeded("cpu", 4), max_batch=most) for most in (None, 4))
    assert torch.equal(whole.states, cut.states) and torch.equal(whole.log_weights, cut.log_weights)
    assert whole.cost.reference_calls == cut.cost.reference_calls
