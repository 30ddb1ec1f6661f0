"""What a policy and its reference tell of their evaluations is counted, along trajectories and in mixtures too."""

import pytest
import torch

from svlearn.metering import metered
from svlearn.objectives.exploration import EpsilonMixture
from svlearn.policies import Controlled, Finetuned
from svlearn.process import Prediction, Reference, predict, step_by_step
from svlearn.transitions import GaussianTransition

STEPS = 3


class Twice(Reference):
    """Its network is called twice for each state, as with and without a class."""

    num_steps = STEPS

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(2))

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.zeros(batch_size, 2)

    def forward(self, x, t, previous=None):
        law = GaussianTransition(x * self.weight, 1.0)
        return Prediction(law, evaluations=torch.full((len(x),), 2, dtype=torch.long))


class InOnePass(Twice):
    def along(self, trajectory):
        for t in range(STEPS):
            yield self(trajectory[:, t], torch.full((len(trajectory),), t))


class Network(torch.nn.Linear):
    def forward(self, x, t):
        return super().forward(x)


@pytest.mark.parametrize("reference", [Twice, InOnePass])
def test_along_a_trajectory_the_reference_of_a_controlled_policy_is_counted(reference):
    policy = Controlled(reference(), Network(2, 2))
    with metered() as meter:
        predictions = list(policy.along(torch.zeros(5, STEPS + 1, 2)))
    assert len(predictions) == STEPS and meter.cost.reference_calls == 2 * 5 * STEPS


def test_a_mixture_counts_the_network_of_its_policy():
    mixture = EpsilonMixture(Finetuned(Twice()), 0.2)
    with metered() as meter:
        predict(mixture, torch.zeros(5, 2), 0, kind="policy_calls")
    assert (meter.cost.policy_calls, meter.cost.reference_calls) == (10, 10)


def test_a_reference_that_counts_itself_does_so_step_by_step():
    with metered() as meter:
        list(step_by_step(Twice(), torch.zeros(5, STEPS + 1, 2)))
    assert meter.cost.reference_calls == 2 * 5 * STEPS


def test_a_policy_of_a_reference_that_needs_a_condition_is_made_without_one():
    """What initial raises without its condition is its own affair, here of None.float()."""

    class Conditional(Twice):
        def initial(self, batch_size, *, condition=None, generator=None):
            return condition.float()

    assert Finetuned(Conditional()).num_steps == STEPS
