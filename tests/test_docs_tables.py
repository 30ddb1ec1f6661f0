"""The tables of the documentation are sorted by their headings, in a browser where one is installed."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "docs/javascripts/sortable.js"
CHROMIUM = next((path for path in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if path), None)
TABLE = """<article><table><thead><tr><th>Name</th><th>Mean</th></tr></thead><tbody>
<tr><td>b</td><td>0.5 ± 0.9</td></tr><tr><td>c</td><td>–</td></tr>
<tr><td>a</td><td>-2e1</td></tr><tr><td>d</td><td>10</td></tr></tbody></table></article>"""
CLICKS = """<script>
const order = () => [...document.querySelectorAll("tbody tr")].map((row) => row.cells[0].textContent).join("");
const heading = (place) => document.querySelectorAll("th")[place], seen = [order()];
for (const place of [1, 1, 1, 0, 0, 1]) {
  heading(place).querySelector("button").click();
  seen.push(order() + " " + heading(place).getAttribute("aria-sort"));
}
document.body.textContent = JSON.stringify(seen);
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs a chromium on the PATH, such as Debian's package")
def test_a_click_sorts_largest_first_then_smallest_then_as_written(tmp_path):
    page = tmp_path / "page.html"
    page.write_text(f"<!DOCTYPE html><body>{TABLE}<script>{SCRIPT.read_text()}</script>{late(CLICKS)}</body>")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000", "--dump-dom"]
    done = subprocess.run(
        [str(CHROMIUM), *options, f"--user-data-dir={tmp_path / 'profile'}", page.as_uri()],
        capture_output=True,
        text=True,
    )
    found = re.search(r"\[.*\]", done.stdout)
    assert found, done.stderr[-2000:]
    by_mean = ["dbac descending", "abdc ascending", "bcad none"]  # what has no number stays last
    by_name = ["abcd ascending", "dcba descending"]  # words begin with a
    assert json.loads(found[0]) == ["bcad", *by_mean, *by_name, "dbac descending"]


def late(script):
    """The script, run when the page's own has had its turn."""
    return script.replace("<script>", '<script>addEventListener("load", () => {').replace("</script>", "});</script>")
