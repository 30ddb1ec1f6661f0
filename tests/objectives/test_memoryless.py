"""The measure of memory against the oracle's mutual information, and its p-value."""

import math

import pytest
import torch
from control_toys import gaussian, memoryless

from svlearn.domains.analytic import LinearGaussianChain, QuadraticReward
from svlearn.objectives.memoryless import log_det_covariance, measure_memory
from svlearn.randomness import seeded


@pytest.mark.parametrize("make_chain", [gaussian, memoryless])
def test_the_information_is_that_of_the_oracle(make_chain):
    oracle = make_chain()
    estimates = torch.tensor([measure_memory(oracle, 64, generator=seeded("cpu", k)).information for k in range(60)])
    exact = oracle.mutual_information()
    error = estimates.std() / math.sqrt(len(estimates))
    assert error < 0.05
    assert abs(estimates.mean() - exact) < 4 * error
    assert exact > 0.3 if make_chain is gaussian else exact.abs() < 1e-12


def test_the_explained_share_is_that_of_the_oracle():
    oracle = gaussian()
    whole, conditional = oracle.marginals()[1][-1].diagonal(), oracle.clean_covariances[0].diagonal()
    estimates = torch.tensor([measure_memory(oracle, 400, generator=seeded("cpu", k)).explained for k in range(20)])
    exact = (1 - conditional / whole).mean()
    assert abs(estimates.mean() - exact) < 4 * estimates.std() / math.sqrt(len(estimates)) + 1 / 400


def test_p_values_of_a_memoryless_reference_are_uniform():
    oracle = memoryless()
    p_values = torch.tensor([measure_memory(oracle, 32, generator=seeded("cpu", k)).p_value for k in range(200)])
    for level in (0.1, 0.5):
        error = math.sqrt(level * (1 - level) / len(p_values))
        assert abs((p_values <= level).double().mean() - level) < 4 * error


def test_the_log_determinant_is_unbiased():
    root = torch.tensor([[2.0, 0.0], [0.5, 0.3]], dtype=torch.float64)
    drawn = torch.randn(2000, 6, 2, generator=seeded("cpu", 0), dtype=torch.float64) @ root.T
    estimates = torch.stack([log_det_covariance(rows, 6) for rows in drawn])
    assert abs(estimates.mean() - 2 * math.log(0.6)) < 4 * estimates.std() / math.sqrt(len(estimates))


def wide(dim, keep):
    """One step, x_T = keep · x_0 + √(1 - keep²) · noise in many dimensions."""
    nothing, reward = torch.zeros(dim), QuadraticReward(torch.zeros(dim, dim), torch.zeros(dim))
    matrices, stds = keep * torch.eye(dim)[None], torch.tensor([math.sqrt(1 - keep**2)])
    return LinearGaussianChain(nothing, 1.0, matrices, nothing[None], stds, reward)


def test_many_dimensions_show_a_memory_that_each_hides():
    memory = measure_memory(wide(200, 0.3), generator=seeded("cpu", 0))
    assert memory.p_value == 0.001
    assert memory.explained == pytest.approx(0.09, abs=4 / math.sqrt(128 * 200))
    forgotten = measure_memory(wide(200, 0.0), generator=seeded("cpu", 0))
    assert forgotten.p_value > 0.01


def test_a_fixed_start_is_memoryless_and_a_map_is_not():
    start = gaussian()
    point = LinearGaussianChain(start.initial_mean, 0.0, start.matrices, start.offsets, start.stds, start.reward)
    assert measure_memory(point, generator=seeded("cpu", 0)).p_value > 0.01
    certain = measure_memory(wide(2, 1.0), generator=seeded("cpu", 0))
    assert certain.information == math.inf and certain.explained == pytest.approx(1.0)
    still = LinearGaussianChain(start.initial_mean, 0.0, start.matrices, start.offsets, 0.0 * start.stds, start.reward)
    nothing = measure_memory(still, generator=seeded("cpu", 0))
    assert (nothing.explained, nothing.p_value) == (0.0, 1.0)
    with pytest.raises(ValueError, match="num_pairs: expected an integer of at least 16, got 3"):
        measure_memory(start, 3)
