"""What the README and the docs show is true: examples run as they stand, figures are those of the results."""

import importlib.util
import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def example():
    (code,) = re.findall(r"<!-- example -->\n```python\n(.*?)```", README.read_text(), re.DOTALL)
    return code


def test_the_example_has_at_most_25_lines():
    assert len(example().strip().splitlines()) <= 25


def test_the_example_runs_and_compares(capsys):
    names = {}
    exec(compile(example(), str(README), "exec"), names)
    printed = capsys.readouterr().out
    for sampler in ("plain", "best of 8", "SVDD-PM", "SVDD-MC"):
        assert sampler in printed
    target, walk, learned = names["target"], names["walk"], names["value"]
    guided = names["sv"].svdd(walk, target, learned, 8).sample(400).rewards
    plain = names["sv"].ancestral(walk, target).sample(400).rewards
    error = (guided.var() / 400 + plain.var() / 400) ** 0.5
    assert guided.mean() - plain.mean() > 8 * error


def test_the_examples_of_the_docs_run_in_their_order(capsys):
    names = {}
    for code in re.findall(r"```python\n(.*?)```", (ROOT / "docs/own_model.md").read_text(), re.DOTALL):
        exec(compile(code, "docs/own_model.md", "exec"), names)
    assert "mean_reward" in capsys.readouterr().out


def test_the_table_is_that_of_the_results():
    spec = importlib.util.spec_from_file_location("qm9_demo", ROOT / "benchmarks/qm9_demo.py")
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    results = json.loads(benchmark.RESULTS.read_text())
    assert benchmark.quote(README.read_text(), results) == README.read_text()


def test_the_card_of_the_reference_is_that_of_its_results():
    figures = json.loads((ROOT / "benchmarks/results/qm9_reference.json").read_text())
    card = (ROOT / "checkpoints/qm9.md").read_text()
    for name in ("validity", "connected", "uniqueness", "novelty"):
        assert f"{figures[name]:.1%}" in card
