"""The figures of docs/leaderboards/iterated_twists.md: R² under p* and the error of log Z by round."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.common.figures import style, svg
from benchmarks.iterated_twists.findings import gather, log_z_error, r2_under
from benchmarks.iterated_twists.problems import DATA, ORACLES, P_STAR
from benchmarks.iterated_twists.training import METHODS
from svlearn.evaluation.report.figures import COLORS, LINES, MARKERS

OF_ORACLES, OF_DATA = "iterated_twists_oracles.svg", "iterated_twists_data.svg"
LOWEST, HIGHEST = -0.25, 1.5  # in sight: of R²; of the error, in those without a twist


def figures(results: dict[str, Any]) -> dict[str, str]:
    """SVG by file name, of what is measured."""
    drawings = {}
    for name, known in ((OF_ORACLES, ORACLES), (OF_DATA, DATA)):
        measured = [each for each in known if gather(results, each, list(METHODS))]
        if measured:
            drawings[name] = by_round(results, measured, name.removesuffix(".svg").replace("_", ""))
    return drawings


def by_round(results: dict[str, Any], problems: Sequence[str], salt: str) -> str:
    """A column a problem: R² above, the error below, mean over seeds with its 95 % interval."""
    with style(salt):
        figure = Figure(figsize=(1.4 + 2.5 * len(problems), 5.4))
        panels = figure.subplots(2, len(problems), sharex=True, squeeze=False)
        panels[0, 0].set_ylabel("R² under p*")
        panels[1, 0].set_ylabel("mean |Δ log Z|, nats")
        for (above, below), name in zip(panels.T, problems, strict=True):
            own = results["problems"][name]
            above.set_title(own["title"], fontsize=10)
            draw(above, results, name, r2_under(P_STAR))
            above.set_ylim(LOWEST, 1.05)
            draw(below, results, name, log_z_error)
            below.axhline(own["exact"], color="black", linewidth=0.9, linestyle=":", label="exact soft value")
            below.set_ylim(0, HIGHEST * own["none"])
            below.set_xlabel("rounds")
        return svg(figure, panels[1, 0], columns=2)


def draw(axes: Axes, results: dict[str, Any], problem: str, figure: Any) -> None:
    for place, (method, runs) in enumerate(gather(results, problem, list(METHODS)).items()):
        means, widths = zip(*runs.by_round(figure), strict=True)
        look: dict[str, Any] = {"color": COLORS[place], "marker": MARKERS[place], "linestyle": LINES[place]}
        axes.errorbar(range(len(means)), means, widths, markersize=4, capsize=2, label=method, **look)
