"""The page of what values of GDSS foresee, written from its results and the table's by benchmarks/gdss_foresight.py."""

import math
from collections.abc import Iterable
from statistics import fmean

import torch

from gdss_table_rows import FREE, NORMAL, NUM_STEPS, STARTS, Drawn, handover
from svlearn.evaluation.report.numbers import plain, with_error
from svlearn.values.relay import best_start

CURVES = {"SVDD-MC": "monte_carlo", "SVDD, contrastive twist": "contrastive_twist", FREE: None}  # rows and families
TWIST = "SVDD, contrastive twist"
AT, AROUND = (5, 100, 200, 240, 280, 320, 340, 360, 380, 395), 5

INTRODUCTION = """\
# GDSS: what a value foresees

The correlation of v_t(x_t) with the reward of what x_t becomes, over {trajectories} trajectories of the reference
(GDSS for ZINC-250k, {num_steps} steps) that no value learned from: of the two learned values that svlearn ships, and
of r(x̂_T), the value of SVDD-PM. `values.Relay.fit` reads from such curves when the one should hand over to the other.
"""
NOTES = """\
Correlations are means over the ten steps around t; one standard error of a single one is {error:.2f}. They are those
of unguided trajectories, and of whole molecules: the size of one, drawn before the first step, is part of what a value
foresees, and candidates of one molecule share it. So they say when each value is the better, and not how well a
sampler will do. Rows of the second table: the contrastive twist chooses until t, and r(x̂_T) from there, M = 10,
alpha = 0, as [in the table](gdss.md) where they stand as well.

All figures: `benchmarks/results/gdss_foresight.json` and `benchmarks/results/gdss_table.json`, by
`benchmarks/gdss_foresight.py`, which writes this page too, and `benchmarks/gdss_table.py`.
"""


def page(held: dict, rows: dict[str, dict[str, Drawn]]) -> str:
    """The Markdown of the results, as far as they go."""
    found = {reward: curves for reward, curves in held["pearson"].items() if FREE in curves}
    if not found:
        return "# GDSS: what a value foresees\n\nNot yet measured: run benchmarks/gdss_foresight.py.\n"
    return "\n".join(
        [
            INTRODUCTION.format(trajectories=held["trajectories"], num_steps=NUM_STEPS),
            "## What came out\n",
            *[line for reward, curves in found.items() for line in findings(reward, curves, rows.get(reward, {}))],
            "\n![Correlation with the reward by t](gdss_foresight.svg)\n",
            *[section(reward, curves, rows.get(reward, {})) for reward, curves in found.items()],
            NOTES.format(error=1 / math.sqrt(held["trajectories"] - 1)),
        ]
    )


def findings(reward: str, curves: dict[str, list[float]], rows: dict[str, Drawn]) -> list[str]:
    """When each learned value should hand over, by its curve, and what the samplers say."""
    free, lines = torch.tensor(curves[FREE]), []
    for name, curve in curves.items():
        if name == FREE:
            continue
        start = best_start(torch.tensor(curve), free)
        lines.append(
            f"- **{reward}, {name}** should hand over at t = {start}: its correlation is {around(curve, 100):.2f} "
            f"around t = 100 and {around(curve, 380):.2f} around 380, that of r(x̂_T) {around(curves[FREE], 100):.2f} "
            f"and {around(curves[FREE], 380):.2f}."
        )
    tried = {start: rows[name] for start, name in named().items() if name in rows}
    if len(tried) > 1 and FREE in rows:
        best = max(tried, key=lambda start: tried[start].mean[0])
        alike = [start for start, row in tried.items() if not apart(tried[best], row)]
        lines.append(
            f"- **{reward}, as sampled**: of the starts {listed(tried)} the best is {best}, with a mean of "
            f"{with_error(*tried[best].mean)}; at 95 % not told apart from it: "
            f"{listed([start for start in alike if start != best])}. SVDD-PM alone has {with_error(*rows[FREE].mean)}."
        )
    return lines


def named() -> dict[int, str]:
    """The rows of the twist and then SVDD-PM, by their start."""
    return {start: handover(TWIST, start) for start in STARTS}


def apart(one: Drawn, other: Drawn) -> bool:
    return abs(one.mean[0] - other.mean[0]) > NORMAL * math.hypot(one.mean[1], other.mean[1])


def listed(starts: Iterable[int]) -> str:
    return ", ".join(str(start) for start in starts) or "none"


def around(curve: list[float], t: int) -> float:
    """The mean over ten steps."""
    return fmean(curve[max(0, t - AROUND) : t + AROUND])


def section(reward: str, curves: dict[str, list[float]], rows: dict[str, Drawn]) -> str:
    cells = [["Value of", *(f"t = {t}" for t in AT)], ["---", *["--:"] * len(AT)]]
    cells += [[name, *(f"{around(curve, t):.2f}" for t in AT)] for name, curve in curves.items()]
    text = f"## {reward}\n\n{markdown(cells)}"
    header = [
        "r(x̂_T) from t",
        "Molecules",
        "Mean",
        "One piece",
        "Distinct",
        "Reference calls",
        "Reward calls",
        "Seconds",
    ]
    drawn = [header, ["--:"] * len(header)]
    everywhere = {0: FREE} | named() | {NUM_STEPS: TWIST}
    for start, name in everywhere.items():
        if name in rows:
            row = rows[name]
            costs = (row.cost(each) for each in ("reference_calls", "reward_calls", "cpu_seconds"))
            shares = (row.molecules[each] for each in ("One piece", "Distinct"))
            told = {0: "0 (SVDD-PM)", NUM_STEPS: "never"}.get(start, str(start))
            drawn.append(
                [told, str(len(row.rewards)), with_error(*row.mean), *(plain(x, 3) for x in (*shares, *costs))]
            )
    return f"{text}\n{markdown(drawn)}"


def markdown(cells: list[list[str]]) -> str:
    return "".join(f"| {' | '.join(each)} |\n" for each in cells)
