"""What the trainings come to, over seeds: means with 95 % intervals by round, and which objective ends better."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from benchmarks.common.estimates import interval

Figure = Callable[[dict[str, Any]], float]  # of a round


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
