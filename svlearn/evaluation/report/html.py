"""The report as one HTML file that asks nothing of the network."""

import base64
import json
import re
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import nh3
import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from svlearn.conditions import ALL
from svlearn.evaluation.findings import GALLERY_SIZE, Findings, Gallery
from svlearn.evaluation.report import by_time, figures
from svlearn.evaluation.report.columns import explained
from svlearn.evaluation.report.numbers import plain
from svlearn.evaluation.report.tables import costs, readable

TEMPLATE = "report.html.j2"
LONGEST_TEXT = 2000  # characters of a sample
MOST_DRAWN = 8  # conditions that get figures of their own,
MOST_ROWS = 32  # and a row of pictures for each sampler, which has
MOST_PICTURES = 60  # of the best in all its rows, and as many random ones, 2 to 6 a row
Pictures = list[tuple[str, Markup]]  # each under its heading
Texts = list[tuple[str, list[tuple[str, str]]]]  # rewards and texts, likewise
Row = tuple[str, Pictures, Texts, str]  # with its label, and why there is none
_ATTRIBUTES = {"img": {"alt", "height", "src", "title", "width"}}


def render(comparison: Findings, title: str) -> str:
    """The page. All text of users is escaped; pictures of samples are embedded, and a reference that cannot draw them,
    or draws what `embed` refuses, costs them alone."""
    source = files("svlearn.evaluation.report").joinpath(TEMPLATE).read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    table = readable(comparison.overall_table)
    paid = costs(table.columns)
    parts = [table.drop(columns=paid), table[paid]]
    places = {name: place for place, name in enumerate(comparison.figures)}
    drawn = len(comparison.by_condition) <= MOST_DRAWN
    charts = _charts(comparison)  # the first is the answer, and comes before the numbers
    return environment.from_string(source).render(
        title=title,
        verdicts=comparison.verdicts(),
        notes=comparison.notes,
        diagnoses=list(comparison.diagnoses.items()),
        tables=[_rows(part) for part in parts],
        colors={name: figures.color_of(place) for name, place in places.items()},
        first=charts[:1],
        charts=charts[1:],
        meanings={column: explained(column) for column in table.columns},
        samples=_samples(comparison),
        unshown=max(0, len(comparison.by_condition) - MOST_ROWS),
        conditions=[_of_condition(*each, drawn=drawn) for each in comparison.by_condition.items()],
        provenance=[(key, _text(value)) for key, value in comparison.provenance.items()],
    )


def _of_condition(label: str, comparison: Findings, drawn: bool) -> dict[str, Any]:
    """What the page says of one condition; drawn: its figures as well. Pictures: see `_samples`."""
    table = readable(comparison.overall_table)
    places = {name: place for place, name in enumerate(comparison.figures)}
    charts = by_time.sections(comparison.curves, places, salt=label) if drawn else []
    return {
        "label": label,
        "verdicts": comparison.verdicts(),
        "notes": comparison.notes,
        "table": _rows(table.drop(columns=costs(table.columns))),
        "charts": [Markup(chart) for _, _, some in charts for chart in some],
        "diagnoses": list(comparison.diagnoses.items()),
    }


def _rows(table: pd.DataFrame) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """The headings, and each sampler's name and cells."""
    return list(table.columns), list(zip(table.index, table.to_numpy().tolist()))


def embed(markup: str) -> Markup:
    """A picture of a reference as markup that stands alone and runs nothing: an SVG becomes an image; of other markup,
    which begins with an <img>, only images whose data are in it are kept, and plain text.

    Raises ValueError where no image is left.
    """
    text = markup.strip()
    if re.match(r"(<\?xml.*?\?>\s*)?(<!DOCTYPE.*?>\s*)?(<!--.*?-->\s*)*<svg\b", text, flags=re.DOTALL):
        text = text[text.index("<svg") :]
        if "xmlns=" not in text[: text.index(">")]:
            text = text.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
        data = base64.b64encode(text.encode()).decode()
        return Markup('<img alt="drawn samples" src="data:image/svg+xml;base64,{}">').format(data)
    clean = nh3.clean(text, tags={"img"}, attributes=_ATTRIBUTES, attribute_filter=_inside, url_schemes={"data"})
    if text.lower().startswith("<img") and clean.startswith("<img") and ' src="data:image/' in clean:
        return Markup(clean)
    raise ValueError(f"draw: expected one <svg> or an <img> whose src is data:image/..., got {text[:60]!r}")


def _charts(comparison: Findings) -> list[tuple[str, str, list[Markup]]]:
    """Heading, explanation and figures of each section."""
    rows, places = comparison.figures, {name: place for place, name in enumerate(comparison.figures)}
    if not rows:
        return []
    drawn = [
        _paint(figures.reward_against_cost, rows, "reference_calls_per_sample", "reference calls per sample"),
        _paint(figures.reward_against_cost, rows, "seconds_per_sample", "seconds per sample"),
    ]
    what = "Share of finite rewards" if figures.is_constraint(rows) else "Mean reward"
    sections = [
        ("Reward against cost", f"{what} ± 1.96 standard errors. Upper left is better.", drawn),
        (
            "Rewards",
            "How the rewards of the drawn samples spread.",
            [_paint(figures.histograms, comparison.rewards)],
        ),
    ]
    if comparison.calibrations:
        known = {name: place for place, name in enumerate(comparison.calibrations)}
        known = places if all(name in places for name in known) else known
        drawn = []
        for column, label in (("pearson", "Pearson correlation"), ("r2", "R²")):
            lines = {name: (frame["t"], frame[column]) for name, frame in comparison.calibrations.items()}
            drawn.append(_paint(figures.curves, lines, label, (-0.05, 1.05), known))
        what = "How well v_t(x_t) foresees r(x_T) along trajectories of the reference. An R² below 0 is out of sight."
        sections.append(("Value against reward, by time", what, drawn))
    sections.extend(by_time.sections(comparison.curves, places))
    return [(heading, text, [Markup(each) for each in charts]) for heading, text, charts in sections]


def _paint(draw: Callable[..., str], *arguments: Any) -> str:
    """A figure, or why there is none: numbers that cannot be drawn cost their figure alone."""
    try:
        return draw(*arguments)
    except (ValueError, ArithmeticError) as error:
        return Markup("<p>No figure: {}</p>").format(error)


def _inside(tag: str, attribute: str, value: str) -> str | None:
    """Of sources only those that ask nothing of the network."""
    return value if attribute != "src" or value.lstrip().lower().startswith("data:image/") else None


def _samples(comparison: Findings) -> list[tuple[str, list[Row]]]:
    """Of each sampler its rows of pictures or texts: one, or of several conditions one for each, and what is drawn of
    all of them together before these."""
    if not comparison.by_condition:
        shown = [(name, [("", *_shown(gallery, GALLERY_SIZE))]) for name, gallery in comparison.galleries.items()]
        return [(name, rows) for name, rows in shown if any(rows[0][1:])]
    parts = list(comparison.by_condition.items())[:MOST_ROWS]
    number = min(6, max(2, MOST_PICTURES // len(parts)))
    samples = []
    for name, whole in comparison.galleries.items():
        rows: list[Row] = [(ALL, _overview(whole), [], "")]
        rows += [(label, *_shown(part.galleries[name], number)) for label, part in parts if name in part.galleries]
        samples.append((name, [row for row in rows if any(row[1:])]))
    return [(name, rows) for name, rows in samples if rows]


def _shown(gallery: Gallery, number: int) -> tuple[Pictures, Texts, str]:
    """Of all, and of so many of the best and of random samples: pictures, or the texts with their rewards; and why
    there are none."""
    drawn = _overview(gallery)
    texts = []
    for heading, picked in (("Best", gallery.best[:number]), ("Random", gallery.random[:number])):
        objects, rewards = [each for each, _ in picked], [plain(reward, 3) for _, reward in picked]
        try:
            markup = None if gallery.draw is None else gallery.draw(objects, rewards)
            if markup is not None:
                drawn.append((heading, embed(markup)))
            elif all(isinstance(each, str) for each in objects):
                texts.append((heading, [(reward, _short(each)) for each, reward in zip(objects, rewards)]))
        except Exception as error:  # what a user's code raises: all else of the page stands
            return [], [], f"No pictures: {type(error).__name__}: {error}"
    return drawn, texts, ""


def _overview(gallery: Gallery) -> Pictures:
    """The picture of all samples, where there is one."""
    try:
        markup = None if gallery.overview is None else gallery.overview()
        return [] if markup is None else [("All", embed(markup))]
    except Exception as error:  # what a user's code raises: the other pictures stand
        return [("All", Markup("No picture: {}: {}").format(type(error).__name__, error))]


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} … ({len(text)} characters)"


def _text(value: object) -> str:
    if value is None:
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
