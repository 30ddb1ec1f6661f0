"""How the figures of the docs look: SVG files of their own, the same each time they are drawn."""

import io
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, StrMethodFormatter

REFERENCE = re.compile(r'(?<= id=")[^"]+(?=")|(?<=url\(#)[^)]+(?=\))|(?<=href="#)[^"]+(?=")')
STYLE: Any = {
    "svg.fonttype": "none",
    "path.simplify": False,  # which points of a curve it drops hangs on how they are rounded
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
    text = numbered(text[text.index("<svg") :], matplotlib.rcParams["svg.hashsalt"])
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def numbered(text: str, prefix: str) -> str:
    """An SVG whose ids that something refers to are counted in their order: matplotlib's are hashes of rounded floats,
    which another processor rounds otherwise."""
    targets = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))
    identifiers = [name for name in dict.fromkeys(REFERENCE.findall(text)) if name in targets]
    names = {name: f"{prefix}-{place}" for place, name in enumerate(identifiers)}
    return REFERENCE.sub(lambda match: names.get(match[0], match[0]), text)
