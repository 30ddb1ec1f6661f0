"""A value at some steps: called there and nowhere else, and the same samples and log Z as where it is called always."""

import pytest
import torch

from svlearn.domains.analytic import FiniteMarkovChain
from svlearn.inference.samplers import smc, svdd
from svlearn.metering import metered
from svlearn.process import predict
from svlearn.randomness import seeded
from svlearn.values import AtSteps, PosteriorMean, Value, evaluate

CHAIN = FiniteMarkovChain.random(5, 6, seed=1)
CANDIDATES = [1, 1, 3, 1, 3, 1, 1]  # of the steps 0 ... 6


class Recorded(Value):
    """The value of a target at x̂_T, which notes when it was called and for how many states."""

    needs_prediction = True

    def __init__(self, target):
        super().__init__()
        self.value, self.calls = PosteriorMean(target), []

    def forward(self, x, t, prediction=None):
        self.calls += t.tolist()
        return self.value(x, t, prediction)


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_svdd_draws_the_same_and_calls_it_at_the_choices_alone(alpha):
    target = CHAIN.target(alpha)
    always, chosen = Recorded(target), Recorded(target)
    sampled = [
        svdd(CHAIN, target, value, CANDIDATES).sample(7, generator=seeded("cpu", 3))
        for value in (always, AtSteps(chosen, (t for t, number in enumerate(CANDIDATES) if number > 1)))
    ]
    assert torch.equal(sampled[0].states, sampled[1].states)
    if alpha > 0:
        torch.testing.assert_close(sampled[1].log_normalizer, sampled[0].log_normalizer, rtol=1e-12, atol=1e-12)
    assert chosen.calls == [2] * 21 + [4] * 21
    assert sampled[1].cost.value_calls == 42 and sampled[1].cost.reward_calls == 42 + 7
    assert sampled[0].cost.value_calls == 7 * (4 + 2 * 3) and sampled[0].cost.reward_calls == 7 * 11
    assert sampled[0].cost.reference_calls == sampled[1].cost.reference_calls


def test_the_normaliser_stays_unbiased_where_smc_resamples_without_it():
    alpha, number = 0.7, 4000
    target = CHAIN.target(alpha)
    sampler = smc(CHAIN, target, AtSteps(CHAIN.mean_value(), [1, 4]), 4, ess_threshold=0.9)
    estimates = sampler.sample(number, generator=seeded("cpu", 0)).log_normalizer.exp()
    error = estimates.std() / number**0.5
    exact = CHAIN.log_normalizer(alpha).exp()
    assert (estimates.mean() - exact).abs() < 4 * error < 0.2 * exact


def test_rows_of_several_steps_have_their_own_values():
    """Of t = 0, 2, 1, 2, the two at 2 are asked for, by their own predictions and in their own order."""
    target, x = CHAIN.target(0.5), CHAIN.initial(4, generator=seeded("cpu", 5))
    t = torch.tensor([0, 2, 1, 2])
    prediction = predict(CHAIN, x, t)
    whole = evaluate(PosteriorMean(target), x, t, prediction)
    with metered() as meter:
        some = evaluate(AtSteps(PosteriorMean(target), [2]), x, t, prediction)
    assert some.tolist() == [0.0, whole[1].item(), 0.0, whole[3].item()]
    assert meter.cost.value_calls == meter.cost.reward_calls == 2


def test_a_random_value_takes_its_noise():
    target, x = CHAIN.target(0.5), CHAIN.initial(4, generator=seeded("cpu", 5))
    prediction = predict(CHAIN, x, 1)
    value = PosteriorMean(target, num_samples=2)
    plain = evaluate(value, x, 1, prediction, generator=seeded("cpu", 6))
    assert torch.equal(evaluate(AtSteps(value, [1]), x, 1, prediction, generator=seeded("cpu", 6)), plain)


@pytest.mark.parametrize("steps", [[], [-1], [1.5], [True]])
def test_bad_steps_are_refused(steps):
    with pytest.raises(ValueError, match="steps: expected integers of at least 0"):
        AtSteps(PosteriorMean(CHAIN.target(0.0)), steps)


def test_what_is_no_value_is_refused():
    with pytest.raises(TypeError, match="value: expected a Value, got str"):
        AtSteps("r", [1])
