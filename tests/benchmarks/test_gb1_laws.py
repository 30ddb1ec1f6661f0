"""The exact laws of the GB1 study against the enumeration of all that candidates may be, and against draws."""

import itertools
import math

import pytest
import torch
from landscape_toys import Scores, diffusion

from benchmarks.gb1 import laws
from svlearn.domains.sequences.landscape import Landscape
from svlearn.inference import proposals
from svlearn.inference.samplers import best_of_n, smc, svdd
from svlearn.randomness import seeded
from svlearn.values import PosteriorMean, Zero

ALPHA, DRAWS = 0.4, 20_000


@pytest.fixture(scope="module")
def landscape():
    return Landscape(diffusion(0), Scores(0))


@pytest.mark.parametrize("spread", [1.0, 30.0])
def test_the_law_of_the_kept_candidate_is_that_of_all_draws(spread):
    probs = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.9, 0.0]]).double()
    twists = torch.tensor([[1.0, -0.4, -1.0], [0.3, 0.2, -math.inf]]).double() * spread
    numbers = (1, 2, 4)
    found = probs * laws.kept(probs, twists, numbers)
    for row, (place, number) in itertools.product(range(2), enumerate(numbers)):
        wanted = torch.zeros(3).double()
        for drawn in map(list, itertools.product(range(3), repeat=number)):
            if probs[row, drawn].prod() > 0:
                wanted.index_add_(0, torch.tensor(drawn), probs[row, drawn].prod() * twists[row, drawn].softmax(0))
        torch.testing.assert_close(found[place, row], wanted, rtol=0, atol=1e-7)


def test_one_candidate_is_the_reference_and_many_the_tilted_law(landscape):
    values = laws.tables(landscape, PosteriorMean(landscape.target(ALPHA)))
    one, many = laws.svdd(landscape, values, ALPHA, (1, 3000))
    for t, moves in enumerate(landscape.graph.moves):
        torch.testing.assert_close(one[t].exp(), moves.log_probs.exp(), rtol=0, atol=1e-7)
    tilted = laws.tilted(landscape, values, ALPHA)
    assert laws.total_variation(landscape.law_of(many), landscape.law_of(tilted)) < 1e-3
    exact = laws.tilted(landscape, laws.tables(landscape, landscape.soft_value(ALPHA)), ALPHA)
    assert laws.total_variation(landscape.law_of(exact), landscape.law(ALPHA)) < 1e-12


def agrees(landscape, sampler, law):
    """Whether draws have the law, by the squared distance of counts, whose mean and spread are known."""
    states = sampler.sample(DRAWS, generator=seeded("cpu", 1)).draw(generator=seeded("cpu", 2))
    codes = landscape.graph.codes
    places = torch.searchsorted(codes(landscape.variants), codes(states))
    counts = torch.bincount(places, minlength=len(law)).double()
    expected, likely = law.exp() * DRAWS, law.exp() * DRAWS > 5
    counts, expected = (torch.cat([each[likely], each[~likely].sum()[None]]) for each in (counts, expected))
    statistic = float(((counts - expected).square() / expected.clamp(min=1.0)).sum())
    return abs(statistic - len(counts)) < 5 * math.sqrt(2 * len(counts))


@pytest.mark.parametrize("number", [2, 6])
def test_draws_of_svdd_and_best_of_n_have_these_laws(landscape, number):
    target, reference = landscape.target(ALPHA), landscape.reference
    for value in (PosteriorMean(target), landscape.mean_value()):
        (moves,) = laws.svdd(landscape, laws.tables(landscape, value), ALPHA, [number])
        candidates = [1, *[number] * reference.num_steps]
        assert agrees(landscape, svdd(reference, target, value, candidates), landscape.law_of(moves))
    assert agrees(landscape, best_of_n(reference, target, number), laws.best_of(landscape, number))
    assert not agrees(landscape, best_of_n(reference, target, number + 1), laws.best_of(landscape, number))


def test_draws_of_an_exact_proposal_have_this_law(landscape):
    target, value = landscape.target(ALPHA), landscape.mean_value()
    moves = laws.tilted(landscape, laws.tables(landscape, value), ALPHA)
    sampler = svdd(landscape.reference, target, value, 1, proposals.Exact(value))
    assert agrees(landscape, sampler, landscape.law_of(moves))
    assert not agrees(landscape, smc(landscape.reference, target, Zero(), 1), landscape.law_of(moves))


def test_the_kl_and_the_variation_of_two_laws():
    one, other = torch.tensor([0.5, 0.5, 0.0]).double().log(), torch.tensor([0.25, 0.5, 0.25]).double().log()
    assert laws.kl(one, other) == pytest.approx(0.5 * math.log(2))
    assert laws.kl(other, one) == math.inf
    assert laws.total_variation(one, other) == pytest.approx(0.25)
