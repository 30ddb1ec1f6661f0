"""What the loop holds between two steps: candidates that were drawn, and the particles that were kept."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from svlearn.inference.log_weights import LogWeights
from svlearn.process import Prediction
from svlearn.state import State, concatenate, device_of_state, take


@dataclass(frozen=True)
class Draws:
    """Candidates that nobody has weighed yet, flat over groups and particles (N = B · K · M).

    x (N, ...); log_ratio (N,), log p_ref - log q, None where q is p_ref; of the particles that they come from:
    log_twists (B · K,), nats, float64, weights (B, K), and exponents λ (B,), float64; previous: the reference's
    prediction of these, None where nobody reads its cache, nor its `clean`; parents (N,): the row of `previous` that
    each comes from, None where it is each one's own; values (N,): v_t of each that is known, NaN elsewhere, None where
    none is; finished (N,): those that come of finished particles, None where none does.
    """

    x: State
    log_ratio: Tensor | None
    log_twists: Tensor
    weights: LogWeights
    exponents: Tensor
    previous: Prediction | None = None
    parents: Tensor | None = None
    values: Tensor | None = None
    finished: Tensor | None = None

    @classmethod
    def start(
        cls, x: State, batch_size: int, size: int, log_ratio: Tensor | None = None, values: Tensor | None = None
    ) -> "Draws":
        """States (B · K · M, ...) that come from nowhere: all log-weights and log-twists before them are 0."""
        nothing = torch.zeros((batch_size, size), dtype=torch.float64, device=device_of_state(x))
        weights, exponents = LogWeights(nothing), nothing.new_zeros(batch_size)
        return cls(x, log_ratio, nothing.flatten(), weights, exponents, values=values)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(B, K, M)."""
        batch_size, size = self.weights.shape
        return batch_size, size, self.x.shape[0] // (batch_size * size)

    def of(self, groups: slice) -> "Draws":
        """Those of these groups."""
        _, size, copies = self.shape
        particles = slice(groups.start * size, groups.stop * size)
        cut = slice(particles.start * copies, particles.stop * copies)
        before = self.log_twists[particles], self.weights[groups], self.exponents[groups]
        parents, values, finished = (take(each, cut) for each in (self.parents, self.values, self.finished))
        return Draws(take(self.x, cut), take(self.log_ratio, cut), *before, self.previous, parents, values, finished)


@dataclass(frozen=True)
class Particles:
    """The kept states of a step, flat over groups (N = B · K).

    x (N, ...); prediction, the reference's of those that are not finished, None at T and where all are; log_twists
    (N,), λ_t v_t/α, nats, float64; weights (B, K) and exponents λ_t (B,), float64; rewards (N,), r(x_T) at T, None
    before and without a target; finished (N,) bool, and values (N,), v_t: None at T and where no reference says so.
    """

    x: State
    prediction: Prediction | None
    log_twists: Tensor
    weights: LogWeights
    exponents: Tensor
    rewards: Tensor | None = None
    finished: Tensor | None = None
    values: Tensor | None = None

    @property
    def log_weights(self) -> Tensor:
        return self.weights.read()

    @classmethod
    def cat(cls, parts: Sequence["Particles"]) -> "Particles":
        return cls(*_joined(cls, parts))


@dataclass(frozen=True)
class Step:
    """What happened in a step: log_increments (B, K, M) of its candidates, nats, float64; which groups were resampled
    (B,), None where none was; the places (B, K) that the kept particles had a step before; and the candidates' values
    (B, K, M), v_t or r at T, reward units."""

    log_increments: Tensor
    resampled: Tensor | None
    ancestors: Tensor
    values: Tensor

    @classmethod
    def cat(cls, parts: Sequence["Step"]) -> "Step":
        return cls(*_joined(cls, parts))


def _joined(kind: Any, parts: Sequence[Any]) -> list[Any]:
    columns = [[getattr(part, each.name) for part in parts] for each in fields(kind)]
    there = [[part for part in column if part is not None] for column in columns]
    return [concatenate(column) if column else None for column in there]
