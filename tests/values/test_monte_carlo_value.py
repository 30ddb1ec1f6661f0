"""Monte Carlo values that go on from the prediction that they are given: the same numbers by fewer calls."""

import pytest
import torch
from causal_toys import PROMPT, PROMPTS, STEPS, TARGET, CausalToy

from svlearn.inference.samplers import svdd
from svlearn.metering import metered
from svlearn.process import predict
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.values import MonteCarlo, evaluate
from svlearn.values.finish import finish

T, N = STEPS, 3


def states_at(t, size=4):
    path = roll_out(CausalToy(cached=False), size, generator=seeded("cpu", 1), condition=PROMPTS[:size])["states"]
    return path[torch.arange(size), t]


def estimated(reference, t, from_prediction, **options):
    x = states_at(t)
    value = MonteCarlo(reference, TARGET, estimand="soft", from_prediction=from_prediction, **options)
    prediction = predict(reference, x, t) if from_prediction else None
    reference.positions = 0
    with metered() as meter:
        estimates = evaluate(value, x, t, prediction, generator=seeded("cpu", 2))
    return estimates, meter.cost.reference_calls, reference.positions


@pytest.mark.parametrize("options", [{"num_rollouts": N}, {"budget": N * T}])
def test_from_the_prediction_the_first_call_of_every_rollout_is_saved(options):
    expected, all_calls, _ = estimated(CausalToy(cached=False), torch.full((4,), 1), False, **options)
    estimates, calls, positions = estimated(CausalToy(starts=[1]), torch.full((4,), 1), True, **options)
    torch.testing.assert_close(estimates, expected, rtol=1e-10, atol=1e-10)
    number = N if "num_rollouts" in options else N * T // (T - 1)
    assert (all_calls, calls) == (4 * number * (T - 1), 4 * number * (T - 2))
    assert positions == calls  # one token each


def test_without_it_the_cache_is_filled_once_from_the_state_and_then_handed_on():
    expected, all_calls, anew = estimated(CausalToy(cached=False), torch.full((4,), 1), False, num_rollouts=N)
    estimates, calls, positions = estimated(CausalToy(starts=[1]), torch.full((4,), 1), False, num_rollouts=N)
    torch.testing.assert_close(estimates, expected, rtol=1e-10, atol=1e-10)
    assert calls == all_calls and positions == 4 * N * (PROMPT + 1 + T - 2) < anew


@pytest.mark.parametrize("with_prediction", [False, True])
def test_states_of_several_times_are_finished_each_with_its_own_cache(with_prediction):
    t = torch.tensor([2, 0, 1, 2])
    x, plain, cached = states_at(t), CausalToy(cached=False), CausalToy(starts=range(T))
    first = None
    if with_prediction:  # without caches, for those of several times have several lengths
        plain_first = predict(plain, x, t)
        assert plain_first.cache is None
        first = plain_first
        cached = plain
    expected = finish(plain, x, t, seeded("cpu", 3))
    with metered() as meter:
        finished = finish(cached, x, t, seeded("cpu", 3), first)
    assert torch.equal(finished, expected)
    assert meter.cost.reference_calls == sum(T - each for each in t.tolist()) - (4 if with_prediction else 0)
    assert bool((finished < 5).all())


def test_by_default_it_reads_no_prediction_and_costs_what_it_did():
    """A sampler of another process, as of a policy, must not hand it that one's predictions."""
    toy = CausalToy(cached=False)
    value = MonteCarlo(toy, TARGET, 2)
    assert not value.reads(1) and MonteCarlo(toy, TARGET, 2, from_prediction=True).reads(1)
    cost = svdd(toy, TARGET, value, 3).sample(2, generator=seeded("cpu", 0)).cost
    assert cost.reference_calls == 2 * T + 2 * 3 * 2 * sum(T - t for t in range(T))
