"""The page of the learned rows of GDSS over several trainings."""

import math
from collections.abc import Iterable
from statistics import fmean, stdev

from benchmarks.common.dots import FREE as TRAINING_FREE
from benchmarks.common.dots import LEARNED, Panel, chart, dot
from benchmarks.common.estimates import apart, gap
from benchmarks.common.pages import markdown_table, not_measured, opening, reproduce
from benchmarks.gdss.rows import FREE, Drawn
from svlearn.evaluation.report.numbers import plain, with_error

TITLE, NAME = "GDSS: learned rows over several trainings", "gdss_trainings.svg"
INTRODUCTION = """\
[The table of GDSS](gdss.md) has one training of each value, and its errors are those of the molecules. Here the rows
that matter most are drawn by the values of {count} trainings, each with 1,280 trajectories and a seed of its own: how
much of a figure is the chance of the training. {molecules} molecules a row and training, M = 10, alpha = 0; the first
training is that of the table, and each draws with the table's random numbers.
"""
NOTES = """\
± is one standard error: of the molecules in the columns of single trainings; of the trainings, their standard deviation
over the root of their number, in the last one, which holds the chance of both. Spread is that standard deviation over
the mean error of the molecules: near 1, the trainings differ by no more than their molecules let expect. Distinct is
the smallest and the largest share of distinct molecules.
"""


def page(drawn: list[dict[str, dict[str, Drawn]]], names: list[str], held: dict) -> str:
    """The Markdown of the rows of these names, of each training by reward and name, the table's training first; held:
    the results that they are of."""
    shared = shared_rows(drawn, names)
    rewards = list(shared)
    if not any(shared.values()):
        return not_measured(TITLE, "gdss_trainings")
    molecules = min(len(each.rewards) for rows in shared.values() for row in rows for each in row.trainings)
    return "\n".join(
        [
            opening(TITLE, headline(drawn, shared), {NAME: "Mean reward over trainings, with its 95 % interval"}),
            INTRODUCTION.format(count=len(drawn), molecules=molecules),
            "## What came out\n",
            *[row.finding(drawn[0][reward][FREE]) for reward in rewards for row in shared[reward]],
            "",
            *[f"## {reward}\n\n{table(shared[reward], len(drawn))}" for reward in rewards],
            NOTES,
            reproduce("gdss_trainings", held, "The first training is that of `benchmarks/results/gdss_table.json`."),
        ]
    )


def shared_rows(drawn: list[dict[str, dict[str, Drawn]]], names: list[str]) -> dict[str, list["Trained"]]:
    """The rows that every training has, by reward."""
    rewards = [reward for reward in drawn[0] if reward in drawn[-1]] if len(drawn) > 1 else []
    return {reward: Trained.all(reward, drawn, names) for reward in rewards}


def figures(drawn: list[dict[str, dict[str, Drawn]]], names: list[str]) -> dict[str, str]:
    """SVG by file name: a panel a reward, with SVDD-PM beside what is learned."""
    panels = []
    for reward, rows in shared_rows(drawn, names).items():
        free = drawn[0][reward][FREE]
        dots = [dot(row.name, row.mean, LEARNED) for row in rows] + [dot(FREE, free.mean, TRAINING_FREE)]
        panels.append(Panel(reward, "mean reward, 95 % interval", dots, line=(free.mean[0], FREE)))
    return {NAME: chart("gdss_trainings", panels)} if panels else {}


def headline(drawn: list[dict[str, dict[str, Drawn]]], shared: dict[str, list["Trained"]]) -> str:
    """Which rows are on which side of SVDD-PM in every training."""
    sentences = []
    for reward, rows in shared.items():
        free = drawn[0][reward][FREE]
        sides: dict[str, list[str]] = {"above": [], "below": [], "not always on one side": []}
        for row in rows:
            told = [each.mean[0] > free.mean[0] for each in row.trainings if apart(each.mean, free.mean)]
            whole = len(told) == len(row.trainings) and len(set(told)) == 1
            side = ("above" if told[0] else "below") if whole else "not always on one side"
            sides[side].append(f"{row.name} ({with_error(*gap(row.mean, free.mean), sign=True)})")
        text = "; ".join(f"{side}: {', '.join(names)}" for side, names in sides.items() if names)
        sentences.append(f"{reward}: {text}")
    return f"**In each of {len(drawn)} trainings, on one side of SVDD-PM at 95 %. {'. '.join(sentences)}.**"


class Trained:
    """A row by the values of several trainings."""

    def __init__(self, trainings: list[Drawn]):
        self.trainings = trainings
        self.means = [each.mean[0] for each in trainings]

    @classmethod
    def all(cls, reward: str, drawn: list[dict[str, dict[str, Drawn]]], names: list[str]) -> list["Trained"]:
        """The rows that every training has."""
        held = [each.get(reward, {}) for each in drawn]
        return [cls([rows[name] for rows in held]) for name in names if all(name in rows for rows in held)]

    @property
    def name(self) -> str:
        return self.trainings[0].name

    @property
    def mean(self) -> tuple[float, float]:
        """Over trainings, and its standard error."""
        return fmean(self.means), stdev(self.means) / math.sqrt(len(self.means))

    @property
    def spread(self) -> float:
        """The standard deviation of the trainings in errors of the molecules."""
        return stdev(self.means) / fmean(each.mean[1] for each in self.trainings)

    def finding(self, free: Drawn) -> str:
        """Where it stands beside SVDD-PM, on average and training by training."""
        text = with_error(*gap(self.mean, free.mean), sign=True)
        others = [each.mean[0] > free.mean[0] for each in self.trainings if apart(each.mean, free.mean)]
        above, below, count = others.count(True), others.count(False), len(self.trainings)
        return (
            f"- **{free.reward}, {self.name}**: {with_error(*self.mean)} over {count} trainings, "
            f"{min(self.means):.3f} to {max(self.means):.3f}; against SVDD-PM ({with_error(*free.mean)}) "
            f"{text}: above it at 95 % in {above} of {count}, below it in {below}."
        )

    def cells(self) -> Iterable[str]:
        distinct = [each.molecules["Distinct"] for each in self.trainings]
        yield self.name
        yield from (with_error(*each.mean) for each in self.trainings)
        yield with_error(*self.mean)
        yield plain(self.spread, 2)
        yield f"{min(distinct):.2f} to {max(distinct):.2f}"


def table(rows: list[Trained], count: int) -> str:
    heads = ["Row", *(f"Training {k}" for k in range(1, count + 1)), "All", "Spread", "Distinct"]
    return markdown_table(heads, [list(row.cells()) for row in rows])
