"""The figures of docs/leaderboards/digits_policies.md, SVG files drawn from benchmarks/results/digits_policies.json."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.common.figures import style, svg
from benchmarks.digits.figures import pictures
from benchmarks.digits.findings import Cell
from benchmarks.digits.problem import ALPHAS
from benchmarks.digits_policies.findings import gather, is_policy, kl, of
from benchmarks.digits_policies.rows import ROWS
from svlearn.evaluation.report.figures import COLORS, MARKERS

TRADE_OFF, PICTURES = "digits_policies.svg", "digits_policies_samples.svg"
SHOWN = ALPHAS[1]  # the alpha of the pictures
CURVES = [name for name in ROWS if not name.startswith("SMC")]


def figures(held: dict) -> dict[str, str]:
    """SVG by file name, as far as there are rows."""
    cells = gather(held)
    return {TRADE_OFF: trade_off(cells), PICTURES: pictures(cells, SHOWN)} if cells else {}


def trade_off(cells: list[Cell]) -> str:
    """Reward against diversity and against KL, a line from alpha to alpha; adjoint matching is drawn thickest."""
    with style("digits_policies"):
        figure = Figure(figsize=(10.0, 4.4))
        left, right = figure.subplots(1, 2, sharey=True)
        left.set(xlabel="diversity: mean distance in the judge's features", ylabel="reward, nats")
        right.set(xlabel="KL(q‖p_ref) of trajectories, nats")
        for place, name in enumerate(CURVES):
            own = of(cells, name)
            look = dict(
                color=COLORS[place % len(COLORS)], marker=MARKERS[place % 8], markersize=5, capsize=2, label=name
            )
            look |= {"linewidth": 2.5 if name == "adjoint matching" else 1.0}
            if own:
                rewards, errors = zip(*(cell.reward for cell in own), strict=True)
                left.errorbar([cell.diversity for cell in own], rewards, errors, **look)
                label(left, own, [cell.diversity for cell in own])
            if own and all(is_policy(cell) for cell in own):
                divergences, widths = zip(*(kl(cell) for cell in own), strict=True)
                right.errorbar(divergences, rewards, errors, widths, **look)
                label(right, own, list(divergences))
            elif own and own[0].alpha is None:
                right.errorbar([0.0], rewards, errors, **look)
        return svg(figure, left, columns=3)


def label(axes: Axes, cells: list[Cell], places: list[float]) -> None:
    """Each alpha of adjoint matching beside its point."""
    for cell, place in zip(cells, places, strict=True):
        if cell.name == "adjoint matching":
            text = f"α = {cell.alpha:g}"
            axes.annotate(text, (place, cell.reward[0]), xytext=(5, -11), textcoords="offset points", fontsize=8)
