"""The command of the studies: what it lists, runs and writes, and which command results note."""

import ast
import re
import subprocess
import sys
from types import ModuleType

import pytest
import torch

from benchmarks.common import command
from benchmarks.common.command import add_again, add_choice, add_seeds, main, parser_of, studies
from benchmarks.common.paths import ROOT, STUDIES
from svlearn.evaluation.report.provenance import provenance


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A study of two options, which notes what it is asked and where it is run, in the place of every other."""
    made = ModuleType("run", "A study of 100 % nothing.")
    made.runs = []

    def arguments(parser):
        add_choice(parser, "--rows", ["one", "two, of 50 %"])
        add_seeds(parser, [0, 1], "drawing")
        add_again(parser)

    made.arguments = arguments
    made.measure = lambda options: made.runs.append((options, provenance(), torch.get_num_threads()))
    made.pages = lambda: {tmp_path / "page.md": f"measured {len(made.runs)} times"}
    monkeypatch.setattr(command, "study", lambda name: made)
    monkeypatch.setattr(sys, "argv", ["/somewhere/benchmarks/__main__.py"])
    return made


def test_every_study_is_listed_in_a_line(capsys):
    main([])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(path.parent.name for path in STUDIES.glob("*/run.py"))
    assert len(lines) > 15 and all(len(line.split(maxsplit=1)[1]) > 40 for line in lines)
    for name in ("gdss_table", "search", "soak_scores"):
        assert studies()[name] == ast.get_docstring(ast.parse((STUDIES / name / "run.py").read_text())).split("\n")[0]


def test_listing_imports_no_study():
    code = (
        "import sys; from benchmarks.common.command import main; main([]); "
        "print([name for name in sys.modules if name.startswith('benchmarks.') and name.split('.')[1] != 'common'])"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"


def test_an_unknown_study_is_told_the_known_ones():
    expected = r"study: expected one of advice, constraint_bias, .*training_overhead, value_lessons, got 'gdss'"
    with pytest.raises(SystemExit, match=expected):
        main(["gdss"])


def test_a_study_is_measured_and_its_pages_are_written(module, tmp_path):
    torch.set_num_threads(2)
    main(["fake", "--rows", "one", "--seeds", "3"])
    ((options, origin, threads),) = module.runs
    assert (options.rows, options.seeds, options.again) == (["one"], [3], False)
    assert origin["command"] == ["-m", "benchmarks", "fake", "--rows", "one", "--seeds", "3"]
    assert threads == 1
    assert (tmp_path / "page.md").read_text() == "measured 1 times"


def test_quoting_measures_nothing(module, tmp_path):
    main(["fake", "--quote"])
    assert module.runs == [] and (tmp_path / "page.md").read_text() == "measured 0 times"
    assert sys.argv == ["/somewhere/benchmarks/__main__.py"]


def test_all_is_the_default_and_help_says_so(module, capsys):
    main(["fake"])
    assert module.runs[0][0].rows == ["one", "two, of 50 %"] and module.runs[0][0].seeds == [0, 1]
    with pytest.raises(SystemExit):
        main(["fake", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "A study of 100 % nothing." in text and "of one, two, of 50 % (default: all)" in text
    with pytest.raises(SystemExit):
        main(["fake", "--rows", "three"])
    assert len(module.runs) == 1


def test_a_study_without_pages_has_nothing_to_quote(module):
    del module.pages
    with pytest.raises(SystemExit):
        main(["fake", "--quote"])
    main(["fake"])
    assert len(module.runs) == 1


@pytest.mark.parametrize("name", sorted(studies()))
def test_every_study_holds_what_the_command_asks_of_it(name, capsys):
    """A real parser of each, with its help, and its command in it."""
    module = command.study(name)
    parser = parser_of(name, module)
    assert callable(module.measure) and f"python -m benchmarks {name}" in parser.format_help()
    assert ("quote" in parser.parse_args([])) == hasattr(module, "pages")


def texts():
    """What is read of the repository, by people and by tools; what results say of old commands is history."""
    kinds = ("*.md", "*.py", "*.yaml", "*.toml", "Makefile")
    folders = ("svlearn", "benchmarks", "configs", "checkpoints", "docs", "scripts", "tests")
    yield from (path for kind in kinds for path in ROOT.glob(kind))
    yield from (path for folder in folders for kind in kinds for path in (ROOT / folder).rglob(kind))


def test_every_command_and_file_that_is_named_is_there():
    known, wrong = studies().keys() | {"draw", "fake"}, []  # the last two are of tests
    for path in texts():
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r"python -m benchmarks ([a-z]\w+)", text):
            wrong += [] if name in known else [f"{path}: study {name}"]
        for file in re.findall(r"(?<![\w/])benchmarks/\w[\w/]*\.(?:py|json)", text):
            wrong += [] if (ROOT / file).is_file() else [f"{path}: {file}"]
    assert wrong == []
