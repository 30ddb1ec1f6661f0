"""Tree search: the weights of the finished tree by hand, p* as the budget grows, and what is refused."""

import math

import pytest
import torch
from inference_toys import MARKOV, assert_unbiased, make_value

from svlearn.domains.analytic import FiniteMarkovChain, TableValue
from svlearn.evaluation import compare as comparison
from svlearn.inference.tree import TreeRun
from svlearn.inference.tree_search import tree_search
from svlearn.randomness import seeded
from svlearn.values import Zero

ALPHA, STEPS = 0.6, 5
TARGET, LAW = MARKOV.target(ALPHA), MARKOV.optimal(ALPHA).marginals()[-1]
INDEPENDENT = {"widening_factor": 1.0, "widening_exponent": 1.0}


def spread_over(samples):
    """The law of the finished state by each tree, (B, 5)."""
    empty = torch.zeros(len(samples.states), 5).double()
    return empty.scatter_add(1, samples.states[..., 0], samples.log_weights.exp())


def total_variation(laws, law=LAW):
    return 0.5 * (laws - law).abs().sum(dim=-1)


def test_independent_roll_outs_weigh_as_importance_samples():
    samples = tree_search(MARKOV, TARGET, None, 12, **INDEPENDENT).sample(50, generator=seeded("cpu", 0))
    log_likelihoods = samples.rewards / ALPHA
    torch.testing.assert_close(samples.log_weights, log_likelihoods.log_softmax(dim=1), rtol=0, atol=1e-12)
    expected = log_likelihoods.logsumexp(dim=1) - math.log(12)
    torch.testing.assert_close(samples.log_normalizer, expected, rtol=0, atol=1e-12)
    assert samples.cost.reference_calls == 50 * 12 * STEPS and samples.cost.reward_calls == 50 * 12
    assert bool((samples.history.unique_ancestors == 12).all())


def rebuilt(samples, group):
    """The tree as nested dicts, children by the roll-outs that drew them, leaves as (leaf's number, r/α)."""
    root: dict = {}
    for leaf, places in enumerate(samples.history.lineage[group].T.tolist()):
        if samples.log_weights[group, leaf] > -math.inf:
            node = root
            for place in places[:-1]:
                node = node.setdefault(place, {})
            node[places[-1]] = (leaf, float(samples.rewards[group, leaf]) / ALPHA)
    return root


def plain_backup(node):
    """exp(v̂/α) of a node, and its leaves with the probabilities to descend to them."""
    if isinstance(node, tuple):
        return math.exp(node[1]), {node[0]: 1.0}
    below = [plain_backup(child) for child in node.values()]
    total = sum(value for value, _ in below)
    leaves = {leaf: share * value / total for value, law in below for leaf, share in law.items()}
    return total / len(below), leaves


@pytest.mark.parametrize("value", ["zero", "wrong"])
@pytest.mark.parametrize("prior_children", [0.0, 1.0])
def test_the_weights_are_the_probabilities_to_descend_in_the_finished_tree(value, prior_children):
    v = make_value(value, MARKOV, ALPHA)
    sampler = tree_search(
        MARKOV, TARGET, v, 80, widening_factor=1.0, widening_exponent=0.1, prior_children=prior_children
    )
    samples = sampler.sample(20, generator=seeded("cpu", 1))
    ended_in_old_leaves = samples.log_weights == -math.inf
    assert bool(ended_in_old_leaves.any(dim=1).all())
    assert bool((samples.history.unique_ancestors[:, :2] > 1).all())
    for group in range(20):
        worth, leaves = plain_backup(rebuilt(samples, group))
        assert samples.log_normalizer[group].exp().item() == pytest.approx(worth, rel=1e-12)
        weights = samples.log_weights[group].exp()
        assert weights.sum().item() == pytest.approx(1.0, abs=1e-12)
        for leaf, probability in leaves.items():
            assert weights[leaf].item() == pytest.approx(probability, rel=1e-10)


@pytest.mark.parametrize("prior_children", [0.0, 1.0, 2.5])
def test_every_node_is_scored_by_the_soft_bellman_backup(prior_children):
    value = make_value("wrong", MARKOV, ALPHA)
    forest = TreeRun(tree_search(MARKOV, TARGET, value, 30).parts, 6, seeded("cpu", 2), (1.0, 0.6), prior_children)
    forest.keep_states = True
    particles, history = forest.from_start()
    scored = 0
    for level in range(STEPS):
        x, there = history.states[level][..., 0], forest.parents[level] >= 0
        for tree, node in there.nonzero().tolist():
            children = forest.scores[level + 1, tree, forest.parents[level + 1, tree] == node].exp()
            guess = (value.table[level, x[tree, node]] / ALPHA).exp()
            expected = (children.sum() + prior_children * guess) / (len(children) + prior_children)
            assert forest.scores[level, tree, node].exp().item() == pytest.approx(expected.item(), rel=1e-10)
            assert len(children) < forest.visits[level, tree, node] ** 0.6 + 1
            scored += len(children) > 1
    assert scored > 50
    leaves = forest.parents[-1] >= 0
    torch.testing.assert_close(forest.scores[-1][leaves], (particles.rewards / ALPHA).view(6, 30)[leaves])


def test_children_are_descended_to_by_their_soft_values():
    """One step from a known start to two leaves: the third roll-out finds them both there, and may draw no third."""
    chain = FiniteMarkovChain(torch.eye(2)[0], torch.full((1, 2, 2), 0.5), torch.tensor([0.0, math.log(3.0)]))
    forest = TreeRun(tree_search(chain, chain.target(1.0), None, 3).parts, 20_000, seeded("cpu", 3), (2.0, 0.0), 0.0)
    forest.from_states(torch.zeros(20_000, 1).long(), 0)
    worth = forest.scores[1, :, :2].exp()
    second = forest.visits[1, :, 1] == 2
    differ = worth[:, 0] != worth[:, 1]
    better = torch.where(second, worth[:, 1] > worth[:, 0], worth[:, 0] > worth[:, 1])[differ].double()
    assert bool((forest.visits[1].sum(dim=1) == 3).all())
    assert abs(better.mean() - 0.75) < 4 * math.sqrt(0.75 * 0.25 / len(better))


@pytest.mark.parametrize(("factor", "exponent"), [(1.0, 0.5), (2.0, 0.5), (1.5, 0.0), (1.0, 0.8)])
def test_the_root_widens_with_its_visits(factor, exponent):
    samples = tree_search(MARKOV, TARGET, None, 50, widening_factor=factor, widening_exponent=exponent).sample(
        3, generator=seeded("cpu", 2)
    )
    children = 0
    for visits in range(1, 51):
        children += children < factor * visits**exponent
    assert bool((samples.history.unique_ancestors[:, 0] == children).all())


@pytest.mark.parametrize("budget", [6, 24])
def test_where_the_rewards_do_not_shape_the_tree_the_normalizer_is_unbiased(budget):
    """A certain guess, the same everywhere: all children are alike, however they turned out."""
    nothing = TableValue(torch.zeros(STEPS, 5).double())
    samples = tree_search(MARKOV, TARGET, nothing, budget, prior_children=1e15).sample(
        3000, generator=seeded("cpu", budget)
    )
    assert samples.history.unique_ancestors[:, 0].max() < samples.history.unique_ancestors[:, -1].min()
    assert_unbiased(samples, MARKOV.log_normalizer(ALPHA))


def test_the_laws_tend_to_the_target_as_the_budget_grows():
    """Total variation of one tree's law, and of the mean law of 400 trees, which is the bias."""
    assert total_variation(MARKOV.marginals()[-1]) > 0.4
    apart, errors, together = [], [], []
    for budget in (8, 32, 128):
        laws = spread_over(tree_search(MARKOV, TARGET, None, budget).sample(400, generator=seeded("cpu", budget)))
        apart.append(total_variation(laws).mean())
        errors.append(total_variation(laws).std() / math.sqrt(400))
        together.append(total_variation(laws.mean(dim=0)))
    for before, after, share in ((0, 1, 1), (1, 2, 1), (0, 2, 1 / 3)):
        gap = share * apart[before] - apart[after]
        assert gap > 4 * (errors[after] ** 2 + (share * errors[before]) ** 2).sqrt()
    assert together[1] < 0.5 * together[0] and together[2] < 0.2 * together[0]


def test_without_a_prior_the_unlucky_are_given_up():
    """What the prior is for: the paper's backup stays away from p* at these budgets, and Z_hat far below Z."""
    samples = tree_search(MARKOV, TARGET, None, 128, prior_children=0.0).sample(200, generator=seeded("cpu", 3))
    guarded = tree_search(MARKOV, TARGET, None, 128).sample(200, generator=seeded("cpu", 3))
    assert total_variation(spread_over(samples).mean(0)) > 5 * total_variation(spread_over(guarded).mean(0))
    ratios = [(each.log_normalizer - MARKOV.log_normalizer(ALPHA)).exp().mean() for each in (samples, guarded)]
    assert ratios[0] < 0.75 and 0.9 < ratios[1] < 1.0


def test_an_exact_value_shows_where_to_grow():
    """Two starts, one of them hopeless: with the value nearly all roll-outs below x_0 go to the other."""
    stay = torch.eye(4).double()
    stay[:2] = torch.tensor([[0, 0, 0.5, 0.5], [0.5, 0.5, 0, 0]])
    chain = FiniteMarkovChain(
        torch.tensor([0.5, 0.5, 0, 0]), torch.stack([torch.eye(4).double(), stay]), torch.tensor([-9.0, -9, 0, 1])
    )
    wasted = []
    for value in (None, chain.soft_value(1.0)):
        samples = tree_search(chain, chain.target(1.0), value, 64).sample(100, generator=seeded("cpu", 4))
        wasted.append((samples.rewards[samples.log_weights > -math.inf] == -9).double().mean())
    assert wasted[1] < 0.7 * wasted[0]


def test_a_reward_of_minus_infinity():
    chain = MARKOV.with_rewards(torch.tensor([-math.inf, -math.inf, 0.3, -math.inf, -0.5]))
    samples = tree_search(chain, chain.target(1.0), Zero(), 4, **INDEPENDENT).sample(4000, generator=seeded("cpu", 12))
    dead = samples.log_normalizer == -math.inf
    assert 0 < dead.sum() < 2000 and torch.equal(dead, (samples.log_weights == -math.inf).all(dim=1))
    assert_unbiased(samples, chain.log_normalizer(1.0))
    forest = TreeRun(tree_search(chain, chain.target(1.0), None, 40).parts, 50, seeded("cpu", 13), (1.0, 0.4), 0.0)
    forest.from_start()
    for above, visits, parents in zip(forest.visits, forest.visits[1:], forest.parents[1:]):
        arrived = torch.zeros_like(above).scatter_add(1, parents.clamp(min=0), visits)
        assert torch.equal(arrived, above)  # who came by a node went on to a child of it
    hopeless = chain.with_rewards(torch.full((5,), -math.inf))
    forest = TreeRun(
        tree_search(hopeless, hopeless.target(1.0), None, 40).parts, 50, seeded("cpu", 14), (1.0, 0.4), 0.0
    )
    forest.from_start()
    assert forest.visits[0, :, 0].double().mean() < 20 < forest.visits[0].sum() / 50  # all are equally bad
    with pytest.raises(ValueError, match="every group died"):
        tree_search(hopeless, hopeless.target(1.0), None, 4).sample(5)


def test_it_stands_in_a_comparison():
    table = comparison.compare({"tree": tree_search(MARKOV, TARGET, None, 8)}, 20).table
    assert table.loc["tree", "reference_calls_per_sample"] <= 8 * STEPS


BAD = {
    "alpha": (lambda: tree_search(MARKOV, MARKOV.target(0.0)), ValueError, "tree_search needs alpha > 0, got 0"),
    "a budget": (lambda: tree_search(MARKOV, TARGET, None, 0), ValueError, "num_rollouts: expected an integer"),
    "a factor": (lambda: tree_search(MARKOV, TARGET, widening_factor=0.0), ValueError, "widening_factor: expected"),
    "an exponent": (lambda: tree_search(MARKOV, TARGET, widening_exponent=1.5), ValueError, r"in \[0, 1\], got 1.5"),
    "a prior": (lambda: tree_search(MARKOV, TARGET, prior_children=-1.0), ValueError, "prior_children: expected"),
    "a value": (lambda: tree_search(MARKOV, TARGET, TARGET), TypeError, "value: expected a Value, got Target"),
    "a trajectory": (
        lambda: tree_search(MARKOV, TARGET).sample_conditionally(torch.zeros(1, 6, 1).long()),
        ValueError,
        "tree_search cannot retain a given trajectory",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_by_name(case):
    call, error, words = BAD[case]
    with pytest.raises(error, match=words):
        call()
