"""The report as it is read: in which order, by keyboard and screen reader, on a phone, in the dark; in a browser where
one is installed."""

import json
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest

from svlearn.evaluation.compare import compare
from svlearn.evaluation.comparison import Comparison
from svlearn.evaluation.report.columns import EXPLAINED, OF_THE_SAMPLES, explained
from svlearn.evaluation.report.tables import readable
from svlearn.evaluation.summary import OWN_FIGURES
from svlearn.inference.samplers import ancestral, best_of_n, smc, svdd
from svlearn.values import PosteriorMean

CHROMIUM = next((path for path in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if path), None)
browser = pytest.mark.skipif(CHROMIUM is None, reason="needs a chromium on the PATH, such as Debian's package")
LEAST_CONTRAST = 4.5  # WCAG 2.1, level AA, of text


class Elements(HTMLParser):
    """The elements of a page in their order, with their attributes and the text that follows each."""

    def __init__(self, source):
        super().__init__()
        self.found = []
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes), []))

    def handle_data(self, data):
        if self.found:
            self.found[-1][2].append(data.strip())

    def of(self, tag):
        return [(attributes, "".join(text)) for name, attributes, text in self.found if name == tag]


@pytest.fixture
def page(walk, target, value, tmp_path):
    samplers = {
        "pretrained": ancestral(walk, target),
        "best of 4, a name that is long enough to be a trouble on a narrow screen": best_of_n(walk, target, 4),
        "SVDD-PM": svdd(walk, target, PosteriorMean(target), num_candidates=3),
        "SMC": smc(walk, target, value, num_particles=4),
    }
    return compare(samplers, 12).to_html(tmp_path / "report.html")


def test_first_the_verdict_then_the_figure_then_the_table(page):
    source = page.read_text()
    places = [source.index(each) for each in ('class="verdict"', "<h2>Reward against cost", "<svg", "<table")]
    assert places == sorted(places)
    assert source.index("<table") < source.index("<h2>Rewards") < source.index("<h2>Provenance")


def test_every_column_says_what_it_means(page):
    elements = Elements(page.read_text())
    headings = [each for each in elements.of("th") if each[0].get("scope") == "col" and each[1] != "Sampler"]
    assert len(headings) > 8
    assert all(attributes["title"] == explained(text) for attributes, text in headings)
    listed = [text for _, text in elements.of("dt")]
    assert {text for _, text in headings} <= set(listed)  # on a phone nothing hovers


def test_what_the_tables_can_head_is_explained():
    figures = dict.fromkeys(OWN_FIGURES, 1.0) | {"minus_infinity_fraction": 0.0, "num_seeds": 2, "num_samples": 4}
    finite = Comparison({"a": np.zeros(2)}, {"a": figures}).table
    some = Comparison({"a": np.zeros(2)}, {"a": figures | {"minus_infinity_fraction": 0.5}}).table
    headings = {*readable(finite).columns, *readable(some).columns}
    assert headings == EXPLAINED.keys() - {"Failure"}
    assert explained("Validity") == OF_THE_SAMPLES


def test_no_column_is_empty_for_all():
    figures = dict.fromkeys(OWN_FIGURES, math.nan) | {"mean_reward": 1.0, "minus_infinity_fraction": 0.0}
    two = Comparison({name: np.zeros(2) for name in "ab"}, {name: figures | {"num_samples": 4} for name in "ab"})
    cells = readable(two.table)
    assert len(cells.columns) and not (cells == "–").all(axis=0).any()
    assert "log Z (nats)" not in cells.columns


def test_what_is_seen_has_a_name(page):
    elements = Elements(page.read_text())
    assert [attributes.get("lang") for attributes, _ in elements.of("html")] == ["en"]
    assert all(attributes.get("aria-label") for attributes, _ in elements.of("svg"))
    assert all(attributes.get("alt") for attributes, _ in elements.of("img"))
    regions = [attributes for _, attributes, _ in elements.found if attributes.get("role") == "region"]
    assert len(regions) == 2  # what scrolls sideways is reached by Tab, and says what it is
    assert all(each.get("tabindex") == "0" and each.get("aria-label") for each in regions)
    levels = [int(tag[1]) for tag, _, _ in elements.found if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and all(after - before <= 1 for before, after in pairwise(levels))


def luminance(colour):
    """The relative luminance of WCAG 2.1."""
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.03928 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_contrast_of_black_on_white_is_21():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


def test_text_can_be_read_in_the_light_and_in_the_dark(page):
    palettes = re.findall(r":root \{([^}]*)\}", page.read_text())
    assert len(palettes) == 2
    for palette in palettes:
        colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", palette))
        for text in ("ink", "soft", "accent"):
            for ground in ("page", "card"):
                assert contrast(colours[text], colours[ground]) >= LEAST_CONTRAST, (text, ground)


def looked_at(page, width, dark):
    """What a browser measures of the page at that width."""
    source = page.read_text()
    measure = """<script>addEventListener("load", () => {
      const root = document.documentElement, shown = getComputedStyle(document.body);
      const out = [...document.querySelectorAll("main > *, svg")].filter(
        (each) => each.getBoundingClientRect().right > root.clientWidth + 1).map((each) => each.outerHTML.slice(0, 80));
      const tabbed = [...document.querySelectorAll("[tabindex], summary")].filter((each) => (each.focus(),
        document.activeElement === each)).length;
      parent.postMessage(JSON.stringify({client: root.clientWidth, scroll: root.scrollWidth, out, tabbed,
        ground: shown.backgroundColor, ink: shown.color}), "*");
    })</script>"""
    page.with_name("inner.html").write_text(source.replace("</body>", f"{measure}</body>"))
    page.with_name("outer.html").write_text(
        f'<iframe src="inner.html" width="{width}" height="900" style="border: 0"></iframe>'
        '<script>addEventListener("message", (event) => { document.body.textContent = event.data; });</script>'
    )
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--dump-dom"]
    options += ["--enable-logging=stderr", "--virtual-time-budget=5000", f"--user-data-dir={page.parent / 'profile'}"]
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    done = subprocess.run(
        [str(CHROMIUM), *options, scheme, page.with_name("outer.html").as_uri()], capture_output=True, text=True
    )
    found = re.search(r"\{.*\}", done.stdout)
    assert found, done.stderr[-2000:]
    assert "CONSOLE" not in done.stderr, done.stderr
    return json.loads(found[0])


@browser
@pytest.mark.slow
@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("dark", [False, True])
def test_in_a_browser_nothing_sticks_out_and_all_is_reached_by_keyboard(page, width, dark):
    found = looked_at(page, width, dark)
    assert width - 20 < found["client"] <= width  # what the bar leaves
    assert found["scroll"] <= found["client"] and found["out"] == []
    assert found["tabbed"] == 3  # two tables, and what the columns mean
    brightness = [sum(map(int, re.findall(r"\d+", found[name])[:3])) for name in ("ground", "ink")]
    assert (brightness[0] < brightness[1]) == dark
