"""The page of surrogates of few dockings, receptor by receptor."""

import math

import numpy as np

from benchmarks.common.estimates import gap
from benchmarks.common.pages import markdown_table, not_measured
from benchmarks.gdss.rows import Drawn
from benchmarks.gdss_docking.break_even import Paying, paying, section, told
from svlearn.evaluation.report.numbers import plain, with_error

TITLE, STUDY = "Docking: surrogates of few dockings on three receptors", "receptors"
RECEPTORS = ("fa7", "jak2", "parp1")
EVERY_CANDIDATE = 2210  # scores that SVDD-PM asks for of a molecule, M = 10 at 200 corrected steps
INTRODUCTION = """\
# {title}

How well molecules of GDSS bind to a receptor by AutoDock Vina, in kcal/mol (more is better). Each receptor docks the
same {learned} plain molecules, forests learn from them (`svlearn.domains.molecules.surrogate`), and SVDD-PM chooses by
what they foresee of x̂_T among M = 10 candidates; a molecule is docked at its end alone. With 1,024 dockings and a
learned value as well: [docking on parp1](docking.md).
"""
NOTES = """\
± is one standard error of the molecules. Failed dockings count as 0. Seconds are those of the processor, of one thread
and of the worker that docks; those of a surrogate's dockings and fit stand apart. Each surrogate was made once, so that
no error holds the chance of which molecules it learned from.

All batches, with commit and date: `benchmarks/results/receptors.json`, written by `python -m benchmarks receptors`,
which goes on where it was stopped and writes this page too.
"""


class Measured:
    """What was measured of a receptor: plain and guided molecules, and the surrogate."""

    def __init__(self, receptor: str, held: dict):
        self.receptor, self.surrogate = receptor, held["surrogates"].get(receptor)
        self.plain, self.guided = (
            Drawn(receptor, receptor, [each for key, each in held[part].items() if key.startswith(f"{receptor}/")])
            for part in ("plain", "guided")
        )

    @property
    def whole(self) -> bool:
        return self.surrogate is not None and bool(self.guided.batches)

    @property
    def training(self) -> float:
        """Seconds before the first guided molecule: drawing and docking what the surrogate learned from, its fit."""
        return self.plain.cost("cpu_seconds") * len(self.plain.rewards) + self.surrogate["cpu_seconds"]

    @property
    def paying(self) -> Paying:
        return paying(self.guided, self.training, self.plain, None)

    @property
    def saves_from(self) -> int:
        """From how many molecules on it takes fewer seconds than SVDD-PM that docks every candidate, whatever either
        scores."""
        docked = EVERY_CANDIDATE * self.plain.cost("docking_seconds")
        return math.ceil(self.training / (docked - self.guided.cost("cpu_seconds")))

    def finding(self) -> str:
        pays, (own, other) = self.paying, (self.guided.mean, self.plain.mean)
        return (
            f"- **{self.receptor}**: {with_error(*own)} kcal/mol by the surrogate, {with_error(*other)} of plain "
            f"molecules, a difference of {with_error(*gap(own, other), sign=True)}; the best of as many plain ones as "
            f"take its seconds has {with_error(*pays.best)}. Against best-of-n its training pays from so many "
            f"molecules on: {told(pays.against_best)}. It takes fewer seconds than SVDD-PM that docks every candidate "
            f"from the {self.saves_from}. molecule on."
        )

    def cells(self, guided: bool) -> list[str]:
        row = self.guided if guided else self.plain
        failed = sum(batch["report"]["failed"] for batch in row.batches) / len(row.rewards)
        name = "SVDD-PM by the surrogate" if guided else "plain"
        texts = [self.receptor, name, str(len(row.rewards)), with_error(*row.mean), f"{np.median(row.rewards):.2f}"]
        return [*texts, f"{row.rewards.max():.2f}", f"{failed:.2f}", plain(row.cost("cpu_seconds"), 3)]


def page(held: dict) -> str:
    """The Markdown of the results, as far as they go."""
    measured = [each for each in (Measured(receptor, held) for receptor in RECEPTORS) if each.whole]
    if not measured:
        return not_measured(TITLE, STUDY)
    correlations = ", ".join(f"{each.receptor} {each.surrogate['pearson']:.2f}" for each in measured)
    header = ["Receptor", "Row", "Molecules", "Mean", "Median", "Best", "Failed", "Seconds"]
    return "\n".join(
        [
            INTRODUCTION.format(title=TITLE, learned=measured[0].surrogate["learned"]),
            *[each.finding() for each in measured],
            f"- **The surrogates' correlations** with scores that they did not learn from: {correlations}.\n",
            markdown_table(header, [each.cells(guided) for each in measured for guided in (False, True)], left=2),
            *section([each.paying for each in measured]),
            NOTES,
        ]
    )
