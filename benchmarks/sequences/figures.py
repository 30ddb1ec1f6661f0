"""The figures of docs/leaderboards/sequences.md, SVG files drawn from benchmarks/results/sequences.json."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.common.figures import plain_ticks, style, svg
from benchmarks.sequences.findings import Drawn, gather, number_of, on_line
from benchmarks.sequences.problems import PROBLEMS
from benchmarks.sequences.rows import MC, PM, ROWS
from svlearn.evaluation.report.figures import COLORS, MARKERS

LINES = (PM, MC)
TICKS = [base * 10.0**power for power in range(-2, 5) for base in (1, 2, 5)]
PANELS = {"process_calls": "calls of the reference or the policy, a sequence", "cpu_seconds": "seconds, a sequence"}


def figures(held: dict) -> dict[str, str]:
    """SVG by file name, one for each problem that has rows."""
    drawn = {name: gather(held, name) for name in PROBLEMS}
    return {file(name): rewards(name, rows) for name, rows in drawn.items() if rows}


def file(problem: str) -> str:
    return f"sequences_{problem}.svg"


def rewards(problem: str, rows: dict[str, Drawn]) -> str:
    """Mean reward by calls and by seconds: a line for SVDD-PM and for SVDD-MC by M, the others as points."""
    names = [*LINES, *(name for name in ROWS if on_line(name) is None)]
    with style(f"sequences{problem}"):
        figure = Figure(figsize=(9.6, 5.0))
        panels = figure.subplots(1, 2, sharey=True)
        panels[0].set_ylabel(f"mean reward: {PROBLEMS[problem].unit}", fontsize=8)
        for axes, (kind, label) in zip(panels, PANELS.items(), strict=True):
            axes.set(xscale="log", xlabel=label)
            for place, name in enumerate(names):
                own = [row for row in rows.values() if name in (row.name, on_line(row.name))]
                if own:
                    points(axes, own, kind, name, place)
            low, high = axes.get_xlim()
            plain_ticks(axes.xaxis, [tick for tick in TICKS if low <= tick <= high])
        return svg(figure, panels[0], columns=4)


def points(axes: Axes, rows: list[Drawn], kind: str, label: str, place: int) -> None:
    """Rows with their standard errors; those of a line by M, which stands beside each."""
    look: dict[str, Any] = {"color": COLORS[place % len(COLORS)], "marker": MARKERS[(place + place // 8) % 8]}
    rows = sorted(rows, key=number_of)
    at = [row.spent(kind) for row in rows]
    means, errors = zip(*(row.mean for row in rows), strict=True)
    line = "-" if label in LINES else "none"
    axes.errorbar(at, means, errors, label=label, linestyle=line, markersize=5, capsize=2, **look)
    for row, x in zip(rows, at):
        if label in LINES:
            axes.annotate(
                f"{number_of(row)}", (x, row.mean[0]), (3, -11), textcoords="offset points", color=look["color"]
            )
