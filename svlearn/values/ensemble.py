"""Several values in one: their average, weighed at each time by how wrong each was."""

import copy
import itertools
from collections.abc import Callable, Sequence
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from svlearn.modes import in_evaluation
from svlearn.process import Prediction, Reference
from svlearn.state import State
from svlearn.values.along_trajectories import along_trajectories, finite_rewards
from svlearn.values.outcomes import has_outcomes
from svlearn.values.value import Value, at_time


class Ensemble(Value):
    """v_t(x_t) = Σ_k w_{t,k} v^k_t(x_t), (B,), reward units: a learned and a posterior-mean value, say.

    errors: of the n values at t = 0 ... T - 1, their mean products E[(v^j - r)(v^k - r)], (T, n, n), square reward
    units, as `Ensemble.fit` measures them; or their mean squares (T, n), as `calibrate` does. The weights are those
    of the least mean squared error among all w >= 0 that sum to 1; from squares alone, errors that know nothing of
    one another, they are the inverse squares (Bates and Granger 1969, "The combination of forecasts").

    The error of an average is that of a mean value, E[r | x_t]: a soft value, which lies above it on purpose, is
    judged too low. A value of weight 0 at t is not called there. Raises ValueError for fewer than two values, errors
    of another shape, and errors that are not finite or below 0.
    """

    weights: Tensor
    known: "list[Value | None] | None" = None  # of a copy by `at_time`: the values there, None for one without weight

    def __init__(self, values: Sequence[Value], errors: Tensor):
        super().__init__()
        if len(values) < 2 or not all(isinstance(value, Value) for value in values):
            raise ValueError(f"values: expected at least two Values, got {[type(value).__name__ for value in values]}")
        errors = torch.as_tensor(errors, dtype=torch.float64)
        errors = torch.diag_embed(errors) if errors.dim() == 2 else errors
        number = len(values)
        if errors.dim() != 3 or errors.shape[1:] != (number, number):
            raise ValueError(f"errors: expected shape (T, {number}) or with products, got {tuple(errors.shape)}")
        if not bool(errors.isfinite().all() and (errors.diagonal(dim1=1, dim2=2) >= 0).all()):
            raise ValueError("errors: expected finite numbers, squares of at least 0, got others")
        self.values = nn.ModuleList(values)
        self.needs_prediction = any(value.needs_prediction for value in values)
        self.needs_generator = any(value.needs_generator for value in values)
        self.register_buffer("weights", least_error_weights(errors))

    @classmethod
    @in_evaluation
    def fit(
        cls,
        values: Sequence[Value],
        reference: Reference,
        trajectories: TensorDict,
        *,
        rewards: Tensor | None = None,
        generator: torch.Generator | None = None,
        max_batch: int | None = None,
    ) -> "Ensemble":
        """The average whose mean squared error on N trajectories is least at every t; no value's own is lower there.

        trajectories: of the reference, that no value was trained on: "states" (N, T + 1, ...) and "rewards" (N,);
        rewards: (N,), in the place of those; -inf is left out. Raises ValueError as `calibrate` does.
        """
        rewards, kept = finite_rewards(reference, trajectories, rewards)
        errors = []
        for _, said in along_trajectories(values, reference, trajectories, generator=generator, max_batch=max_batch):
            gaps = said[:, kept] - rewards[kept]
            errors.append(gaps @ gaps.T / gaps.shape[1])
        return cls(values, torch.stack(errors).cpu()).to(rewards.device)

    def arguments(self) -> dict[str, Any]:
        """What builds another of this kind, for a checkpoint, which holds the weights themselves."""
        return {"values": list(self.values), "errors": torch.ones_like(self.weights)}

    def at_time(self, t: int) -> "Ensemble":
        if self.known is not None:
            return self
        if t >= len(self.weights):
            raise ValueError(f"t: expected 0 to {len(self.weights) - 1}, for which errors were measured, got {t}")
        parts = [at_time(cast(Value, value), t) if some else None for value, some in zip(self.values, used(self)[t])]
        known = copy.copy(self)
        known.known = parts
        return known

    def reads(self, t: int | Tensor) -> bool:
        if not isinstance(t, Tensor) and self.known is None:
            return self.at_time(t).reads(t)
        return any(value is not None and value.reads(t) for value in self._parts(t))

    def defines(self, method: str) -> bool:
        if method != "of_outcomes":
            return super().defines(method)
        parts = cast(list[Value | None], self.values) if self.known is None else self.known
        return all(value is None or has_outcomes(value) for value in parts)

    def forward(
        self,
        x: State,
        t: Tensor,
        prediction: Prediction | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        def call(value: Value) -> Tensor:
            randomness = {"generator": generator} if value.needs_generator else {}
            return value(x, t, prediction if value.reads(t) else None, **randomness)

        return self._sum(t, call)

    def of_outcomes(self, x: State, t: Tensor, prediction: Prediction) -> Tensor:
        return self._sum(t + 1, lambda value: value.of_outcomes(x, t, prediction))

    def _sum(self, t: Tensor, call: Callable[[Value], Tensor]) -> Tensor:
        """Σ_k w_{t,k} call(v^k), (B, ...), of the values that have a weight at any of the t (B,)."""
        weights, total = self.weights[t], None
        for value, weight in zip(self._parts(t), weights.T, strict=True):
            if value is not None:
                said = call(value)
                part = weight.view(-1, *[1] * (said.dim() - 1)) * said
                total = part if total is None else total + part
        return torch.zeros_like(weights[:, 0]) if total is None else total

    def _parts(self, t: int | Tensor) -> list[Value | None]:
        """The values, None in the place of one that has no weight at any of the t (B,)."""
        if self.known is not None:
            return self.known
        some = (self.weights[t].view(-1, len(self.values)) > 0).any(dim=0).tolist()
        return [cast(Value, value) if used else None for value, used in zip(self.values, some, strict=True)]


def least_error_weights(errors: Tensor) -> Tensor:
    """argmin w'Ew over w >= 0, Σw = 1, (T, n), of mean products of errors E (T, n, n).

    The minimum has no negative weight, so it is E⁻¹1/(1'E⁻¹1) on the values that it uses: all 2^n - 1 sets of them
    are tried, the small ones first, and a larger one must be better.
    """
    number = errors.shape[1]
    best, least = torch.zeros_like(errors[:, 0]), torch.full_like(errors[:, 0, 0], torch.inf)
    for size in range(1, number + 1):
        for used in itertools.combinations(range(number), size):
            some = errors[:, used][:, :, used]
            shares = torch.ones_like(some[:, 0]) if size == 1 else torch.linalg.pinv(some, hermitian=True).sum(dim=2)
            weights = torch.zeros_like(best)
            weights[:, used] = shares / shares.sum(dim=1, keepdim=True)
            error = torch.einsum("tj,tjk,tk->t", weights, errors, weights)
            better = (weights >= 0).all(dim=1) & (error < least)  # NaN is neither
            best, least = torch.where(better[:, None], weights, best), torch.where(better, error, least)
    return best


_used: WeakKeyDictionary[nn.Module, tuple[Tensor, int, list[list[bool]]]] = WeakKeyDictionary()


def used(ensemble: Ensemble) -> list[list[bool]]:
    """Which of the n values have a weight at t = 0 ... T - 1; read back once, and anew where the weights have moved or
    were written to."""
    weights = ensemble.weights
    version = -1 if weights.is_inference() else weights._version
    if ensemble not in _used or _used[ensemble][0] is not weights or _used[ensemble][1] != version or version < 0:
        _used[ensemble] = weights, version, (weights > 0).tolist()
    return _used[ensemble][2]
