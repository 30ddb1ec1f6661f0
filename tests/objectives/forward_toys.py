"""A one-dimensional diffusion whose network is the exact denoiser of a Gaussian mixture with trainable parts."""

import functools

import torch
from tensordict import TensorDict
from torch import nn

from svlearn.domains.analytic import GaussianMixture, GaussianMixtureDiffusion
from svlearn.domains.analytic.quadratic import QuadraticReward
from svlearn.objectives import ForwardProcessPolicy
from svlearn.policies import Finetuned
from svlearn.process import Prediction, Reference
from svlearn.schedules import cosine_schedule, gaussian_steps
from svlearn.targets import Target
from svlearn.transitions import FieldTransition, GaussianTransition

T, ALPHA = 5, 0.8
BARS = cosine_schedule(T)
WEIGHTS, MEANS, VARIANCES = (0.5, 0.2, 0.3), (-1.5, 0.4, 1.2), (0.3, 0.1, 0.5)


def law():
    means = torch.tensor(MEANS, dtype=torch.float64)[:, None]
    return GaussianMixture(torch.tensor(WEIGHTS), means, torch.tensor(VARIANCES, dtype=torch.float64))


def reward(slope=0.6, curvature=0.4):
    """slope x - curvature x²/2."""
    return QuadraticReward(torch.tensor([[curvature]]), torch.tensor([slope]))


def oracle(mixture=None, tilt=None):
    return GaussianMixtureDiffusion(law() if mixture is None else mixture, BARS, reward() if tilt is None else tilt)


@functools.cache
def diffusion():
    return oracle()


class MixtureDenoiser(Reference):
    """x̂_T = E[x_T | x_t] of the mixture that its parameters make; the class holds every tilt of it by a quadratic."""

    num_steps = T

    def __init__(self, mixture):
        super().__init__()
        self.log_weights = nn.Parameter(mixture.log_weights.clone())
        self.means = nn.Parameter(mixture.means[:, 0].clone())
        self.log_variances = nn.Parameter(mixture.covariances[:, 0, 0].log())
        self.register_buffer("bars", BARS)
        steps = gaussian_steps(diffusion().noise_levels(), variance="large")
        for name, part in steps._asdict().items():
            self.register_buffer(name, part)

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.randn(batch_size, 1, generator=generator, dtype=torch.float64)

    def forward(self, x, t, previous=None):
        bars, variances = self.bars[t][:, None], self.log_variances.exp()
        spread = bars * variances + 1 - bars
        offsets = x - bars.sqrt() * self.means
        logits = self.log_weights - 0.5 * (offsets**2 / spread + spread.log())
        each = self.means + bars.sqrt() * variances / spread * offsets
        clean = (logits.softmax(dim=1) * each).sum(dim=1, keepdim=True)
        mean = self.kept[t][:, None] * x + self.added[t][:, None] * clean
        return Prediction(GaussianTransition(mean, self.stds[t][:, None]), clean=clean)

    def noise(self, x, t_from, t_to, *, generator=None):
        return diffusion().noise(x, t_from, t_to, generator=generator)

    def noise_levels(self):
        return diffusion().noise_levels()


def denoiser(mixture=None):
    return MixtureDenoiser(law() if mixture is None else mixture).eval()


class OfClass(Reference):
    """x̂_T = w x_t + b[class], of states {"x": (B, 2), "class": (B,)}; x_t = a_t x_T + σ_t ε."""

    num_steps = 3

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.2, 0.6, 0.9], dtype=torch.float64))
        self.shift = nn.Parameter(torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64))
        self.register_buffer("bars", cosine_schedule(3))

    def initial(self, batch_size, *, condition=None, generator=None):
        x = torch.randn(batch_size, 2, generator=generator, dtype=torch.float64)
        return TensorDict({"x": x, "class": condition}, [batch_size])

    def forward(self, x, t, previous=None):
        clean = self.weight[t][:, None] * x["x"] + self.shift[x["class"]][:, None]
        law = GaussianTransition(clean, 0.3)
        return Prediction(FieldTransition({"x": law}, x), clean=x.clone().set("x", clean))

    def noise(self, x, t_from, t_to, *, generator=None):
        kept = (self.bars[t_to] / self.bars[t_from])[:, None]
        drawn = torch.randn(x["x"].shape, generator=generator, dtype=torch.float64)
        return x.clone().set("x", kept.sqrt() * x["x"] + (1 - kept).sqrt() * drawn)


TARGET = Target(reward(), ALPHA)
TILTED = dict(variant="nft", optimality="tilted")
ROUNDS = dict(num_rounds=2, steps_per_round=2)
EVERY = {
    "weighted": {},
    "weighted, rounds": ROUNDS,
    "tilted": TILTED,
    "tilted, rounds": TILTED | ROUNDS,
    "nft": dict(variant="nft"),
    "nft, groups": dict(variant="nft", optimality="group", group_size=4, beta=0.5, decay=0.9),
}


def make(reference=None, policy=None, target=TARGET, **options):
    reference = denoiser() if reference is None else reference
    policy = Finetuned(reference) if policy is None else policy
    return ForwardProcessPolicy(reference, target, policy, **dict(batch_size=16, num_validation=16) | options)
