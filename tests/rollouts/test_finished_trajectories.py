"""Trajectories of what is finished before T: no call from there on, and the state repeated to the end."""

import math

import pytest
import torch
from finished_toys import LENGTHS, TARGET, T, Words

from svlearn.domains.analytic import ConditionalOracle, TokenTree
from svlearn.metering import metered
from svlearn.objectives.behaviour import SharedStart
from svlearn.objectives.exploration import EpsilonMixture
from svlearn.objectives.path_consistency import Unchanged
from svlearn.randomness import seeded
from svlearn.rollouts import collect, roll_out

ALPHA = 0.6
TREE = TokenTree.random(3, 5, seed=2, end=0)


def positions(states):
    """How many tokens were written at each t, (B, T + 1)."""
    return states[..., -1]


@pytest.mark.parametrize("max_batch", [None, 3])
@pytest.mark.parametrize("proposed", [False, True])
def test_the_same_trajectories_by_as_many_calls_as_there_are_letters(proposed, max_batch):
    found, costs, called = [], [], []
    for says in (True, False):
        words, policy = Words(says), Words(says)
        given = {"proposal": policy} if proposed else {}
        with metered(max_batch) as meter:
            found.append(roll_out(words, 7, target=TARGET, condition=LENGTHS, generator=seeded("cpu", 0), **given))
        costs.append(meter.cost)
        called.append(sum(words.rows) + sum(policy.rows))
    assert bool((found[0] == found[1]).all()) and set(found[0].keys()) == set(found[1].keys())
    assert found[0]["states"][:, :, 0].tolist() == [[min(t, n) for t in range(T + 1)] for n in LENGTHS.tolist()]
    each = 2 if proposed else 1
    assert called == [each * int(LENGTHS.sum()), each * 7 * T]
    assert [cost.reference_calls for cost in costs] == [LENGTHS.sum(), 7 * T]
    assert [cost.policy_calls for cost in costs] == ([LENGTHS.sum(), 7 * T] if proposed else [0, 0])


def test_a_rollout_ends_when_all_are_finished():
    words = Words()
    states = roll_out(words, 3, condition=torch.tensor([2, 1, 2]))["states"]
    assert words.rows == [3, 2] and states.shape == (3, T + 1, 2)
    words = Words()
    found = roll_out(words, 2, condition=torch.zeros(2, dtype=torch.long), proposal=Words())
    assert words.rows == [] and found["states"].shape == (2, T + 1, 2)
    assert found["log_ratios"].tolist() == [[0.0] * T] * 2 and found["log_ratios"].dtype == torch.float64


def test_the_texts_have_the_law_of_the_tree():
    with metered() as meter:
        states = roll_out(TREE, 6000, generator=seeded("cpu", 1))["states"]
    written, last = positions(states), positions(states)[:, -1]
    assert meter.cost.reference_calls == last.sum() < 6000 * TREE.num_steps
    assert torch.equal(written, torch.arange(6).minimum(last[:, None]))
    assert torch.equal(states[:, -1][last == 2], states[:, 2][last == 2])
    texts, log_probs = TREE.leaves()
    for length in range(1, 6):
        truth = log_probs.exp()[texts[:, -1] == length].sum()
        share = (last == length).double().mean()
        assert abs(share - truth) < 4 * math.sqrt(truth * (1 - truth) / 6000)


def test_the_ratios_are_those_of_the_texts_exactly():
    """Σ_t log p/q is log p(text) - log q(text), of the tables of both trees."""
    optimal = TREE.optimal(ALPHA)
    with metered() as meter:
        found = roll_out(TREE, 500, generator=seeded("cpu", 2), proposal=optimal)
    last = found["states"][:, -1]
    assert meter.cost.reference_calls == meter.cost.policy_calls == positions(last).sum()
    texts, log_probs = TREE.leaves()
    ratios = log_probs - optimal.leaves()[1]
    rows = (texts[None] == last[:, None]).all(dim=2).long().argmax(dim=1)
    torch.testing.assert_close(found["log_ratios"].sum(dim=1), ratios[rows])
    beyond = torch.arange(5) >= positions(last)[:, None]
    assert bool(beyond.any()) and bool((found["log_ratios"][beyond] == 0).all())


def test_a_store_holds_the_same_by_fewer_calls(tmp_path):
    stores, calls = [], []
    for says in (True, False):
        with metered() as meter:
            stores.append(collect(Words(says), 40, tmp_path / str(says), target=TARGET, batch_size=16, progress=False))
        calls.append(meter.cost.reference_calls)
    one, other = (store[torch.arange(40).tolist()] for store in stores)
    assert bool((one == other).all())
    assert calls == [one["states"][:, -1, 1].sum(), 40 * T]


@pytest.mark.parametrize(
    "wrap",
    [lambda tree: SharedStart(tree, 2), lambda tree: EpsilonMixture(Unchanged(tree), 0.5), Unchanged],
    ids=["shared start", "exploration", "policy"],
)
def test_a_process_that_leads_to_another_says_what_that_does(wrap):
    with metered() as meter:
        states = roll_out(wrap(TREE), 60, generator=seeded("cpu", 3), kind="policy_calls")["states"]
    assert meter.cost.policy_calls == positions(states)[:, -1].sum() < 60 * TREE.num_steps


def test_texts_under_conditions_end_as_their_tree_says():
    trees = ConditionalOracle([TREE, TokenTree.random(3, 5, seed=4)])
    condition = torch.arange(80) % 2
    with metered() as meter:
        states = roll_out(trees, 80, condition=condition, generator=seeded("cpu", 3))["states"]
    last = states[:, -1]["x"][:, -1]
    assert meter.cost.reference_calls == last.sum() < 80 * 5
    assert bool((last[condition == 1] == 5).all()) and bool((last[condition == 0] < 5).any())
