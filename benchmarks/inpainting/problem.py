"""Inpainting whose posterior is exact: a Gaussian mixture of images of 8 x 8, half of each seen with noise."""

from functools import cache

import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn

import svlearn as sv
from svlearn.domains.analytic.mixture import GaussianMixture
from svlearn.domains.images import DiffusersReference
from svlearn.domains.images.digits.data import part
from svlearn.domains.images.rewards import Inpainting
from svlearn.domains.images.rewards.inverse import inverse_problem

SIDE, COMPONENTS, SPREAD, NOISE = 8, 20, 0.2, 0.4
NUM_STEPS = 100
SEED = 0


@cache
def prior() -> GaussianMixture:
    """Σ_k N(m_k, SPREAD² I)/20 in 64 dimensions; m_k: two real digits of each class, 8 x 8 by means of squares."""
    images, labels = part("train")
    first = torch.cat([(labels == digit).nonzero().flatten()[:2] for digit in range(10)])
    padded = nn.functional.pad(images[first], (2, 2, 2, 2), value=-1.0)
    means = nn.functional.avg_pool2d(padded, 4).flatten(1)
    return GaussianMixture(torch.ones(COMPONENTS), means, SPREAD**2)


class ExactNoise(nn.Module):
    """ε of x_t = √ā x_T + √(1 - ā) ε in expectation given x_t, in closed form: what a perfect network would say."""

    alpha_bars: Tensor
    means: Tensor

    def __init__(self, alpha_bars: Tensor, means: Tensor):
        super().__init__()
        self.register_buffer("alpha_bars", alpha_bars.double())
        self.register_buffer("means", means)
        self.moved = nn.Parameter(torch.zeros((), dtype=torch.float64), requires_grad=False)  # so that it has a dtype

    def forward(self, sample: Tensor, timestep: Tensor) -> Tensor:
        signal = self.alpha_bars[timestep][:, None]
        x, variance = sample.flatten(1), signal * SPREAD**2 + 1 - signal
        offsets = x[:, None] - signal.sqrt()[..., None] * self.means
        weights = (-0.5 * offsets.square().sum(2) / variance).softmax(1)
        given_each = self.means + (signal.sqrt() * SPREAD**2 / variance)[..., None] * offsets
        clean = (weights[..., None] * given_each).sum(1)
        return ((x - signal.sqrt() * clean) / (1 - signal).sqrt()).view_as(sample)


@cache
def process() -> DiffusersReference:
    """Its diffusion by diffusers' DDPM in 100 steps."""
    scheduler = DDPMScheduler(clip_sample=False, beta_schedule="squaredcos_cap_v2")
    network = ExactNoise(scheduler.alphas_cumprod, prior().means)
    return DiffusersReference(network, NUM_STEPS, scheduler=scheduler, shape=(1, SIDE, SIDE))


def mask() -> Tensor:
    """The left half is seen."""
    seen = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    seen[:, : SIDE // 2] = True
    return seen


@cache
def observation() -> Tensor:
    """y of one image of the prior."""
    generator = torch.Generator().manual_seed(SEED)
    clean = prior().sample(1, generator=generator).view(1, 1, SIDE, SIDE)
    seen = Inpainting(mask())(clean)[0]
    return seen + NOISE * torch.randn(seen.shape, generator=generator, dtype=seen.dtype)


@cache
def target() -> sv.Target:
    return inverse_problem(observation(), Inpainting(mask()), NOISE)


@cache
def posterior() -> tuple[GaussianMixture, float]:
    """p(x | y), a mixture, and log p(y) = log Z, nats: each pixel that is seen by itself, given the component."""
    own, seen, y = prior(), mask().flatten(), observation()
    total = SPREAD**2 + NOISE**2
    residuals = y - own.means[:, seen]
    law = torch.distributions.Normal(0.0, total**0.5)
    log_weights = own.log_weights + law.log_prob(residuals).sum(dim=1)
    means, variances = own.means.clone(), torch.full_like(own.means, SPREAD**2)
    means[:, seen] += SPREAD**2 / total * residuals
    variances[:, seen] = SPREAD**2 * NOISE**2 / total
    return GaussianMixture(log_weights.softmax(0), means, variances), log_weights.logsumexp(0).item()
