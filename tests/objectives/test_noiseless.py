"""A step without noise is not moved for nothing: log Z stays right, or an error names the step."""

import pytest
import torch
from torch import nn

from svlearn.inference import proposals
from svlearn.inference.samplers import smc
from svlearn.objectives import PathConsistency, PolicyGradient, SoftQIteration
from svlearn.objectives.fit import fit
from svlearn.objectives.group_relative_policy_gradient import GroupRelativePolicyGradient
from svlearn.objectives.proximal_policy_gradient import ProximalPolicyGradient
from svlearn.policies import Controlled, Finetuned
from svlearn.process import Prediction, Reference
from svlearn.randomness import seeded
from svlearn.targets import Target
from svlearn.transitions import GaussianTransition
from svlearn.values import Learned, Zero

STDS = torch.tensor([1.0, 0.0], dtype=torch.float64)


class Pushed(Reference):
    """x_0 = 0, x_1 ~ N(x_0 + a, 1), x_2 = x_1 + b: of r = x_2 and alpha 1, log Z = a + b + 1/2. `last` multiplies b."""

    num_steps = 2

    def __init__(self, last=1.0):
        super().__init__()
        self.push, self.last = nn.Parameter(torch.zeros(2, dtype=torch.float64)), last

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.zeros(batch_size, 1, dtype=torch.float64)

    def forward(self, x, t, previous=None):
        push = torch.where(t == 1, self.last, 1.0) * self.push[t]
        return Prediction(GaussianTransition(x + push[:, None], STDS[t][:, None]))


TARGET = Target(lambda x: x[:, 0], 1.0)
SMALL = dict(batch_size=8, num_validation=8)


def policy_at(push, last=1.0):
    reference = Pushed(last)
    policy = Finetuned(reference)
    with torch.no_grad():
        policy.copy.push.copy_(torch.tensor(push))
    return reference, policy


def test_log_z_is_right_where_the_policy_leaves_the_noiseless_step():
    reference, policy = policy_at([1.0, 0.0])
    sampler = smc(reference, TARGET, Zero(), 4, 0.0, proposal=proposals.Policy(policy))
    samples = sampler.sample(50, generator=seeded("cpu", 0))
    assert torch.allclose(samples.log_normalizer, torch.full((50,), 0.5, dtype=torch.float64))  # the optimal policy


def test_a_policy_that_moves_the_noiseless_step_has_no_weight():
    reference, policy = policy_at([0.0, 1.56])
    sampler = smc(reference, TARGET, Zero(), 4, proposal=proposals.Policy(policy))
    with pytest.raises(ValueError, match="every group died, the last at t = 2 of 2: .* moves a step without noise"):
        sampler.sample(50, generator=seeded("cpu", 0))


@pytest.mark.parametrize("family", [PolicyGradient, ProximalPolicyGradient, GroupRelativePolicyGradient])
@pytest.mark.parametrize("push", [[0.0, 0.0], [0.0, 1.0]])
def test_training_a_policy_that_would_move_it_is_refused_with_the_step(family, push):
    reference, policy = policy_at(push)
    with pytest.raises(ValueError, match=rf"{family.__name__} .* no noise at t = 1 .*policies.Controlled"):
        family(reference, TARGET, policy, **SMALL)


def test_path_consistency_refuses_it_too():
    reference, policy = policy_at([0.0, 0.0])
    with pytest.raises(ValueError, match="no noise at t = 1"):
        PathConsistency(reference, TARGET, None, policy, **SMALL)


def test_a_policy_whose_network_stays_there_is_trained():
    reference, policy = policy_at([0.0, 0.0], last=0.0)
    objective = PolicyGradient(reference, TARGET, policy, **SMALL)
    states = torch.zeros(3, 3, 1, dtype=torch.float64)
    assert objective.log_ratios(states)[:, 1].tolist() == [0.0] * 3

    class Push(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(1, 1).double()

        def forward(self, x, t):
            return self.inner(x)

    PolicyGradient(Pushed(), TARGET, Controlled(Pushed(), Push()), **SMALL)  # mean + std² g stays


def test_trajectories_of_a_policy_that_moves_it_teach_no_value():
    class Line(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(1, 1).double()

        def forward(self, x, t):
            return self.inner(x)[:, 0]

    reference, policy = policy_at([0.0, 1.0])
    with pytest.raises(ValueError, match="proposal: the reference has no noise at t = 1"):
        SoftQIteration(reference, TARGET, Learned(Line()), proposal=policy, **SMALL)


class PushedAmid(Pushed):
    """The step without noise is neither the first nor the last, and is pushed as these are."""

    num_steps = 3

    def forward(self, x, t, previous=None):
        return Prediction(GaussianTransition(x + self.push[0], STDS[t % 2][:, None]))


@pytest.mark.parametrize("options", [{}, {"num_times": 2}])
@pytest.mark.parametrize("family", [PolicyGradient, ProximalPolicyGradient, GroupRelativePolicyGradient])
def test_a_step_without_noise_amid_the_others_is_named_once_it_is_moved(family, options, tmp_path):
    reference = PushedAmid()
    objective = family(reference, TARGET, Finetuned(reference), **SMALL, **options)
    with pytest.raises(ValueError, match="training step 1 .*log q - log p_ref: expected a finite number at step 1"):
        fit(objective, max_steps=4, default_root_dir=tmp_path, enable_progress_bar=False)
