"""How the figures of the docs look: SVG files of their own, the same each time they are drawn."""

import io
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, StrMethodFormatter

STYLE: Any = {
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


def style(salt: str) -> AbstractContextManager[None]:
    """The settings of a figure; the salt makes its ids its own, and the same each time."""
    return matplotlib.rc_context({**STYLE, "svg.hashsalt": salt})


def plain_ticks(axis: Any, ticks: Sequence[float]) -> None:
    axis.set_ticks(ticks)
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_locator(NullLocator())


def svg(figure: Figure, axes: Axes, columns: int = 2) -> str:
    """The figure with the legend of one panel: no metadata, and no space at the ends of lines."""
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=columns, fontsize=9)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = buffer.getvalue()
    return "\n".join(line.rstrip() for line in text[text.index("<svg") :].splitlines()) + "\n"
