"""What stochastic control and adjoint matching cost: memory that does not hold activations, and calls."""

import weakref

import pytest
import torch
from control_toys import (
    ALPHA,
    Bent,
    Wavy,
    disturb,
    gradient,
    make,
)
from torch import nn

from svlearn.domains.analytic import LinearGaussianChain
from svlearn.metering import metered
from svlearn.objectives import adjoint_matching, stochastic_control
from svlearn.objectives.adjoint_matching import AdjointMatching
from svlearn.objectives.stochastic_control import (
    StochasticControl,
)
from svlearn.policies import Controlled, Finetuned
from svlearn.process import Prediction
from svlearn.randomness import seeded
from svlearn.targets import Target
from svlearn.transitions import GaussianTransition

BOTH = pytest.mark.parametrize("kind", [StochasticControl, AdjointMatching])


@BOTH
def test_checkpointing_changes_no_bit_of_the_gradient(kind, monkeypatch):
    objective = make(kind)
    disturb(objective)
    batch = objective._trajectories(0, 9, seeded("cpu", 1))
    saved = gradient(objective, objective.loss(batch, seeded("cpu", 2)))
    module = stochastic_control if kind is StochasticControl else adjoint_matching
    monkeypatch.setattr(module, "checkpoint", lambda function, *arguments, use_reentrant: function(*arguments))
    assert torch.equal(saved, gradient(objective, objective.loss(batch, seeded("cpu", 2))))


class Wide(nn.Module):
    """Activations that outweigh a state by far."""

    def __init__(self, dim):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(dim, 256), nn.Tanh(), nn.Linear(256, 256), nn.Tanh(), nn.Linear(256, dim))
        self.layers.double()

    def forward(self, x, t):
        return self.layers(x)


def saved_bytes(kind, num_steps, size=32):
    """What the loss holds for its backward pass once it is computed, parameters aside."""
    oracle = LinearGaussianChain.random(2, num_steps, seed=0)
    network = Wide(2)
    objective = kind(oracle, oracle.target(ALPHA), Controlled(oracle, network))
    batch = objective._trajectories(0, size, seeded("cpu", 0))
    own = {parameter.data_ptr() for parameter in network.parameters()}
    held = weakref.WeakSet()

    class Saved:
        def __init__(self, tensor):
            self.tensor = tensor
            held.add(self)

    with torch.autograd.graph.saved_tensors_hooks(Saved, lambda saved: saved.tensor):
        loss = objective.loss(batch, seeded("cpu", 0))
        tensors = [saved.tensor for saved in held]
        loss.backward()
    return sum(each.numel() * each.element_size() for each in tensors if each.data_ptr() not in own)


@BOTH
def test_saved_memory_grows_by_a_few_states_a_step_and_not_by_activations(kind, monkeypatch):
    state = 32 * 2 * 8
    growth = (saved_bytes(kind, 16) - saved_bytes(kind, 4)) / 12
    assert 2 * state <= growth <= 2 * state + 16  # x_t, and its noise or its adjoint with the std
    module = stochastic_control if kind is StochasticControl else adjoint_matching
    monkeypatch.setattr(module, "checkpoint", lambda function, *arguments, use_reentrant: function(*arguments))
    assert (saved_bytes(kind, 16) - saved_bytes(kind, 4)) / 12 > 2 * 256 * 32 * 8


class Parametric(Bent):
    """A pretrained network's weights, which need no gradient of their own."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.9, dtype=torch.float64))

    def forward(self, x, t, previous=None):
        return Prediction(GaussianTransition((self.scale * x).sin(), 0.5))


@BOTH
def test_the_reference_gathers_no_gradient(kind):
    reference, network = Parametric(), Wavy()
    objective = kind(reference, Target(lambda x: x.sum((1, 2)), 1.0), Controlled(reference, network))
    objective.loss(objective._trajectories(0, 4, seeded("cpu", 0)), seeded("cpu", 0)).backward()
    assert reference.scale.grad is None and reference.scale.requires_grad
    assert network.weight.grad.abs() > 0


def test_calls_are_counted():
    objective = make(AdjointMatching)
    with metered() as meter:
        objective.loss(objective._trajectories(0, 10, seeded("cpu", 0)), seeded("cpu", 0))
    counted = meter.cost
    assert (counted.policy_calls, counted.gradient_calls, counted.reward_calls) == (80 + 80, 70, 10)  # drawn, learned
    objective = make(StochasticControl)
    with metered() as meter:
        objective.loss(objective._trajectories(0, 10, seeded("cpu", 0)), seeded("cpu", 0))
    assert (meter.cost.reference_calls, meter.cost.policy_calls, meter.cost.reward_calls) == (80, 80, 10)


def test_each_run_of_a_policy_with_a_network_of_its_own_is_a_call():
    """Of a trajectory: drawn, looked at, and looked at once more for the gradient, whose activations were not kept."""
    chain = Parametric()
    calls = []
    policy = Finetuned(chain)
    policy.copy.register_forward_hook(lambda module, inputs, output: calls.append(len(inputs[0])))
    objective = AdjointMatching(chain, Target(lambda x: x.sum((1, 2)), 1.0), policy, check_memory=False)
    calls.clear()
    with metered() as meter:
        objective.loss(objective._trajectories(0, 5, seeded("cpu", 0)), seeded("cpu", 0)).backward()
    assert meter.cost.policy_calls == sum(calls) == 3 * 5 * chain.num_steps
