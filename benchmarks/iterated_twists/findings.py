"""What the trainings come to, over seeds: means with 95 % intervals by round, and which objective ends better."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from scipy import stats

Figure = Callable[[dict[str, Any]], float]  # of a round
LEVEL = 0.05  # of the tests


@dataclass(frozen=True)
class Runs:
    """The trainings of one method on one problem, one a seed."""

    problem: str
    method: str
    held: Sequence[dict[str, Any]]

    def last(self, figure: Figure) -> list[float]:
        """Of each training after its last round."""
        return [figure(run["rounds"][-1]) for run in self.held]

    def by_round(self, figure: Figure) -> list[tuple[float, float]]:
        """The mean over seeds, and half the width of its 95 % interval, from before the first round on."""
        return [interval([figure(each) for each in rounds]) for rounds in zip(*(run["rounds"] for run in self.held))]

    def spent(self, name: str) -> float:
        """Of a training, mean over seeds."""
        return fmean(run["spent"][name] for run in self.held)


def log_z_error(found: dict[str, Any]) -> float:
    return found["log_z_error"]


def r2_under(law: str) -> Figure:
    return lambda found: found["r2"][law]


def gather(results: dict[str, Any], problem: str, methods: Sequence[str]) -> dict[str, Runs]:
    """What is measured of a problem, by method."""
    held = {
        method: [run for key, run in results["runs"].items() if key.rpartition("/")[0] == f"{problem}/{method}"]
        for method in methods
    }
    return {method: Runs(problem, method, runs) for method, runs in held.items() if runs}


def interval(numbers: Sequence[float]) -> tuple[float, float]:
    """The mean, and half the width of its 95 % interval by Student's t; 0 of a single number."""
    if len(numbers) < 2:
        return fmean(numbers), 0.0
    return fmean(numbers), float(stats.t.ppf(0.975, len(numbers) - 1)) * stdev(numbers) / math.sqrt(len(numbers))


def compared(one: Sequence[float], other: Sequence[float]) -> int:
    """-1 where the first are lower, 1 where they are higher, 0 where Welch's test does not tell them apart at 5 %."""
    if min(len(one), len(other)) < 2 or stats.ttest_ind(one, other, equal_var=False).pvalue >= LEVEL:
        return 0
    return -1 if fmean(one) < fmean(other) else 1
