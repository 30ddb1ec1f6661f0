"""What the curves of the study come to: objectives at equal work, what each takes to a reward, and what pays when."""

import math
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, stdev
from typing import Any

from scipy import stats

from benchmarks.common.estimates import Estimate
from benchmarks.policy_objectives.baselines import BASELINES, PRETRAINED
from benchmarks.policy_objectives.families import families_of
from benchmarks.policy_objectives.tasks import TASKS

CALLS, SECONDS = "calls", "cpu_seconds"
FIGURES = ("reward", "judge", "kl", "diversity")
AIMS = ("elbo", "reward")  # what an objective is ranked by: the ELBO at the alpha of the task, or the reward alone
LEVEL = 0.05  # of a difference that is taken for one
Point = dict[str, float]  # what was spent until then, and the figures


@dataclass(frozen=True)
class Domain:
    """What is measured of a domain: baselines, by name, and the curves of each objective, one a seed, each from what is
    pretrained on."""

    name: str
    baselines: dict[str, Any]
    curves: dict[str, list[list[Point]]]

    @property
    def start(self) -> Point:
        held = self.baselines[PRETRAINED] | {CALLS: 0.0, SECONDS: 0.0, "kl": 0.0}
        return point_of(held, held["reward"][0], TASKS[self.name].alpha)

    @property
    def seeds(self) -> int:
        """Of the objective that has the fewest."""
        return min(map(len, self.curves.values()))

    def common(self, cost: str) -> float:
        """The largest cost that all curves reach."""
        return min(curve[-1][cost] for curves in self.curves.values() for curve in curves)

    def at(self, family: str, cost: str, spent: float) -> dict[str, list[float]]:
        """Each figure, and either cost, where a cost is spent; one number a seed."""
        points = [read(curve, cost, spent) for curve in self.curves[family]]
        return {name: [point[name] for point in points] for name in points[0]}

    def ranked(self, cost: str, aim: str) -> dict[str, list[float]]:
        """A figure of each objective at the largest common cost, a number a seed; the largest mean first."""
        figures = {family: self.at(family, cost, self.common(cost))[aim] for family in self.curves}
        return dict(sorted(figures.items(), key=lambda item: -fmean(item[1])))

    def best(self, cost: str, aim: str) -> list[str]:
        """The objective of the largest mean of a figure, and those that cannot be told from it at 95 %."""
        figures = self.ranked(cost, aim)
        first = next(iter(figures))
        return [family for family, own in figures.items() if family == first or not differ(figures[first], own)]

    def on_grid(self, family: str) -> list[list[Point]]:
        """The curves of an objective where each share of the calls is spent, first nothing; one point a seed."""
        curves = self.curves[family]
        calls = min(curve[-1][CALLS] for curve in curves)
        return [[read(curve, CALLS, share * calls) for curve in curves] for share in (0.0, *TASKS[self.name].marks)]

    def mean_curve(self, family: str) -> list[Point]:
        """The mean over seeds, on the grid."""
        return [{name: fmean(each[name] for each in points) for name in points[0]} for points in self.on_grid(family)]


def gather(held: dict[str, Any]) -> dict[str, Domain]:
    """The domains of which all baselines and a training are there."""
    domains = {}
    for name in TASKS:
        baselines = {each: held["baselines"].get(f"{name}/{each}") for each in BASELINES}
        if None in baselines.values():
            continue
        start = Domain(name, baselines, {}).start
        curves: dict[str, list[list[Point]]] = {}
        for family in families_of(name):
            keys = [key for key in sorted(held["trainings"]) if key.rpartition("/")[0] == f"{name}/{family}"]
            if keys:
                measured = [held["trainings"][key]["points"] for key in keys]
                options = (start["reward"], TASKS[name].alpha)
                curves[family] = [[start, *(point_of(point, *options) for point in points)] for points in measured]
        if curves:
            domains[name] = Domain(name, baselines, curves)
    return domains


def point_of(held: dict[str, Any], start: float, alpha: float) -> Point:
    """The numbers of a point, means without their errors, and "elbo", nats, by which the ELBO is above that of p_ref,
    whose mean reward is `start`."""
    numbers = {name: held[name] for name in (CALLS, SECONDS, *FIGURES)}
    point = {name: float(each[0] if isinstance(each, list) else each) for name, each in numbers.items()}
    return point | {"elbo": (point["reward"] - start) / alpha - point["kl"]}


def read(curve: list[Point], cost: str, spent: float) -> Point:
    """A curve where so much is spent, linear between its points; ValueError beyond its ends."""
    for before, after in pairwise(curve):
        if before[cost] <= spent <= after[cost]:
            width = after[cost] - before[cost]
            share = (spent - before[cost]) / width if width > 0 else 1.0
            return {name: before[name] + share * (after[name] - before[name]) for name in before}
    raise ValueError(f"spent: expected {cost} from {curve[0][cost]:g} to {curve[-1][cost]:g}, got {spent:g}")


def estimate(numbers: list[float]) -> Estimate:
    """The mean over seeds, and its standard error; NaN of one seed."""
    return fmean(numbers), stdev(numbers) / len(numbers) ** 0.5 if len(numbers) > 1 else math.nan


def reach(numbers: list[float]) -> float:
    """Half the width of the 95 % interval of their mean, by Student's t; 0 of one, of which nothing is known."""
    number = len(numbers)
    return float(stats.t.ppf(0.975, number - 1)) * estimate(numbers)[1] if number > 1 else 0.0


def differ(one: list[float], other: list[float]) -> bool:
    """Whether their means differ at 95 %, by Welch's test; never where either is one number."""
    if min(len(one), len(other)) < 2:
        return False
    if max(one) == min(one) and max(other) == min(other):
        return one[0] != other[0]
    return bool(stats.ttest_ind(one, other, equal_var=False).pvalue < LEVEL)


def cost_to(curve: list[Point], reward: float, cost: str) -> float:
    """What is spent (or another figure, as the KL) where a curve first has a reward, linear between its points;
    infinite where it never has."""
    if curve[0]["reward"] >= reward:
        return curve[0][cost]
    for before, after in pairwise(curve):
        if before["reward"] < reward <= after["reward"]:
            share = (reward - before["reward"]) / (after["reward"] - before["reward"])
            return before[cost] + share * (after[cost] - before[cost])
    return math.inf


def common_level(domain: Domain, families: tuple[str, str]) -> float | None:
    """The lower of the largest mean rewards of two objectives; None where one is not measured, or has not risen by more
    than its interval."""
    if not set(families) <= domain.curves.keys():
        return None
    level = min(max(point["reward"] for point in domain.mean_curve(family)) for family in families)
    widths = [reach(domain.at(family, CALLS, domain.common(CALLS))["reward"]) for family in families]
    return None if level - domain.start["reward"] <= max(widths) else level


def pays_from(domain: Domain, family: str, baseline: str) -> float:
    """From how many samples on the calls of training and of sampling by the policy are fewer than those of a baseline;
    infinite where the policy's mean reward is below the baseline's."""
    figures = domain.at(family, CALLS, domain.common(CALLS))
    held = domain.baselines[baseline]
    if fmean(figures["reward"]) < held["reward"][0]:
        return math.inf
    saved = held[CALLS] - domain.baselines[PRETRAINED][CALLS]
    return domain.common(CALLS) / saved if saved > 0 else math.inf


def hacked(domain: Domain) -> list[str]:
    """The objectives whose judge lies below that of p_ref, at 95 %, while their reward lies above."""
    start, names = domain.start, []
    for family in domain.curves:
        figures = domain.at(family, CALLS, domain.common(CALLS))
        fallen = fmean(figures["judge"]) + reach(figures["judge"]) < start["judge"]
        if len(figures["judge"]) > 1 and fallen and fmean(figures["reward"]) > start["reward"]:
            names.append(family)
    return names
