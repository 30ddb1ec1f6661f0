"""Remasking: a step is a law, the shares stay those of the schedule, and samplers keep Z."""

import math

import pytest
import torch
from sequence_toys import ABC, Enumerated, all_states, rewards, toy

from svlearn import testing
from svlearn.domains.sequences.remasking import RemaskingDiffusion, remasking_probabilities
from svlearn.domains.sequences.schedules import unmasked_shares
from svlearn.inference.samplers import ancestral, smc, svdd
from svlearn.process import has, predict
from svlearn.randomness import seeded
from svlearn.targets import Target
from svlearn.values import PosteriorMean, Zero

CASES = [("log_linear", 5, 0.2, "cap"), ("log_linear", 4, 1.0, "rescale"), ("cosine", 4, 0.5, "rescale")]


def remasking(schedule="log_linear", steps=5, rate=0.2, kind="cap", **options):
    return RemaskingDiffusion(toy(schedule, steps, **options), rate, kind).requires_grad_(False)


def test_the_probabilities_are_those_of_the_paper():
    """a = 0, 1/4, 1/2, 3/4, 1: the largest σ is 1 (nothing unmasked yet), 1, 1/2, 0; by cap 0.6: 0.6, 0.6, 1/2, 0."""
    again, unmasked = remasking_probabilities(unmasked_shares("log_linear", 4), 0.6, "cap")
    assert again.tolist() == pytest.approx([0.6, 0.6, 0.5, 0.0])
    assert unmasked.tolist() == pytest.approx([1 / 4, (1 / 2 - 0.4 / 4) / (3 / 4), (3 / 4 - 0.5 / 2) / (1 / 2), 1.0])
    again, _ = remasking_probabilities(unmasked_shares("log_linear", 4), 0.5, "rescale")
    assert again.tolist() == pytest.approx([0.5, 0.5, 0.25, 0.0])


@pytest.mark.parametrize("case", CASES)
def test_a_step_is_a_law_and_keeps_the_shares(case):
    """The number of unmasked places at t is binomial of a_t, as without remasking."""
    reference = remasking(*case)
    known = Enumerated(reference, 1.0)
    assert torch.allclose(known.logs.exp().sum(dim=2), torch.ones(1, dtype=torch.float64))
    number = (known.states != ABC.mask).sum(dim=1)
    for t, law in enumerate(known.reach):
        share = float(reference.shares[t])
        found = torch.zeros(5, dtype=torch.float64).index_add_(0, number, law)
        wanted = [math.comb(4, k) * share**k * (1 - share) ** (4 - k) for k in range(5)]
        assert found.tolist() == pytest.approx(wanted, abs=1e-9)


def test_no_rate_is_no_remasking():
    plain, same, x = toy("log_linear", 5), remasking(rate=0.0), all_states()
    for t in range(5):
        one, other = (predict(each, x, t).transition for each in (plain, same))
        for x_next in all_states()[::17]:
            x_next = x_next.expand(len(x), -1)
            assert torch.allclose(one.log_prob(x_next).exp(), other.log_prob(x_next).exp(), atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_z_is_unbiased(case):
    reference, target = remasking(*case), Target(rewards, 1.5)
    log_z = Enumerated(reference, 1.5).log_normalizer
    for sampler in (
        smc(reference, target, Zero(), 6),
        smc(reference, target, PosteriorMean(target), 6),
        svdd(reference, target, PosteriorMean(target), 4),
    ):
        ratios = (sampler.sample(600, generator=seeded("cpu", 0)).log_normalizer - log_z).exp()
        assert abs(float(ratios.mean()) - 1) < 4 * float(ratios.std()) / math.sqrt(len(ratios))


def test_letters_are_mended_and_fixed_ones_stay():
    reference = remasking("log_linear", 20, 0.3, fixed="a__c")
    samples = ancestral(reference).sample(200, generator=seeded("cpu", 0), keep_states=True)
    paths = samples.paths()[:, 0]
    lost = (paths[:, :-1] != ABC.mask) & (paths[:, 1:] == ABC.mask)
    assert bool(lost[..., 1:3].any()) and not bool(lost[..., [0, 3]].any())
    assert not bool((paths[:, -1] == ABC.mask).any())
    assert not has(reference, "finished")
    back = reference.noise(paths[:, -1], torch.full((200,), 20), torch.zeros(200, dtype=torch.long))
    assert reference.decode(back) == ["a__c"] * 200


def test_a_step_that_changes_nothing_costs_no_call():
    reference = remasking("log_linear", 64, 0.01)
    reference.network.calls = 0
    cost = ancestral(reference).sample(8, generator=seeded("cpu", 0)).cost
    assert cost.reference_calls == reference.network.calls < 8 * 16


def test_the_kit_finds_nothing():
    testing.check_reference(remasking("cosine", 4, 0.5, "rescale"))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="reference: expected one with a share for each time, got 'one_place'"):
        RemaskingDiffusion(toy("one_place"))
    with pytest.raises(ValueError, match="kind: expected one of cap, rescale, got 'loop'"):
        remasking(kind="loop")
    with pytest.raises(ValueError, match="rate: expected a finite number"):
        remasking(rate=1.5)
    with pytest.raises(ValueError, match="condition: expected none where places are masked again"):
        remasking().initial(1, condition=["a___"])
    x, t = torch.zeros(1, 4, dtype=torch.long), torch.tensor([3])
    with pytest.raises(ValueError, match="t_from: expected T = 5"):
        remasking().noise(x, t, t - 1)
