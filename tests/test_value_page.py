"""The example of the page on values runs as it stands, and the page names what is there."""

import re
from pathlib import Path

import svlearn as sv
from svlearn import rollouts, values
from svlearn.values import selection_gain

PAGE = Path(__file__).parents[1] / "docs/values.md"


def test_the_example_learns_from_what_the_first_value_guided(capsys):
    names = {}
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    exec(compile(code, str(PAGE), "exec"), names)
    assert re.search(r"off by 0.\d\d; of 200 that it guided, with their losers: 0.\d\d", capsys.readouterr().out)
    spread = (names["exact"].max() - names["exact"].min()).item()
    assert names["error"](names["first"]) < 0.2 * spread and names["error"](names["second"]) < 0.1 * spread


def test_all_that_the_page_names_is_there():
    text = PAGE.read_text()
    named = re.findall(r"`([A-Z]\w+(?:Regression|Iteration|Difference|Twist|Energy|Consistency))`", text)
    assert len(named) >= 7 and all(hasattr(sv.objectives, name) for name in named)
    for module, package in (("rollouts", rollouts), ("values", values), ("values.selection_gain", selection_gain)):
        own = re.findall(rf"`{re.escape(module)}\.([A-Za-z]\w*)(?:`|\()", text)
        assert own and all(hasattr(package, name) for name in own), (module, own)
