"""The figure: the mean reward of every row, a panel a problem."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.common.figures import style, svg
from benchmarks.value_lessons.findings import Row, rows
from benchmarks.value_lessons.lessons import LESSONS
from benchmarks.value_lessons.measured import BEST, FREE, SVDD_PM
from benchmarks.value_lessons.problems import PROBLEMS
from svlearn.evaluation.report.figures import COLORS

NAMES = [*LESSONS, *FREE]


def drawing(held: dict[str, Any]) -> str:
    found = {name: own for name in PROBLEMS if (own := rows(held, name))}
    with style("value-lessons"):
        figure = Figure(figsize=(2.2 + 2.3 * len(found), 4.6))
        panels = figure.subplots(1, len(found), squeeze=False, sharey=True)[0]
        for axes, (name, own) in zip(panels, found.items(), strict=True):
            _panel(axes, name, own)
        panels[0].set_yticks(range(len(NAMES)), NAMES)
        panels[0].invert_yaxis()
        return svg(figure, panels[0], columns=3)


def _panel(axes: Axes, name: str, own: list[Row]) -> None:
    for each in own:
        if each.name in (SVDD_PM, BEST):
            color = COLORS[1] if each.name == SVDD_PM else COLORS[7]
            axes.axvline(each.reward[0], color=color, linestyle="--", label=each.name)
    for trained, label, color in ((True, "learned", COLORS[0]), (False, "not trained", COLORS[7])):
        chosen = [each for each in own if (each.number > 0) == trained]
        places = [NAMES.index(each.name) for each in chosen]
        means, errors = [each.reward[0] for each in chosen], [1.96 * each.reward[1] for each in chosen]
        axes.errorbar(means, places, xerr=errors, fmt="o", color=color, capsize=2, label=label)
    axes.set(title=PROBLEMS[name].title, xlabel=f"mean {PROBLEMS[name].unit}")
