"""What commands end with."""

from pathlib import Path

from svlearn.cli.written import attempt, show, show_written


def test_files_are_listed_with_what_they_hold(capsys):
    show_written({Path("out/report.html"): "the page", Path("out/comparison.csv"): "the figures"})
    assert capsys.readouterr().out == "written:\n  out/report.html  the page\n  out/comparison.csv  the figures\n"
    show_written({})
    assert capsys.readouterr().out == ""


def test_a_file_that_fails_is_named_and_the_next_is_written(tmp_path, capsys):
    def broken(path):
        raise ZeroDivisionError("no ink")

    assert not attempt(tmp_path / "one", broken) and attempt(tmp_path / "two", Path.touch)
    assert capsys.readouterr().err == f"{tmp_path / 'one'} was not written: ZeroDivisionError: no ink\n"
    assert (tmp_path / "two").exists()


def test_letters_that_an_output_lacks_cost_nothing(monkeypatch, capsys):
    class Plain:
        def write(self, text):
            text.encode("ascii")

    monkeypatch.setattr("sys.stdout", Plain())
    show("α")
    assert capsys.readouterr().err.startswith("not all could be printed: ")
