"""What the rows of the study of digits come to."""

import math
from dataclasses import dataclass
from statistics import fmean, stdev

from benchmarks.digits.rows import ROWS, TRAINED

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
    def accuracy(self) -> tuple[float, float]:
        """The share of hits by the judge, and a standard error with one hit and one miss more, never 0."""
        hits, number = sum(self.held["hits"]), len(self.held["hits"])
        share = (hits + 1) / (number + 2)
        return hits / number, math.sqrt(share * (1 - share) / (number + 2))

    @property
    def reward(self) -> tuple[float, float]:
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
