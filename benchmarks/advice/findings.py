"""What came out: the advised samplers of each problem and budget beside the best row of the search."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from benchmarks.advice.hand_picked import Search, searched
from benchmarks.advice.problems import PROBLEMS, Problem
from benchmarks.common.estimates import Estimate, apart, gap

TENTH = 0.1


@dataclass(frozen=True)
class Verdict:
    """The advices of a problem at one budget, one a seed, and the search that they are held against."""

    problem: Problem
    budget: int
    runs: Sequence[dict[str, Any]]
    search: Search

    @property
    def rewards(self) -> list[float]:
        """Of the advised sampler of each seed, on samples that its advice has not seen."""
        return [run["judged"]["reward"] for run in self.runs]

    @property
    def reward(self) -> Estimate:
        """The mean over the seeds; its error is never less than the seeds differ by, nor than the samples tell."""
        errors, number = [run["judged"]["standard_error"] for run in self.runs], len(self.runs)
        of_samples = sum(each**2 for each in errors) ** 0.5 / number
        of_seeds = stdev(self.rewards) / number**0.5 if number > 1 else 0.0
        return fmean(self.rewards), max(of_samples, of_seeds)

    @property
    def spent(self) -> float:
        """Calls of one advice, its pilots and trainings counted."""
        return fmean(run["price"] for run in self.runs)

    @property
    def share(self) -> float:
        """Of the calls of the search."""
        return self.spent / self.search.calls

    @property
    def price(self) -> float:
        """Calls of a sample of the advised samplers."""
        return fmean(run["judged"]["calls"] for run in self.runs)

    @property
    def gap(self) -> Estimate:
        best = self.search.best
        return gap(self.reward, (best.reward, best.error))

    @property
    def word(self) -> str:
        """Whether it is above, below, or within the noise of the best row, at 95 %."""
        best = self.search.best
        if not apart(self.reward, (best.reward, best.error)):
            return "within the noise"
        return "above" if self.gap[0] > 0 else "below"

    @property
    def recommended(self) -> list[tuple[str, int]]:
        """Samplers and how many of the advices recommend them, the most frequent first."""
        return Counter(run["recommended"] for run in self.runs).most_common()


def verdicts(results: dict[str, Any]) -> dict[str, list[Verdict]]:
    """By problem, the smallest budget first; problems and budgets of which nothing is measured are left out."""
    found: dict[str, list[Verdict]] = {}
    for name, problem in PROBLEMS.items():
        for budget in problem.budgets:
            start = f"{name}/{budget}/"
            runs = [run for place, run in results["advised"].items() if place.startswith(start)]
            if runs:
                found.setdefault(name, []).append(Verdict(problem, budget, runs, searched(name, results)))
    return found


def at_a_tenth(own: Sequence[Verdict]) -> Verdict | None:
    """The largest budget that is no more than a tenth of the search; None where each is more."""
    fitting = [each for each in own if each.share <= TENTH]
    return fitting[-1] if fitting else None
