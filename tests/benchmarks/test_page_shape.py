"""Every leaderboard is read from its top: what came out, its figure, then tables, and how to measure it again."""

import re

import pytest

from benchmarks.common.pages import measured_at, reproduce
from benchmarks.common.paths import PAGES

MEASURED = sorted(
    page for page in PAGES.glob("*.md") if "Not yet measured: run" not in page.read_text(encoding="utf-8")
)
ORIGIN = {"date": "2026-01-02T03:04:05", "git_commit": "0123456789abcdef", "cpu": "X", "gpu": None, "cores": 2}


@pytest.mark.parametrize("page", MEASURED, ids=lambda page: page.stem)
def test_the_finding_is_on_top_and_the_figure_before_the_tables(page):
    text = page.read_text(encoding="utf-8")
    first, figure = text.split("\n\n")[1], text.find("](")
    assert first.startswith("**") and re.search(r"\d", first)
    assert text.find("![") < text.find("| ---") and figure > 0
    assert "## How to reproduce\n\n`python -m benchmarks " in text


def test_where_results_are_from():
    """Each day, commit and machine once; a part that does not say where it is from is passed over."""
    later = {**ORIGIN, "date": "2026-02-03T00:00:00", "git_commit": "fedcba9876543210+changes"}
    held = {"a": {"provenance": ORIGIN}, "b": [{"provenance": later}, {"provenance": {"git_commit": "x"}}]}
    (said,) = measured_at(held)
    assert said == (
        "Measured 2026-01-02 to 2026-02-03 at 2 commits, which the results name, 1 of 2 parts with changes not yet "
        "committed, on X, 2 cores."
    )
    assert measured_at({"a": {}}) == [] and "`python -m benchmarks starts` and `python" in reproduce(
        ["starts", "gb1"], held
    )
