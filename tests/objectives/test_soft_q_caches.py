"""Soft-Q iteration over fresh next states: the cache of x_t is filled once, and each next state goes on from it."""

import pytest
import torch
from causal_toys import PROMPT, PROMPTS, STEPS, TARGET, CausalToy, TeacherForced, TextNetwork
from torch import nn

from svlearn.metering import metered
from svlearn.objectives import SoftQIteration
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.values import Head, Learned

B, T, K = 6, STEPS, 3
ONCE = PROMPT + T - 1


class OfFeatures(nn.Module):
    def __init__(self):
        super().__init__()
        weights = torch.randn(8, generator=seeded("cpu", 3), dtype=torch.float64)
        self.weights = nn.Parameter(weights)

    def forward(self, features, t):
        return torch.tanh(features) @ self.weights + 0.1 * t


VALUES = {"head": lambda: Head(OfFeatures()), "learned": lambda: Learned(TextNetwork())}


def texts():
    prompts = PROMPTS[torch.arange(B) % len(PROMPTS)]
    return roll_out(CausalToy(cached=False), B, target=TARGET, generator=seeded("cpu", 7), condition=prompts)


def looked_at(reference, value, estimand, times=None):
    """The loss, its gradients, the tokens and the rows from nothing that were computed, and the calls."""
    objective = SoftQIteration(reference, TARGET, VALUES[value](), estimand, num_next=K)
    if times is not None:
        objective.num_times = times.shape[1]
        objective.times = lambda *_: times
    batch = texts()
    reference.positions = reference.prefills = 0
    with metered() as meter:
        loss = objective.loss(batch, seeded("cpu", 1))
    gradients = torch.autograd.grad(loss, list(objective.value.parameters()))
    return loss, gradients, (reference.positions, reference.prefills, meter.cost.reference_calls)


def assert_same(found, expected):
    torch.testing.assert_close(found[0], expected[0], rtol=1e-9, atol=1e-9)
    for one, other in zip(found[1], expected[1], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
        assert other.abs().max() > 1e-6


@pytest.mark.parametrize("estimand", ["soft", "mean"])
@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("make", [CausalToy, TeacherForced])
def test_each_token_is_computed_once_and_one_for_each_next_state(make, value, estimand, monkeypatch):
    monkeypatch.setattr("svlearn.objectives.soft_q.ROWS", B)  # one step at a time, so that the draws are the same
    found = looked_at(make(), value, estimand)
    expected = looked_at(CausalToy(cached=False), value, estimand)
    assert_same(found, expected)
    ahead = K * B * (T - 1) if value == "head" else 0  # at T it is the reward
    assert found[2] == (B * ONCE + ahead, 0 if make is TeacherForced and value == "learned" else B, B * T + ahead)
    assert expected[2][0] > found[2][0] and expected[2][2] == found[2][2]


@pytest.mark.parametrize("time", [0, 1, T - 1])
@pytest.mark.parametrize("value", VALUES)
def test_at_one_time_it_is_filled_there_and_handed_on(value, time):
    times = torch.full((B, 1), time)
    found = looked_at(CausalToy(starts=range(T)), value, "soft", times)
    assert_same(found, looked_at(CausalToy(cached=False), value, "soft", times))
    ahead = K * B if value == "head" and time + 1 < T else 0
    assert found[2] == (B * (PROMPT + time) + ahead, B, B + ahead)


@pytest.mark.parametrize("make", [CausalToy, TeacherForced])
def test_at_several_times_those_of_one_go_together(make):
    """Drawn with replacement: two looks at one state are two looks, and some times have none."""
    times = torch.tensor([[2, 2], [0, 2], [3, 0], [2, 3], [0, 0], [3, 3]])
    loss, gradients, (positions, prefills, _) = looked_at(make(starts=range(T)), "head", "soft", times)
    assert torch.isfinite(loss) and gradients[0].abs().max() > 1e-6
    ahead = K * int((times + 1 < T).sum())
    alone = make is CausalToy  # which has no pass over the whole: each look starts from nothing
    assert positions == ahead + (int((PROMPT + times).sum()) if alone else B * ONCE)
    assert prefills == (times.numel() if alone else B)


class Tagged(nn.Module):
    """t, and of which prompt the text is."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, x, t):
        return self.scale * (t + 100 * x[:, 0] + 1000 * x[:, 1])


@pytest.mark.parametrize("num_times", [None, 2])
def test_what_is_found_is_in_the_order_of_the_times(num_times):
    objective = SoftQIteration(CausalToy(starts=range(T)), TARGET, Learned(Tagged()), num_next=K, num_times=num_times)
    states = texts()["states"]
    times = torch.tensor([[2, 0], [3, 2], [1, 1], [0, 3], [2, 2], [0, 1]])
    times = torch.arange(T).expand(B, T) if num_times is None else times
    values, next_values = objective._fresh(states, times, K, seeded("cpu", 0))
    tags = (states[:, 0, 0] * 100 + states[:, 0, 1] * 1000)[:, None] + times
    torch.testing.assert_close(values, tags.flatten().double())
    before = times.flatten() + 1 < T
    ahead = (tags.flatten() + 1).double()[before, None]
    torch.testing.assert_close(next_values[before], ahead.expand(-1, K))
    assert bool((next_values[~before].abs() < 10).all())  # the reward
