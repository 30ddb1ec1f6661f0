"""What a sampler gains over best-of-N at its price, with an interval."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import stats

from svlearn.advising.best_of import best_of
from svlearn.evaluation.summary import Floats, mean, standard_error

CONFIDENCE = 0.9
FEWEST_OTHERS = 5  # draws of another reward than most have, below which their standard error says nothing
FEWEST_BESTS = 4  # plain draws for each of N, below which the error of the best of N says nothing


@dataclass(frozen=True)
class Estimate:
    """A number, its standard error, and the ends of its interval of `CONFIDENCE`."""

    value: float
    error: float
    low: float
    high: float
    degrees: float = math.inf

    @classmethod
    def of_difference(cls, one: tuple[float, float, float], other: tuple[float, float, float]) -> "Estimate":
        """one - other of two independent estimates, each a value, its standard error and how many draws it stands for
        (Welch's interval)."""
        variances = [each[1] ** 2 for each in (one, other)]
        error = math.sqrt(sum(variances))
        shares = [variance**2 / max(1.0, each[2] - 1) for variance, each in zip(variances, (one, other))]
        degrees = sum(variances) ** 2 / sum(shares) if sum(shares) > 0 else math.inf
        value, reach = one[0] - other[0], _quantile((1 + CONFIDENCE) / 2, degrees) * error
        return cls(value, error, value - reach, value + reach, degrees)

    def lower_bound(self, risk: float) -> float:
        """What the number exceeds but for a probability of `risk`."""
        return self.value - _quantile(1 - risk, self.degrees) * self.error

    def as_dict(self) -> Mapping[str, float]:
        return {"value": self.value, "standard_error": self.error, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Baseline:
    """Plain samples: their rewards (m,), reward units, and the price of one. They give the best of n for all n."""

    rewards: Floats
    price: float
    turn: int = 1  # conditions, each in its turn: the best of n is one of n of the same condition
    _known: dict[int, tuple[float, float]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def most(self) -> float:
        """The largest n of which these draws tell the best of n, and its error."""
        return max(1.0, len(self.rewards) // self.turn / FEWEST_BESTS)

    def at(self, price: float) -> tuple[float, float, float]:
        """The best of n = price/price of one (at least one, at most `most`): its mean, its standard error, and how many
        such draws there are. Between whole numbers all are linear, the error then at most too large."""
        number = min(max(1.0, price / self.price), self.most)
        low, share = int(number), number - int(number)
        one, other = self._best_of(low), self._best_of(low + 1) if share > 0 else (0.0, 0.0)
        value, error = ((1 - share) * each + share * rest for each, rest in zip(one, other, strict=True))
        return value, error, len(self.rewards) / number

    def _best_of(self, number: int) -> tuple[float, float]:
        if number not in self._known:
            parts = [best_of(self.rewards[place :: self.turn], number) for place in range(self.turn)]
            values, errors = zip(*parts, strict=True)
            self._known[number] = mean(np.array(values)), math.hypot(*errors) / self.turn
        return self._known[number]

    def gain(self, rewards: Floats, price: float) -> Estimate:
        """E[r] of a sampler, of whose draws these are the rewards (n,), less that of best-of-N at a price."""
        value, error, number = drawn(rewards, self.turn)
        if _others(rewards) < FEWEST_OTHERS:  # their own spread says nothing of what they have not shown
            error = max(error, float(np.std(self.rewards, ddof=1)) / math.sqrt(number))
        estimate = Estimate.of_difference((value, error, number), self.at(price))
        if price > self.most * self.price * (1 + 1e-9):  # best-of-N is above that of `most`, by nobody knows how much
            return replace(estimate, error=math.inf, low=-math.inf)
        return estimate


def drawn(rewards: Floats, turn: int = 1) -> tuple[float, float, float]:
    """The mean of rewards (n,), its standard error, and n."""
    values = np.asarray(rewards, dtype=np.float64)
    error = standard_error(values)
    if 1 < turn < len(values):  # whole turns: each condition has its part, and what they differ by is no noise
        rest = values.reshape(-1, turn)
        error = math.sqrt(float(np.square(rest - rest.mean(axis=0)).sum()) / (len(values) - turn) / len(values))
    return mean(values), error, float(len(values))


def _others(rewards: Floats) -> int:
    """How many draws have another reward than most have."""
    return len(rewards) - int(np.unique(rewards, return_counts=True)[1].max(initial=0))


def _quantile(level: float, degrees: float) -> float:
    return float(stats.t.ppf(level, degrees) if math.isfinite(degrees) else stats.norm.ppf(level))
