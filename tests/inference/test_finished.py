"""`Reference.finished`: what is finished before T is called no more; weights, laws and log Z stay what they are."""

import math

import pytest
import torch
from finished_sampler_toys import ALPHA, SAMPLERS, TREE, K, M, T, Unending
from inference_toys import assert_unbiased

from svlearn.inference.samplers import ancestral, beam_search, best_of_n, smc, svdd
from svlearn.randomness import seeded
from svlearn.values import Learned, MonteCarlo, PosteriorMean, Zero

TARGET = TREE.target(ALPHA)


class Wrong(torch.nn.Module):
    """Of every (x, t) another number: of no use, and another one at each t for a text that stands still."""

    def forward(self, x, t):
        return torch.cos(3.0 * x.double().sum(dim=1) + 2.0 * t)

    def of_outcomes(self, x, t, prediction):
        states = prediction.transition.states
        return self(states.flatten(0, 1), (t + 1).repeat_interleave(states.shape[1])).view(states.shape[:2])


WRONG = Learned(Wrong())
VALUES = {"exact": TREE.soft_value(ALPHA), "wrong": WRONG, "zero": Zero(), "posterior mean": PosteriorMean(TARGET)}


def positions(samples):
    """How many tokens were written, (B, K): so many steps were made."""
    return samples.states[..., -1]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("name", SAMPLERS)
def test_log_z_and_the_weights_stay_exact(name, value):
    """E[Z_hat] = Z, and E[Z_hat f(x)] = Z E_p*[f], for any value, also one that changes for what stands still."""
    samples = SAMPLERS[name](TREE, TARGET, VALUES[value]).sample(4000, generator=seeded("cpu", 1))
    assert_unbiased(samples, TREE.log_normalizer(ALPHA), largest_error=0.06)
    texts, log_probs = TREE.optimal(ALPHA).leaves()
    truth = (log_probs.exp() * texts[:, -1]).sum() - 2.5
    ratio = (samples.log_normalizer - TREE.log_normalizer(ALPHA)).exp()
    estimates = ratio * (samples.log_weights.exp() * (positions(samples) - 2.5)).sum(dim=1)
    assert abs(estimates.mean() - truth) < 4 * estimates.std() / math.sqrt(len(estimates))


@pytest.mark.parametrize("value", [*VALUES, "by simulation"])
def test_weights_telescope_to_the_reward(value):
    """Without resampling a particle weighs exp(r/α), whatever its values were on the way."""
    value = MonteCarlo(TREE, TARGET, 2) if value == "by simulation" else VALUES[value]
    samples = smc(TREE, TARGET, value, K, 0.0).sample(50, generator=seeded("cpu", 2))
    log_weights = samples.rewards / ALPHA
    truth = log_weights.logsumexp(dim=1) - math.log(K)
    torch.testing.assert_close(samples.log_normalizer, truth, rtol=0, atol=1e-10)
    torch.testing.assert_close(samples.log_weights, log_weights.log_softmax(dim=1), rtol=0, atol=1e-10)


def test_the_law_of_svdd_is_that_of_calling_on():
    greedy = TREE.target(0.0)
    makers = {
        "svdd": lambda reference: svdd(reference, TARGET, TREE.soft_value(ALPHA), M),
        "greedy": lambda reference: svdd(reference, greedy, TREE.mean_value(), M),
        "best": lambda reference: best_of_n(reference, TARGET, 3),
        "pretrained": lambda reference: ancestral(reference, TARGET),
    }
    for make in makers.values():
        ended, unending = (make(reference).sample(6000, generator=seeded("cpu", 3)) for reference in (TREE, Unending()))
        for figure in (lambda samples: samples.rewards[:, 0], lambda samples: positions(samples)[:, 0].double()):
            one, other = figure(ended), figure(unending)
            error = math.sqrt((one.var() + other.var()) / 6000)
            assert abs(one.mean() - other.mean()) < 4 * error
        assert (
            ended.cost.reference_calls
            < unending.cost.reference_calls
            == 6000 * T * unending.states.shape[1] * (3 if make is makers["best"] else 1)
        )


def test_calls_are_those_of_what_is_not_finished():
    samples = ancestral(TREE).sample(40, generator=seeded("cpu", 4))
    assert samples.cost.reference_calls == positions(samples).sum() < 40 * T
    samples = smc(TREE, TARGET, WRONG, K, 0.0).sample(40, generator=seeded("cpu", 4))
    assert samples.cost.reference_calls == positions(samples).sum()
    assert samples.cost.value_calls == (positions(samples) + 1).clamp(max=T).sum()  # once where it is finished
    assert samples.cost.reward_calls == 40 * K
    samples = svdd(TREE, TARGET, WRONG, M).sample(40, generator=seeded("cpu", 4))
    written = positions(samples)
    assert samples.cost.reference_calls == written.sum()
    assert samples.cost.value_calls == M * (written + 1).clamp(max=T).sum()
    assert samples.cost.reward_calls == torch.where(written == T, M, 1).sum()  # copies are scored as one
    samples = svdd(TREE, TARGET, PosteriorMean(TARGET), M).sample(40, generator=seeded("cpu", 4))
    assert samples.cost.reference_calls == samples.cost.value_calls == M * (positions(samples) + 1).clamp(max=T).sum()


@pytest.mark.parametrize("name", ["svdd", "svdd, exact proposal", "smc", "smc, exact proposal", "nested"])
@pytest.mark.parametrize("value", ["wrong", "posterior mean"])
def test_max_batch_changes_no_sample(name, value):
    sampler = SAMPLERS[name](TREE, TARGET, VALUES[value])
    whole = sampler.sample(5, generator=seeded("cpu", 5), keep_states=True)
    for max_batch in (1, 4, K * M):
        cut = sampler.sample(5, generator=seeded("cpu", 5), max_batch=max_batch, keep_states=True)
        assert torch.equal(cut.states, whole.states) and torch.equal(cut.log_weights, whole.log_weights)
        assert torch.equal(cut.paths(), whole.paths()) and torch.equal(cut.history.ess, whole.history.ess)
        for calls in ("reference_calls", "value_calls", "reward_calls"):
            assert getattr(cut.cost, calls) == getattr(whole.cost, calls)


@pytest.mark.parametrize("name", ["svdd", "smc", "smc, exact proposal", "smc, policy", "nested"])
def test_a_trajectory_can_be_retained(name):
    """From p* itself, E[Z/Z_hat] = 1."""
    sampler = SAMPLERS[name](TREE, TARGET, WRONG)
    paths = TREE.optimal_trajectories(4000, ALPHA, generator=seeded("cpu", 6))
    samples = sampler.sample_conditionally(paths, generator=seeded("cpu", 7), keep_states=True)
    ratio = (TREE.log_normalizer(ALPHA) - samples.log_normalizer).exp()
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / math.sqrt(len(ratio)) < 0.2
    assert torch.equal(samples.paths()[:, 0], paths)


def test_beams_are_finished_texts():
    samples = beam_search(TREE, TARGET, TREE.mean_value(), 2, M).sample(20, generator=seeded("cpu", 8))
    assert bool(TREE.finished(samples.states.flatten(0, 1)).all())
    assert bool((samples.rewards[:, 0] >= samples.rewards[:, 1]).all())
