"""The figure of docs/leaderboards/starts.md: effective starts, and the spread of log Z, at equal network calls."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.common.estimates import NORMAL
from benchmarks.common.figures import style, svg
from benchmarks.starts.problems import PROBLEMS
from benchmarks.starts.rows import BY_GRADIENT, BY_NOISE, PLAIN, ROWS
from svlearn.evaluation.report.figures import COLORS

NAME = "starts.svg"
SAMPLERS = ("smc", "svdd")
STARTS = (PLAIN, BY_NOISE, BY_GRADIENT)
FIGURES = {
    "effective_starts": "effective starts of a group",
    "spread": "std of log Z of a group, nats",
}


def figures(results: dict[str, Any]) -> dict[str, str]:
    """SVG by file name; none before a problem is measured whole."""
    measured = [name for name in PROBLEMS if set(results[name]) == set(ROWS)]
    return {NAME: bars(results, measured)} if measured else {}


def bars(results: dict[str, Any], names: list[str]) -> str:
    with style("starts"):
        figure = Figure(figsize=(9.6, 0.6 + 2.8 * len(names)))
        panels = figure.subplots(len(names), len(FIGURES), squeeze=False)
        for row, name in zip(panels, names, strict=True):
            for axes, (key, label) in zip(row, FIGURES.items(), strict=True):
                draw(axes, results[name], key)
                axes.set_ylabel(label)
            row[0].set_title(PROBLEMS[name].title, fontsize=10, loc="left")
        return svg(figure, panels[0, 0], columns=3)


def draw(axes: Axes, held: dict[str, Any], key: str) -> None:
    """A group of bars a sampler, a bar a start, with its 95 % interval."""
    for place, start in enumerate(STARTS):
        rows = [held[name] for name, row in ROWS.items() if row.start == start]
        heights, errors = zip(*(row[key] for row in rows), strict=True)
        across = [sampler + 0.27 * (place - 1) for sampler in range(len(rows))]
        widths = [NORMAL * error for error in errors]
        axes.bar(across, heights, 0.25, yerr=widths, color=COLORS[place], label=start, capsize=2)
    axes.set_xticks(range(len(SAMPLERS)), [each.upper() for each in SAMPLERS])
    axes.grid(visible=False, axis="x")
