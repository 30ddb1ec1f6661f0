"""What an objective cannot do, every family by every impossibility: refused when it is made, with who can do it."""

import pytest
import torch
from torch import nn
from value_toys import QuadraticInX, gaussian, markov

from svlearn.inference import proposals
from svlearn.inference.samplers import svdd
from svlearn.objectives import (
    AdjointMatching,
    ContrastiveEnergy,
    ContrastiveTwist,
    DistributionalPolicyGradient,
    GroupRelativePolicyGradient,
    MonteCarloRegression,
    PathConsistency,
    PolicyGradient,
    SoftQIteration,
    StochasticControl,
)
from svlearn.objectives.derivative_free_adjoint import DerivativeFreeAdjointMatching
from svlearn.objectives.distillation import Distillation
from svlearn.objectives.fit import fit
from svlearn.objectives.proximal_policy_gradient import ProximalPolicyGradient
from svlearn.policies import Controlled, Policy
from svlearn.process import Prediction, Reference
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.targets import Target
from svlearn.transitions import CategoricalTransition, Transition
from svlearn.values import Learned, Zero

VALUE_FAMILIES = (MonteCarloRegression, SoftQIteration, ContrastiveTwist, ContrastiveEnergy)
SCORED = (PolicyGradient, ProximalPolicyGradient, GroupRelativePolicyGradient, DistributionalPolicyGradient)
WEIGHING = (*SCORED, PathConsistency, Distillation)
DIFFERENTIATING = (AdjointMatching, StochasticControl)
CONTROLLING = (*DIFFERENTIATING, DerivativeFreeAdjointMatching)
SMALL = dict(batch_size=8, num_validation=8)


def make(family, reference, target, network, policy):
    """Any family: one that learns a value is given the network, one that trains a policy the policy."""
    if family in VALUE_FAMILIES:
        return family(reference, target, Learned(network), **SMALL)
    if family is PathConsistency:
        return family(reference, target, Learned(network), policy, **SMALL)
    if family is Distillation:
        return family(reference, target, policy, svdd(reference, target, Zero(), 2), **SMALL)
    return family(reference, target, policy, **SMALL)


def trains(objective):
    """A step of training and one of validation, whose every loss is finite."""
    fit(objective, max_steps=1, limit_val_batches=1, val_check_interval=1, enable_progress_bar=False)
    return objective.trainer.global_step == 1


class Linear(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.inner = nn.Linear(dim, dim).double()

    def forward(self, x, t):
        return self.inner(x)


def black_box(x):
    return torch.from_numpy(-(x.numpy() ** 2).sum(axis=1))


@pytest.mark.filterwarnings("ignore:reference. not memoryless")
@pytest.mark.parametrize("family", [*VALUE_FAMILIES, *WEIGHING, DerivativeFreeAdjointMatching])
def test_a_reward_without_a_gradient_is_no_matter_to_those_that_never_ask_for_it(family):
    oracle, network = gaussian()
    assert trains(make(family, oracle, Target(black_box, 2.0), network, Controlled(oracle, Linear(3))))


@pytest.mark.parametrize("family", DIFFERENTIATING)
def test_a_reward_without_a_gradient_is_refused_by_those_that_ask_for_it(family):
    oracle, network = gaussian()
    with pytest.raises(ValueError, match="reward: .* without a gradient; .*PathConsistency and MonteCarloRegression"):
        make(family, oracle, Target(black_box, 2.0), network, Controlled(oracle, Linear(3)))


class Draw(Transition):
    """x_{t+1} = x_t + noise, pushed, by a simulator that knows no density."""

    def __init__(self, x, push=0.0):
        self.x, self.push = x, push

    def sample(self, *, generator=None):
        return self.x + self.push + torch.rand(self.x.shape, generator=generator, dtype=self.x.dtype)

    def log_prob(self, x_next):
        raise NotImplementedError("a simulator has no density")

    def __getitem__(self, index):
        return Draw(self.x[index], self.push)


class Simulator(Reference):
    num_steps = 8

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.zeros(batch_size, 3, dtype=torch.float64)

    def forward(self, x, t, previous=None):
        return Prediction(Draw(x))


class Pushed(Policy):
    def __init__(self, reference):
        super().__init__(reference)
        self.push = nn.Parameter(torch.zeros(3, dtype=torch.float64))

    def steer(self, prediction, x, t):
        return Draw(x, self.push)

    def trained(self):
        return [self.push]


TOTAL = Target(lambda x: x.sum(dim=1), 2.0)
LEARNS = "got Draw .NotImplementedError: a simulator has no density.; MonteCarloRegression, SoftQIteration, "


@pytest.mark.parametrize("family", VALUE_FAMILIES)
def test_a_transition_without_a_log_probability_teaches_a_value(family):
    assert trains(make(family, Simulator(), TOTAL, QuadraticInX(3, 8), None))


def test_a_transition_without_a_log_probability_teaches_path_consistency_without_a_policy():
    simulator = Simulator()
    assert trains(PathConsistency(simulator, TOTAL, Learned(QuadraticInX(3, 8)), variant="detailed", **SMALL))


@pytest.mark.parametrize("family", [*WEIGHING, *CONTROLLING])
def test_a_transition_without_a_log_probability_is_refused_where_a_policy_is_weighed(family):
    simulator = Simulator()
    with pytest.raises(TypeError, match=f"{family.__name__} weighs log q - log p_ref: .*{LEARNS}"):
        make(family, simulator, TOTAL, QuadraticInX(3, 8), Pushed(simulator))


@pytest.mark.parametrize("family", VALUE_FAMILIES)
def test_a_proposal_without_a_log_probability_is_refused(family):
    simulator = Simulator()
    with pytest.raises(TypeError, match=f"proposal: .*{LEARNS}"):
        family(simulator, TOTAL, Learned(QuadraticInX(3, 8)), proposal=Pushed(simulator))
    with pytest.raises(TypeError, match="proposal: expected a Proposal, or a process such as a policy, got int"):
        family(simulator, TOTAL, Learned(QuadraticInX(3, 8)), proposal=3)


def test_one_law_with_a_density_and_one_without_are_both_named():
    oracle, network = gaussian()
    with pytest.raises(TypeError, match="got Draw and GaussianTransition"):
        make(PolicyGradient, oracle, TOTAL, network, Pushed(oracle))


def test_a_gaussian_control_of_a_categorical_process_is_refused_with_what_trains_it():
    oracle, _ = markov()
    with pytest.raises(TypeError, match="Gaussian transition, got CategoricalTransition; policies.Finetuned .*by Pol"):
        Controlled(oracle, Linear(1))


class Tilted(Policy):
    """A chain with free logits."""

    def __init__(self, chain):
        super().__init__(chain)
        self.logits = nn.Parameter(torch.zeros(6, 5, 5, dtype=torch.float64))

    def steer(self, prediction, x, t):
        return CategoricalTransition(prediction.transition.log_probs + self.logits[t, x[:, 0]][:, None])

    def trained(self):
        return [self.logits]


@pytest.mark.parametrize("family", CONTROLLING)
def test_a_categorical_policy_is_refused_where_a_control_is_trained(family):
    oracle, network = markov()
    words = "expected a policies.Controlled, got Tilted; PolicyGradient, DistributionalPolicyGradient and PathCons"
    with pytest.raises(TypeError, match=words):
        make(family, oracle, oracle.target(2.0), network, Tilted(oracle))


@pytest.mark.parametrize("family", [*VALUE_FAMILIES, *WEIGHING])
def test_a_categorical_process_is_learned_by_all_the_others(family):
    oracle, network = markov()
    assert trains(make(family, oracle, oracle.target(2.0), network, Tilted(oracle)))


def test_the_probe_asks_for_two_states_alone_and_leaves_the_global_generator_alone():
    sizes = []

    class Counting(Simulator):
        def forward(self, x, t, previous=None):
            sizes.append(len(x))
            return super().forward(x, t)

    before = torch.get_rng_state()
    with pytest.raises(TypeError):
        PolicyGradient(Counting(), TOTAL, Pushed(Counting()))
    assert sizes == [2] and torch.equal(torch.get_rng_state(), before)


def test_the_reference_runs_without_gradients_and_the_policy_with_them():
    oracle, _ = gaussian()
    policy = Controlled(oracle, Linear(3))
    objective = PolicyGradient(oracle, oracle.target(2.0), policy)
    states = roll_out(oracle, 5, generator=seeded("cpu", 0))["states"]
    flags = []
    oracle.register_forward_hook(lambda *_: flags.append(torch.is_grad_enabled()))
    ratios = objective.log_ratios(states)
    assert ratios.shape == (5, 8) and ratios.requires_grad and flags == [False]
    by_hand = []
    for t in range(8):  # s²(x' - m - s² g/2)·g/s²: Girsanov's term of a step
        law = oracle(states[:, t], torch.full((5,), t)).transition
        push = policy.network(states[:, t], None)
        by_hand.append((push * (states[:, t + 1] - law.mean)).sum(1) - (law.std**2 * push**2).sum(1) / 2)
    torch.testing.assert_close(ratios, torch.stack(by_hand, dim=1))
    (gradient,) = torch.autograd.grad(ratios.sum(), policy.network.inner.bias, retain_graph=True)
    (expected,) = torch.autograd.grad(torch.stack(by_hand).sum(), policy.network.inner.bias)
    torch.testing.assert_close(gradient, expected)


def test_long_trajectories_are_cut_and_give_the_same(monkeypatch):
    oracle, _ = gaussian()
    policy = Controlled(oracle, Linear(3))
    objective = PolicyGradient(oracle, oracle.target(2.0), policy)
    states = roll_out(oracle, 3, generator=seeded("cpu", 0))["states"]
    whole = objective.log_ratios(states)
    monkeypatch.setattr("svlearn.objectives.policy_objective.STATES_AT_ONCE", 7)
    sizes = []
    oracle.register_forward_hook(lambda module, inputs, out: sizes.append(len(inputs[0])))
    torch.testing.assert_close(objective.log_ratios(states), whole)
    assert sizes == [6, 6, 6, 6]  # whole steps of the three
    assert isinstance(proposals.Policy(policy), proposals.Proposal)
