"""What the rows of the study of digits come to."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from benchmarks.common.estimates import Estimate
from benchmarks.digits.problem import ALPHAS
from benchmarks.digits.rows import BY_FLOW, ROWS, TRAINED

NETWORKS = ("reference_calls", "policy_calls", "value_calls")


@dataclass(frozen=True)
class Cell:
    """A row at one alpha; alpha None: it is the same for all."""

    name: str
    alpha: float | None
    held: dict

    @property
    def trained(self) -> bool:
        return ROWS[self.name].needs == TRAINED

    @property
    def by_flow(self) -> bool:
        return self.name.startswith(BY_FLOW)

    @property
    def accuracy(self) -> Estimate:
        """The share of the wanted class by the judge."""
        return share(self.held["hits"])

    @property
    def certain(self) -> Estimate:
        """The share to which the reward's classifier gives the class more than half: at most its own accuracy."""
        return share([reward > math.log(0.5) for reward in self.held["rewards"]])

    @property
    def reward(self) -> Estimate:
        rewards = self.held["rewards"]
        return fmean(rewards), stdev(rewards) / math.sqrt(len(rewards))

    @property
    def diversity(self) -> float:
        """The mean over the classes."""
        return fmean(self.held["diversity"])

    @property
    def calls(self) -> float:
        """Of the reference and of the policy, an image; a gradient is counted beside them."""
        return self.held["per_image"]["reference_calls"] + self.held["per_image"]["policy_calls"]

    @property
    def first(self) -> str:
        return self.held["first"]


def share(hits: Sequence[bool]) -> Estimate:
    """The share of hits, and a standard error with one hit and one miss more, never 0."""
    number = len(hits)
    smooth = (sum(hits) + 1) / (number + 2)
    return sum(hits) / number, math.sqrt(smooth * (1 - smooth) / (number + 2))


def unmeasured(rows: Mapping[str, Any], cells: Sequence[Cell]) -> list[str]:
    """The rows that lack some alphas, with these."""
    absent = []
    for name, row in rows.items():
        held = {cell.alpha for cell in cells if cell.name == name}
        lacking = [f"{alpha:g}" for alpha in ALPHAS if alpha not in held]
        if row.fixed and not held:
            absent.append(name)
        elif not row.fixed and lacking:
            absent.append(f"{name}, alpha = {', '.join(lacking)}")
    return absent


def gather(held: dict) -> list[Cell]:
    """All that is measured, in the order of the rows."""
    cells = []
    for name, row in ROWS.items():
        for key, own in held["cells"].items():
            if key.rpartition("/")[0] == name:
                cells.append(Cell(name, None if row.fixed else float(key.rpartition("/")[2]), own))
    return cells


def nearest(cells: list[Cell], trained: bool) -> Cell | None:
    """The most accurate that needs training, or none; of equals the one of fewest calls."""
    own = [cell for cell in cells if cell.trained == trained]
    return max(own, key=lambda cell: (cell.accuracy[0], -cell.calls)) if own else None
