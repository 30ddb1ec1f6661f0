"""Stochastic control and adjoint matching against linear-quadratic control."""

import math
import warnings

import pytest
import pytorch_lightning as pl
import torch
from control_toys import (
    ALPHA,
    Bent,
    Wavy,
    chain_of,
    disturb,
    exact_batch,
    gaussian,
    gradient,
    make,
    memoryless,
    set_feedback,
)

from svlearn.domains.analytic import elbo
from svlearn.objectives.adjoint_matching import AdjointMatching, adjoint_matching_loss, lean_adjoints
from svlearn.objectives.fit import fit
from svlearn.objectives.memoryless import MEMORY, warn_of_memory
from svlearn.objectives.stochastic_control import (
    StochasticControl,
    control_cost,
    stochastic_control_loss,
)
from svlearn.policies import Controlled
from svlearn.process import Prediction
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.targets import Target
from svlearn.transitions import GaussianTransition

BOTH = pytest.mark.parametrize("kind", [StochasticControl, AdjointMatching])
EXACT = dict(rtol=1e-10, atol=1e-10)


def test_losses_by_hand():
    control, std = torch.tensor([[1.0, -2.0], [0.5, 0.0]]), torch.tensor([[2.0, 0.5]])
    assert control_cost(control, std).tolist() == [0.5 * (4 + 1), 0.5 * 1]
    rewards, costs = torch.tensor([3.0, -1.0]), torch.tensor([0.25, 4.0])
    assert stochastic_control_loss(rewards, costs, alpha=2.0).tolist() == [0.25 - 1.5, 4.0 + 0.5]
    adjoint = torch.tensor([[0.0, 2.0], [0.5, 1.0]])
    assert adjoint_matching_loss(control, adjoint, std).tolist() == [0.5 * (4 + 4), 0.5 * 0.25]


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
    adjoints, stds = lean_adjoints(oracle, states, objective.target)
    assert not adjoints.requires_grad
    for t in reversed(range(oracle.num_steps)):
        torch.testing.assert_close(adjoints[:, t], adjoint, **EXACT)
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
def test_validation_runs_without_gradients_and_reports_the_elbo(kind):
    objective = make(kind, num_validation=4000)
    disturb(objective, 0.1)
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False)
    (logged,) = trainer.validate(objective, verbose=False)
    exact = elbo(chain_of(objective), objective.reference, ALPHA).item()
    assert logged["validation/elbo"] == pytest.approx(exact, abs=4 * 2 / math.sqrt(4000))
    if kind is StochasticControl:
        assert logged["validation/loss"] == pytest.approx(-exact, abs=4 * 2 / math.sqrt(4000))


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
