"""What stochastic control and adjoint matching refuse: steps, rewards and policies without the gradient they need."""

import math

import pytest
import torch
from control_toys import (
    ALPHA,
    Bent,
    LinearInX,
    Wavy,
    gaussian,
)

from svlearn.objectives.adjoint_matching import AdjointMatching
from svlearn.objectives.state_gradients import reward_gradient
from svlearn.objectives.stochastic_control import StochasticControl
from svlearn.policies import Controlled
from svlearn.policies.policy import Policy
from svlearn.process import Prediction
from svlearn.rollouts import roll_out
from svlearn.targets import Target
from svlearn.transitions import GaussianTransition, Transition

BOTH = pytest.mark.parametrize("kind", [StochasticControl, AdjointMatching])


def detached(x):
    return x.detach().square().sum(1)


def by_numpy(x):
    return torch.as_tensor(x.numpy()).sum(1)


class Loose(Policy):
    """A policy that is not `Controlled`."""

    def steer(self, prediction, x, t):
        return prediction.transition

    def trained(self):
        return []


@BOTH
def test_bad_arguments_are_refused_by_name(kind):
    oracle = gaussian()
    policy = Controlled(oracle, LinearInX(3, 8))
    for reward in (detached, by_numpy):
        with pytest.raises(ValueError, match="reward: .* without a gradient; DerivativeFreeAdjointMatching, Path"):
            kind(oracle, Target(reward, ALPHA), policy)
    with pytest.raises(TypeError, match="policy: expected a policies.Controlled, got Loose"):
        kind(oracle, oracle.target(ALPHA), Loose(oracle))
    with pytest.raises(ValueError, match="alpha"):
        kind(oracle, oracle.target(0.0), policy)
    with pytest.raises(ValueError, match="reward: expected a finite number at step T, got -inf at index 0"):
        kind(oracle, Target(lambda x: x.sum(1) - math.inf, ALPHA), policy)
    with pytest.raises(ValueError, match="data: .* fresh trajectories of its own policy, got stored ones"):
        kind(oracle, oracle.target(ALPHA), policy).training_step(roll_out(oracle, 2), 0)


@BOTH
def test_a_reference_without_a_gradient_is_refused(kind):
    class Blind(Bent):
        @torch.no_grad()
        def forward(self, x, t, previous=None):
            return super().forward(x, t)

    reference = Blind()
    with pytest.raises(ValueError, match="a mean that torch can differentiate in the state, Blind"):
        kind(reference, Target(lambda x: x.sum((1, 2)), 1.0), Controlled(reference, Wavy()))


def test_adjoint_matching_refuses_a_std_that_depends_on_the_state():
    class Spread(Bent):
        def forward(self, x, t, previous=None):
            return Prediction(GaussianTransition(x.sin(), 1 + 0.5 * x.tanh()))

    reference = Spread()
    with pytest.raises(ValueError, match="a std that does not depend on the state.* Spread .* StochasticControl"):
        AdjointMatching(reference, Target(lambda x: x.sum((1, 2)), 1.0), Controlled(reference, Wavy()))


class Uniform(Transition):
    """x_{t+1} uniform within 1 of x_t: no Gaussian."""

    def __init__(self, centre):
        self.centre = centre

    def sample(self, *, generator=None):
        return self.centre + 2 * torch.rand(self.centre.shape, generator=generator, dtype=self.centre.dtype) - 1

    def log_prob(self, x_next):
        return torch.full((len(x_next),), -2 * math.log(2))

    def __getitem__(self, index):
        return Uniform(self.centre[index])


@BOTH
def test_a_step_that_is_not_gaussian_is_refused(kind):
    class Mixed(Bent):
        def forward(self, x, t, previous=None):
            return super().forward(x, t) if t[0] == 0 else Prediction(Uniform(x))

    reference = Mixed()
    with pytest.raises(TypeError, match="reference: expected a Gaussian transition, got Uniform"):
        kind(reference, Target(lambda x: x.sum((1, 2)), 1.0), Controlled(reference, Wavy()))


def test_a_gradient_that_is_not_finite_is_refused_with_its_index():
    x = torch.tensor([[1.0], [0.0]])
    with pytest.raises(ValueError, match="reward: expected a finite gradient at step T, got another at index 1"):
        reward_gradient(Target(lambda x: x[:, 0].sqrt(), 1.0), x)
