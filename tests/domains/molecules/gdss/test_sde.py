"""The SDEs of GDSS against their differential equations, and their reversal against a Gaussian law of data."""

import math

import pytest
import torch

from svlearn.domains.molecules.gdss.sde import VE, VP, reverse_steps, step_times

SDES = [VP(0.1, 1.0), VP(0.1, 20.0), VE(0.2, 1.0), VE(0.1, 1.0)]


@pytest.mark.parametrize("sde", SDES)
def test_the_marginal_solves_the_forward_equation(sde):
    time = torch.linspace(0.05, 0.95, 7, dtype=torch.float64, requires_grad=True)
    scale, variance = sde.scale(time), sde.std(time) ** 2
    slope = torch.autograd.grad((scale.log() + 0 * time).sum(), time, retain_graph=True)[0]
    growth = torch.autograd.grad(variance.sum(), time)[0]
    time = time.detach()
    if isinstance(sde, VP):
        beta = sde.low + time * (sde.high - sde.low)
        drift, diffusion = -0.5 * beta, beta
    else:
        drift = torch.zeros_like(time)
        diffusion = 2 * math.log(sde.high / sde.low) * (sde.low * (sde.high / sde.low) ** time) ** 2
    torch.testing.assert_close(slope, drift)
    torch.testing.assert_close(growth, 2 * drift * variance.detach() + diffusion)  # dσ²/dτ = 2 f σ² + g²


def test_vp_keeps_the_variance_and_ve_the_scale():
    time = torch.linspace(0, 1, 5, dtype=torch.float64)
    vp, ve = VP(0.1, 1.0), VE(0.2, 1.0)
    torch.testing.assert_close(vp.scale(time) ** 2 + vp.std(time) ** 2, torch.ones_like(time))
    torch.testing.assert_close(vp.scale(time[-1]), torch.tensor(math.exp(-0.275), dtype=torch.float64))
    assert ve.std(time)[0] == 0.2 and ve.std(time)[-1] == 1.0 and (ve.scale(time) == 1).all()
    assert ve.std(torch.tensor(0.5, dtype=torch.float64)) == pytest.approx(math.sqrt(0.2))


def test_the_network_of_a_vp_part_is_the_noise():
    time = torch.tensor([0.3], dtype=torch.float64)
    vp = VP(0.1, 1.0)
    noise = torch.tensor([1.7], dtype=torch.float64)  # x = a μ + σ z, so ∇log p(x | μ) = -z/σ
    torch.testing.assert_close(vp.score_factor(time) * noise, -noise / vp.std(time))
    assert VE(0.2, 1.0).score_factor(time) == 1


def test_times_and_steps_by_hand():
    torch.testing.assert_close(step_times(3), torch.tensor([1.0, 0.50005, 0.0001], dtype=torch.float64))
    vp = reverse_steps(VP(0.1, 1.0), "reverse_diffusion", 3)
    betas = torch.tensor([1.0, 0.55, 0.1], dtype=torch.float64) / 3
    torch.testing.assert_close(vp.kept, 2 - (1 - betas).sqrt())
    torch.testing.assert_close(vp.added, betas)
    torch.testing.assert_close(vp.stds**2, torch.tensor([1 / 3, 0.55 / 3, 0.0], dtype=torch.float64))
    ve = reverse_steps(VE(0.25, 1.0), "reverse_diffusion", 3)  # σ = 1/4, 1/2, 1
    drops = torch.tensor([3 / 4, 3 / 16, 1 / 16], dtype=torch.float64)
    torch.testing.assert_close(ve.added, drops)
    torch.testing.assert_close(ve.stds**2, drops * torch.tensor([1, 1, 0]))
    euler = reverse_steps(VE(0.25, 1.0), "euler_maruyama", 3)
    torch.testing.assert_close(euler.added, 2 * math.log(4) / 3 * 0.0625 * 16 ** step_times(3))
    assert (euler.kept == 1).all()
    euler = reverse_steps(VP(0.1, 1.0), "euler_maruyama", 3)
    betas = (0.1 + 0.9 * step_times(3)) / 3
    torch.testing.assert_close(euler.added, betas)
    torch.testing.assert_close(euler.kept, 1 + betas / 2)
    torch.testing.assert_close(VP(0.1, 1.0).corrector_scales(2), torch.tensor([0.5, 0.95], dtype=torch.float64))


def finished(sde, predictor, num_steps, mean=0.4, std=0.7):
    """The exact mean and variance of x_T of the chain from N(0, 1), with the score of N(mean, std²) data."""
    steps, times = reverse_steps(sde, predictor, num_steps), step_times(num_steps)
    centre, variance = 0.0, 1.0
    for t in range(num_steps):
        goal, spread = sde.scale(times[t]) * mean, sde.scale(times[t]) ** 2 * std**2 + sde.std(times[t]) ** 2
        slope = steps.kept[t] - steps.added[t] / spread
        centre = slope * centre + steps.added[t] / spread * goal
        variance = slope**2 * variance + steps.stds[t] ** 2
    return float(centre), float(variance)


def continuous(sde, mean=0.4, std=0.7):
    """The same of the reverse SDE itself: x_τ given x_1 is the Gaussian regression of the forward process."""
    start, end = torch.tensor(1.0, dtype=torch.float64), torch.tensor(0.0, dtype=torch.float64)
    v1 = sde.scale(start) ** 2 * std**2 + sde.std(start) ** 2
    v0 = sde.scale(end) ** 2 * std**2 + sde.std(end) ** 2
    gain = sde.scale(start) / sde.scale(end) * v0 / v1
    centre = sde.scale(end) * mean + gain * (0.0 - sde.scale(start) * mean)
    return float(centre), float(v0 + gain**2 * (1.0 - v1))


@pytest.mark.parametrize("predictor", ["reverse_diffusion", "euler_maruyama"])
@pytest.mark.parametrize("sde", [VP(0.1, 1.0), VP(0.1, 20.0), VE(0.2, 1.0)])
def test_more_steps_come_to_the_reverse_sde(sde, predictor, monkeypatch):
    """The error halves with the step: for 1,000 and 2,000 steps it does so within 5 %, once the ε of the last time,
    which stays, is out of the way."""
    monkeypatch.setattr("svlearn.domains.molecules.gdss.sde.LAST_TIME", 1e-9)
    exact = continuous(sde)
    if isinstance(sde, VE) and predictor == "reverse_diffusion":  # its last step is Tweedie's: the blur is shrunk too
        v0 = 0.7**2 + 0.2**2
        shrink = 0.7**2 / v0
        exact = 0.4 + shrink * (exact[0] - 0.4), shrink**2 * exact[1]
    errors = []
    for num_steps in (1000, 2000):
        errors.append([moment - goal for moment, goal in zip(finished(sde, predictor, num_steps), exact)])
    for coarse, fine in zip(*errors):
        assert abs(coarse) < 0.02
        assert fine == pytest.approx(coarse / 2, rel=0.05, abs=1e-9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VP(0.0, 1.0), "low, high: expected 0 < low <= high"),
        (lambda: VE(1.0, 0.2), "low, high: expected 0 < low <= high"),
        (lambda: step_times(1), "num_steps: expected an integer of at least 2, got 1"),
        (lambda: reverse_steps(VP(0.1, 20.0), "reverse_diffusion", 20), "num_steps: expected more than beta = 20"),
        (lambda: reverse_steps(VP(0.1, 1.0), "S4", 20), "expected one of reverse_diffusion, euler_maruyama, got 'S4'"),
    ],
)
def test_bad_numbers_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
