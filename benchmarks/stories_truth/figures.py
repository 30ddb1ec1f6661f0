"""The figure of docs/leaderboards/stories_truth.md: how far the texts of each sampler are from p*."""

from benchmarks.common.dots import FREE, LEARNED, OTHER, Dot, Panel, chart
from benchmarks.common.estimates import NORMAL
from benchmarks.stories_truth.problem import PROBLEMS

NAME = "stories_truth.svg"


def figures(held: dict, rows: dict[str, dict[str, dict]]) -> dict[str, str]:
    """SVG by file name; rows: those of the tables, by problem."""
    if not all("truth" in held[name] for name in PROBLEMS):
        return {}
    panels = []
    for name, own in rows.items():
        dots = []
        for label, row in own.items():
            mean, deviation = row["texts"]
            reach = NORMAL * (deviation or 0.0)
            kind = OTHER if label == "plain" else FREE if row["kind"] == "free" else LEARNED
            dots.append(Dot(label, mean, max(mean - reach, 0.01), mean + reach, kind))
        floor = held[name]["truth"]["floor"]["texts"][0], "as many exact draws"
        label = "total variation from p*, ± 1.96 deviations"
        panels.append(Panel(name.capitalize(), label, dots, best="low", line=floor, logarithmic=True))
    return {NAME: chart("stories_truth", panels)}
