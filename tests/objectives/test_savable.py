"""What is trained is checked before the first step: that it can be saved, and that it is not the reference's own."""

import pytest
import torch
from control_toys import LinearInX, gaussian
from torch import nn
from value_toys import QuadraticInX

from svlearn.fingerprint import fingerprint
from svlearn.objectives import MonteCarloRegression, PathConsistency, PolicyGradient
from svlearn.objectives.fit import fit
from svlearn.policies import Controlled
from svlearn.process import Prediction, Reference
from svlearn.targets import Target
from svlearn.transitions import GaussianTransition
from svlearn.values import Learned

TARGET = Target(lambda x: x[:, 0], 1.0)
QUIET = dict(max_steps=1, enable_progress_bar=False)


class Stubborn(nn.Module):
    """A network that cannot be saved: its extra state is an object."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x, t):
        return self.network(x, t)

    def get_extra_state(self):
        return {"when": object()}

    def set_extra_state(self, state):
        pass


def test_a_module_that_cannot_be_saved_is_refused_before_it_is_trained():
    calls = []
    oracle, target = gaussian(), Target(lambda x: calls.append(len(x)) or x[:, 0], 1.0)
    value, policy = Learned(Stubborn(QuadraticInX(3, 8))), Controlled(oracle, Stubborn(LinearInX(3, 8)))
    made = [
        (MonteCarloRegression(oracle, target, value), "value"),
        (PolicyGradient(oracle, target, policy), "policy"),
        (PathConsistency(oracle, target, value, Controlled(oracle, LinearInX(3, 8))), "value"),
    ]
    calls.clear()
    for objective, name in made:
        with pytest.raises(ValueError, match=rf"{name}: expected a module that can be saved, .*_extra_state holds"):
            fit(objective, **QUIET)
    assert calls == []


class Walk(Reference):
    num_steps = 2

    def __init__(self):
        super().__init__()
        self.encoder, self.head = nn.Linear(2, 3), nn.Linear(3, 2)

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.randn(batch_size, 2, generator=generator)

    def forward(self, x, t, previous=None):
        return Prediction(GaussianTransition(x + self.head(self.encoder(x)), 0.5))


class OnEncoder(nn.Module):
    """A value network that reads the reference's own encoder."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder, self.readout = encoder, nn.Linear(3, 1)

    def forward(self, x, t):
        return self.readout(self.encoder(x)).squeeze(1)


def test_a_layer_shared_with_the_reference_is_refused_unless_it_is_frozen():
    reference = Walk()
    objective = MonteCarloRegression(reference, TARGET, Learned(OnEncoder(reference.encoder)), batch_size=4)
    before = fingerprint(reference)
    with pytest.raises(ValueError, match=r"trained: expected parameters of its own, got 2 .* \(encoder.weight"):
        fit(objective, **QUIET)
    reference.encoder.requires_grad_(False)
    fit(objective, **QUIET)
    assert fingerprint(reference) == before
    view = OnEncoder(nn.Linear(2, 3))
    view.encoder.weight = nn.Parameter(reference.encoder.weight.detach())  # another parameter of the same memory
    with pytest.raises(ValueError, match=r"got 1 .* \(encoder.weight"):
        fit(MonteCarloRegression(reference, TARGET, Learned(view), batch_size=4), **QUIET)
