"""What an advice may spend, in seconds or in calls, and what a cost comes to in that unit."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from svlearn.arguments import expect, is_number, real
from svlearn.metering import KINDS, Cost

UNITS = ("seconds", "calls")
SUFFIXES = {"s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "m": 60.0, "min": 60.0, "minutes": 60.0, "h": 3600.0}
FORM = "seconds (600), a text as '600s', '10m', '2h' or '2e5 calls', or a Budget"


@dataclass(frozen=True)
class Budget:
    """So many seconds of this machine, or so many calls; above 0.

    With a budget in seconds the clock decides how many samples a pilot has, and an advice differs from run to run. With
    one in calls the same seed gives the same advice. Raises ValueError for another unit and for an amount that is not
    above 0.
    """

    amount: float
    unit: str = "seconds"

    def __post_init__(self) -> None:
        object.__setattr__(self, "amount", real(self.amount, "budget", above=0))
        if self.unit not in UNITS:
            raise ValueError(f"unit: expected one of {', '.join(UNITS)}, got {self.unit!r}")

    @classmethod
    def of(cls, budget: Any) -> "Budget":
        """A budget as a caller writes it: see `FORM`. Raises ValueError and TypeError for what is none."""
        if isinstance(budget, cls):
            return budget
        if is_number(budget):
            return cls(float(budget))
        if not isinstance(budget, str):
            raise TypeError(f"budget: expected {FORM}, got {type(budget).__name__}")
        parts = re.fullmatch(r"\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*([a-z]*)\s*", budget.lower())
        try:
            amount, unit = float(parts[1]), parts[2]  # type: ignore[index]
        except (TypeError, ValueError):
            raise ValueError(f"budget: expected {FORM}, got {budget!r}") from None
        if unit in ("call", "calls"):
            return cls(amount, "calls")
        if unit not in SUFFIXES and unit:
            raise ValueError(f"budget: expected {FORM}, got {budget!r}")
        return cls(amount * SUFFIXES.get(unit, 1.0))

    def written(self, amount: float | None = None) -> str:
        """An amount, this one where it is None, with its unit: "600 s", "200000 calls"."""
        amount = self.amount if amount is None else amount
        return f"{amount:.3g} s" if self.unit == "seconds" else f"{amount:.0f} calls"


@dataclass(frozen=True)
class Prices:
    """What a call of each kind (of `metering.KINDS`, per state) costs in a unit.

    In seconds the clock measures, and `per_call` is what comes on top of it, 0 by default: of a reward that is paid by
    the call, or that another machine computes. In calls each is one, but those of a value's own network, which are 0.
    Raises ValueError for an unknown kind, for a price below 0, and in calls for a plain sample, which is calls of the
    reference and one of the reward, that costs nothing.
    """

    unit: str
    per_call: Mapping[str, float]

    @classmethod
    def of(cls, unit: str, prices: Mapping[str, float] | None = None) -> "Prices":
        """Those of a unit, with what a caller says of some kinds in their place."""
        known = {kind: float(unit == "calls" and kind != "value_calls") for kind in KINDS}
        for kind, price in ({} if prices is None else expect(prices, Mapping, "prices")).items():
            if kind not in known:
                raise ValueError(f"prices: expected some of {', '.join(KINDS)}, got {kind!r}")
            known[kind] = real(price, f"prices[{kind!r}]", least=0)
        if unit == "calls" and not known["reference_calls"] + known["reward_calls"] > 0:
            raise ValueError(
                "prices: expected one above 0 of reference_calls and reward_calls, which are all that a plain sample "
                "costs in a budget of calls, got 0 for both"
            )
        return cls(unit, known)

    def price(self, cost: Cost) -> float:
        """What a cost comes to."""
        clock = cost.seconds if self.unit == "seconds" else 0.0
        return clock + sum(price * getattr(cost, kind) for kind, price in self.per_call.items())

    def of_calls(self, calls: Mapping[str, float], seconds: Mapping[str, float]) -> float:
        """What so many calls by kind would come to, of which each takes so many seconds; a kind that nobody has timed
        takes none."""
        rates = seconds if self.unit == "seconds" else {}
        return sum(number * (self.per_call[kind] + rates.get(kind, 0.0)) for kind, number in calls.items())
