"""The control network of the sampler benchmarks: where it starts, its gradient, and its scale."""

import math

import pytest
import torch

from svlearn.domains.analytic import Funnel, GaussianReference, many_well
from svlearn.domains.analytic.networks import LangevinControl
from svlearn.objectives import StochasticControl
from svlearn.policies import Controlled
from svlearn.process import predict
from svlearn.randomness import seeded

EXACT = torch.float64


def test_without_detail_it_starts_at_the_reference():
    network = LangevinControl(GaussianReference.brownian(2, 5), many_well(2).log_density, hidden=8).double()
    x = torch.randn(7, 2, dtype=EXACT, generator=seeded("cpu", 0))
    assert not network(x, torch.arange(7) % 5).any()


def test_it_starts_at_the_gain_of_a_gaussian_and_that_is_exact_under_a_wide_reference():
    """π = N(μ, τ²), p_ref(x_T) = N(0, S²): the optimum is ∇ log E[exp r | x_t] = (μ - x)/(R_t + τ²) as S → ∞."""
    mean, detail, reference = 0.7, 0.3, GaussianReference.brownian(1, 4, std=2.0)
    network = LangevinControl(
        reference, lambda x: -0.5 * ((x - mean) / detail).square().sum(dim=1), detail=detail, hidden=8
    ).double()
    x, t = torch.tensor([[0.6], [0.71], [0.9], [0.5]], dtype=EXACT), torch.arange(4)
    left = 4.0 * (1 - t.to(EXACT) / 4)
    torch.testing.assert_close(network(x, t), (mean - x) / (left + detail**2)[:, None], atol=1e-6, rtol=1e-6)


def test_what_is_left_counts_the_scales_of_the_steps_that_follow():
    """x_2 = 3 (2 x_0 + 5 e_0) + 7 e_1: 15² + 7² from t = 0 on, 7² from t = 1 on."""
    reference = GaussianReference(1, torch.tensor([2.0, 3.0]), torch.tensor([5.0, 7.0]))
    network = LangevinControl(reference, many_well(2).log_density)
    assert network.spreads.tolist() == pytest.approx([math.sqrt(15**2 + 49), 7.0])


def test_a_huge_gradient_is_clipped():
    reference = GaussianReference.brownian(10, 4)
    network = LangevinControl(reference, Funnel(10).log_density, detail=0.5).double()
    x = torch.full((1, 10), 50.0, dtype=EXACT)
    x[:, 0] = -20
    assert network(x, torch.tensor([0])).abs().max().item() == pytest.approx(20 * 0.2)  # c_0 = 0.25/1.25, σ_0 = 1


def test_its_derivative_in_x_is_whole_so_that_a_rollout_can_be_differentiated():
    reference = GaussianReference.brownian(2, 3)
    network = LangevinControl(reference, many_well(2).log_density, detail=0.4, hidden=8).double()
    for part in network.parameters():
        part.data.normal_(std=0.3, generator=seeded("cpu", part.numel()))
    x = torch.randn(3, 2, dtype=EXACT, generator=seeded("cpu", 1)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: network(x, torch.tensor([0, 1, 2])), x)
    policy = Controlled(reference, network)
    objective = StochasticControl(reference, many_well(2).target(reference), policy, batch_size=4)
    objective.loss(objective._trajectories(0, 4, seeded("cpu", 2)), seeded("cpu", 3)).backward()
    assert all(part.grad is not None and part.grad.isfinite().all() for part in network.parameters())
    with torch.inference_mode():
        assert predict(policy, x.detach(), 1).transition.mean.isfinite().all()


@pytest.mark.parametrize(("change", "words"), [(dict(layers=0), "layers"), (dict(detail=-1.0), "detail")])
def test_bad_arguments_are_refused_by_name(change, words):
    with pytest.raises(ValueError, match=words):
        LangevinControl(GaussianReference.brownian(2, 3), many_well(2).log_density, **change)


@pytest.mark.parametrize("network_kind", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("state_kind", [torch.float32, torch.float64])
def test_the_control_network_takes_states_of_other_floats(network_kind, state_kind):
    reference = GaussianReference.brownian(2, 3)
    network = LangevinControl(reference, lambda x: -x.square().sum(dim=1), detail=0.5).to(network_kind)
    x, t = torch.randn(4, 2, dtype=state_kind), torch.tensor([0, 1, 2, 0])
    assert network(x, t).dtype == state_kind and network(x, t).isfinite().all()
