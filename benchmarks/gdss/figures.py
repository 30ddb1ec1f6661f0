"""Figures of the tables of GDSS: mean reward against seconds a molecule."""

from typing import Any

from matplotlib.axes import Axes

from benchmarks.common.estimates import NORMAL
from benchmarks.gdss.rows import Drawn


def points(axes: Axes, rows: list[Drawn], label: str, **look: Any) -> None:
    """Rows as points, with 95 % intervals of their means."""
    axes.errorbar(
        [row.cost("cpu_seconds") for row in rows],
        [row.mean[0] for row in rows],
        [NORMAL * row.mean[1] for row in rows],
        label=label,
        capsize=2,
        markersize=5,
        **look,
    )
