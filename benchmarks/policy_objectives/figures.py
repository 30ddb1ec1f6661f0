"""The figures of docs/leaderboards/policy_objectives.md: reward and judge of each objective by what it has taken."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmarks.common.figures import style, svg
from benchmarks.policy_objectives.families import FAMILIES
from benchmarks.policy_objectives.findings import CALLS, SECONDS, Domain, gather, reach
from benchmarks.policy_objectives.tasks import TASKS
from svlearn.evaluation.report.figures import COLORS, LINES, MARKERS

COSTS = {CALLS: ("calls of networks, thousands", 1e-3), SECONDS: ("seconds of the processor", 1.0)}
LINE_OF = {"reward": "-", "judge": "--"}


def file(domain: str) -> str:
    return f"policy_objectives_{domain}.svg"


def figures(held: dict[str, Any]) -> dict[str, str]:
    """SVG by file name, one for each domain that has curves."""
    return {file(name): drawing(domain) for name, domain in gather(held).items()}


def drawing(domain: Domain) -> str:
    """Reward, solid, and judge, dashed, by calls above and by seconds below."""
    with style(f"policy_objectives{domain.name}"):
        figure = Figure(figsize=(10.0, 7.6))
        panels = figure.subplots(2, 2, sharey="col")
        for row, cost in zip(panels, COSTS, strict=True):
            for axes, kind in zip(row, LINE_OF, strict=True):
                panel(axes, domain, cost, kind)
        task = TASKS[domain.name]
        panels[0][0].set_title(f"reward: {task.reward_unit}", fontsize=8)
        panels[0][1].set_title(f"judge: {task.judge_unit}", fontsize=8)
        return svg(figure, panels[0][0], columns=4)


def panel(axes: Axes, domain: Domain, cost: str, kind: str) -> None:
    """The mean over seeds with its 95 % interval; what needs no training as a level, for it pays for each sample."""
    label, unit = COSTS[cost]
    axes.set(xlabel=label, ylabel=kind)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    for place, (name, held) in enumerate(domain.baselines.items()):
        look: dict[str, Any] = {"color": "#555555", "linewidth": 0.9, "linestyle": LINES[place % len(LINES)]}
        axes.axhline(held[kind][0], label=f"{name}: {held[CALLS]:.0f} calls a sample", **look)
    for place, family in enumerate(FAMILIES):
        if family not in domain.curves:
            continue
        curve = domain.mean_curve(family)
        at = [point[cost] * unit for point in curve]
        means = [point[kind] for point in curve]
        widths = [reach([point[kind] for point in points]) for points in domain.on_grid(family)]
        look = {"color": COLORS[place], "marker": MARKERS[place], "markersize": 4, "linestyle": LINE_OF[kind]}
        axes.errorbar(at, means, widths, capsize=2, label=family, linewidth=1.3, elinewidth=0.7, **look)
