"""Selections: who survives among the candidates of a step. Groups never interact."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from svlearn.inference.resampling import Scheme, ess


@dataclass(frozen=True)
class Candidates:
    """B groups of K particles with M candidates each, weighed.

    values (B, K, M): v_{t+1}, or r at T, in reward units; log_increments (B, K, M), nats, float64: what a candidate
    multiplies the weight of its particle by, 0 where nothing is weighed (no target, or alpha = 0); log_weights
    (B, K): the particles' before.
    """

    values: Tensor
    log_increments: Tensor
    log_weights: Tensor
    final: bool


@dataclass(frozen=True)
class Survivors:
    """The kept candidates, their places (B, K') among the K · M of their group, and their log-weights (B, K')."""

    index: Tensor
    log_weights: Tensor
    resampled: Tensor  # (B,) bool


class Selection(ABC):
    """Chooses the survivors of one step."""

    @abstractmethod
    def __call__(self, candidates: Candidates, generator: torch.Generator) -> Survivors:
        """Keep some of the candidates and say what they weigh."""


class Keep(Selection):
    """Nobody is selected; with one candidate a particle this is importance sampling."""

    def __call__(self, candidates: Candidates, generator: torch.Generator) -> Survivors:
        log_weights = candidates.log_weights + candidates.log_increments.squeeze(2)
        return Survivors(_places(log_weights), log_weights, _none(log_weights))


class LocalSampling(Selection):
    """SVDD: each particle keeps one of its own M candidates, with probability ∝ exp(v/α + log p_ref - log q).

    Its weight is multiplied by the mean of the M increments, so that the weight stays unbiased for Z.
    """

    def __call__(self, candidates: Candidates, generator: torch.Generator) -> Survivors:
        increments = candidates.log_increments
        noise = torch.rand(increments.shape, generator=generator, dtype=torch.float64, device=increments.device)
        chosen = (increments - (-noise.log()).log()).argmax(dim=2)  # Gumbel's way to draw from a softmax
        log_weights = candidates.log_weights + increments.logsumexp(dim=2) - math.log(increments.shape[2])
        return Survivors(_own(chosen, increments.shape[2]), log_weights, _none(log_weights))


class LocalGreedy(Selection):
    """SVDD at α = 0: each particle keeps its candidate of the largest value, the first on ties."""

    def __call__(self, candidates: Candidates, generator: torch.Generator) -> Survivors:
        chosen = candidates.values.argmax(dim=2)
        return Survivors(_own(chosen, candidates.values.shape[2]), candidates.log_weights, _none(chosen))


class Global(Selection):
    """SMC: a group whose ESS falls to `threshold` · K is resampled, and its particles then weigh the same.

    threshold 0 never resamples, 1 always does. At T the weighted particles are kept as they are.
    """

    def __init__(self, resample: Scheme, threshold: float):
        self.resample, self.threshold = resample, threshold

    def __call__(self, candidates: Candidates, generator: torch.Generator) -> Survivors:
        log_weights = candidates.log_weights + candidates.log_increments.squeeze(2)
        index = _places(log_weights)
        size = log_weights.shape[1]
        log_sum = log_weights.logsumexp(dim=1, keepdim=True)
        most = self.threshold * size if self.threshold < 1 else math.inf  # no rounding may spare a group at 1
        due = (ess(log_weights) <= most) & (log_sum[:, 0] > -math.inf)
        if candidates.final or size == 1 or not bool(due.any()):
            return Survivors(index, log_weights, _none(log_weights))
        weights = torch.where(due[:, None], (log_weights - log_sum).exp(), 1.0 / size)
        ancestors = self.resample(weights, generator)
        index = torch.where(due[:, None], ancestors, index)
        log_weights = torch.where(due[:, None], log_sum - math.log(size), log_weights)
        return Survivors(index, log_weights, due)


class BestAtEnd(Selection):
    """Best-of-N: all particles run on; at T the one of the largest reward is kept, the first on ties."""

    def __call__(self, candidates: Candidates, generator: torch.Generator) -> Survivors:
        if not candidates.final:
            return Survivors(_places(candidates.log_weights), candidates.log_weights, _none(candidates.values))
        best = candidates.values.squeeze(2).argmax(dim=1, keepdim=True)
        return Survivors(best, torch.zeros_like(candidates.log_weights[:, :1]), _none(candidates.values))


def _places(log_weights: Tensor) -> Tensor:
    return torch.arange(log_weights.shape[1], device=log_weights.device).expand_as(log_weights)


def _own(chosen: Tensor, num_candidates: int) -> Tensor:
    return torch.arange(chosen.shape[1], device=chosen.device) * num_candidates + chosen


def _none(like: Tensor) -> Tensor:
    return torch.zeros(len(like), dtype=torch.bool, device=like.device)
