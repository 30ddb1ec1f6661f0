"""What the README and the docs show is true: examples run as they stand, figures are those of the results."""

import json
import re
from pathlib import Path

import svlearn as sv
from svlearn.inference import proposals

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
    assert "Mean reward" in capsys.readouterr().out


def test_the_examples_of_the_samplers_print_what_the_page_shows(capsys):
    names, page = {}, (ROOT / "docs/inference.md").read_text()
    examples = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", page, re.DOTALL)
    assert len(examples) == page.count("```python")
    for code, shown in examples:
        exec(compile(code, "docs/inference.md", "exec"), names)
        assert capsys.readouterr().out == shown


def test_what_is_public_of_inference_is_written_of():
    parts = {path.stem for path in (ROOT / "svlearn/inference").glob("[a-z]*.py")}
    api = set(re.findall(r"::: svlearn\.inference\.([a-z_.]+)", (ROOT / "docs/api/samplers.md").read_text()))
    inner = {"checks", "tree", "node_store", "recorder", "retained", "indices"}  # of the loop and the tree
    assert parts - inner <= api
    text = README.read_text() + (ROOT / "docs/inference.md").read_text()
    named = [name for name, home in sv._HOME.items() if home.startswith("svlearn.inference")]
    for name in [*named, *(set(proposals.__all__) - {"FromReference", "Proposal"})]:
        assert re.search(rf"\b{name}\b", text), name


def test_the_card_of_the_reference_is_that_of_its_results():
    figures = json.loads((ROOT / "benchmarks/results/qm9_reference.json").read_text())
    card = (ROOT / "checkpoints/qm9.md").read_text()
    for name in ("validity", "connected", "uniqueness", "novelty"):
        assert f"{figures[name]:.1%}" in card
