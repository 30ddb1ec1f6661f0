"""The figures of docs/leaderboards/search.md, SVG files drawn from benchmarks/results/search.json."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.common.figures import plain_ticks, style, svg
from svlearn.evaluation.report.figures import COLORS, LINES, MARKERS


def figures(results: dict[str, Any]) -> dict[str, str]:
    """SVG by file name."""
    return {
        "search-budgets.svg": budgets(results["budgets"]),
        "search-rounds.svg": rounds(results["rounds"]),
        "search-beams.svg": beams(results["beams"]),
        "search-bounds.svg": bounds(results["bounds"]),
        "search-gaps.svg": gaps(results["bounds"]),
    }


def budgets(results: dict[str, Any]) -> str:
    with style("budgets"):
        figure, (axes,) = _panels("reference calls a group", "total variation to p*")
        for place, (kind, by_budget) in enumerate(results.items()):
            rows = list(by_budget.values())
            distances, errors = zip(*(row["total_variation"] for row in rows), strict=True)
            calls = [row["reference_calls"] for row in rows]
            axes.errorbar(calls, distances, errors, capsize=2, label=kind, **_look(place))
        axes.set(xscale="log", yscale="log")
        plain_ticks(axes.xaxis, [40, 160, 640])
        plain_ticks(axes.yaxis, [0.02, 0.05, 0.1, 0.2])
        return svg(figure, axes)


def rounds(results: dict[str, list[float]]) -> str:
    with style("rounds"):
        figure, (axes,) = _panels("round", "total variation to p*")
        for place, (keep, distances) in enumerate(results.items()):
            axes.plot(range(len(distances)), distances, label=keep, **_look(place))
        axes.set(yscale="log")
        plain_ticks(axes.yaxis, [0.01, 0.03, 0.1, 0.3])
        return svg(figure, axes)


def beams(results: dict[str, dict[str, float]]) -> str:
    with style("beams"):
        figure, (axes,) = _panels("beam width, or N", "share that finds the largest reward")
        widths = [int(width) for width in results]
        for place, name in enumerate(next(iter(results.values()))):
            axes.plot(widths, [row[name] for row in results.values()], label=name, **_look(place))
        axes.set(ylim=(0, 1.03), xscale="log")
        plain_ticks(axes.xaxis, widths)
        return svg(figure, axes)


def bounds(results: dict[str, Any]) -> str:
    with style("bounds"):
        figure, panels = _panels("particles or candidates", "bound - log Z (nats)", len(results))
        for axes, (oracle, of_oracle) in zip(panels, results.items(), strict=True):
            axes.set_title(oracle, fontsize=10)
            axes.axhline(0.0, color="black", linewidth=0.8)
            for place, (kind, by_size) in enumerate(of_oracle["samplers"].items()):
                sizes = [int(size) for size in by_size]
                for side in ("lower", "upper"):
                    means, errors = zip(*(row[side] for row in by_size.values()), strict=True)
                    offsets = [each - of_oracle["log_normalizer"] for each in means]
                    label = kind if side == "lower" else None
                    axes.errorbar(sizes, offsets, errors, capsize=2, label=label, **_look(place))
            axes.set(xscale="log")
            plain_ticks(axes.xaxis, sizes)
        return svg(figure, panels[0])


def gaps(results: dict[str, Any]) -> str:
    with style("gaps"):
        figure, panels = _panels("particles or candidates", "nats", len(results))
        for axes, (oracle, of_oracle) in zip(panels, results.items(), strict=True):
            axes.set_title(oracle, fontsize=10)
            for place, (kind, by_size) in enumerate(of_oracle["samplers"].items()):
                sizes, rows = [int(size) for size in by_size], list(by_size.values())
                means, errors = zip(*(row["gap"] for row in rows), strict=True)
                axes.errorbar(sizes, means, errors, capsize=2, label=f"gap, {kind}", **_look(place))
                if None not in (row["kl_to_target"] for row in rows):
                    exact = [row["kl_to_target"] + row["kl_from_target"] for row in rows]
                    look = _look(place) | {"marker": None}
                    axes.plot(sizes, exact, label=f"both KLs, exact, {kind}", **look)
            axes.set(xscale="log", yscale="log")
            plain_ticks(axes.xaxis, sizes)
        return svg(figure, panels[0])


def _panels(x: str, y: str, number: int = 1) -> tuple[Figure, Sequence[Axes]]:
    figure = Figure(figsize=(1.6 + 3.8 * number, 4.2))
    panels = figure.subplots(1, number, sharey=True, squeeze=False)[0]
    for axes in panels:
        axes.set_xlabel(x)
    panels[0].set_ylabel(y)
    return figure, panels


def _look(place: int) -> dict[str, Any]:
    return {"color": COLORS[place], "marker": MARKERS[place], "linestyle": LINES[place % len(LINES)], "markersize": 5}
