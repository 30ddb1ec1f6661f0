"""Stochastic control and adjoint matching against linear-quadratic control."""

import math
import warnings
import weakref

import pytest
import pytorch_lightning as pl
import torch
from control_toys import (
    ALPHA,
    LinearInX,
    chain_of,
    disturb,
    exact_batch,
    gaussian,
    gradient,
    make,
    memoryless,
    set_feedback,
)
from torch import nn

from svlearn.domains.analytic import LinearGaussianChain, elbo
from svlearn.metering import metered
from svlearn.objectives import adjoint_matching, stochastic_control
from svlearn.objectives.adjoint_matching import AdjointMatching, adjoint_matching_loss, lean_adjoints
from svlearn.objectives.fit import fit
from svlearn.objectives.memoryless import MEMORY, warn_of_memory
from svlearn.objectives.stochastic_control import (
    StochasticControl,
    control_cost,
    reward_gradient,
    stochastic_control_loss,
)
from svlearn.policies import Controlled
from svlearn.policies.policy import Policy
from svlearn.process import Prediction, Reference
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.targets import Target
from svlearn.transitions import GaussianTransition, Transition

BOTH = pytest.mark.parametrize("kind", [StochasticControl, AdjointMatching])
EXACT = dict(rtol=1e-10, atol=1e-10)


def test_losses_by_hand():
    control, std = torch.tensor([[1.0, -2.0], [0.5, 0.0]]), torch.tensor([[2.0, 0.5]])
    assert control_cost(control, std).tolist() == [0.5 * (4 + 1), 0.5 * 1]
    rewards, costs = torch.tensor([3.0, -1.0]), torch.tensor([0.25, 4.0])
    assert stochastic_control_loss(rewards, costs, alpha=2.0).tolist() == [0.25 - 1.5, 4.0 + 0.5]
    adjoint = torch.tensor([[0.0, 2.0], [0.5, 1.0]])
    assert adjoint_matching_loss(control, adjoint, std).tolist() == [0.5 * (4 + 4), 0.5 * 0.25]


class Bent(Reference):
    """x_{t+1} = sin(x_t) + s_t · noise, s = 0.5, 2: a mean that is not linear, on matrices as states."""

    num_steps = 2

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.randn(batch_size, 2, 1, generator=generator, dtype=torch.float64)

    def forward(self, x, t, previous=None):
        std = torch.where(t == 0, 0.5, 2.0)[:, None, None].double()
        return Prediction(GaussianTransition(x.sin(), std))


def test_lean_adjoints_by_hand_where_the_mean_is_not_linear():
    states = torch.tensor([[0.1, -0.2], [0.7, 0.4], [1.0, 3.0]], dtype=torch.float64)[None, :, :, None]
    adjoints, stds = lean_adjoints(Bent(), states, Target(lambda x: x.square().sum((1, 2)), alpha=4.0))
    last = 2 * states[:, 2] / 4.0
    torch.testing.assert_close(adjoints, torch.stack([states[:, 1].cos() * last, last], dim=1))
    torch.testing.assert_close(stds, torch.tensor([0.5, 2.0]).double()[None, :, None, None].expand(1, 2, 2, 1))


def test_lean_adjoints_run_through_the_reference_and_not_through_the_policy():
    objective = make(AdjointMatching)
    disturb(objective)
    oracle, states = objective.reference, roll_out(objective.policy, 5, generator=seeded("cpu", 0))["states"]
    adjoint = (oracle.reward.vector - states[:, -1] @ oracle.reward.matrix) / ALPHA
    found, stds = lean_adjoints(oracle, states, objective.target)
    assert not found.requires_grad
    for t in reversed(range(oracle.num_steps)):
        torch.testing.assert_close(found[:, t], adjoint, **EXACT)
        adjoint = adjoint @ oracle.matrices[t]
    assert torch.equal(stds, oracle.stds[None])


@pytest.mark.parametrize("scale", [0.0, 0.3])
def test_the_loss_of_stochastic_control_and_its_gradient_are_those_of_the_elbo(scale):
    objective = make(StochasticControl)
    disturb(objective, scale)
    loss = objective.loss(exact_batch(objective), seeded("cpu", 0))
    exact = -elbo(chain_of(objective), objective.reference, ALPHA)
    torch.testing.assert_close(loss, exact, **EXACT)
    torch.testing.assert_close(gradient(objective, loss), gradient(objective, exact), **EXACT)


def test_the_gradient_of_stochastic_control_is_that_of_finite_differences():
    """A process and a network that are not linear, and a std that depends on the state."""

    class Spread(Bent):
        def forward(self, x, t, previous=None):
            return Prediction(GaussianTransition(x.sin(), 1 + 0.5 * x.tanh()))

    reference, network = Spread(), Wavy()
    target = Target(lambda x: -(x**4).sum((1, 2)), alpha=3.0)
    objective = StochasticControl(reference, target, Controlled(reference, network))
    batch = objective._trajectories(0, 7, seeded("cpu", 0))
    (slope,) = torch.autograd.grad(objective.loss(batch, seeded("cpu", 0)), network.weight)
    sides = []
    for step in (1e-5, -1e-5):
        network.weight.data += step
        sides.append(objective.loss(batch, seeded("cpu", 0)).item())
        network.weight.data -= step
    assert slope.item() == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=1e-7)


class Wavy(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.4, dtype=torch.float64))

    def forward(self, x, t):
        return (self.weight * x).cos() + self.weight


def test_the_mean_lean_adjoint_at_the_optimum_is_the_optimal_feedback_at_every_state():
    """E_q*[a_{t+1} | x_t] = g*(x_t, t), exactly, in discrete time: the fixed point of both objectives."""
    oracle = gaussian()
    best = oracle.best_policy(ALPHA)
    x = torch.randn(6, 3, generator=seeded("cpu", 0), dtype=torch.float64)
    through = torch.eye(3, dtype=torch.float64)  # from x_{t+1} to x_T by the reference
    for t in reversed(range(oracle.num_steps)):
        finished = x @ best.clean_matrices[t].T + best.clean_offsets[t]
        adjoint = (oracle.reward.vector - finished @ oracle.reward.matrix) / ALPHA @ through
        steered, plain = (x @ chain.matrices[t].T + chain.offsets[t] for chain in (best, oracle))
        torch.testing.assert_close((steered - plain) / oracle.stds[t] ** 2, adjoint, **EXACT)
        through = through @ oracle.matrices[t]


@BOTH
def test_the_expected_gradient_vanishes_at_the_optimal_feedback_and_only_there(kind):
    objective = make(kind)
    set_feedback(objective, objective.reference.best_policy(ALPHA))
    loss = objective.loss(exact_batch(objective), seeded("cpu", 0))
    assert gradient(objective, loss).abs().max() < 1e-12
    disturb(objective, 0.01)
    loss = objective.loss(exact_batch(objective), seeded("cpu", 0))
    assert gradient(objective, loss).abs().max() > 1e-4


@BOTH
def test_gradients_of_own_trajectories_vanish_in_the_mean_at_the_optimal_feedback(kind):
    objective = make(kind)
    set_feedback(objective, objective.reference.best_policy(ALPHA))
    drawn = []
    for step in range(50):
        generator = seeded("cpu", 5, step)
        drawn.append(gradient(objective, objective.loss(objective._trajectories(0, 64, generator), generator)))
    drawn = torch.stack(drawn)
    errors = drawn.std(dim=0) / math.sqrt(len(drawn))
    assert errors.max() < 0.05
    assert (drawn.mean(dim=0).abs() < 4 * errors + 1e-12).all()


@BOTH
def test_checkpointing_changes_no_bit_of_the_gradient(kind, monkeypatch):
    objective = make(kind)
    disturb(objective)
    batch = objective._trajectories(0, 9, seeded("cpu", 1))
    saved = gradient(objective, objective.loss(batch, seeded("cpu", 2)))
    module = stochastic_control if kind is StochasticControl else adjoint_matching
    monkeypatch.setattr(module, "checkpoint", lambda function, *given, use_reentrant: function(*given))
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
    monkeypatch.setattr(module, "checkpoint", lambda function, *given, use_reentrant: function(*given))
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
    assert (counted.policy_calls, counted.gradient_calls, counted.reward_calls) == (80, 70, 10)
    objective = make(StochasticControl)
    with metered() as meter:
        objective.loss(objective._trajectories(0, 10, seeded("cpu", 0)), seeded("cpu", 0))
    assert (meter.cost.reference_calls, meter.cost.policy_calls, meter.cost.reward_calls) == (80, 80, 10)


@BOTH
def test_validation_runs_without_gradients_and_reports_the_elbo(kind):
    objective = make(kind, num_validation=4000)
    disturb(objective, 0.1)
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False)
    (logged,) = trainer.validate(objective, verbose=False)
    exact = elbo(chain_of(objective), objective.reference, ALPHA).item()
    assert logged["validation/elbo"] == pytest.approx(exact, abs=4 * 2 / math.sqrt(4000))
    if kind is StochasticControl:
        assert logged["validation/loss"] == pytest.approx(-exact, abs=4 * 2 / math.sqrt(4000))


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


@BOTH
def test_fit_warns_where_the_reference_is_not_memoryless(kind):
    with pytest.warns(UserWarning, match="reference: not memoryless, x_0 explains .* of the variance") as caught:
        fit(make(kind, batch_size=4), max_steps=2, enable_progress_bar=False)
    assert sum("memoryless" in str(each.message) for each in caught) == 1
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="reference: not memoryless")
        fit(make(kind, memoryless(), batch_size=4), max_steps=2, enable_progress_bar=False)
        warn_of_memory(memoryless(), generator=seeded("cpu", 0, MEMORY), max_batch=10)


@BOTH
def test_the_same_seed_gives_the_same_bits(kind):
    learned = []
    for seed in (0, 0, 1):
        objective = make(kind, memoryless(), batch_size=8, learning_rate=1e-2)
        learned.append(fit(objective, max_steps=5, seed=seed, enable_progress_bar=False).policy.network.weights)
    assert torch.equal(learned[0], learned[1]) and not torch.equal(learned[0], learned[2])


@pytest.mark.slow
@BOTH
@pytest.mark.filterwarnings("ignore:reference. not memoryless")
def test_it_learns_the_best_policy(kind):
    objective = make(kind, learning_rate=2e-2, batch_size=256)
    oracle = objective.reference
    fit(objective, max_steps=800, seed=0, enable_progress_bar=False)
    best, plain = oracle.best_elbo(ALPHA), elbo(oracle, oracle, ALPHA)
    with torch.no_grad():
        learned = elbo(chain_of(objective), oracle, ALPHA)
    assert best - plain > 0.05
    assert 0 <= best - learned < 1e-3
