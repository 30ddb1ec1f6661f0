"""Samplers under conditions: E[Z_hat] = Z of each, the law is its p*, whoever starts, refines or retains."""

import math
from functools import partial

import pytest
import torch
from condition_toys import ALPHA, gaussian_by_class, markov_by_class, reversible_by_class
from inference_toys import assert_unbiased
from torch.utils.data import TensorDataset

from svlearn.domains.analytic import ConditionalOracle
from svlearn.inference import proposals
from svlearn.inference.refinement import refine
from svlearn.inference.samplers import ancestral, beam_search, best_of_n, guidance, smc, svdd
from svlearn.inference.tree_search import tree_search
from svlearn.randomness import seeded
from svlearn.values import MonteCarlo, Zero

ORACLES = {"gaussian": gaussian_by_class(), "markov": markov_by_class()}
GROUPS = 3000
CLASSES = torch.arange(GROUPS) % 3


REVERSIBLE = reversible_by_class()
TARGET = REVERSIBLE.target(ALPHA)


def by_class(samples, log_normalizers):
    for c, log_normalizer in enumerate(log_normalizers):
        part = type("Part", (), {"log_normalizer": samples.log_normalizer[c == CLASSES]})
        yield part, log_normalizer


def assert_law(states, laws, most=4.5):
    """Pearson's chi square of tokens given each condition, in standard deviations off its degrees of freedom."""
    for c, law in enumerate(laws):
        counts = torch.bincount(states["x"][states["condition"] == c][:, 0], minlength=len(law))
        expected = counts.sum() * law
        assert expected.min() > 10
        assert abs(((counts - expected) ** 2 / expected).sum() - len(law) + 1) / math.sqrt(2 * len(law) - 2) < most


def optimal_laws(oracle):
    return [each.optimal(ALPHA).marginals()[-1] for each in oracle.oracles]


@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize("value", ["exact", "zero", "monte carlo"])
@pytest.mark.parametrize("kind", ["smc", "svdd"])
def test_z_of_each_condition_is_unbiased(name, value, kind):
    oracle = ORACLES[name]
    target = oracle.target(ALPHA)
    values = {"exact": oracle.soft_value(ALPHA), "zero": Zero(), "monte carlo": MonteCarlo(oracle, target, 16)}
    sampler = {"smc": smc, "svdd": svdd}[kind](oracle, target, values[value], 8)
    samples = sampler.sample(GROUPS, condition=CLASSES, generator=seeded("cpu", 1))
    states = samples.states["condition"]
    assert bool((states == CLASSES[:, None]).all())  # all of a group have the condition of its row
    for part, log_normalizer in by_class(samples, oracle.log_normalizers(ALPHA)):
        assert_unbiased(part, log_normalizer, 0.1)


@pytest.mark.parametrize("form", ["tensor", "list", "dataset", "dict"])
def test_rows_of_every_form_give_the_same_samples(form):
    oracle = ORACLES["markov"]
    rows = torch.tensor([2, 0, 1, 1])
    forms = {"tensor": rows, "list": rows.tolist(), "dataset": TensorDataset(rows), "dict": {"class": rows}}
    if form == "dict":

        class Named(ConditionalOracle):
            def initial(self, batch_size, *, condition=None, generator=None):
                return super().initial(batch_size, condition=condition["class"], generator=generator)

        oracle = Named(list(oracle.oracles))
    target = oracle.target(ALPHA)
    for make in (
        partial(smc, value=Zero(), num_particles=3),
        partial(svdd, value=Zero(), num_candidates=3),
        tree_search,
    ):
        samples = make(oracle, target).sample(4, condition=forms[form], generator=seeded("cpu", 0))
        plain = make(ORACLES["markov"], target).sample(4, condition=rows, generator=seeded("cpu", 0))
        assert bool((samples.states == plain.states).all())


@pytest.mark.parametrize("kind", ["ancestral", "best of n", "beam search", "guidance"])
def test_every_other_sampler_keeps_the_condition(kind):
    oracle = ORACLES["gaussian"]
    target = oracle.target(ALPHA)
    sampler = {
        "ancestral": lambda: ancestral(oracle, target),
        "best of n": lambda: best_of_n(oracle, target, 3),
        "beam search": lambda: beam_search(oracle, target, oracle.soft_value(ALPHA), 2, 2),
        "guidance": lambda: guidance(oracle, target, oracle.soft_value(ALPHA)),
    }[kind]()
    states = sampler.sample(6, condition=CLASSES[:6], generator=seeded("cpu", 0)).states
    assert bool((states["condition"] == CLASSES[:6, None]).all())


def test_the_exact_proposal_and_value_of_each_condition_leave_no_weight_to_a_step():
    oracle = ORACLES["markov"]
    value = oracle.soft_value(ALPHA)
    sampler = smc(oracle, oracle.target(ALPHA), value, 8, proposal=proposals.Exact(value))
    samples = sampler.sample(30, condition=CLASSES[:30], generator=seeded("cpu", 2), keep_states=True)
    starts = samples.history.states[0].flatten()
    first = value(starts, torch.zeros(len(starts)).long()).view(30, 8) / ALPHA
    torch.testing.assert_close(samples.log_normalizer, first.logsumexp(dim=1) - math.log(8))


@pytest.mark.parametrize("kind", ["smc", "svdd"])
def test_retained_paths_of_p_star_bound_log_z_of_each_condition_from_above(kind):
    """E[1/Z_hat] = 1/Z where the retained path has the law p*."""
    oracle = ORACLES["markov"]
    paths = oracle.optimal_trajectories(CLASSES, ALPHA, generator=seeded("cpu", 4))
    sampler = {"smc": smc, "svdd": svdd}[kind](oracle, oracle.target(ALPHA), oracle.soft_value(ALPHA), 4)
    samples = sampler.sample_conditionally(paths, condition=CLASSES.tolist(), generator=seeded("cpu", 5))
    assert bool((samples.states["condition"] == CLASSES[:, None]).all())
    for part, log_normalizer in by_class(samples, oracle.log_normalizers(ALPHA)):
        part.log_normalizer = -part.log_normalizer
        assert_unbiased(part, -log_normalizer)


def test_particle_gibbs_leaves_p_star_of_each_condition_as_it_is():
    rows = torch.arange(12_000) % 3
    finished = REVERSIBLE.optimal_trajectories(rows, ALPHA, generator=seeded("cpu", 6))[:, -1]
    refinement = refine(smc(REVERSIBLE, TARGET, Zero(), 3, 1.0), 2, 2, "particle_gibbs")
    samples = refinement.improve(finished, generator=seeded("cpu", 7))
    drawn = samples.draw(generator=seeded("cpu", 8))
    assert torch.equal(drawn["condition"], rows)
    assert_law(drawn, optimal_laws(REVERSIBLE))
    assert (drawn["x"] != finished["x"]).double().mean() > 0.05


def test_refinement_of_a_perfect_sampler_tends_to_p_star_of_each_condition():
    value = REVERSIBLE.soft_value(ALPHA)
    perfect = smc(REVERSIBLE, TARGET, value, 2, 1.0, proposal=proposals.Exact(value))
    refinement = refine(perfect, 6, 4, start=ancestral(REVERSIBLE, TARGET))
    rows = torch.arange(12_000) % 3
    samples = refinement.sample(12_000, condition=rows.tolist(), generator=seeded("cpu", 9))
    assert torch.equal(samples.states["condition"][:, 0], rows)
    chain, laws = REVERSIBLE.oracles, []
    for each in chain:  # by enumeration: noised to x_0, from where p* goes on
        law, step = each.marginals()[-1], each.reversal(0, 4)
        for matrix in each.optimal(ALPHA).matrices:
            step = step @ matrix
        for _ in range(6):
            law = law @ step
        laws.append(law)
    assert_law(samples.draw(generator=seeded("cpu", 10)), laws)


def test_tree_search_finds_log_z_of_each_condition():
    oracle = ORACLES["markov"]
    search = tree_search(oracle, oracle.target(ALPHA), oracle.soft_value(ALPHA), 200)
    samples = search.sample(60, condition=CLASSES[:60], generator=seeded("cpu", 11))
    assert bool((samples.states["condition"] == CLASSES[:60, None]).all())
    for c, truth in enumerate(oracle.log_normalizers(ALPHA)):
        estimates = samples.log_normalizer[CLASSES[:60] == c]
        assert abs(estimates.mean() - truth) < 0.1
    assert oracle.log_normalizers(ALPHA).diff().abs().min() > 0.25  # which no other condition's would pass


def test_rows_of_another_number_are_refused_by_every_entry():
    sampler = smc(REVERSIBLE, TARGET, Zero(), 2)
    for each in (sampler, tree_search(REVERSIBLE, TARGET), refine(sampler, 1)):
        with pytest.raises(ValueError, match="condition: expected 4 rows, one a group, got 3"):
            each.sample(4, condition=[0, 1, 2])
        with pytest.raises(TypeError, match="condition: expected rows, got one str"):
            each.sample(4, condition="cat")
