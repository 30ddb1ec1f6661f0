"""Configurations by name, entries of their mappings that a command line overrides, and conditions as they hold them."""

from pathlib import Path

import pytest
import torch
import yaml

from svlearn.cli.conditions import as_condition
from svlearn.cli.configs import described, expand, shipped_configs, starting_points
from svlearn.cli.overrides import put, split
from svlearn.loading import package_data

ROOT = Path(__file__).parents[2]


def test_the_package_holds_what_stands_beside_it():
    for folder in ("configs", "checkpoints"):
        here = {path.relative_to(ROOT / folder) for path in (ROOT / folder).rglob("*")}
        assert here == {path.relative_to(package_data(folder)) for path in package_data(folder).rglob("*")} != set()


def test_names_are_of_a_command_and_of_the_files_on_top():
    guided = {"digits", "gdss", "qm9", "hepg2", "stories", "utr5", "yeast-promoters"}
    assert {*starting_points("evaluate.yaml")} == guided
    assert {*starting_points("value.yaml")} == guided | {"gb1"}
    assert {"digits", "qm9", "gb1", "utr5", "yeast-promoters", "hepg2"} <= set(starting_points("pretrain.yaml"))
    assert "gdss" not in starting_points("pretrain.yaml")
    known = shipped_configs("value.yaml")
    assert known["qm9"] == package_data("configs") / "molecules/qm9/value.yaml"
    assert known["qm9/values/soft_q"] == package_data("configs") / "molecules/qm9/values/soft_q.yaml"
    assert known["qm9/demo"].name == "demo.yaml" and known["qm9/evaluate"].name == "evaluate.yaml"


def test_a_name_becomes_a_path_and_a_file_goes_before(tmp_path, monkeypatch):
    path = str(shipped_configs("evaluate.yaml")["qm9"])
    words = ["fit", "--config", "qm9", "--config=qm9", "-c", "mine.yaml", "--number", "qm9"]
    assert expand(words, "evaluate.yaml") == ["fit", "--config", path, f"--config={path}", *words[4:]]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "qm9").write_text("number: 3")
    assert expand(words, "evaluate.yaml") == words


def test_help_lists_what_a_command_can_start_with():
    names = ", ".join(starting_points("pretrain.yaml"))
    assert described("A toy.", "pretrain.yaml").endswith(
        f"Shipped configurations, for --config: {names}. A path of a YAML is taken as well.\n"
    )
    assert described("A toy.", "none.yaml") == "A toy."


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs").rglob("*.yaml")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_a_configuration_is_a_mapping(path):
    assert isinstance(yaml.safe_load(path.read_text()), dict)


def test_overrides_are_taken_out_and_put_where_they_belong():
    words = ["--values.a.b.init_args.n", "3", "--num_samples", "4", "--values.a={class_path: x}", "--valuess.a", "1"]
    rest, overrides = split(words, ["values"])
    assert rest == ["--num_samples", "4", "--valuess.a", "1"]
    assert overrides == [("values", "a.b.init_args.n", 3), ("values", "a", {"class_path": "x"})]
    entries = {"a": {"class_path": "y"}, "a.b": {"class_path": "z", "init_args": {"m": 1}}}
    changed = put(entries, overrides[0])
    assert changed == {"a": {"class_path": "y"}, "a.b": {"class_path": "z", "init_args": {"m": 1, "n": 3}}}
    assert put(changed, overrides[1])["a"] == {"class_path": "x"}
    assert entries["a.b"]["init_args"] == {"m": 1}
    assert put({"a": {"class_path": "y"}}, ("values", "a.init_args.n", 3))["a"]["init_args"] == {"n": 3}
    with pytest.raises(ValueError, match=r"values: expected one of a, a.b, got 'c.init_args'"):
        put(entries, ("values", "c.init_args", 3))
    with pytest.raises(ValueError, match=r"--values.a: expected a value after it, got nothing"):
        split(["--values.a"], ["values"])


def test_conditions_are_texts_or_rows():
    assert as_condition(["a cat", "a dog"], "condition") == ["a cat", "a dog"]
    assert as_condition(None, "condition") is None
    assert torch.equal(as_condition([1, 2], "condition"), torch.tensor([1, 2]))
    rows = as_condition({"label": [0, 1], "size": [[1.0, 2.0], [3.0, 4.0]]}, "condition")
    assert rows["label"].dtype == torch.int64 and rows["size"].shape == (2, 2)
    built = as_condition({"class_path": "torch.arange", "init_args": {"end": 3}}, "condition")
    assert torch.equal(built, torch.arange(3))
    with pytest.raises(ValueError, match=r"condition: expected texts, or rows of numbers of one length, got"):
        as_condition([[1, 2], [3]], "condition")
