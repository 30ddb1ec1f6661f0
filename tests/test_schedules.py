"""The Gaussian steps of a schedule against Gaussian conditioning, and their memory against the linear oracle."""

import math

import pytest
import torch

from svlearn.domains.analytic import (
    GaussianMixture,
    GaussianMixtureDDPM,
    GaussianMixtureDiffusion,
    GaussianReference,
    LinearGaussianChain,
    QuadraticReward,
)
from svlearn.objectives.memoryless import measure_memory
from svlearn.process import predict
from svlearn.randomness import seeded
from svlearn.schedules import NoiseLevels, cosine_schedule, gaussian_steps

EXACT = {"rtol": 1e-12, "atol": 1e-12}
LEVELS = {
    "diffusion": NoiseLevels.from_alpha_bars(cosine_schedule(6)),
    "late": NoiseLevels.from_alpha_bars(cosine_schedule(6, 0.1)),
    "flow": NoiseLevels(torch.linspace(0, 1, 6), torch.linspace(1, 0, 6)),
    "exploding": NoiseLevels(torch.ones(5), torch.tensor([8.0, 4.0, 1.0, 0.3, 0.0])),
    "bridge": GaussianReference.brownian(1, 5, std=2.0).noise_levels(),
}
EACH = pytest.mark.parametrize("levels", LEVELS.values(), ids=LEVELS)


@EACH
def test_the_full_noise_is_the_conditional_of_the_joint_gaussian(levels):
    """Given x_T = 1: x_{t+1} ~ N(a', σ'²) and x_t | x_{t+1} ~ N(κ x_{t+1}, ρ²), so that x_{t+1} | x_t follows."""
    steps = gaussian_steps(levels)
    for t in range(levels.num_steps):
        (a, later), (std, later_std) = levels.scales[t : t + 2], levels.stds[t : t + 2]
        covariance = a / later * later_std**2
        gain = covariance / std**2 if std > 0 else torch.tensor(0.0)
        x = torch.tensor([-1.0, 0.0, 2.5]).double() if std > 0 else torch.zeros(1).double()
        torch.testing.assert_close(steps.kept[t] * x + steps.added[t], later + gain * (x - a), **EXACT)
        torch.testing.assert_close(steps.stds[t] ** 2, later_std**2 - gain * covariance, **EXACT)
        large = gaussian_steps(levels, variance="large")
        rho = std**2 - (a / later) ** 2 * later_std**2 if std > 0 else later_std**2
        torch.testing.assert_close(large.stds[t] ** 2, rho, **EXACT)
        torch.testing.assert_close(torch.stack(large[:2]), torch.stack(steps[:2]))


@EACH
@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_every_eta_keeps_the_levels(levels, eta):
    """With x̂_T = x_T the chain of the steps has x_t ~ N(a_t x_T, σ_t²) at every t (DDIM, lemma 1)."""
    steps = gaussian_steps(levels, eta)
    spread = levels.stds[:-1] ** 2
    torch.testing.assert_close(steps.kept * levels.scales[:-1] + steps.added, levels.scales[1:], **EXACT)
    torch.testing.assert_close(steps.kept**2 * spread + steps.stds**2, levels.stds[1:] ** 2, **EXACT)
    inner = levels.stds[:-1] > 0
    full = gaussian_steps(levels).stds
    torch.testing.assert_close(steps.stds[inner], eta * full[inner], **EXACT)


def test_ddim_by_hand():
    """ā = 1/4, 4/9, 1: σ_0² = 3/4, σ_1² = 5/9; DDIM keeps σ_1/σ_0 and draws nothing."""
    levels = NoiseLevels.from_alpha_bars(torch.tensor([1 / 4, 4 / 9, 1.0], dtype=torch.float64))
    steps = gaussian_steps(levels, eta=0.0)
    kept = math.sqrt(20 / 27)
    torch.testing.assert_close(steps.kept, torch.tensor([kept, 0.0]).double())
    torch.testing.assert_close(steps.added, torch.tensor([2 / 3 - kept / 2, 1.0]).double())
    assert steps.stds.abs().max() == 0
    half = gaussian_steps(levels, eta=0.5)
    drawn = 0.25 * (5 / 9) / (3 / 4) * (1 - 9 / 16)
    torch.testing.assert_close(half.stds[0] ** 2, torch.tensor(drawn).double())
    torch.testing.assert_close(half.kept[0] ** 2, torch.tensor((5 / 9 - drawn) / (3 / 4)).double())


def sampler(eta, start=0.0, num_steps=6, variance="small"):
    """The steps with the exact x̂_T of x_T ~ N(m, 0.5² I), a linear-Gaussian chain in two dimensions."""
    levels, mean, spread = (
        NoiseLevels.from_alpha_bars(cosine_schedule(num_steps, start)),
        torch.tensor([1.0, -0.5]),
        0.25,
    )
    kept, added, stds = gaussian_steps(levels, eta, variance)
    a, noise = levels.scales[:-1], levels.stds[:-1] ** 2
    whole = noise + a**2 * spread
    matrices = (kept + added * spread * a / whole)[:, None, None] * torch.eye(2)
    offsets = (added * noise / whole)[:, None] * mean
    reward = QuadraticReward(0.3 * torch.eye(2), torch.tensor([0.5, 0.2]))
    return LinearGaussianChain(a[0] * mean, whole[0], matrices, offsets, stds, reward)


def test_full_noise_from_zero_is_memoryless_and_less_is_not():
    information = [sampler(eta).mutual_information().item() for eta in (0.2, 0.5, 0.9, 0.99)]
    assert information[0] > information[1] > information[2] > information[3] > 1e-6
    assert sampler(0.0).mutual_information() == math.inf  # a map
    for variance in ("small", "large"):
        assert sampler(1.0, variance=variance).mutual_information().abs() < 1e-14
    assert sampler(1.0, start=0.05).mutual_information() > 1e-3  # x_0 is not pure noise


@pytest.mark.parametrize("variance", ["small", "large"])
def test_without_memory_the_first_value_is_log_z(variance):
    """So a policy that keeps p_0 loses nothing: v_0(x_0)/α = log Z for every x_0."""
    x, t = 3 * torch.randn(5, 2, generator=seeded("cpu", 0), dtype=torch.float64), torch.zeros(5, dtype=torch.long)
    oracle = sampler(1.0, variance=variance)
    torch.testing.assert_close(oracle.soft_value(2.0)(x, t) / 2, oracle.log_normalizer(2.0).expand(5), **EXACT)
    other = sampler(0.5)
    assert (other.soft_value(2.0)(x, t) / 2).std() > 0.1


@pytest.mark.parametrize("eta", [0.4, 0.7, 1.0])
def test_the_measure_of_memory_agrees(eta):
    oracle = sampler(eta)
    tests = [measure_memory(oracle, 500, generator=seeded("cpu", k)) for k in range(20)]
    information = torch.tensor([memory.information for memory in tests])
    error = information.std() / math.sqrt(len(tests))
    assert error < 0.05 and abs(information.mean() - oracle.mutual_information()) < 4 * error
    rejected = sum(memory.p_value <= 0.05 for memory in tests)
    assert rejected <= 5 if eta == 1 else rejected > 10


def line(start=0.0):
    means = torch.tensor([[-1.5], [1.0]])
    mixture = GaussianMixture(torch.tensor([0.4, 0.6]), means, torch.tensor([0.2, 0.5]))
    return GaussianMixtureDiffusion(mixture, cosine_schedule(8, start), QuadraticReward([[0.6]], [0.8]))


def test_the_mixture_forgets_at_full_noise_alone():
    forgets = [GaussianMixtureDDPM(line(), variance) for variance in ("small", "large")]
    for process in forgets:
        apart = torch.tensor([[-3.0], [3.0]], dtype=torch.float64)
        law = predict(process, apart, 0).transition
        torch.testing.assert_close(law.mean[0], law.mean[1], **EXACT)
    keeps = GaussianMixtureDDPM(line(), "small", eta=0.5)
    assert measure_memory(keeps, generator=seeded("cpu", 0)).p_value == 0.001
    assert measure_memory(forgets[1], generator=seeded("cpu", 0)).p_value > 0.01


@pytest.mark.parametrize("name", ["brownian", "ornstein_uhlenbeck"])
def test_the_levels_of_a_gaussian_reference_are_those_of_its_noise(name):
    reference = getattr(GaussianReference, name)(2, 6, std=1.7)
    levels, steps = reference.noise_levels(), gaussian_steps(reference.noise_levels())
    finished = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64)
    for t in range(6):
        now, last = torch.full((2,), t), torch.full((2,), 6)
        noise = torch.randn(2, 2, generator=seeded("cpu", t), dtype=torch.float64)
        drawn = reference.noise(finished, last, now, generator=seeded("cpu", t))
        torch.testing.assert_close(levels.scales[t] * finished + levels.stds[t] * noise, drawn, **EXACT)
        x = finished if levels.stds[t] > 0 else torch.zeros_like(finished)
        prediction = predict(reference, x, t)  # its step is the conditional given x_T, averaged over x_T | x_t
        law, posterior = prediction.transition, prediction.clean_law
        torch.testing.assert_close(steps.kept[t] * x + steps.added[t] * prediction.clean, law.mean, **EXACT)
        torch.testing.assert_close(steps.stds[t] ** 2 + (steps.added[t] * posterior.std) ** 2, law.std**2, **EXACT)


def test_bad_input_is_named():
    one = torch.tensor([0.0, 0.5, 1.0])
    with pytest.raises(ValueError, match=r"scales: expected shape \(T \+ 1,\)"):
        NoiseLevels(torch.ones(1), torch.zeros(1))
    with pytest.raises(ValueError, match=r"stds: expected shape \(3,\), as scales, got \(2,\)"):
        NoiseLevels(one, torch.ones(2))
    for scales in (one - 0.1, torch.tensor([0.5, 0.0, 1.0]), torch.tensor([math.nan, 0.5, 1.0])):
        with pytest.raises(ValueError, match="scales: expected finite numbers above 0"):
            NoiseLevels(scales, 1 - one)
    for stds in (torch.ones(3), torch.tensor([1.0, 0.0, 0.0]), torch.tensor([1.0, -0.5, 0.0])):
        with pytest.raises(ValueError, match="stds: expected finite numbers above 0 before T, 0 at T"):
            NoiseLevels(one, stds)
    with pytest.raises(ValueError, match=r"stds: expected x_t noisier, for its scale, than x_\{t\+1\}"):
        NoiseLevels(torch.ones(4), torch.tensor([1.0, 0.5, 0.7, 0.0]))
    with pytest.raises(ValueError, match=r"alpha_bars: expected numbers in \[0, 1\]"):
        NoiseLevels.from_alpha_bars(2 * one)
    with pytest.raises(ValueError, match=r"eta: expected a number in \[0, 1\], got 1.1"):
        gaussian_steps(LEVELS["flow"], 1.1)
    with pytest.raises(ValueError, match="variance: expected one of large, small, got 'tiny'"):
        gaussian_steps(LEVELS["flow"], variance="tiny")
    with pytest.raises(ValueError, match="eta: expected 1 with the variance 'large', got 0.5"):
        gaussian_steps(LEVELS["flow"], 0.5, "large")
