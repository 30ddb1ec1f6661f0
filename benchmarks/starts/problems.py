"""Two processes whose x_0 decides much: a Gaussian one towards a mixture, exactly known, and the shipped digits."""

import math
from abc import ABC, abstractmethod
from functools import cache

import torch
from torch import Tensor

from svlearn.domains.analytic import GaussianMixture
from svlearn.domains.analytic.gaussian_reference import GaussianReference
from svlearn.domains.images.digits.classifier import classifier
from svlearn.domains.images.digits.pretrained import digits
from svlearn.domains.images.rewards import LogProbability, OnImages
from svlearn.process import Reference
from svlearn.targets import Target

STEPS = 10
CLASSES = 10


class Problem(ABC):
    """num_groups: of each row; piece: states in one call."""

    title: str
    num_groups: int
    piece: int
    reference: Reference
    target: Target

    @abstractmethod
    def conditions(self) -> Tensor | None:
        """Of the groups."""

    @abstractmethod
    def mean_normalizer(self) -> float:
        """E[Ẑ], mean over the groups."""


class Mixture(Problem):
    """x_T = Π scales x_0 + noise, r = log Σ_k w_k N(x_T; m_k, width²) at α = 1, so that p* is a mixture of two modes,
    and Z = Σ_k w_k N(0; m_k, width² + s_T²), s_T² the variance of x_T."""

    title = "mixture of two modes, 8 dimensions"
    num_groups, piece = 20_000, 100_000
    DIM, DISTANCE, WIDTH = 8, 1.5, 0.4

    def __init__(self) -> None:
        scales, stds = torch.full((STEPS,), 0.985), torch.full((STEPS,), 0.055)
        self.reference = GaussianReference(self.DIM, scales, stds, initial_std=1.0)
        self.weights = torch.tensor([0.7, 0.3])
        self.means = torch.zeros(2, self.DIM, dtype=torch.float64)
        self.means[:, 0] = torch.tensor([self.DISTANCE, -self.DISTANCE])
        self.target = Target(GaussianMixture(self.weights, self.means, self.WIDTH**2).log_prob, 1.0)

    def conditions(self) -> None:
        return None

    def mean_normalizer(self) -> float:
        variance = self.WIDTH**2 + float(self.reference.variances[-1])  # type: ignore[arg-type, operator]
        wide = GaussianMixture(self.weights, self.means, variance)
        return math.exp(float(wide.log_prob(torch.zeros(1, self.DIM, dtype=torch.float64))))


class Digits(Problem):
    """DDIM with a little noise, r = log p(class | x_T) of a class that the process is not told, at α = 1: Z is the
    probability of the class under p_ref, so over the ten classes its mean is 1/10."""

    title = "digits, a class"
    num_groups, piece = 2 * CLASSES, 64
    ETA = 0.2

    def __init__(self) -> None:
        process = digits(num_steps=STEPS, reads_class=False, scheduler="DDIMScheduler", eta=self.ETA)
        self.reference = process.to(memory_format=torch.channels_last)
        self.target = Target(OnImages(process, LogProbability(classifier("a"))), 1.0)

    def conditions(self) -> Tensor:
        return torch.arange(CLASSES).repeat_interleave(self.num_groups // CLASSES)

    def mean_normalizer(self) -> float:
        return 1 / CLASSES


PROBLEMS: dict[str, type[Problem]] = {"mixture": Mixture, "digits": Digits}


@cache
def problem(name: str) -> Problem:
    return PROBLEMS[name]()
