"""E[Z_hat] = Z for every proposal with every selection, every scheme and every tempering, on both oracles."""

import math

import pytest
import torch
from inference_toys import ORACLES, assert_unbiased, make_policy, make_value

from svlearn.inference.proposals import Exact, Guided, Policy
from svlearn.inference.resampling import SCHEMES
from svlearn.inference.samplers import smc, svdd
from svlearn.inference.tempering import Adaptive, Schedule

ALPHA, GROUPS = 0.6, 3000
PROPOSALS = {
    "reference": lambda oracle, value: None,
    "policy": lambda oracle, value: Policy(make_policy(oracle)),
    "guided at the mean": lambda oracle, value: Guided(value, scale=0.7),
    "guided at the state": lambda oracle, value: Guided(value, scale=[0.5] * 5, at="state", clip=2.0),
    "exact": lambda oracle, value: Exact(value),
}
SELECTIONS = {
    "svdd": lambda *parts, **options: svdd(*parts, 4, **options),
    "without resampling": lambda *parts, **options: smc(*parts, 16, 0.0, **options),
    **{name: lambda *parts, name=name, **options: smc(*parts, 16, 0.7, name, **options) for name in SCHEMES},
    "at every step": lambda *parts, **options: smc(*parts, 16, 1.0, **options),
    "sorted": lambda *parts, **options: smc(*parts, 16, 1.0, by_value=True, **options),
    "partial": lambda *parts, **options: smc(*parts, 16, 1.0, share=0.5, **options),
    "sorted and partial": lambda *parts, **options: smc(*parts, 16, 1.0, by_value=True, share=0.4, **options),
    "in a window": lambda *parts, **options: smc(*parts, 16, 1.0, window=(1, 3), **options),
    "nested": lambda *parts, **options: smc(*parts, 4, 0.7, num_candidates=[1, 3, 2, 1, 3, 2], **options),
}
TEMPERINGS = {"none": None, "schedule": Schedule([0.1, 0.8, 0.3, 0.5, 0.9, 1.0]), "adaptive": Adaptive(0.8)}


def impossible(kind, proposal):
    """A Gaussian step has too many outcomes to list, and tokens have no gradient through the reference."""
    return (kind, proposal) in (("gaussian", "exact"), ("markov", "guided at the state"))


@pytest.mark.parametrize("tempering", TEMPERINGS)
@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize(("kind", "proposal"), [(o, p) for o in ORACLES for p in PROPOSALS if not impossible(o, p)])
def test_the_normalizer_is_unbiased(kind, proposal, selection, tempering):
    oracle = ORACLES[kind]
    value = make_value("wrong", oracle, ALPHA, off=0.4)
    parts = oracle, oracle.target(ALPHA), value
    sampler = SELECTIONS[selection](
        *parts, proposal=PROPOSALS[proposal](oracle, value), tempering=TEMPERINGS[tempering]
    )
    samples = sampler.sample(GROUPS, generator=torch.Generator().manual_seed(21))
    assert_unbiased(samples, oracle.log_normalizer(ALPHA))


@pytest.mark.parametrize("tempering", TEMPERINGS)
@pytest.mark.parametrize("selection", SELECTIONS)
def test_resuming_estimates_the_soft_value(selection, tempering):
    """From x_t, E[Z_hat] = exp(v_t(x_t)/α)."""
    oracle = ORACLES["markov"]
    parts = oracle, oracle.target(ALPHA), make_value("wrong", oracle, ALPHA, off=0.4)
    sampler = SELECTIONS[selection](*parts, tempering=TEMPERINGS[tempering])
    start = torch.arange(5).repeat_interleave(GROUPS)[:, None]
    samples = sampler.resume(start, 2, generator=torch.Generator().manual_seed(22))
    ratio = (samples.log_normalizer - oracle.soft_table(ALPHA)[2][start[:, 0]] / ALPHA).exp().view(5, GROUPS)
    error = ratio.std(dim=1) / math.sqrt(GROUPS)
    assert (error < 0.05).all()
    assert ((ratio.mean(dim=1) - 1).abs() < 4 * error).all()
