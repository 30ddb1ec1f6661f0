"""Figures of one quantity by row: a dot with its interval for each, sorted, the best on top."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from benchmarks.common.estimates import NORMAL, Estimate
from benchmarks.common.figures import style, svg
from svlearn.evaluation.report.figures import COLORS, MARKERS

LEARNED, FREE, OTHER = "learned", "training-free", "to compare"
LOOKS = {FREE: (COLORS[0], "o"), LEARNED: (COLORS[1], "s"), OTHER: (COLORS[7], "D")}
WIDTH, ROW, ROOM = 7.2, 0.23, 0.75  # inches: of a figure, of a row, and of a panel's title and axis


@dataclass(frozen=True)
class Dot:
    """A row's figure at `at`, from `low` to `high`; of a kind, which gives its colour: dots of one name share a row."""

    name: str
    at: float
    low: float
    high: float
    kind: str = FREE


def dot(name: str, estimate: Estimate, kind: str = FREE, errors: float = NORMAL) -> Dot:
    """An estimate with so many standard errors to each side, by default 95 %."""
    mean, error = estimate
    return Dot(name, mean, mean - errors * error, mean + errors * error, kind)


def spread(name: str, figures: Sequence[float], kind: str = FREE) -> Dot:
    """The mean of a few figures, from the least to the largest."""
    return Dot(name, sum(figures) / len(figures), min(figures), max(figures), kind)


@dataclass(frozen=True)
class Panel:
    """title: what the rows are of; label: the quantity and its unit; best: "low" or "high" figures stand on top.

    line: a figure to hold the rows against, and its name. logarithmic: of figures above 0; an end at 0 or below is then
    drawn to the edge. ordered: rows stand as they come, not sorted.
    """

    title: str
    label: str
    dots: Sequence[Dot]
    best: str = "high"
    line: tuple[float, str] | None = None
    logarithmic: bool = False
    ordered: bool = False
    names: list[str] = field(init=False)

    def __post_init__(self) -> None:
        names = list(dict.fromkeys(each.name for each in self.dots))
        if not self.ordered:  # by the mean of a row's dots
            means = {name: [each.at for each in self.dots if each.name == name] for name in names}
            names.sort(key=lambda name: sum(means[name]) / len(means[name]), reverse=self.best == "high")
        object.__setattr__(self, "names", names)


def chart(salt: str, panels: Sequence[Panel]) -> str:
    """The SVG of the panels, one below the other, with one legend of all kinds."""
    kinds = list(dict.fromkeys(each.kind for panel in panels for each in panel.dots))
    heights = [ROOM + ROW * len(panel.names) for panel in panels]
    with style(salt):
        figure = Figure(figsize=(WIDTH, sum(heights) + 0.4))
        rows = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
        looks = {kind: LOOKS.get(kind, (COLORS[place % 8], MARKERS[place % 8])) for place, kind in enumerate(kinds)}
        for axes, panel in zip(rows, panels, strict=True):
            draw(axes, panel, looks)
        for kind, (color, marker) in looks.items():  # the legend has every kind once, whichever panel it is in
            if kinds != [OTHER]:
                rows[0].plot([], [], marker, color=color, markersize=5, label=kind)
        return svg(figure, rows[0], columns=3)


def draw(axes: Axes, panel: Panel, looks: dict[str, tuple[str, str]]) -> None:
    places = {name: len(panel.names) - row for row, name in enumerate(panel.names)}
    if panel.logarithmic:
        axes.set_xscale("log")
    for each in panel.dots:
        color, marker = looks[each.kind]
        axes.plot([each.low, each.high], [places[each.name]] * 2, "-", color=color, linewidth=1.4)
        axes.plot([each.at], [places[each.name]], marker, color=color, markersize=5)
    if panel.logarithmic:
        low, high = axes.get_xlim()
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 100 * low else (1.0,)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(list(places.values()), list(places), fontsize=9)
    axes.set_ylim(0.3, len(places) + 0.7)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(panel.label, fontsize=9)
    axes.set_title(panel.title, fontsize=10, loc="left", fontweight="bold")
    if panel.line is not None:
        axes.axvline(panel.line[0], color="#333333", linestyle="--", linewidth=1)
        axes.set_title(f"- - {panel.line[1]}", fontsize=9, loc="right", color="#333333")
