"""The page of what choosing by a value of GDSS gains, written from its results."""

import math
from collections.abc import Iterable
from itertools import pairwise

import pandas as pd
import torch

from benchmarks.common.estimates import apart
from benchmarks.common.pages import markdown_table, not_measured, opening, reproduce
from benchmarks.gdss.rows import FREE, NUM_STEPS, STARTS, Drawn, difference, handover
from svlearn.evaluation.report.numbers import plain, with_error
from svlearn.values.switch import best_start

TWIST = "SVDD, contrastive twist"
CURVES = {"SVDD-MC": "monte_carlo", TWIST: "contrastive_twist", FREE: None}  # rows and their families
SAMPLED = (
    "r(x̂_T) from t", "Molecules", "Mean", "One piece", "Distinct", "Reference calls", "Reward calls", "Seconds"
)  # fmt: skip
PARTS = (0, 100, 200, 240, 280, 320, 360, NUM_STEPS)  # between which gains are added up

TITLE = "GDSS: what a choice gains, and when to hand over"
SHOWS = "Sum of the gains from t on, and correlation with the reward"
INTRODUCTION = """\
What the better of two candidates for x_t, by a value, is worth at the end: the mean gain in reward over
{trajectories} trajectories of the reference (GDSS for ZINC-250k, {num_steps} steps) that no value learned from, at each
of the {choices} steps where SVDD has candidates (`values.selection_gain.selection_gain`). Of the two learned values
that svlearn ships, and of r(x̂_T), the value of SVDD-PM. `values.Switch.fit` reads from them when one should hand over
to another.
"""
NOTES = """\
± is one standard error. Gains are those of one choice between two in an otherwise unguided run, so that a sum over
steps is not that of ten candidates at all steps: what is chosen early also changes what there is to choose from later,
which the samplers below have and these sums do not. Where the gains do not tell times of handing over apart, only
samplers of several do. The correlation of v_t(x_t) and r(x_T) also counts what candidates share, above all the size of
the molecule, and so flatters a value early. Rows of the last table of each reward: the contrastive twist chooses until
t, and r(x̂_T) from there, M = 10, alpha = 0; they stand [in the table](gdss.md) as well.
"""


def page(held: dict, rows: dict[str, dict[str, Drawn]]) -> str:
    """The Markdown of the results, as far as they go."""
    gains_of = {reward: pd.DataFrame(columns) for reward, columns in held["rewards"].items()}
    if not gains_of:
        return not_measured("GDSS: what a choice gains", "gdss_foresight")
    choices = max(each["t"].nunique() for each in gains_of.values())
    numbers = {"trajectories": held["trajectories"], "num_steps": NUM_STEPS, "choices": choices}
    return "\n".join(
        [
            opening(TITLE, f"**{headline(rows)}**", {"gdss_foresight.svg": SHOWS}),
            INTRODUCTION.format(**numbers),
            "## What came out\n",
            *[line for reward, gains in gains_of.items() for line in findings(reward, gains, rows.get(reward, {}))],
            "",
            *[section(reward, gains, rows.get(reward, {})) for reward, gains in gains_of.items()],
            NOTES,
            reproduce("gdss_foresight", held, "What was sampled is from `benchmarks/results/gdss_table.json`."),
        ]
    )


def headline(rows: dict[str, dict[str, Drawn]]) -> str:
    """When to hand over to SVDD-PM by what was sampled, and what that is worth."""
    sentences = []
    for reward, own in rows.items():
        tried = {t: own[name] for t, name in named().items() if name in own}
        if tried and FREE in own:
            best = max(tried, key=lambda t: tried[t].mean[0])
            sentences.append(
                f"{reward}: handing over to SVDD-PM at t = {best} of {NUM_STEPS} is best of those sampled, "
                f"{with_error(*tried[best].mean)}, and against SVDD-PM alone {difference(tried[best], own[FREE])}"
            )
    return (". ".join(sentences) or "Not yet sampled when to hand over") + "."


def findings(reward: str, gains: pd.DataFrame, rows: dict[str, Drawn]) -> list[str]:
    """When each learned value should hand over by its gains, what correlations would say, and what was sampled."""
    lines = []
    for name in CURVES:
        if name != FREE:
            lines.append(
                f"- **{reward}, {name}** should hand over at t = {start(gains, name, 'gain')} by its gains, which do "
                f"not tell that from {possible(gains, name)} at 95 %; by correlations it would at "
                f"{start(gains, name, 'pearson')}. All its choices until 280 gain "
                f"{with_error(*total(gains, name, 0, 280))}, and those after it "
                f"{with_error(*total(gains, name, 280, NUM_STEPS))}, where r(x̂_T) has "
                f"{with_error(*total(gains, FREE, 0, 280))} and {with_error(*total(gains, FREE, 280, NUM_STEPS))}."
            )
    tried = {t: rows[name] for t, name in named().items() if name in rows}
    if len(tried) > 1 and FREE in rows:
        best = max(tried, key=lambda t: tried[t].mean[0])
        alike = [t for t, row in tried.items() if t != best and not apart(tried[best].mean, row.mean)]
        lines.append(
            f"- **{reward}, as sampled**: of handing over at {listed(tried)} the best is {best}, with a mean of "
            f"{with_error(*tried[best].mean)}; at 95 % not told apart from it: {listed(alike)}. SVDD-PM alone has "
            f"{with_error(*rows[FREE].mean)}."
        )
    return lines


def start(gains: pd.DataFrame, name: str, column: str) -> int:
    """As `Switch.fit` finds it, from that column."""
    curves = gains.pivot(index="t", columns="value", values=column)
    return [*curves.index, NUM_STEPS][best_start(*(torch.tensor(curves[each].to_numpy()) for each in (name, FREE)))]


def possible(gains: pd.DataFrame, name: str) -> str:
    """The first and the last time of handing over whose sum of gains is not told from the largest, at 95 %."""
    best, times = start(gains, name, "gain"), [*sorted(gains["t"].unique()), NUM_STEPS]
    alike = []
    for t in times:
        own, free = (total(gains, each, min(t, best), max(t, best)) for each in (name, FREE))
        if not apart(own, free):
            alike.append(int(t))
    return f"{alike[0]} to {alike[-1]}"


def total(gains: pd.DataFrame, name: str, first: int, stop: int) -> tuple[float, float]:
    """The sum of the gains at first <= t < stop, and its standard error, as if those of two steps were independent."""
    some = gains[(gains["value"] == name) & (gains["t"] >= first) & (gains["t"] < stop)]
    return some["gain"].sum(), math.sqrt(some["gain_error"].pow(2).sum())


def named() -> dict[int, str]:
    """The rows of the twist and then SVDD-PM, by when it hands over."""
    return {t: handover(TWIST, t) for t in STARTS}


def listed(times: Iterable[int]) -> str:
    return ", ".join(str(t) for t in times) or "none"


def section(reward: str, gains: pd.DataFrame, rows: dict[str, Drawn]) -> str:
    parts = list(pairwise(PARTS))
    heads = ["Sum of gains", *(f"{first} to {stop - 1}" for first, stop in parts)]
    sums = [[name, *(with_error(*total(gains, name, *part), sign=True) for part in parts)] for name in CURVES]
    drawn = []
    for t, name in ({0: FREE} | named() | {NUM_STEPS: TWIST}).items():
        if name in rows:
            row = rows[name]
            shares = [row.molecules[each] for each in ("One piece", "Distinct")]
            shares += [row.cost(each) for each in ("reference_calls", "reward_calls", "cpu_seconds")]
            time = {0: "0 (SVDD-PM)", NUM_STEPS: "never"}.get(t, str(t))
            drawn.append([time, str(len(row.rewards)), with_error(*row.mean), *(plain(each, 3) for each in shares)])
    return f"## {reward}\n\n{markdown_table(heads, sums)}\n{markdown_table(SAMPLED, drawn, left=0)}"
