"""Selections: who survives among the candidates of a step. Groups never interact."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor

from svlearn.inference.indices import count_up
from svlearn.inference.log_weights import LogWeights
from svlearn.inference.resampling import Scheme, effective_size, multinomial
from svlearn.randomness import uniform
from svlearn.state import State


@dataclass(frozen=True)
class Candidates:
    """B groups of K particles with M candidates each, weighed.

    values (B, K, M): v_t, or r at T, in reward units; log_increments (B, K, M), nats, float64: what a candidate
    multiplies the weight of its particle by, 0 where nothing is weighed (no target, or alpha = 0); weights and
    log_weights (B, K): the particles' before; log_twists (B, K, M), λ_t v_t/α, nats, and exponents λ_t (B,), float64;
    t: their time; final: whether that is T.
    retained: the first candidate of the first particle of every group is a given one, and must survive in its place.
    x (B · K · M, ...): their states, for a selection that looks at them; finished (B · K · M,): which are finished
    before T, None where no reference says so.
    """

    values: Tensor
    log_increments: Tensor
    weights: LogWeights
    log_twists: Tensor
    exponents: Tensor
    t: int
    final: bool
    retained: bool = False
    x: State | None = None
    finished: Tensor | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(B, K, M)."""
        batch_size, size, copies = self.values.shape
        return batch_size, size, copies

    @property
    def log_weights(self) -> Tensor:
        return self.weights.read()


@dataclass(frozen=True)
class Survivors:
    """The kept candidates: their places (B, K') among the K · M of their group, None where all stay as they are; their
    log-weights (B, K'), None for those before times the mean over the candidates of each particle, which then wait to
    be read; and which groups were resampled (B,) bool, None where none was."""

    index: Tensor | None
    log_weights: Tensor | None = None
    resampled: Tensor | None = None

    def weights(self, candidates: Candidates) -> LogWeights:
        """Their log-weights (B, K'), of those chosen among these candidates."""
        if self.log_weights is None:
            return candidates.weights.times_mean(candidates.log_increments)
        return LogWeights(self.log_weights)


class Selection(ABC):
    """Chooses the survivors of one step. A subclass writes `__call__`, and `noise` where it draws."""

    def noise(self, shape: tuple[int, int, int], generator: torch.Generator) -> Tensor:
        """The uniform numbers (B, ...), float64, that the step's selection needs, for groups (B, K, M).

        They are drawn for all groups before these are cut to `max_batch`, so that the cut does not change them.
        """
        return torch.empty(shape[0], 0, dtype=torch.float64, device=generator.device)

    @abstractmethod
    def __call__(self, candidates: Candidates, noise: Tensor) -> Survivors:
        """Keep some of the candidates and say what they weigh."""

    def conditional(self) -> "Selection":
        """The selection to use where a given trajectory is retained; ValueError where there is none."""
        raise ValueError(f"selection: {type(self).__name__} cannot retain a given trajectory; smc and svdd can")


class Keep(Selection):
    """Nobody is selected; with one candidate a particle this is importance sampling."""

    def __call__(self, candidates: Candidates, noise: Tensor) -> Survivors:
        return Survivors(None)

    def conditional(self) -> "Keep":
        return self


class LocalSampling(Selection):
    """SVDD: each particle keeps one of its own M candidates, with probability ∝ exp(v/α + log p_ref - log q).

    Its weight is multiplied by the mean of the M increments, so that the weight stays unbiased for Z.
    """

    def noise(self, shape: tuple[int, int, int], generator: torch.Generator) -> Tensor:
        return uniform(shape, generator, generator.device)

    def __call__(self, candidates: Candidates, noise: Tensor) -> Survivors:
        increments = candidates.log_increments
        chosen = (increments - noise.log().neg_().log_()).argmax(dim=2)  # Gumbel's way to draw from a softmax
        if candidates.retained:
            chosen[:, 0] = 0
        return Survivors(_own(chosen, increments.shape[2]))

    def conditional(self) -> "LocalSampling":
        return self


class LocalGreedy(Selection):
    """SVDD at α = 0: each particle keeps its candidate of the largest value, the first on ties."""

    def __call__(self, candidates: Candidates, noise: Tensor) -> Survivors:
        chosen = candidates.values.argmax(dim=2)
        return Survivors(_own(chosen, candidates.values.shape[2]), candidates.log_weights)


class Global(Selection):
    """SMC: a group whose ESS falls to `threshold` · K is resampled, and what was drawn then weighs the same.

    threshold 0 never resamples, 1 always does. At T the weighted particles are kept as they are.
    window: only at start <= t < stop. by_value: the particles are sorted by their value before, so that neighbours
    are alike and a scheme with strata draws few of each kind too many. share: only this share of a group, half of it
    the heaviest and half the lightest particles, is drawn anew and then shares its own weight; the rest keep theirs.
    """

    def __init__(
        self,
        resample: Scheme,
        threshold: float,
        *,
        window: tuple[int, int] | None = None,
        by_value: bool = False,
        share: float = 1.0,
    ):
        self.resample, self.threshold = resample, threshold
        self.window, self.by_value, self.share = window, by_value, share

    def noise(self, shape: tuple[int, int, int], generator: torch.Generator) -> Tensor:
        return uniform(shape[:2], generator, generator.device)

    def __call__(self, candidates: Candidates, noise: Tensor) -> Survivors:
        log_weights = candidates.log_weights + candidates.log_increments.squeeze(2)
        if not self._open(candidates):
            return Survivors(None, log_weights)
        weights = log_weights.softmax(dim=1)
        due = self._due(weights)
        number = int(due.sum()) if due.device.type == "cpu" else -1  # elsewhere nobody waits for it
        if number == 0:
            return Survivors(None, log_weights, due)
        drawn = self._drawn(log_weights, candidates.values.squeeze(2))
        part = log_weights
        if drawn is not None:
            part = log_weights.gather(1, drawn)
            weights = part.softmax(dim=1)
        index = self.resample(weights, noise[:, : part.shape[1]])
        shared = _log_mean(part, weights).expand_as(part)
        if drawn is not None:
            index, shared = drawn.gather(1, index), log_weights.scatter(1, drawn, shared)
            index = _places(log_weights).scatter(1, drawn, index)
        if candidates.retained:
            index[:, 0] = 0
        if number < len(due):  # of the dead, who are not due, what was drawn is as meaningless as their weights
            some = due[:, None]
            index, shared = torch.where(some, index, _places(log_weights)), torch.where(some, shared, log_weights)
        return Survivors(index, shared, due)

    def conditional(self) -> "Global":
        """Independent draws: the others' ancestors then do not depend on the place of the one retained."""
        return Global(multinomial, self.threshold, window=self.window)

    def _open(self, candidates: Candidates) -> bool:
        """Whether groups may be resampled at this time."""
        start, stop = (0, math.inf) if self.window is None else self.window
        return not candidates.final and candidates.shape[1] > 1 and start <= candidates.t < stop

    def _due(self, weights: Tensor) -> Tensor:
        """Which groups are to be resampled, (B,), by their normalised weights (B, K), NaN of a dead group."""
        effective = effective_size(weights)  # NaN of a dead group, which nothing can wake: no comparison holds
        return effective <= (self.threshold * weights.shape[1] if self.threshold < 1 else math.inf)  # 1 spares nobody

    def _drawn(self, log_weights: Tensor, values: Tensor) -> Tensor | None:
        """The places (B, n) that are drawn anew, in the order in which the scheme sees them; None: all, as they are."""
        size = log_weights.shape[1]
        if self.share == 1 and not self.by_value:
            return None
        number = max(2, round(self.share * size))
        drawn = _places(log_weights)
        if number < size:
            heaviest = log_weights.argsort(dim=1, descending=True, stable=True)
            drawn = torch.cat([heaviest[:, : (number + 1) // 2], heaviest[:, size - number // 2 :]], dim=1)
        if self.by_value:
            drawn = drawn.gather(1, values.gather(1, drawn).argsort(dim=1, stable=True))
        return drawn


class Nested(Selection):
    """Each particle keeps one of its own M candidates; then the group is resampled as in SMC.

    The weight of a particle is the mean of its M increments, so the group stays unbiased for Z: importance sampling
    whose proposal is itself one of importance sampling (nested SMC, arXiv 1502.02536).
    """

    def __init__(self, local: LocalSampling, between: Global):
        self.local, self.between = local, between

    def noise(self, shape: tuple[int, int, int], generator: torch.Generator) -> Tensor:
        own = self.local.noise(shape, generator)
        return torch.cat([own, self.between.noise(shape, generator)[:, :, None]], dim=2)

    def __call__(self, candidates: Candidates, noise: Tensor) -> Survivors:
        own = self.local(candidates, noise[:, :, :-1])
        chosen = cast(Tensor, own.index)
        values = candidates.values.flatten(1).gather(1, chosen)[:, :, None]
        before = torch.zeros_like(values, dtype=torch.float64)
        kept = replace(candidates, values=values, log_increments=before, weights=own.weights(candidates))
        among = self.between(kept, noise[:, :, -1])
        index = chosen if among.index is None else chosen.gather(1, among.index)
        return Survivors(index, among.log_weights, among.resampled)

    def conditional(self) -> "Nested":
        return Nested(self.local, self.between.conditional())


class BestAtEnd(Selection):
    """Best-of-N: all particles run on; at T the one of the largest reward is kept, the first on ties."""

    def __call__(self, candidates: Candidates, noise: Tensor) -> Survivors:
        if not candidates.final:
            return Survivors(None, candidates.log_weights)
        best = candidates.values.squeeze(2).argmax(dim=1, keepdim=True)
        return Survivors(best, torch.zeros_like(candidates.log_weights[:, :1]))


def _log_mean(log_weights: Tensor, weights: Tensor) -> Tensor:
    """log (1/K) Σ w, (B, 1), from log w (B, K) and its softmax: the largest tells, sooner than a logsumexp."""
    largest, share = (each.amax(dim=1, keepdim=True) for each in (log_weights, weights))
    return largest - (share * log_weights.shape[1]).log()


def _places(log_weights: Tensor) -> Tensor:
    return count_up(log_weights.shape[1], log_weights.device).expand_as(log_weights)


def _own(chosen: Tensor, num_candidates: int) -> Tensor:
    """The places (B, K) in the group of the candidates (B, K) that each particle chose among its own."""
    if chosen.shape[1] == 1:
        return chosen
    return count_up(chosen.shape[1], chosen.device) * num_candidates + chosen
