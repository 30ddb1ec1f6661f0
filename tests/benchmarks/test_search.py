"""The benchmark of search and bounds: its exact laws by enumeration, and that its page says what was found."""

import itertools

import pytest
import torch

from benchmarks.search import bounds as laws
from benchmarks.search import run as search
from svlearn.domains.analytic import FiniteMarkovChain, LinearGaussianChain

ALPHA = 0.6
CHAIN, GAUSSIAN = FiniteMarkovChain.random(5, 5, seed=1), LinearGaussianChain.random(2, 5, seed=1)


@pytest.fixture
def results():
    return search.RESULTS.read()


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_the_law_of_the_chosen_is_that_of_all_draws(number):
    probs, weights = torch.tensor([0.5, 0.3, 0.2]).double(), torch.tensor([7.0, 0.2, 3e-6]).double()
    law = torch.zeros(3).double()
    for drawn in map(list, itertools.product(range(3), repeat=number)):
        shares = weights[drawn] / weights[drawn].sum()
        law.index_add_(0, torch.tensor(drawn), probs[drawn].prod() * shares)
    torch.testing.assert_close(probs * laws.chosen(probs, weights, number), law, rtol=0, atol=1e-14)


@pytest.mark.parametrize("oracle", [CHAIN, GAUSSIAN])
@pytest.mark.parametrize("number", [1, 5, 64])
def test_its_probabilities_sum_to_one_and_one_draw_changes_nothing(oracle, number):
    probs, twists = laws.ends(oracle, ALPHA)
    torch.testing.assert_close((probs.log() + twists).logsumexp(0), oracle.log_normalizer(ALPHA), rtol=0, atol=1e-12)
    gain = laws.chosen(probs, (twists - twists.max()).exp(), number)
    assert float(probs @ gain) == pytest.approx(1.0, abs=1e-12)
    if number == 1:
        torch.testing.assert_close(gain, torch.ones_like(gain), rtol=0, atol=1e-12)


@pytest.mark.parametrize("oracle", [CHAIN, GAUSSIAN])
def test_with_one_particle_the_kls_are_those_of_the_reference(oracle):
    to_target, from_target = laws.kls(oracle, ALPHA, "importance sampling", 1)
    probs, twists = laws.ends(oracle, ALPHA)
    assert to_target == pytest.approx(float(oracle.log_normalizer(ALPHA) - probs @ twists), abs=1e-12)
    assert from_target == pytest.approx(float(oracle.optimal_kl(ALPHA)), abs=1e-12)
    assert laws.kls(GAUSSIAN, ALPHA, "svdd, exact value", 4) is None


def test_svdd_as_a_chain_by_enumeration_of_two_candidates():
    """P(keep y) = Σ over the other candidate z of 2 p(y) p(z) w(y)/(w(y) + w(z)); its KL over all paths."""
    chain = FiniteMarkovChain.random(3, 2, seed=4)
    twists = chain.soft_table(ALPHA) / ALPHA

    def kept(probs, weights):
        return 2 * probs * (probs * weights[:, None] / (weights[:, None] + weights)).sum(1)

    drawn = laws.svdd_chain(chain, twists, 2)
    torch.testing.assert_close(drawn.initial_probs, kept(chain.initial_probs, twists[0].exp()), rtol=0, atol=1e-14)
    for t, state in itertools.product(range(2), range(3)):
        expected = kept(chain.matrices[t, state], twists[t + 1].exp())
        torch.testing.assert_close(drawn.matrices[t, state], expected, rtol=0, atol=1e-14)
    optimal, total = chain.optimal(ALPHA), 0.0
    for path in itertools.product(range(3), repeat=3):
        own, others = (
            each.initial_probs[path[0]] * each.matrices[0, path[0], path[1]] * each.matrices[1, path[1], path[2]]
            for each in (drawn, optimal)
        )
        total += own * (own / others).log()
    assert laws.kls(chain, ALPHA, "svdd, exact value", 2)[0] == pytest.approx(float(total), abs=1e-14)


def test_the_page_shows_every_figure(results):
    drawn = search.figures(results)
    for name in drawn:
        assert f"]({name})" in search.PAGE.read_text()
    assert {path.name for path in search.PAGE.parent.glob("search-*.svg")} == set(drawn)


def test_the_bounds_measured_enclose_log_z_and_the_exact_kls(results):
    for of_oracle in results["bounds"].values():
        log_z = of_oracle["log_normalizer"]
        for kind, by_size in of_oracle["samplers"].items():
            for size, row in by_size.items():
                (lower, below), (upper, above) = row["lower"], row["upper"]
                assert lower - 4 * below <= log_z <= upper + 4 * above
                if row["kl_to_target"] is not None:
                    assert row["kl_to_target"] <= log_z - lower + 4 * below
                    assert row["kl_from_target"] <= upper - log_z + 4 * above
                if size == "1" and kind == "importance sampling":  # then the bounds are the KLs
                    assert abs(log_z - lower - row["kl_to_target"]) < 4 * below
                    assert abs(upper - log_z - row["kl_from_target"]) < 4 * above


def test_what_the_page_advises_is_what_was_found(results):
    budgets = results["budgets"]

    def distance(kind, budget="128"):
        return budgets[kind][budget]["total_variation"][0]

    assert distance("smc") < 0.7 * distance("tree search") < 0.7 * 0.5 * distance("tree search, paper's backup")
    assert distance("tree search, paper's backup") > 0.8 * distance("tree search, paper's backup", "32")
    assert distance("smc, exact value") > distance("smc")
    ratio, error = budgets["smc"]["128"]["normalizer_ratio"]
    assert abs(ratio - 1) < 4 * error
    ratio, error = budgets["tree search"]["128"]["normalizer_ratio"]
    assert ratio < 1 - 4 * error
    assert budgets["tree search"]["128"]["reference_calls"] < budgets["smc"]["128"]["reference_calls"]
    replace, gibbs = results["rounds"]["replace"], results["rounds"]["particle_gibbs"]
    assert gibbs[-1] < 0.1 * replace[-1] and replace[-1] > 0.8 * replace[-5]
    assert results["beams"]["1"]["beam search"] > 0.9 and results["beams"]["2"]["beam search"] > 0.99
    for of_oracle in results["bounds"].values():
        rows = of_oracle["samplers"]["importance sampling"]
        assert 2.5 < rows["16"]["gap"][0] / rows["64"]["gap"][0] < 6
        assert rows["64"]["kl_to_target"] < 0.05 * (of_oracle["log_normalizer"] - rows["64"]["lower"][0])
