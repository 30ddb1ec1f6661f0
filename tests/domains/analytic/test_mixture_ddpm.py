"""The DDPM steps of the mixture's diffusion: the mean of the exact step, and a law that tends to the mixture."""

import math

import pytest
import torch
from mixture_toys import AXIS, CELL, EXACT, line, plane

from svlearn.domains.analytic.gaussian_mixture import GaussianMixtureDiffusion
from svlearn.domains.analytic.mixture_ddpm import GaussianMixtureDDPM
from svlearn.inference.samplers import ancestral
from svlearn.process import predict
from svlearn.randomness import seeded
from svlearn.rollouts import roll_back


def test_the_ddpm_step_has_the_mean_of_the_exact_one():
    diffusion, x = plane(), torch.randn(6, 2, generator=seeded("cpu", 11), dtype=torch.float64)
    for t in range(diffusion.num_steps):
        exact = predict(diffusion, x, t)
        stds = []
        for name in ("small", "large"):
            ddpm = predict(GaussianMixtureDDPM(diffusion, name), x, t)
            torch.testing.assert_close(ddpm.transition.mean, exact.transition.mean, **EXACT)
            torch.testing.assert_close(ddpm.clean, exact.clean)
            stds.append(ddpm.transition.std)
        now, later = diffusion.alpha_bars[t], diffusion.alpha_bars[t + 1]
        torch.testing.assert_close(stds[1] ** 2, (1 - now / later).expand(6, 1))
        torch.testing.assert_close(stds[0] ** 2, stds[1] ** 2 * (1 - later) / (1 - now))
        assert (stds[0] ** 2 <= exact.transition.variance).all()  # given x_T the step is narrower than without it


def ddpm_error(num_steps, variance):
    """The total variation between the mixture and the law of x_T under DDPM's steps, carried over a grid."""
    diffusion = line(start=0.0, num_steps=num_steps)
    process, grid = GaussianMixtureDDPM(diffusion, variance), AXIS[::6]
    width = 6 * CELL
    law = diffusion.marginal(0).log_prob(grid).exp()
    for t in range(num_steps - (variance == "small")):
        step = predict(process, grid, t).transition
        law = width * law @ torch.distributions.Normal(step.mean, step.std).log_prob(grid.T).exp()
    if variance == "small":  # the last step is a Dirac at E[x_T | x_T-1]: push the cumulated law through it
        moved = predict(process, grid, num_steps - 1).transition.mean[:, 0]
        law = law / torch.gradient(moved, spacing=width)[0]
        exact = diffusion.mixture.log_prob(moved[:, None]).exp()
        return 0.5 * torch.trapezoid((law - exact).abs(), moved).item()
    return 0.5 * width * (law - diffusion.mixture.log_prob(grid).exp()).abs().sum().item()


@pytest.mark.parametrize("variance", ["large", "small"])
def test_the_law_of_ddpm_tends_to_the_mixture_with_the_number_of_steps(variance):
    few, more, many = (ddpm_error(number, variance) for number in (10, 20, 40))
    assert 0.002 < many < 0.05
    assert few > 1.6 * more and more > 1.6 * many


def test_ddpm_is_a_reference_and_the_toy_keeps_its_modes():
    process = GaussianMixtureDDPM(GaussianMixtureDiffusion.rtb_toy())
    samples = ancestral(process, process.target(1.0)).sample(1000, generator=seeded("cpu", 12))
    x = samples.states[:, 0]
    distance = torch.cdist(x, process.diffusion.mixture.means)
    shares = torch.bincount(distance.argmin(1), minlength=25) / 1000
    assert ((shares - 0.04).abs() < 4.5 * math.sqrt(0.04 * 0.96 / 1000)).all()
    assert (distance.amin(1) < 4 * math.sqrt(0.3)).double().mean() > 0.98
    back = roll_back(process, x[:100], generator=seeded("cpu", 13))["states"]
    assert back.shape == (100, 101, 2)
