"""From how many molecules on what was learned for docking pays, against what needs no training at the same seconds."""

from dataclasses import dataclass

from benchmarks.common.pages import markdown_table
from benchmarks.gdss.rows import Drawn
from svlearn.advising.break_even import BreakEven, break_even
from svlearn.advising.estimates import CONFIDENCE, Baseline
from svlearn.evaluation.report.numbers import plain, with_error

HEADER = ["Row", "Before the first molecule", "Seconds a molecule", "Mean", "Best-of-n at these seconds"]
HEADER += ["Pays against best-of-n", "and against SVDD-PM that docks"]


@dataclass(frozen=True)
class Paying:
    """A row of something learned, what it took before its first molecule, and from how many on it pays."""

    row: Drawn
    seconds: float
    best: tuple[float, float]
    against_best: BreakEven
    against_all: BreakEven | None

    def cells(self) -> list[str]:
        both = "–" if self.against_all is None else told(self.against_all)
        price = plain(self.row.cost("cpu_seconds"), 3)
        means = [with_error(*self.row.mean), with_error(*self.best)]
        return [self.row.name, f"{self.seconds:,.0f}", price, *means, told(self.against_best), both]


def paying(row: Drawn, seconds: float, unguided: Drawn, docking: Drawn | None) -> Paying:
    """What `svlearn.advising.break_even` says of a row; its prices are seconds of the processor, taken as exact.

    unguided: plain molecules, of which best-of-n is made; docking: a sampler without training, if there is one.
    """
    price = row.cost("cpu_seconds")
    baseline = Baseline(unguided.rewards, unguided.cost("cpu_seconds"))
    others = [] if docking is None else [(docking.rewards, docking.cost("cpu_seconds"))]
    best = break_even(row.rewards, price, seconds, baseline)
    both = break_even(row.rewards, price, seconds, baseline, others) if others else None
    return Paying(row, seconds, baseline.at(price)[:2], best, both)


def told(pays: BreakEven) -> str:
    """A number of molecules and its interval, or that it never pays."""
    low = f"{pays.low:,.0f}"
    end = f"to {pays.high:,.0f}" if pays.high < float("inf") else "or never"
    if pays.samples is None:
        return "never" if pays.low == float("inf") else f"never ({low} at the least)"
    return f"{pays.samples:,.0f} ({low} {end})"


def section(rows: list[Paying]) -> list[str]:
    """Its part of a page."""
    if not rows:
        return []
    return [
        "## From how many molecules on training pays\n",
        "A row pays from N molecules on where its mean score exceeds what needs no training reaches at as many seconds "
        "a molecule, the training's share of them included. Seconds are those of the processor, with drawing and "
        "docking what was learned from; best-of-n is made of the plain molecules. By `svlearn.advising.break_even`, "
        f"with {CONFIDENCE:.0%} intervals.\n",
        markdown_table(HEADER, [row.cells() for row in rows]),
    ]
