"""What names, figures and pictures of others can do in the page, the Markdown, the CSV and the JSON: nothing."""

import csv
import json
import re

import numpy as np
import pytest

from svlearn.evaluation.compare import compare
from svlearn.evaluation.report.html import embed
from svlearn.inference.samplers import ancestral

PIXEL = "data:image/png;base64,AA=="
ATTACKS = [
    "<script>alert(1)</script>",
    '<img src="https://example.org/a.png">',
    "<img src='//example.org/a.png'>",
    "<img src=a.png>",
    '<img srcset="https://example.org/a.png 2x" src="data:image/png;base64,AA==">',
    '<img src="data:image/png;base64,AA==" onload="alert(1)">',
    '<img src="data:text/html;base64,AA==">',
    '<iframe src="https://example.org"></iframe>',
    '<a href="https://example.org">x</a>',
    '<link rel="stylesheet" href="https://example.org/a.css">',
    '<svg><image href="https://example.org/a.png"/><script>1</script></svg>',
    '<div style="background: url(https://example.org/a.png)">x</div>',
    "<style>@import 'https://example.org/a.css';</style>",
    '<base href="https://example.org"><form action="https://example.org"><input></form>',
    '<video poster="https://example.org/a.png"></video><object data="https://example.org"></object>',
    "<!--><script>alert(1)</script>-->",
    '<img src="data:image/svg+xml,x" style="background:url(//example.org)">',
    '<IMG SRC="HTTPS://example.org/a.png">',
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_follows_a_picture_is_dropped(attack):
    markup = str(embed(f'<img src="{PIXEL}" alt="one">{attack}'))
    assert markup.startswith(f'<img src="{PIXEL}" alt="one">')
    assert "example.org" not in markup.lower() and "<script" not in markup
    for tag in re.findall(r"<[^>]*>", markup):
        assert re.fullmatch(r'<img(?: (?:src="data:image/[^"]*"|alt="[^"]*"))*>', tag), tag


def test_a_picture_in_text_that_is_none_is_refused():
    for markup in (
        f'<p><img src="{PIXEL}"></p>',
        "<img>",
        '<img src="https://example.org">',
        f"text <img src='{PIXEL}'>",
    ):
        with pytest.raises(ValueError, match="draw: expected one <svg> or an <img>"):
            embed(markup)


NAMES = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0", "a", "<script>x</script>", "*a* [b](c)"]


@pytest.fixture
def hostile(walk, target):
    class Hostile(type(walk)):
        def describe(self, objects):
            return {"=HYPERLINK(1)": -1.5, "<b>x</b>": 2.0}

    return compare({name: ancestral(Hostile(), target) for name in NAMES}, 4)


def test_no_cell_of_the_csv_is_a_formula(hostile, tmp_path):
    with open(hostile.to_csv(tmp_path / "a.csv"), newline="") as file:
        rows = list(csv.reader(file))
    for row in rows:
        for cell in row:
            try:
                float(cell)
            except ValueError:
                assert not cell.startswith(("=", "+", "-", "@", "\t", "\r")), cell
    column = rows[0].index("'=HYPERLINK(1)")
    assert [row[0].lstrip("'") for row in rows[1:]] == [name.replace("\r", "\n") for name in NAMES]
    assert [row[column] for row in rows[1:]] == ["-1.5"] * len(NAMES)  # numbers stay numbers


def test_markdown_shows_names_as_they_are(hostile):
    text = hostile.to_markdown()
    assert "<" not in text and r"\*a\* \[b\](c)" in text and r"=cmd\|' /C calc'!A0" in text
    assert "&lt;script&gt;x&lt;/script&gt;" in text and "&lt;b&gt;x&lt;/b&gt;" in text


def test_json_is_safe_inside_a_script_element(hostile, tmp_path):
    text = hostile.to_json(tmp_path / "a.json").read_text()
    assert "<" not in text and set(json.loads(text)["figures"]) == set(NAMES)


def test_the_page_escapes_them(hostile, tmp_path):
    page = hostile.to_html(tmp_path / "a.html").read_text()
    assert "<script" not in page and "<b>" not in page


def test_a_comparison_prints_as_a_whole_table(walk, target):
    comparison = compare({f"sampler {place}": ancestral(walk, target) for place in range(80)}, 2)
    for text in (str(comparison), repr(comparison)):
        assert "..." not in text and text.count("\n| sampler ") == 80 and "Seconds / sample" in text
    assert np.isfinite(comparison.table["mean_reward"]).all()
