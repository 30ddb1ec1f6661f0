"""All short texts of a model under one prompt, so that values, log Z and the target law are exact."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.arguments import integer
from svlearn.domains.language.causal_lm import CausalLM
from svlearn.domains.language.texts import TEXT, expect_texts
from svlearn.process import Prediction, predict
from svlearn.state import State, concatenate
from svlearn.targets import Target
from svlearn.values.value import Value


@dataclass(frozen=True)
class Level:
    """All texts that a process may have reached by one t: states (N,), log p_ref(x_t) (N,), nats, and of which text of
    the level before each comes, (N,)."""

    states: TensorDict
    log_probs: Tensor
    parents: Tensor


class Enumeration:
    """All texts of a `CausalLM` under one prompt, with their exact soft and mean values and the target law.

        v_T = r,   v_t(x_t) = α log Σ p_ref(x_{t+1} | x_t) exp(v_{t+1}(x_{t+1})/α),   v'_t(x_t) = Σ p_ref v'_{t+1}
        log Z = v_0/α,   log p*(x_T) = log p_ref(x_T) + r(x_T)/α - log Z

    levels: at t = 0 ... T; soft_values, mean_values: (N,) float64 for each level, reward units; rewards (N,) at T;
    log_normalizer: log Z, nats; log_target (N,): log p* of the texts at T. A mean value is NaN where a text of reward
    -inf may follow.

    reference: its laws may not change after. target: alpha > 0. condition: one prompt, as `initial` takes it.
    limit: the most texts. batch_size: of the calls.
    Raises ValueError for more texts (it says how many), for α = 0, and where every reward is -inf.
    """

    def __init__(
        self,
        reference: CausalLM,
        target: Target,
        condition: Any = None,
        *,
        limit: int = 1_000_000,
        batch_size: int = 1024,
    ):
        if target.alpha == 0:
            raise ValueError("target: expected alpha > 0, got 0")
        self.reference, self.target = reference, target
        self._limit, self._batch_size = integer(limit, "limit"), integer(batch_size, "batch_size")
        start = expect_texts(reference.initial(1, condition=condition))
        first = Level(start, torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.long))
        self.levels = [first]
        with torch.no_grad():
            for t in range(reference.num_steps):
                self.levels.append(self._after(self.levels[-1], t))
            ends = self.levels[-1].states
            rewards = [target(ends[start:stop]) for start, stop in self._cuts(len(ends))]
        self.rewards = torch.cat([each.double().cpu() for each in rewards])
        self.soft_values = self._backward(soft=True)
        self.mean_values = self._backward(soft=False)
        self.log_normalizer = float(self.soft_values[0]) / target.alpha
        if self.log_normalizer == -math.inf:
            raise ValueError("target: expected a reward above -inf for one text at least, got -inf for all")
        self.log_target = self.levels[-1].log_probs + self.rewards / target.alpha - self.log_normalizer
        self._places = [_keys(level.states) for level in self.levels]

    def places_of(self, x: State, t: int) -> Tensor:
        """Where texts x_t (B,) stand at their level, (B,). Raises ValueError for one that is not there."""
        keys = _keys_of(x)
        unknown = [key for key in keys if key not in self._places[t]]
        if unknown:
            raise ValueError(f"x: expected texts under the prompt that was enumerated, got the tokens {unknown[0]}")
        return torch.tensor([self._places[t][key] for key in keys])

    def log_target_at(self, t: int) -> Tensor:
        """log p*(x_t) of the texts at t, (N,), nats."""
        return self.levels[t].log_probs + self.soft_values[t] / self.target.alpha - self.log_normalizer

    def law_of(self, x: State, weights: Tensor | None = None) -> Tensor:
        """The law (N,) over the texts at T that samples x_T (B,) have, by weights (B,) that sum to 1 (None: alike)."""
        places = self.places_of(x, self.reference.num_steps)
        weights = torch.full((len(places),), 1 / len(places)) if weights is None else weights.cpu()
        return torch.zeros(len(self.rewards), dtype=torch.float64).index_add(0, places, weights.double())

    def total_variation(self, law: Tensor) -> float:
        """Half the summed distance of a law (N,) at T from p*."""
        return float((law - self.log_target.exp()).abs().sum()) / 2

    def value(self, estimand: str = "soft", floor: float | None = None) -> "EnumeratedValue":
        """The exact value as a `Value`; floor: in the place of -inf, where a text can no more be rewarded."""
        return EnumeratedValue(self, estimand, floor)

    def _after(self, level: Level, t: int) -> Level:
        parts = []
        for start, stop in self._cuts(len(level.log_probs)):
            x = level.states[start:stop]
            listed = predict(self.reference, x, t).transition.listed(self._limit)
            rows, places = (listed.log_probs > -math.inf).nonzero(as_tuple=True)
            parts.append((listed.states[rows, places], listed.log_probs[rows, places].cpu(), rows.cpu() + start))
            if sum(len(part[2]) for part in parts) > self._limit:
                raise ValueError(f"limit: expected at most {self._limit} texts, got more at t = {t + 1}")
        parents = torch.cat([part[2] for part in parts])
        log_probs = level.log_probs[parents] + torch.cat([part[1] for part in parts])
        return Level(concatenate([part[0] for part in parts]), log_probs, parents)

    def _backward(self, soft: bool) -> list[Tensor]:
        values = [self.rewards]
        for level, before in zip(self.levels[:0:-1], self.levels[-2::-1], strict=True):
            steps = level.log_probs - before.log_probs[level.parents]
            size = len(before.log_probs)
            if soft:
                values.append(
                    self.target.alpha * _log_sums(steps + values[-1] / self.target.alpha, level.parents, size)
                )
            else:
                terms = steps.exp() * values[-1].where(values[-1] > -math.inf, torch.nan)
                values.append(torch.zeros(size, dtype=torch.float64).index_add(0, level.parents, terms))
        return values[::-1]

    def _cuts(self, size: int) -> list[tuple[int, int]]:
        return [(start, min(start + self._batch_size, size)) for start in range(0, size, self._batch_size)]


class EnumeratedValue(Value):
    """The exact v_t(x_t), or v'_t(x_t), of enumerated texts, (B,) float64."""

    counted = False

    def __init__(self, enumeration: Enumeration, estimand: str, floor: float | None):
        super().__init__()
        if estimand not in ("soft", "mean"):
            raise ValueError(f"estimand: expected soft or mean, got {estimand!r}")
        self._enumeration, self._floor = enumeration, floor
        self._values = enumeration.soft_values if estimand == "soft" else enumeration.mean_values

    def forward(
        self, x: State, t: Tensor, prediction: Prediction | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        values = torch.empty(len(x), dtype=torch.float64)
        for time in t.unique().tolist():
            rows = (t == time).nonzero().flatten().cpu()
            values[rows] = self._values[time][self._enumeration.places_of(x[rows], time)]
        return (values if self._floor is None else values.clamp(min=self._floor)).to(t.device)


def _log_sums(terms: Tensor, groups: Tensor, size: int) -> Tensor:
    """log Σ exp of the terms (N,) of each group, (size,)."""
    most = torch.full((size,), -math.inf, dtype=terms.dtype).scatter_reduce(0, groups, terms, "amax")
    shift = most.where(most > -math.inf, 0.0)
    sums = torch.zeros(size, dtype=terms.dtype).index_add(0, groups, (terms - shift[groups]).exp())
    return shift + sums.log()


def _keys_of(x: State) -> list[tuple[int, ...]]:
    return [tuple(row[: row[-1]]) for row in expect_texts(x)[TEXT].tolist()]


def _keys(x: State) -> dict[tuple[int, ...], int]:
    return {key: place for place, key in enumerate(_keys_of(x))}
