"""The figures: rewards by what an advice may spend, and the front of the advice on the demo."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.advice.findings import TENTH, Verdict, verdicts
from benchmarks.common.figures import plain_ticks, style, svg
from benchmarks.common.paths import PAGES, ROOT
from svlearn.evaluation.report.figures import COLORS

BY_BUDGET, FRONT = PAGES / "advice.svg", ROOT / "docs/advice.svg"
COLUMNS = 3


def figures(results: dict[str, Any]) -> dict[Path, str]:
    """SVG by path; none of what is not measured."""
    found = verdicts(results)
    drawn = {BY_BUDGET: by_budget(list(found.values()))} if found else {}
    demo = results["special"].get("demo")
    return drawn | ({FRONT: front(demo)} if demo is not None else {})


def by_budget(found: Sequence[Sequence[Verdict]]) -> str:
    """A panel a problem: the reward of each seed's advised sampler by the calls that the advice spent."""
    rows = -(-len(found) // COLUMNS)
    with style("advice"):
        figure = Figure(figsize=(0.6 + 3.4 * min(COLUMNS, len(found)), 0.7 + 3.1 * rows))
        panels = figure.subplots(rows, min(COLUMNS, len(found)), squeeze=False).flatten()
        for axes, own in zip(panels, found, strict=False):
            _panel(axes, own)
        for axes in panels[len(found) :]:
            figure.delaxes(axes)
        return svg(figure, panels[0], columns=2)


def _panel(axes: Axes, own: Sequence[Verdict]) -> None:
    problem, search = own[0].problem, own[0].search
    best = search.best
    axes.axhline(best.reward, color=COLORS[1], label="best row of the search")
    axes.axhspan(best.reward - 1.96 * best.error, best.reward + 1.96 * best.error, color=COLORS[1], alpha=0.15, lw=0)
    axes.axvline(TENTH * search.calls, color="#999999", linestyle=":", label="a tenth of the search's calls")
    for place, each in enumerate(own):
        label = {"label": "advised, a seed each"} if place == 0 else {}
        spent = [run["price"] for run in each.runs]
        axes.plot(spent, each.rewards, "o", color=COLORS[0], alpha=0.45, markersize=4, **label)
    means, errors = zip(*(each.reward for each in own), strict=True)
    bars = [1.96 * error for error in errors]
    spent = [each.spent for each in own]
    axes.errorbar(spent, means, bars, color=COLORS[0], capsize=3, marker="D", markersize=5, label="their mean")
    axes.set(title=problem.title, xlabel="calls of an advice", ylabel=f"mean reward, {problem.unit}", xscale="log")
    plain_ticks(axes.xaxis, [each.budget for each in own])
    axes.xaxis.set_major_formatter(lambda calls, _: f"{calls / 1000:g}k")


def front(advice: dict[str, Any]) -> str:
    """Reward by price: best-of-N, all that was tried, and what is recommended."""
    rows = advice["front"]
    plain = [row for row in rows if row["sampler"] == "plain samples" or row["sampler"].startswith("best of ")]
    others = [row for row in rows if row not in plain]
    with style("advice-demo"):
        figure = Figure(figsize=(8.2, 4.4))
        axes = figure.subplots()
        _points(axes, plain, color=COLORS[7], marker="o", linestyle="-", label="best of N plain samples")
        raced = [row for row in others if row["stage"] == "race"]
        axes.plot(*_places(raced), "x", color=COLORS[7], label="tried, and left behind in the race")
        final = [row for row in others if row["stage"] == "final" and row["sampler"] != advice["recommended"]]
        _points(axes, final, color=COLORS[0], marker="s", linestyle="none", label="finalists, on fresh samples")
        chosen = [row for row in rows if row["sampler"] == advice["recommended"]]
        _points(axes, chosen, color=COLORS[1], marker="*", linestyle="none", markersize=15, label="recommended")
        (row,) = chosen
        axes.annotate(
            row["sampler"], (row["price"], row["reward"]), (-8, 10), textcoords="offset points", ha="right", fontsize=9
        )
        axes.set(xscale="log", xlabel="calls of the reference and the reward, a sample", ylabel="mean QED")
        plain_ticks(axes.xaxis, [46, 92, 184, 368, 736])
        return svg(figure, axes, columns=2)


def _points(axes: Axes, rows: Sequence[dict[str, Any]], **look: Any) -> None:
    axes.errorbar(*_places(rows), [1.96 * row["standard_error"] for row in rows], capsize=2, **look)


def _places(rows: Sequence[dict[str, Any]]) -> tuple[list[float], list[float]]:
    return [row["price"] for row in rows], [row["reward"] for row in rows]
