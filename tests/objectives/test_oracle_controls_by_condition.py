"""Controls of a conditional oracle: the loss, its gradient and its optimum are those of each condition's own oracle."""

import pytest
import torch
from condition_toys import gaussian_by_class
from control_toys import ALPHA, LinearInX, chain_of, disturb, exact_batch, gradient, make, set_feedback
from tensordict import TensorDict
from torch import nn

from svlearn.domains.analytic.linear_control import elbo
from svlearn.objectives import AdjointMatching, StochasticControl
from svlearn.policies import Controlled
from svlearn.randomness import seeded

KINDS = [AdjointMatching, StochasticControl]
EXACT = dict(rtol=1e-9, atol=1e-10)


class LinearByClass(nn.Module):
    """A linear control for each condition, of the leaf "x"."""

    def __init__(self, oracle):
        super().__init__()
        dim, steps = oracle.oracles[0].dim, oracle.num_steps
        self.networks = nn.ModuleList(LinearInX(dim, steps) for _ in oracle.oracles)

    def forward(self, x, t):
        found = torch.stack([network(x["x"], t) for network in self.networks])
        return {"x": found[x["condition"], torch.arange(len(t))]}


def by_class(kind):
    """An objective over all conditions, and one of the same control for each oracle alone."""
    oracle = gaussian_by_class()
    policy = Controlled(oracle, LinearByClass(oracle), condition=[0])
    options = dict(conditions=torch.arange(3), check_memory=False)
    objective = kind(oracle, oracle.target(ALPHA), policy, **options)
    alone = [make(kind, each) for each in oracle.oracles]
    for each, network in zip(alone, policy.network.networks, strict=True):
        each.policy.network = network
    return objective, alone


def joined(batches):
    """The trajectories of the oracles, one after the other, as those of the conditional one."""
    parts = []
    for c, batch in enumerate(batches):
        size, steps = batch["states"].shape[:2]
        held = torch.full((size, steps), c)
        states = TensorDict({"x": batch["states"], "condition": held}, [size, steps])
        parts.append(TensorDict({"states": states, "initial": states[:, 0], "noise": batch["noise"]}, [size]))
    return torch.cat(parts)


def costs_of_exact_batches(objective, alone):
    batches = [exact_batch(each) for each in alone]
    whole = objective.loss(joined(batches), seeded("cpu", 0))
    return whole, [each.loss(batch, seeded("cpu", 0)) for each, batch in zip(alone, batches, strict=True)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_the_mean_of_those_of_the_conditions_and_so_is_its_gradient(kind):
    objective, alone = by_class(kind)
    for each in alone:
        disturb(each)
    loss, parts = costs_of_exact_batches(objective, alone)
    torch.testing.assert_close(loss, torch.stack(parts).mean(), **EXACT)
    found = gradient(objective, loss)
    expected = torch.cat([gradient(each, part) / 3 for each, part in zip(alone, parts, strict=True)])
    torch.testing.assert_close(found, expected, **EXACT)
    assert found.abs().max() > 1e-2


def test_the_loss_of_stochastic_control_is_minus_the_elbo_of_each_condition():
    """By the exact rule, at any control: against the linear-Gaussian formula."""
    objective, alone = by_class(StochasticControl)
    for each in alone:
        disturb(each)
    loss, _ = costs_of_exact_batches(objective, alone)
    exact = torch.stack([-elbo(chain_of(each), each.reference, ALPHA) for each in alone])
    torch.testing.assert_close(loss, exact.mean(), **EXACT)
    torch.testing.assert_close(gradient(objective, loss), gradient(objective, exact.mean()), **EXACT)


@pytest.mark.parametrize("kind", KINDS)
def test_each_oracles_own_feedback_is_the_fixed_point_and_another_conditions_is_not(kind):
    objective, alone = by_class(kind)
    for each in alone:
        set_feedback(each, each.reference.best_policy(ALPHA))
    loss, _ = costs_of_exact_batches(objective, alone)
    assert gradient(objective, loss).abs().max() < 1e-9
    if kind is StochasticControl:
        best = objective.reference.best_elbos(ALPHA)
        torch.testing.assert_close(loss, -best.mean(), **EXACT)
    feedbacks = [each.reference.best_policy(ALPHA) for each in alone]
    for each, other in zip(alone, feedbacks[1:] + feedbacks[:1], strict=True):
        set_feedback(each, other)
    loss, _ = costs_of_exact_batches(objective, alone)
    assert gradient(objective, loss).abs().max() > 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_control_is_learned_for_each_condition(kind):
    """By whole exact batches, so that nothing is left to chance: to the feedback of each oracle."""
    objective, alone = by_class(kind)
    optimizer = torch.optim.Adam(objective.policy.network.parameters(), lr=5e-2)
    for step in range(150):
        optimizer.param_groups[0]["lr"] = 5e-2 * (1 - step / 150)
        loss, _ = costs_of_exact_batches(objective, alone)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    best, t = objective.reference.best_elbos(ALPHA), 2
    for c, each in enumerate(alone):
        assert 0 <= best[c] - elbo(chain_of(each), each.reference, ALPHA) < 1e-3
        chain = each.reference.best_policy(ALPHA)
        x = torch.randn(50, 2, generator=seeded("cpu", c), dtype=torch.float64)
        state = TensorDict({"x": x, "condition": torch.full((50,), c)}, [50])
        wanted = x @ (chain.matrices[t] - each.reference.matrices[t]).T + chain.offsets[t] - each.reference.offsets[t]
        with torch.no_grad():
            found = each.reference.stds[t] ** 2 * objective.policy.control(state, torch.full((50,), t))["x"]
        assert (found - wanted).norm() < 0.05 * wanted.norm()
