"""Conditional SMC: where the trajectory retained has the law p*, so has the one that is drawn, by enumeration."""

import math

import pytest
import torch

from svlearn.domains.analytic import FiniteMarkovChain, TableValue
from svlearn.inference.proposals import Exact, Policy
from svlearn.inference.samplers import beam_search, best_of_n, smc, svdd
from svlearn.inference.tempering import Adaptive
from svlearn.randomness import seeded
from svlearn.values import Zero

STICKY = FiniteMarkovChain.random(3, 3, seed=5)
CHAIN = FiniteMarkovChain(0.5 * STICKY.initial_probs + 0.5 / 3, 0.4 * STICKY.matrices + 0.2, STICKY.reward.table)
ALPHA, T = 0.6, 3
TARGET, OPTIMAL = CHAIN.target(ALPHA), CHAIN.optimal(ALPHA)
GROUPS = 20_000
WRONG = TableValue(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)).double())
EXACT = CHAIN.soft_value(ALPHA)
POLICY = Policy(FiniteMarkovChain(CHAIN.initial_probs, 0.5 * STICKY.matrices + 0.5 / 3, CHAIN.reward.table))

SAMPLERS = {
    "no look-ahead": lambda: smc(CHAIN, TARGET, Zero(), 2, 0.0),
    "never resampled": lambda: smc(CHAIN, TARGET, WRONG, 3, 0.0),
    "always resampled": lambda: smc(CHAIN, TARGET, WRONG, 3, 1.0),
    "resampled when due": lambda: smc(CHAIN, TARGET, WRONG, 4, 0.7),
    "the exact value": lambda: smc(CHAIN, TARGET, EXACT, 2, 1.0),
    "two, stratified": lambda: smc(CHAIN, TARGET, WRONG, 2, 1.0, "stratified"),
    "a window": lambda: smc(CHAIN, TARGET, WRONG, 3, 1.0, window=(1, 2)),
    "sorted, in part": lambda: smc(CHAIN, TARGET, WRONG, 4, 1.0, by_value=True, share=0.5),
    "tempered": lambda: smc(CHAIN, TARGET, WRONG, 3, 1.0, tempering=[0.2, 0.9, 0.4, 1.0]),
    "tempered by the ESS": lambda: smc(CHAIN, TARGET, WRONG, 3, 1.0, tempering=Adaptive(0.9)),
    "a policy": lambda: smc(CHAIN, TARGET, WRONG, 3, 1.0, proposal=POLICY),
    "summed out": lambda: smc(CHAIN, TARGET, WRONG, 3, 1.0, proposal=Exact(WRONG)),
    "nested": lambda: smc(CHAIN, TARGET, WRONG, 2, 1.0, num_candidates=3),
    "nested, a policy": lambda: smc(CHAIN, TARGET, WRONG, 3, 0.6, proposal=POLICY, num_candidates=[2, 1, 3, 2]),
}


def path_law(chain, start, first):
    """The probabilities of all x_{start + 1} ... x_T given x_start = first (None: x_0 ... x_T), the first slowest."""
    law, ends = (chain.initial_probs, torch.arange(3)) if first is None else (torch.ones(1), torch.tensor([first]))
    for matrix in chain.matrices[start:]:
        law = (law[:, None] * matrix[ends]).flatten()
        ends = torch.arange(3).repeat(len(ends))
    return law


def drawn_paths(samples, generator):
    """One path a group by its weights, (B, T + 1 - start), and the particle that it was."""
    chosen = torch.multinomial(samples.log_weights.exp(), 1, generator=generator).squeeze(1)
    return samples.paths()[torch.arange(len(chosen)), chosen, :, 0], chosen


def assert_law(paths, law):
    """Pearson's chi-square over all paths, within 4 standard deviations of its degrees of freedom."""
    digits = 3 ** torch.arange(paths.shape[1] - 1, -1, -1)
    counts = torch.bincount((paths * digits).sum(dim=1), minlength=len(law))
    expected = len(paths) * law
    assert expected.min() > 4
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < len(law) - 1 + 4 * math.sqrt(2 * (len(law) - 1))


def optimal_trajectories(start, first, generator):
    """Draws of p*, (GROUPS, T + 1, 1); before `start`, where nobody looks, a token that does not exist."""
    if first is None:
        return OPTIMAL.trajectories(GROUPS, generator=generator)
    path = [torch.full((GROUPS, 1), 99)] * start + [torch.full((GROUPS, 1), first)]
    for matrix in OPTIMAL.matrices[start:]:
        path.append(torch.multinomial(matrix[path[-1][:, 0]], 1, generator=generator))
    return torch.stack(path, dim=1)


@pytest.mark.parametrize("kind", SAMPLERS)
@pytest.mark.parametrize(("start", "first"), [(0, 1), (1, 2)])
def test_resuming_beside_a_retained_trajectory_leaves_the_optimal_law(kind, start, first):
    generator = seeded("cpu", list(SAMPLERS).index(kind), start)
    retained = optimal_trajectories(start, first, generator)
    x = torch.full((GROUPS, 1), first)
    samples = SAMPLERS[kind]().resume(x, start, retained=retained, generator=generator, keep_states=True)
    assert torch.equal(samples.paths()[:, 0], retained[:, start:])
    paths, chosen = drawn_paths(samples, generator)
    assert (chosen > 0).double().mean() > 0.2  # it does move
    assert_law(paths[:, 1:], path_law(OPTIMAL, start, first))


@pytest.mark.parametrize("kind", SAMPLERS)
def test_drawing_anew_beside_a_retained_trajectory_leaves_the_optimal_law(kind):
    generator = seeded("cpu", list(SAMPLERS).index(kind), 7)
    retained = optimal_trajectories(0, None, generator)
    samples = SAMPLERS[kind]().sample_conditionally(retained, generator=generator, keep_states=True)
    assert torch.equal(samples.paths()[:, 0], retained)
    paths, chosen = drawn_paths(samples, generator)
    assert (chosen > 0).double().mean() > 0.2
    assert_law(paths, path_law(OPTIMAL, 0, None))


def test_the_test_would_tell():
    """Where the retained trajectories have another law, so have those drawn: two particles do not forget in one go."""
    generator = seeded("cpu", 3)
    samples = smc(CHAIN, TARGET, WRONG, 2, 1.0).sample_conditionally(
        CHAIN.trajectories(GROUPS, generator=generator), generator=generator, keep_states=True
    )
    with pytest.raises(AssertionError):
        assert_law(drawn_paths(samples, generator)[0], path_law(OPTIMAL, 0, None))


def test_the_candidates_of_svdd_beside_a_retained_trajectory():
    retained = optimal_trajectories(0, None, seeded("cpu", 0))
    samples = svdd(CHAIN, TARGET, WRONG, 3).sample_conditionally(retained, generator=seeded("cpu", 1), keep_states=True)
    assert torch.equal(samples.paths()[:, 0], retained)
    inverse = (CHAIN.log_normalizer(ALPHA) - samples.log_normalizer).exp()  # E[Z / Z_hat] = 1 on the extended space
    assert abs(inverse.mean() - 1) < 4 * inverse.std() / math.sqrt(GROUPS)


def test_the_inverse_of_the_conditional_estimate_is_unbiased():
    retained = optimal_trajectories(0, None, seeded("cpu", 0))
    samples = smc(CHAIN, TARGET, WRONG, 3, 1.0).sample_conditionally(retained, generator=seeded("cpu", 1))
    inverse = (CHAIN.log_normalizer(ALPHA) - samples.log_normalizer).exp()
    assert abs(inverse.mean() - 1) < 4 * inverse.std() / math.sqrt(GROUPS)


def test_given_states_are_left_alone():
    x = torch.zeros(2, 1, dtype=torch.long)
    retained = torch.ones(2, CHAIN.num_steps + 1, 1, dtype=torch.long)
    retained[:, 1] = x
    before = x._version, retained._version
    svdd(CHAIN, TARGET, Zero(), 2).resume(x, 1, retained=retained)
    assert (x._version, retained._version) == before  # nothing was written to them


def test_who_cannot_retain_says_so():
    trajectories = torch.zeros(2, T + 1, 1).long()
    for sampler, name in (
        (beam_search(CHAIN, TARGET, Zero(), 2, 2), "Beam"),
        (best_of_n(CHAIN, TARGET, 2), "BestAtEnd"),
        (svdd(CHAIN, CHAIN.target(0.0), Zero(), 2), "LocalGreedy"),
    ):
        with pytest.raises(ValueError, match=f"{name} cannot retain a given trajectory; smc and svdd can"):
            sampler.sample_conditionally(trajectories)
    with pytest.raises(ValueError, match="t: expected an integer of 0 ... 2, got 3"):
        smc(CHAIN, TARGET, Zero(), 2).resume(trajectories[:, 0], 3)
