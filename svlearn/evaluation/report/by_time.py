"""The report's figures of what happened by time step inside the samplers."""

from collections.abc import Mapping

import pandas as pd

from svlearn.evaluation.report import figures

Panel = tuple[str, str, tuple[float | None, float | None]]  # a column of `curves`, the label of its axis, its limits
SHARES: tuple[Panel, ...] = (
    ("ess", "effective sample size / particles", (0.0, 1.05)),
    ("unique_ancestors", "ancestors of the finished / particles", (0.0, 1.05)),
)
SPREADS: tuple[Panel, ...] = (
    ("log_weight_spread", "spread of log-weights (nats)", (0.0, None)),
    ("increment_spread", "spread of one step (nats)", (0.0, None)),
)
SECTIONS = (
    (
        "Effective sample size and lineage, by time",
        "Means over groups, as shares of the particles. The effective sample size is that before any resampling of the "
        "step: near 0, one particle carries all the weight. The ancestors are the particles that have a finished "
        "descendant: where they are few, one particle decided for all what was decided before.",
        SHARES,
    ),
    (
        "Spread of the log-weights, by time",
        "Standard deviations inside a group: of the weights that its particles carry before any resampling, and of "
        "what the candidates of one step multiply them by, 0 where the value is exact and the proposal is too.",
        SPREADS,
    ),
)


def sections(
    curves: Mapping[str, pd.DataFrame], places: Mapping[str, int], salt: str = ""
) -> list[tuple[str, str, list[str]]]:
    """Heading, explanation and figures of each section that has a line to show; places: the samplers' colours; salt:
    another for each time that a page has them."""
    parts = []
    for heading, text, panels in SECTIONS:
        charts = []
        for column, label, limits in panels:
            known = {name: frame for name, frame in curves.items() if frame[column].notna().any()}
            lines = {name: (frame["t"], frame[column]) for name, frame in known.items()}
            if lines:
                charts.append(figures.curves(lines, label, limits, places, salt))
        if charts:
            parts.append((heading, text, charts))
    return parts
