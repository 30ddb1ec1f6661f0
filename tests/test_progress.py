"""Progress: a bar on a terminal, a line now and then elsewhere, nothing of what is quickly done."""

import sys

import pytest

from svlearn import progress as module
from svlearn.progress import progress, quiet, say


@pytest.fixture
def lines(monkeypatch, capsys):
    """What a run has written on a standard error that is no terminal, a line at each step."""
    monkeypatch.setattr(module, "SECONDS", 0.0)

    def read():
        text = capsys.readouterr().err
        assert "\r" not in text
        return text.splitlines()

    return read


def test_lines_say_how_far_it_is_at_which_rate_and_how_long_it_takes(lines):
    assert list(progress(range(3), desc="sampling")) == [0, 1, 2]
    printed = lines()
    assert printed[0].startswith("sampling: 0 of 3 step,") and printed[-1].startswith("sampling: 3 of 3 step,")
    assert all("step/s" in each and "to go" in each for each in printed[1:])


def test_lines_go_on_from_what_is_there_and_show_figures(lines):
    with progress(total=10, initial=6, desc="collecting", unit="trajectory") as bar:
        bar.set_postfix({"loss": 0.25}, refresh=False)
        bar.update(2)
        bar.update(2)
    printed = lines()
    assert [each.split(",")[0] for each in printed[:3]] == [f"collecting: {n} of 10 trajectory" for n in (6, 8, 10)]
    assert "loss=0.25" in printed[1]


def test_what_has_no_known_end_says_how_long_it_has_taken(lines):
    list(progress((k for k in range(2)), desc="growing"))
    assert lines()[-1].startswith("growing: 2 step,")


def test_what_is_quickly_done_says_nothing(capsys):
    list(progress(range(1000)))
    assert capsys.readouterr().err == ""


def test_nothing_is_said_where_it_is_not_asked_for(lines):
    list(progress(range(5), disable=True))
    assert lines() == []


def test_a_terminal_has_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    list(progress(range(5), desc="sampling", leave=True))
    assert "\rsampling: 100%|" in capsys.readouterr().err


def test_a_word_is_a_line(capsys):
    say("stopped")
    assert capsys.readouterr().err.strip("\r") == "stopped\n"


def test_quiet_holds_as_long_as_it_is_asked_for(lines, capsys):
    with quiet():
        with quiet():
            pass
        list(progress(range(3)))
        assert lines() == []
    list(progress(range(3), desc="sampling"))
    assert lines()[-1].startswith("sampling: 3 of 3")
