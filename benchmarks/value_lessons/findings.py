"""What the results say: rows by problem, each with its error over trainings, and which of them differ."""

import math
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from scipy import stats

from benchmarks.common.estimates import NORMAL, Estimate, apart
from benchmarks.value_lessons.lessons import LESSONS, LINEARIZED, PLAIN
from benchmarks.value_lessons.measured import BEST, FREE, SVDD_PM
from benchmarks.value_lessons.problems import PROBLEMS
from svlearn.evaluation.report.numbers import with_error

FIGURES = ("reference_calls", "value_calls", "reward_calls", "cpu_seconds", "training_calls", "training_cpu_seconds")

WANTED = 3  # trainings of a row that is compared


@dataclass(frozen=True)
class Row:
    """reward: with its standard error, over trainings where there are several, else over samples; number: of trainings,
    0 of what is not trained; figures: means over them."""

    name: str
    reward: Estimate
    number: int
    figures: dict[str, float]


def rows(held: dict[str, Any], problem: str) -> list[Row]:
    """Those that are measured, what needs no training first."""
    found = [row(name, [held["free"][f"{problem}/{name}"]], 0) for name in FREE if f"{problem}/{name}" in held["free"]]
    for name in LESSONS:
        own = [part for key, part in held["trained"].items() if key.rpartition("/")[0] == f"{problem}/{name}"]
        found += [row(name, own, len(own))] if own else []
    return found


def row(name: str, parts: list[dict[str, Any]], number: int) -> Row:
    means = [part["reward"][0] for part in parts]
    error = stdev(means) / math.sqrt(len(means)) if len(means) > 1 else parts[0]["reward"][1]
    figures = {each: fmean(part[each] for part in parts) for each in FIGURES if each in parts[0]}
    return Row(name, (fmean(means), error), number, figures)


def learned(found: list[Row]) -> list[Row]:
    """The rows that were trained often enough, and ask nothing of the candidates but the value."""
    trained = [each for each in found if each.number >= WANTED]
    return [each for each in trained if not LESSONS[each.name].reads]


def sentence(held: dict[str, Any]) -> str:
    """How often each way differs from plain regression, and how many of the best learned rows reach SVDD-PM."""
    measured = {name: own for name in PROBLEMS if (own := compared(held, name))}
    if not measured:
        return f"No problem has {WANTED} trainings of a row yet, so none are compared."
    parts = []
    for name in LESSONS:
        verdicts = [each for own in measured.values() if (each := against(own, name, PLAIN)) is not None]
        if name != PLAIN and verdicts:
            above, below = verdicts.count(1), verdicts.count(-1)
            parts.append(f"{name} above it on {above} and below on {below} of {len(verdicts)}")
    outcomes: dict[int, list[str]] = {1: [], 0: [], -1: []}
    for name, own in measured.items():
        best = max(learned(own), key=lambda each: each.reward[0])
        verdict = against(own, best.name, SVDD_PM)
        if verdict is not None:
            (free,) = (each for each in own if each.name == SVDD_PM)
            figures = f"{with_error(*best.reward)} against {with_error(*free.reward)}"
            outcomes[verdict].append(f"{PROBLEMS[name].title} ({best.name}, {figures})")
    ahead, alike, behind = (", ".join(each) or "none" for each in outcomes.values())
    titles = ", ".join(PROBLEMS[name].title for name in measured)
    told = (
        f"Against plain Monte Carlo regression, at 95 % (Student's t over trainings), on {titles}: {'; '.join(parts)}. "
    )
    told += (
        f"Of the values of (x, t) the one of the largest mean reward beats SVDD-PM on {ahead}, is not told apart from "
    )
    return f"{told}it on {alike}, and loses to it on {behind}."


def untrained(held: dict[str, Any]) -> str:
    """What the linearised posterior mean has, beside what else needs no training, and at how many reference calls."""
    parts = []
    for problem in PROBLEMS:
        own = {each.name: each for each in rows(held, problem)}
        if LINEARIZED in own and {SVDD_PM, BEST} <= own.keys():
            cells = [
                f"{name} {with_error(*own[name].reward)} at {own[name].figures['reference_calls']:g}"
                for name in (LINEARIZED, SVDD_PM, BEST)
            ]
            parts.append(f"On {PROBLEMS[problem].title}, by reference calls a sample: {', '.join(cells)}.")
    return " ".join(parts)


def compared(held: dict[str, Any], problem: str) -> list[Row]:
    """The rows of a problem on which plain regression was trained often enough; none of another."""
    own = rows(held, problem)
    return own if any(each.name == PLAIN and each.number >= WANTED for each in own) else []


def against(own: list[Row], one: str, other: str) -> int | None:
    """1 where the first is above the second at 95 %, -1 below, 0 neither; None where one of them is not measured, or
    was trained fewer than `WANTED` times: the error of sampling says little of what another training would give.

    By the quantile of Student's t of the fewer trainings, for an error over three of them is itself uncertain."""
    by_name = {each.name: each for each in own if each.number not in range(1, WANTED)}
    if one not in by_name or other not in by_name:
        return None
    first, second = by_name[one], by_name[other]
    trainings = [each.number for each in (first, second) if each.number]
    errors = float(stats.t.ppf(0.975, min(trainings) - 1)) if trainings else NORMAL
    if not apart(first.reward, second.reward, errors):
        return 0
    return 1 if first.reward[0] > second.reward[0] else -1
