"""`svlearn COMMAND`: what it knows, what it says of itself, and that it costs nothing to ask."""

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

import svlearn
from svlearn.cli import COMMANDS, main


def printed(capsys, *arguments):
    main(arguments)
    return capsys.readouterr().out


def test_help_names_every_command_and_one_to_start_with(capsys):
    text = printed(capsys, "--help")
    assert "    svlearn evaluate --config qm9\n" in text
    for name, (_, what) in COMMANDS.items():
        assert name in text and what in text
    assert printed(capsys) == text == printed(capsys, "-h")


def test_the_version_is_that_of_the_package(capsys):
    assert printed(capsys, "--version") == f"svlearn {svlearn.__version__}\n"


@pytest.mark.parametrize(("name", "hint"), [("evalute", "; did you mean evaluate?"), ("x", "")])
def test_an_unknown_command_lists_the_known_ones(name, hint, capsys):
    with pytest.raises(SystemExit) as stop:
        main([name])
    assert stop.value.code == 2
    assert capsys.readouterr().err == (f"svlearn: error: expected one of {', '.join(COMMANDS)}, got {name!r}{hint}\n")


def test_asking_for_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom svlearn.cli import main\nmain(['--help'])\n"
        "assert not {'torch', 'pandas', 'jsonargparse', 'pytorch_lightning'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "svlearn", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"svlearn {svlearn.__version__}\n"


def test_the_installed_command_is_this_one():
    (point,) = [each for each in entry_points(group="console_scripts") if each.name == "svlearn"]
    assert point.value == "svlearn.cli:main"


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in ("export", "doctor")])
def test_the_help_of_a_command_shows_one_to_start_with(command, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["svlearn"])
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0 and f"    svlearn {command} --" in text
    assert any(word in text.lower() for word in ("writes", "written"))
    if command != "collect":
        assert "Shipped configurations, for --config: " in text and "qm9" in text


def test_export_says_what_it_can_measure(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["svlearn"])
    main(["export", "--help"])
    assert "svlearn export qm9 --checkpoint" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["export", "qm10"])
    known = "digits, gb1, qm9, sentiment, sequence-regressor, sequences"
    assert capsys.readouterr().err == f"svlearn export: error: expected one of {known}, got 'qm10'\n"
    with pytest.raises(SystemExit):
        main(["export", "qm9", "--help"])
    assert "--num_samples" in capsys.readouterr().out


def test_quiet_is_of_every_command_and_reaches_no_parser(monkeypatch):
    from svlearn import progress
    from svlearn.cli import doctor

    seen = []
    monkeypatch.setattr(doctor, "run", lambda: seen.append((list(sys.argv), progress._quiet)))
    main(["doctor", "--quiet", "--x", "1"])
    main(["doctor"])
    assert seen == [(["svlearn doctor", "--x", "1"], True), (["svlearn doctor"], False)]
    assert not progress._quiet
