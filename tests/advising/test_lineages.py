"""The best of several lineages is the best of as many samples of svdd."""

import pytest
import torch

import svlearn as sv
from svlearn.advising import svdd_best_of_n
from svlearn.advising.candidates import Shelf
from svlearn.domains.analytic import LinearGaussianChain

CHAIN = LinearGaussianChain.random(dim=2, num_steps=4, seed=0)
N, M = 5, 3


def drawn(sampler, number, seed=1):
    return sampler.sample(number, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("alpha", [0.0, 0.7])
def test_it_is_the_best_of_what_the_lineages_end_in(alpha):
    """One group of N lineages has the noise of N groups of one; each of these keeps its last candidate by r, at α = 0
    the best one."""
    target = sv.Target(CHAIN.reward, alpha=alpha)
    value, numbers = CHAIN.mean_value(), [M, M, 1, M, 1]
    best = drawn(svdd_best_of_n(CHAIN, target, value, N, numbers), 1)
    each = drawn(sv.svdd(CHAIN, target, value, numbers), N)
    place = int(each.rewards.argmax())
    assert torch.equal(best.states[0, 0], each.states[place, 0]) and best.rewards.item() == each.rewards.max().item()
    assert best.rewards.shape == (1, 1) and best.log_weights.tolist() == [[0.0]] and best.log_normalizer is None
    assert best.cost.reference_calls == each.cost.reference_calls == N * CHAIN.num_steps
    assert best.cost.value_calls == each.cost.value_calls and best.cost.reward_calls == N


def test_all_last_candidates_of_all_lineages_compete():
    target = sv.Target(CHAIN.reward, alpha=0.0)
    best = drawn(svdd_best_of_n(CHAIN, target, CHAIN.mean_value(), N, M), 1)
    each = drawn(sv.svdd(CHAIN, target, CHAIN.mean_value(), M), N)
    assert best.rewards.item() == each.rewards.max().item() and best.cost.reward_calls == N * M


def test_groups_do_not_depend_on_how_they_are_cut():
    sampler = svdd_best_of_n(CHAIN, sv.Target(CHAIN.reward, alpha=0.7), CHAIN.mean_value(), N, M)
    whole = drawn(sampler, 6)
    cut = sampler.sample(6, generator=torch.Generator().manual_seed(1), max_batch=4)
    assert torch.equal(whole.states, cut.states) and whole.states.shape[:2] == (6, 1)


def test_an_advice_tries_as_many_lineages_as_fit_what_a_sample_may_cost():
    """Two candidates a step cost 4 + 4 calls of the reference, 8 of the reward on the way and 2 at the end."""
    target = sv.Target(CHAIN.reward, alpha=0.0)
    options = {"budget": "12000 calls", "for_samples": 500, "trainable": {}}
    names = sv.advise(CHAIN, target, per_sample=80.0, **options).front.index
    assert "SVDD, posterior mean, 2 candidates, best of 4" in names
    names = sv.advise(CHAIN, target, per_sample=30.0, **options).front.index
    assert not any("candidates, best of" in name for name in names)


def test_lineages_fill_what_a_sample_may_cost():
    """Eight candidates by a value of (x, t) cost a call of the reference a step, and one score where eight are dear:
    5 a lineage, so that 20 cost the 100."""
    target = sv.Target(CHAIN.reward, alpha=0.0)
    values = {"exact": CHAIN.mean_value()}
    price = lambda calls: sum(calls.get(kind, 0.0) for kind in ("reference_calls", "reward_calls"))  # noqa: E731
    made = Shelf(CHAIN, target, values, frozenset(), price, 100.0).of_value("exact", None)
    (best,) = [each for each in made if "best of" in each.name]
    assert best.name == "SVDD, exact, 8 candidates, best of 20" and price(best.calls) == 100
    cost = drawn(best.sampler, 3).cost
    assert (cost.reference_calls, cost.reward_calls) == (3 * 80, 3 * 20)


def test_one_lineage_with_one_candidate_is_a_plain_sample():
    target = sv.Target(CHAIN.reward, alpha=0.0)
    best, plain = svdd_best_of_n(CHAIN, target, sv.values.Zero(), N, 1), sv.best_of_n(CHAIN, target, N)
    assert torch.equal(drawn(best, 4).states, drawn(plain, 4).states)
    with pytest.raises(ValueError, match="n: expected"):
        svdd_best_of_n(CHAIN, target, CHAIN.mean_value(), 0, M)
