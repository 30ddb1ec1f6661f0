"""Policies along trajectories: what they predict step by step, in one pass where their reference can."""

import pytest
import torch

from svlearn.inference import proposals
from svlearn.policies import Controlled, Finetuned
from svlearn.process import Prediction, Reference, has
from svlearn.randomness import seeded
from svlearn.transitions import GaussianTransition


class Walking(Reference):
    """A Gaussian walk that is drawn to a point, with all predictions of a trajectory from one pass."""

    num_steps = 3

    def __init__(self):
        super().__init__()
        self.pull = torch.nn.Linear(2, 2).double()
        self.passes = 0

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.randn(batch_size, 2, generator=generator, dtype=torch.float64)

    def forward(self, x, t, previous=None):
        return Prediction(GaussianTransition(self.pull(x), 0.5))

    def along(self, trajectory):
        self.passes += 1
        means = self.pull(trajectory)
        return [Prediction(GaussianTransition(means[:, t], 0.5)) for t in range(self.num_steps)]


class Halved(Finetuned):
    """Half the way from the reference's law to the copy's: a `steer` of its own, that reads the prediction."""

    def steer(self, prediction, x, t):
        mean = (prediction.transition.mean + super().steer(prediction, x, t).mean) / 2
        return GaussianTransition(mean, 0.5)


class Stepping(Walking):
    along = Reference.along


class Wave(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.level = torch.nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, x, t):
        return torch.sin(x) * self.level


@pytest.mark.parametrize("kind", [Finetuned, Halved, lambda r: Controlled(r, Wave())])
def test_a_policy_goes_along_a_trajectory_as_step_by_step(kind):
    reference = Walking()
    policy = kind(reference)
    with torch.no_grad():
        for each in policy.trained():
            each.add_(0.3)
    states = torch.randn(5, 4, 2, generator=seeded("cpu", 0), dtype=torch.float64)
    means = [each.transition.mean for each in policy.along(states)]
    for t, mean in enumerate(means):
        prediction = reference(states[:, t], None)
        expected = policy.steer(prediction, states[:, t], torch.full((5,), t)).mean
        torch.testing.assert_close(mean, expected)
        assert not torch.allclose(mean, prediction.transition.mean)
    assert has(policy, "along") and policy.corrects == (kind is not Finetuned)
    assert (reference.passes == 0) == (kind is Finetuned)
    assert not has(kind(Stepping()), "along")


def test_a_steer_of_a_subclass_is_what_proposes():
    reference = Walking()
    policy = Halved(reference)
    with torch.no_grad():
        policy.copy.pull.bias.add_(1.0)
    proposal, x = proposals.Policy(policy), torch.zeros(2, 2, dtype=torch.float64)
    prediction = proposal.predict(reference, x, 0, None)
    assert prediction.policy is None
    torch.testing.assert_close(proposal.transition(x, 0, prediction).mean, prediction.transition.mean + 0.5)
