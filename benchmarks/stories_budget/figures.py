"""The figure of docs/leaderboards/stories_budget.md: what the texts of each method are by what they cost."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.common.figures import plain_ticks, style, svg
from benchmarks.stories_budget.findings import is_measured, trained
from benchmarks.stories_budget.rows import BUDGETS, FREE
from benchmarks.stories_budget.tasks import TASKS
from svlearn.evaluation.report.figures import COLORS, LINES, MARKERS

NAME = "stories-budget.svg"


def figures(results: dict[str, Any]) -> dict[str, str]:
    """SVG by file name; none before a task is measured."""
    measured = {task: own for task, own in results.items() if is_measured(own)}
    return {NAME: budgets(measured)} if measured else {}


def budgets(measured: dict[str, Any]) -> str:
    with style("stories-budget"):
        figure = Figure(figsize=(1.6 + 3.8 * len(measured), 4.2))
        panels = figure.subplots(1, len(measured), squeeze=False)[0]
        for axes, (task, own) in zip(panels, measured.items(), strict=True):
            _panel(axes, task, own)
        return svg(figure, panels[0], columns=3)


def _panel(axes: Axes, task: str, own: dict[str, Any]) -> None:
    for name, color in (("of_reference", "#999999"), ("of_target", "black")):
        label = {"of_reference": "plain texts", "of_target": "p*"}[name]
        axes.axhline(own["truth"][name][0], color=color, linewidth=0.9, label=label)
    for place, name in enumerate((*FREE, *trained(own))):
        rows = [own[name]["budgets"][str(budget)] for budget in BUDGETS]
        means, errors = zip(*(row["figure"] for row in rows), strict=True)
        look = {"color": COLORS[place], "marker": MARKERS[place], "linestyle": LINES[place % len(LINES)]}
        axes.errorbar([row["positions"] for row in rows], means, errors, capsize=2, label=name, markersize=5, **look)
    axes.set(title=task, xlabel="token positions a text", ylabel=TASKS[task].figure, xscale="log")
    plain_ticks(axes.xaxis, [160, 640, 2_560])
