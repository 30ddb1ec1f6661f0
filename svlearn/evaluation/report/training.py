"""The figure of a training's validations: the reward, and beside it what shows that it is hacked."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from svlearn.evaluation.report.figures import INK, color_of, styled, svg

LINE = "#CCCCCC"  # of the grid: the file is no part of a page that would say its colour
SHOWN = (  # the label of each panel's axis, and the figures that may stand in it
    ("mean (reward units)", ("reward", "judge")),
    ("KL(q || p_ref) (nats)", ("kl",)),
    ("share, diversity", ("diversity", "uniqueness", "validity")),
)


def validation_curves(rows: Sequence[Mapping[str, float]], best_step: float | None = None) -> str | None:
    """Reward and judge over the optimiser steps of a training, below them KL and diversity, as SVG; None of no rows.

    rows: {"step": k, figure: number, ...} of each validation; ± 1.96 "_standard_error" is a band. Reward and judge have
    an axis each, left and right, for they are of different units. best_step: a line where a stopped training had its
    best judge.
    """
    panels = [(label, [name for name in names if any(name in row for row in rows)]) for label, names in SHOWN]
    panels = [(label, names) for label, names in panels if names]
    if not panels:
        return None
    with styled("validation"):
        figure = Figure(figsize=(5.6, 0.8 + 2.2 * len(panels)))
        for place, (axes, (label, names)) in enumerate(
            zip(figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0], panels, strict=True)
        ):
            for order, name in enumerate(names):
                apart = name == "judge" and order > 0
                own = axes.twinx() if apart else axes
                own.grid(not apart)
                _line(own, rows, name, order if place == 0 else order + 2)
                if place == 0:
                    own.set_ylabel(f"{name}, {label}", color=color_of(order))
                    own.spines["right"].set_visible(apart)
            if place > 0:
                axes.set_ylabel(label)
                axes.legend(fontsize=9)
            if best_step is not None:
                axes.axvline(best_step, color=INK, linewidth=1.0, linestyle=":")
        axes.set_xlabel("optimiser step" + ("" if best_step is None else "; dotted: the weights that were kept"))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        text = svg(figure, "Reward, judge, KL and diversity by optimiser step")
    return text.replace("var(--line)", LINE)


def _line(axes: Axes, rows: Sequence[Mapping[str, float]], name: str, place: int) -> None:
    own = [row for row in rows if np.isfinite(row.get(name, np.nan))]
    steps, means = (np.array([row[key] for row in own]) for key in ("step", name))
    axes.plot(steps, means, color=color_of(place), marker="o", markersize=3, label=name)
    errors = 1.96 * np.array([row.get(f"{name}_standard_error", np.nan) for row in own])
    if np.isfinite(errors).any():
        axes.fill_between(steps, means - errors, means + errors, color=color_of(place), alpha=0.2, linewidth=0)
