"""Controls under conditions: drawn starts, what is looked at before a fit, no memory where a condition tells x_T."""

import warnings

import pytest
import torch
from control_toys import ALPHA, LinearInX, gaussian, memoryless
from tensordict import TensorDict

from svlearn.domains.analytic import LinearGaussianChain
from svlearn.objectives import AdjointMatching, StochasticControl
from svlearn.objectives.derivative_free_adjoint import DerivativeFreeAdjointMatching
from svlearn.objectives.fit import fit
from svlearn.objectives.memoryless import measure_memory
from svlearn.policies import Controlled
from svlearn.process import Prediction, Reference
from svlearn.randomness import seeded
from svlearn.transitions import FieldTransition, GaussianTransition


class Shifted(LinearGaussianChain):
    """A chain that starts at its condition, and from nothing else."""

    def initial(self, batch_size, *, condition=None, generator=None):
        if condition is None:
            raise ValueError("condition: expected rows, got None")
        return super().initial(batch_size, generator=generator) + torch.as_tensor(condition)


def shifted(chain):
    parts = (chain.initial_mean, chain.initial_covariance, chain.matrices, chain.offsets, chain.stds)
    return Shifted(*parts, chain.reward)


SHIFTS = torch.tensor([[20.0, 0, 0], [0, -20.0, 0]]).double()


@pytest.mark.parametrize("kind", [AdjointMatching, StochasticControl, DerivativeFreeAdjointMatching])
def test_paths_start_under_the_conditions_and_the_feedback_is_the_best_of_each(kind):
    oracle = shifted(gaussian())
    with pytest.raises(ValueError, match="condition: expected rows, got None"):
        Controlled(oracle, LinearInX(3, 8))
    policy = Controlled(oracle, LinearInX(3, 8), condition=SHIFTS[:1])
    objective = kind(
        oracle, oracle.target(ALPHA), policy, conditions=0.1 * SHIFTS, check_memory=False, learning_rate=2e-2
    )
    batch = objective._trajectories(0, 400, seeded("cpu", 0))
    start = batch["initial"] if kind is StochasticControl else batch["states"][:, 0]
    from_first = (start - oracle.initial_mean - 2 * torch.eye(3)[0]).square().sum(1)
    from_second = (start - oracle.initial_mean + 2 * torch.eye(3)[1]).square().sum(1)
    assert 120 < int((from_first < from_second).sum()) < 280
    assert torch.minimum(from_first, from_second).mean() < 3.5  # N(0, 1) in three dimensions
    if kind is DerivativeFreeAdjointMatching:
        return
    fit(objective, max_steps=250, enable_progress_bar=False)
    best = oracle.best_policy(ALPHA)
    t = 4
    x = oracle.marginals()[0][t] + torch.randn(200, 3, generator=seeded("cpu", 1)).double()
    exact = x @ (best.matrices[t] - oracle.matrices[t]).T + best.offsets[t] - oracle.offsets[t]
    with torch.no_grad():
        learned = oracle.stds[t] ** 2 * policy.control(x, torch.full((200,), t))
    assert (learned - exact).norm() < 0.15 * exact.norm()


class Aimed(Reference):
    """x_T = c + noise whatever x_0 is, c a leaf; forgets x_0 unless it is told to keep it."""

    num_steps = 2

    def __init__(self, kept):
        super().__init__()
        self.kept = kept

    def initial(self, batch_size, *, condition=None, generator=None):
        x = torch.randn(batch_size, 2, generator=generator, dtype=torch.float64)
        return TensorDict({"x": x, "c": torch.as_tensor(condition)}, batch_size=[batch_size])

    def forward(self, x, t, previous=None):
        mean = self.kept * x["x"] + 0.1 * x["c"][:, None]
        return Prediction(FieldTransition({"x": GaussianTransition(mean, 1.0)}, x))


@pytest.mark.parametrize("kept", [0.0, 0.9])
def test_what_a_condition_tells_of_x_t_is_no_memory(kept):
    """All pairs have one condition, whose leaf is the same in both: neither is an explanation by x_0."""
    tests = [measure_memory(Aimed(kept), 64, condition=[70.1], generator=seeded("cpu", k)) for k in range(20)]
    explained = sum(each.explained for each in tests) / 20
    if kept == 0:
        assert abs(explained) < 0.06 and sum(each.p_value < 0.05 for each in tests) <= 4
    else:
        assert explained > 0.15
    with pytest.raises(ValueError, match="condition: expected 1 rows, one for all pairs, got 2"):
        measure_memory(Aimed(kept), 64, condition=[1.0, 2.0])


def test_fit_looks_for_memory_under_a_condition():
    oracle = shifted(memoryless())
    policy = Controlled(oracle, LinearInX(oracle.dim, oracle.num_steps), condition=SHIFTS[:1, : oracle.dim])
    objective = AdjointMatching(oracle, oracle.target(ALPHA), policy, conditions=SHIFTS[:, : oracle.dim])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fit(objective, max_steps=1, enable_progress_bar=False)
