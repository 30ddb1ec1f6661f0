"""The figures of docs/leaderboards/qm9_inference.md, SVG files drawn from benchmarks/results/qm9_inference.json."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.common.estimates import NORMAL
from benchmarks.common.figures import plain_ticks, style, svg
from benchmarks.qm9_inference.rows import Row, at, candidates, gather, known
from svlearn.evaluation.report.figures import COLORS, LINES, MARKERS

COSTS = {"reference_calls_per_sample": "reference calls a sample", "cpu_seconds_per_sample": "seconds a sample"}
QUANTILES = {"mean_reward": "mean", "reward_quantile_80": "80 % quantile", "reward_quantile_90": "90 % quantile"}


def figures(held: dict) -> dict[str, str]:
    """SVG by file name."""
    rows = gather(held)
    looks: dict[str, dict[str, Any]] = {}
    for row in rows:
        place = len(looks)
        if "M = " not in row.name and row.name not in looks:
            looks[row.name] = {"color": COLORS[place % 8], "marker": MARKERS[(place + place // 8) % 8]}
    return {
        "qm9_inference_diversity.svg": by_diversity(rows, held["truth"], looks),
        "qm9_inference_cost.svg": by_cost(rows, held["truth"], looks),
        "qm9_inference_candidates.svg": by_candidates(rows),
    }


def alphas(rows: list[Row]) -> list[float]:
    return sorted({row.alpha for row in rows}, reverse=True)


def by_diversity(rows: list[Row], truth: dict, looks: dict) -> str:
    """Mean reward against the mean distance of two molecules, a panel per alpha."""
    with style("diversity"):
        figure = Figure(figsize=(9, 8.2))
        grid = figure.subplots(2, 2, sharex=True, sharey=True)
        for alpha, axes in zip(alphas(rows), grid.flat):
            panel(axes, at(rows, alpha), "diversity", looks)
            aim(axes, alpha, truth)
        for axes in grid[-1]:
            axes.set_xlabel("diversity (mean Tanimoto distance)")
        figure.supylabel("mean QED", fontsize=10)
        return svg(figure, legend(grid.flat[0], looks), 4)


def by_cost(rows: list[Row], truth: dict, looks: dict) -> str:
    """Mean reward against calls of the reference, and against seconds, a panel per alpha."""
    with style("cost"):
        panels = alphas(rows)
        figure = Figure(figsize=(11, 7.4))
        grid = figure.subplots(2, len(panels), sharey=True, sharex="row", squeeze=False)
        for costs, line in zip(COSTS, grid):
            for alpha, axes in zip(panels, line):
                panel(axes, at(rows, alpha), costs, looks)
                axes.set(xscale="log", xlabel=COSTS[costs])
                aim(axes, alpha, truth)
        for axes in grid[0]:
            plain_ticks(axes.xaxis, [45, 150, 450])
        for axes in grid[1]:
            plain_ticks(axes.xaxis, [0.02, 0.1, 0.5])
        figure.supylabel("mean QED", fontsize=10)
        return svg(figure, legend(grid[0, 0], looks), 4)


def by_candidates(rows: list[Row]) -> str:
    """SVDD's figure 4: reward by the number of candidates at alpha = 0, and by what they cost."""
    with style("candidates"):
        figure = Figure(figsize=(9, 4.6))
        panels = figure.subplots(1, 2, sharey=True)
        for color, kind in zip(COLORS, ("SVDD-PM", "SVDD-MC")):
            by_size = candidates(rows, kind)
            costs = (list(by_size), [row.mean("cpu_seconds_per_sample") for row in by_size.values()])
            for axes, x in zip(panels, costs):
                for line, (name, label) in zip(LINES, QUANTILES.items()):
                    heights = [row.mean(name) for row in by_size.values()]
                    marker_style = {"color": color, "linestyle": line, "marker": "o", "markersize": 4}
                    errors = [NORMAL * row.reward[1] for row in by_size.values()] if name == "mean_reward" else None
                    axes.errorbar(x, heights, errors, label=f"{kind}, {label}", capsize=2, **marker_style)
        panels[0].set(xscale="log", xlabel="candidates M", ylabel="QED")
        panels[1].set(xscale="log", xlabel="seconds a sample")
        plain_ticks(panels[0].xaxis, [1, 2, 5, 10, 20, 50])
        plain_ticks(panels[1].xaxis, [0.02, 0.1, 0.5])
        return svg(figure, panels[0])


def panel(axes: Axes, rows: list[Row], x: str, looks: dict) -> None:
    for row in rows:
        mean, error = row.reward
        axes.errorbar(row.mean(x), mean, NORMAL * error, fmt="none", ecolor=looks[row.name]["color"], elinewidth=1)
        axes.plot(row.mean(x), mean, linestyle="none", markersize=7, **looks[row.name])


def aim(axes: Axes, alpha: float, truth: dict) -> None:
    """The title, and the mean reward of p* where it is known."""
    axes.set_title(f"alpha = {alpha:g}", fontsize=10)
    exact = truth.get(f"{alpha:g}")
    if exact is not None and known(exact):
        axes.axhline(exact["mean_reward"], color="black", linewidth=1, linestyle="--")


def legend(axes: Axes, looks: dict) -> Axes:
    """Handles for all methods, of which no panel has every one."""
    for name, look in looks.items():
        axes.plot([], [], linestyle="none", markersize=7, label=name, **look)
    axes.plot([], [], color="black", linewidth=1, linestyle="--", label="p*")
    return axes
