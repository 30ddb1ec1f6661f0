"""The report as one HTML file that asks nothing of the network."""

import base64
import itertools
import json
import re
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from svlearn.evaluation.findings import Findings, Gallery
from svlearn.evaluation.report import by_time, figures
from svlearn.evaluation.report.numbers import plain
from svlearn.evaluation.report.tables import readable

TEMPLATE = "report.html.j2"


def render(comparison: Findings, title: str) -> str:
    """The page. All text of users is escaped; pictures of samples are embedded.

    Raises ValueError where a reference draws something that is neither one SVG nor an image with its data in it.
    """
    source = files("svlearn.evaluation.report").joinpath(TEMPLATE).read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    table = readable(comparison.table)
    return environment.from_string(source).render(
        title=title,
        verdicts=comparison.verdicts(),
        notes=comparison.notes,
        diagnoses=list(comparison.diagnoses.items()),
        columns=list(table.columns),
        rows=list(zip(table.index, itertools.cycle(figures.COLORS), table.to_numpy().tolist())),
        charts=_charts(comparison),
        galleries=[(name, _pictures(gallery)) for name, gallery in comparison.galleries.items()],
        provenance=[(key, _text(value)) for key, value in comparison.provenance.items()],
    )


def embed(markup: str) -> Markup:
    """A picture of a reference as markup that stands alone: an SVG becomes an image, where no script of it runs."""
    text = markup.strip()
    if re.match(r"(<\?xml.*?\?>\s*)?(<!DOCTYPE.*?>\s*)?(<!--.*?-->\s*)*<svg\b", text, flags=re.DOTALL):
        text = text[text.index("<svg") :]
        if "xmlns=" not in text[: text.index(">")]:
            text = text.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
        data = base64.b64encode(text.encode()).decode()
        return Markup('<img alt="drawn samples" src="data:image/svg+xml;base64,{}">').format(data)
    sources = re.findall(r"""\bsrc(?:set)?\s*=\s*["']?\s*([^"'>\s]{0,40})""", text)
    if text.startswith("<img") and sources and all(each.startswith("data:image/") for each in sources):
        return Markup(text)
    raise ValueError(f"draw: expected one <svg> or an <img> whose src is data:image/..., got {text[:60]!r}")


def _charts(comparison: Findings) -> list[tuple[str, str, list[Markup]]]:
    """Heading, explanation and figures of each section."""
    rows, places = comparison.figures, {name: place for place, name in enumerate(comparison.figures)}
    costs = [
        figures.reward_against_cost(rows, "reference_calls_per_sample", "reference calls per sample"),
        figures.reward_against_cost(rows, "seconds_per_sample", "seconds per sample"),
    ]
    sections = [
        ("Rewards", "How the rewards of the drawn samples spread.", [figures.histograms(comparison.rewards)]),
        ("Reward against cost", "Mean reward ± 1.96 standard errors. Upper left is better.", costs),
    ]
    if comparison.calibrations:
        known = {name: place for place, name in enumerate(comparison.calibrations)}
        known = places if all(name in places for name in known) else known
        drawn = []
        for column, label in (("pearson", "Pearson correlation"), ("r2", "R²")):
            lines = {name: (frame["t"], frame[column]) for name, frame in comparison.calibrations.items()}
            drawn.append(figures.curves(lines, label, (-0.05, 1.05), known))
        what = "How well v_t(x_t) foresees r(x_T) along trajectories of the reference. An R² below 0 is out of sight."
        sections.append(("Value against reward, by time", what, drawn))
    sections.extend(by_time.sections(comparison.curves, places))
    return [(heading, text, [Markup(each) for each in charts]) for heading, text, charts in sections]


def _pictures(gallery: Gallery) -> list[tuple[str, Markup]]:
    drawn = []
    for heading, picked in (("Best", gallery.best), ("Random", gallery.random)):
        objects, rewards = [each for each, _ in picked], [plain(reward, 3) for _, reward in picked]
        markup = gallery.draw(objects, rewards)
        if markup is not None:
            drawn.append((heading, embed(markup)))
    return drawn


def _text(value: object) -> str:
    if value is None:
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
