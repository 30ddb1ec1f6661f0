"""The report's figures, as inline SVG that takes the colours and the type of the page around it."""

import colorsys
import io
import math
import re
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, PercentFormatter, StrMethodFormatter

from svlearn.evaluation.summary import Floats

# Okabe and Ito (2008): told apart by colour-blind readers, and legible on light and dark alike
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D46", "#7A7A7A")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("-", "--", "-.", ":")
INK, FAINT = "#010203", "#040506"  # stand-ins, replaced by the page's colours
_STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.grid": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}
MAX_BINS = 30
FEW = 12  # different rewards that get a bar each
ALIKE = 1e-9  # of the largest: rewards nearer than that differ by rounding
SMALLEST, LARGEST = 1e-290, 1e300  # what is drawn; beyond it an axis has no length in float64
COLUMNS = 4


def histograms(rewards: Mapping[str, Floats]) -> str:
    """One panel per sampler over shared bins (SVDD's figure 2): share of samples by finite reward, the mean a line."""
    finite = {name: np.clip(values[np.isfinite(values)], -LARGEST, LARGEST) for name, values in rewards.items()}
    edges = _edges(np.concatenate(list(finite.values())))
    rows = math.ceil(len(rewards) / COLUMNS)
    columns = math.ceil(len(rewards) / rows)
    with styled("histograms"):
        figure = Figure(figsize=(1 + 2.5 * columns, 0.6 + 2.2 * rows))
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for place, axes in enumerate(grid.flat):
            axes.set_visible(place < len(rewards))
        for place, (name, values) in enumerate(finite.items()):
            axes = grid.flat[place]
            weights = np.full(len(values), 1 / len(rewards[name]))
            axes.hist(values, bins=edges, weights=weights, color=color_of(place))
            missing = 1 - len(values) / len(rewards[name])
            axes.set_title(_short(name) + (f" ({100 * missing:.1f} % -inf)" if missing > 0 else ""), fontsize=10)
            if len(values):
                axes.axvline(float((values / len(values)).sum()), color=INK, linewidth=1.2, linestyle="--")
            axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
            axes.xaxis.set_tick_params(labelbottom=place + columns >= len(rewards))
        figure.supxlabel("reward (reward units); dashed: mean", fontsize=10)
        figure.supylabel("share of samples", fontsize=10)
        return svg(figure, "Histograms of the rewards of each sampler")


def reward_against_cost(figures: Mapping[str, Mapping[str, float]], cost: str, label: str) -> str:
    """Mean of the finite rewards, ± 1.96 standard errors, against a cost; of a constraint the share of finite rewards.
    The axis is logarithmic where all cost."""
    constraint = is_constraint(figures)
    with styled(cost):
        figure = Figure(figsize=(5.2, 3.8))
        axes = figure.subplots()
        for place, (name, row) in enumerate(figures.items()):
            height, error = _share(row) if constraint else _finite(row)
            error *= 1.96
            axes.errorbar(
                row[cost],
                height,
                error if math.isfinite(error) else None,
                fmt=_marker(place),
                color=color_of(place),
                markersize=7,
                capsize=3,
                label=_label(name),
            )
        costs = [row[cost] for row in figures.values()]
        if min(costs) > 0:
            axes.set_xscale("log")
            axes.margins(x=0.15)
            axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if max(costs) < 100 * min(costs) else (1.0,)))
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(label)
        some = any(row["minus_infinity_fraction"] > 0 for row in figures.values())
        of = "mean of finite rewards" if some else "mean reward"
        axes.set_ylabel("finite rewards (%)" if constraint else f"{of} (reward units)")
        _legend(figure, axes)
        return svg(figure, f"{'Share of finite rewards' if constraint else 'Mean reward'} against {label}")


def is_constraint(figures: Mapping[str, Mapping[str, float]]) -> bool:
    """Whether the reward does nothing but forbid: some are -inf, and all others are equal."""
    rows = figures.values()
    finite = {row["mean_finite_reward"] for row in rows if row["minus_infinity_fraction"] < 1}
    equal = all(not row["mean_finite_reward_standard_error"] > 0 for row in rows) and len(finite) <= 1
    return equal and any(row["minus_infinity_fraction"] > 0 for row in rows)


def curves(
    series: Mapping[str, tuple[Iterable[float], Iterable[float]]],
    label: str,
    limits: tuple[float | None, float | None],
    places: Mapping[str, int] | None = None,
    salt: str = "",
) -> str:
    """Lines over the time step t, (t, y) by name; places: which colour a name has in the other figures; salt: another
    for each figure of one label on a page."""
    with styled(label + salt):
        figure = Figure(figsize=(5.2, 3.6))
        axes = figure.subplots()
        for order, (name, points) in enumerate(series.items()):
            t, y = (np.array(list(each), dtype=float) for each in points)
            place = order if places is None else places[name]
            axes.plot(
                t,
                y,
                color=color_of(place),
                linestyle=LINES[place % len(LINES)],
                marker=_marker(place) if len(t) <= 25 else None,
                markersize=4,
                label=_label(name),
            )
        axes.set_ylim(*limits)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("time step t (0: start)")
        axes.set_ylabel(label)
        _legend(figure, axes)
        return svg(figure, f"{label} by time step")


def _finite(row: Mapping[str, float]) -> tuple[float, float]:
    return row["mean_finite_reward"], row["mean_finite_reward_standard_error"]


def _share(row: Mapping[str, float]) -> tuple[float, float]:
    share = 1 - row["minus_infinity_fraction"]
    return 100 * share, 100 * math.sqrt(share * (1 - share) / row["num_samples"])


def _edges(values: Floats) -> Floats:
    """At most 201 edges around finite values, rising; one bin for values that differ by rounding alone."""
    if len(values) == 0:
        return np.linspace(0.0, 1.0, 3)
    ordered = np.sort(values)
    alike = max(ALIKE * max(-ordered[0], ordered[-1]), SMALLEST)
    if ordered[-1] - ordered[0] <= alike:
        half = max(0.5, alike / ALIKE / 2)
        return np.array([ordered[0] - half, ordered[-1] + half])
    few = ordered[np.append(True, np.diff(ordered) > alike)]
    if len(few) <= FEW:  # a discrete reward: one bar per value
        width = np.diff(few).min()
        bars = math.ceil((ordered[-1] - few[0]) / width + 0.5 - 1e-6)
        if bars <= 200:
            return few[0] + width * (np.arange(bars + 1) - 0.5)
    return np.linspace(ordered[0], ordered[-1], MAX_BINS + 1)


def styled(salt: str) -> AbstractContextManager[None]:
    """The settings of a figure; the salt makes the ids that its drawing refers to its own."""
    return matplotlib.rc_context({**_STYLE, "svg.hashsalt": salt})


def color_of(place: int) -> str:
    """The colour of the sampler at a place, another for each: from the ninth on hues at golden steps, light and dark by
    turns."""
    if place < len(COLORS):
        return COLORS[place]
    hue, lightness = (place * 0.618034) % 1, 0.38 if place % 2 else 0.62
    return "#" + "".join(f"{round(255 * part):02X}" for part in colorsys.hls_to_rgb(hue, lightness, 0.6))


def _marker(place: int) -> str:
    return MARKERS[(place + place // len(MARKERS)) % len(MARKERS)]


def _short(name: str, limit: int = 32) -> str:
    text = "".join(each if each.isprintable() else " " for each in name)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _label(name: str) -> str:
    """Matplotlib drops legend entries that begin with an underscore."""
    return f" {_short(name)}" if name.startswith("_") else _short(name)


def _legend(figure: Figure, axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside lower center", ncols=2, fontsize=9)


def svg(figure: Figure, description: str) -> str:
    """The bare <svg> element: no prolog, no metadata, ids only where the drawing itself refers to them."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", text)
    text = text.replace(INK, "currentColor").replace(FAINT, "var(--line)")
    quoted = description.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return text.replace("<svg", f'<svg role="img" aria-label="{quoted}"', 1)
