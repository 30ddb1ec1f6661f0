"""The figures of docs/leaderboards/gb1.md, SVG files drawn from benchmarks/results/gb1.json."""

from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.common.figures import plain_ticks, style, svg
from benchmarks.gb1.findings import Method, methods
from benchmarks.gb1.samplers import EXACT, LEARNED, PM, SOFTEST
from svlearn.evaluation.report.figures import COLORS, LINES, MARKERS

SHOWN = (0.1, 0.3, 1.0, 10.0)  # of the alphas
LABELS = {
    "best-of-N": "best-of-N",
    f"SVDD, {PM}": "SVDD-PM",
    f"SVDD, {SOFTEST}": "SVDD, exact mean value",
    f"SVDD, {EXACT}": "SVDD, exact soft value",
}
SCATTERED = {"TDS and exact steps, learned value", "policies"}
SERIES: dict[str, Callable[[Method], bool]] = {
    "best-of-N": lambda each: each.family in ("p_ref", "best-of-N"),
    "SVDD-PM": lambda each: each.family == f"SVDD, {PM}",
    "SVDD, learned value": lambda each: each.family == f"SVDD, {LEARNED}",
    "SVDD, exact value": lambda each: each.family == f"SVDD, {EXACT}",
    "SMC-PM": lambda each: each.family == f"SMC, {PM}",
    "SMC, learned value": lambda each: each.family == f"SMC, {LEARNED}",
    "TDS and exact steps, learned value": lambda each: each.family.startswith(("TDS", "Exact", "SMC of exact")),
    "policies": lambda each: each.family.startswith("Policy"),
}


def figures(results: dict[str, Any]) -> dict[str, str]:
    """SVG by file name; none before all of it is measured."""
    if not complete(results):
        return {}
    return {"gb1_calls.svg": calls(methods(results)), "gb1_candidates.svg": candidates(results["sweeps"])}


def complete(results: dict[str, Any]) -> bool:
    """Whether there is some of every part."""
    parts = ("problem", "sweeps", "learned", "values", "samplers", "policies")
    return all(results.get(part) for part in parts)


def calls(found: Sequence[Method]) -> str:
    """Distance to p* by calls of the reference or the policy, and by those of all networks."""
    with style("gb1calls"):
        figure = Figure(figsize=(9.6, 5.2))
        panels = figure.subplots(1, 2, sharey=True)
        panels[0].set(ylabel="total variation to p*", xlabel="calls of the reference, or of the policy, a sample")
        panels[1].set(xlabel="calls of all networks, a sample")
        for axes, costs in zip(panels, ("calls", "network_calls"), strict=True):
            axes.set(xscale="log", yscale="log")
            for place, (label, wanted) in enumerate(SERIES.items()):
                rows = [each for each in found if wanted(each)]
                look = _look(place)
                if label in SCATTERED or len({getattr(each, costs) for each in rows}) == 1:
                    look["linestyle"] = "none"
                points = [getattr(each, costs) for each in rows], [each.total_variation for each in rows]
                axes.plot(*points, label=label, **look)
            plain_ticks(axes.xaxis, [4, 10, 20, 50, 100, 200] if costs == "calls" else [4, 10, 50, 200, 700])
            plain_ticks(axes.yaxis, [0.02, 0.05, 0.1, 0.2, 0.5])
        return svg(figure, panels[0], columns=4)


def candidates(sweeps: dict[str, Any]) -> str:
    """Distance to p* by candidates, a panel an alpha."""
    with style("gb1candidates"):
        figure = Figure(figsize=(1.6 + 3.0 * len(SHOWN), 4.2))
        panels = figure.subplots(1, len(SHOWN), sharey=True, squeeze=False)[0]
        panels[0].set_ylabel("total variation to p*")
        for axes, alpha in zip(panels, SHOWN, strict=True):
            _by_candidates(axes, alpha, sweeps[f"gb1/{alpha}"])
        return svg(figure, panels[0], columns=4)


def _by_candidates(axes: Axes, alpha: float, rows: dict[str, Any]) -> None:
    axes.set_title(f"alpha = {alpha:g}", fontsize=10)
    axes.set(xscale="log", yscale="log", xlabel="candidates M, or N")
    for place, (kind, label) in enumerate(LABELS.items()):
        sizes = [int(size) for size in rows[kind]]
        axes.plot(sizes, [row["total_variation"] for row in rows[kind].values()], label=label, **_look(place))
    plain_ticks(axes.xaxis, [1, 2, 5, 10, 20, 50])
    plain_ticks(axes.yaxis, [0.01, 0.03, 0.1, 0.3, 1])


def _look(place: int) -> dict[str, Any]:
    return {
        "color": COLORS[place % len(COLORS)],
        "marker": MARKERS[place % len(MARKERS)],
        "linestyle": LINES[place % len(LINES)],
        "markersize": 5,
    }
