"""scripts/evaluate.py keeps its work: outputs are looked at first, the table is printed first, a stop costs little."""

import importlib
import json
from pathlib import Path

import pytest
import torch

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture
def evaluate(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("evaluate").evaluate


class Counted:
    """r(x) = x, counted in states."""

    def __init__(self):
        self.calls = 0

    def __call__(self, x):
        self.calls += len(x)
        return x.squeeze(1)


SMALL = {"num_samples": 5, "num_candidates": 2, "smc_alpha": 1.0}
FILES = ("comparison.json", "comparison.csv", "report.html", "samples.svg")


def test_the_files_are_written_and_a_second_run_draws_nothing(evaluate, walk, tmp_path, capsys):
    reward = Counted()
    evaluate(walk, reward, output=tmp_path, request={"reward": "x", "output": "here"}, **SMALL)
    table = capsys.readouterr().out
    assert "| SVDD-PM" in table and all((tmp_path / file).stat().st_size > 100 for file in FILES)
    calls = reward.calls
    first = json.loads((tmp_path / "comparison.json").read_text())
    again = {"request": {"reward": "x", "output": "there", "resume": True}, "resume": True}
    evaluate(walk, reward, output=tmp_path, **again, **SMALL)
    assert reward.calls == calls
    assert json.loads((tmp_path / "comparison.json").read_text())["figures"] == first["figures"]
    with pytest.raises(ValueError, match="partial.json: expected outcomes of this request"):
        evaluate(walk, reward, output=tmp_path, request={"reward": "y"}, resume=True, **SMALL)


def test_outputs_are_looked_at_before_the_work(evaluate, walk, tmp_path, monkeypatch):
    reward = Counted()
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="output: expected a file that can be written, got .*report.html"):
        evaluate(walk, reward, output=tmp_path / "file", **SMALL)
    with pytest.raises(ValueError, match=r"results: expected a file that can be written, .*directory"):
        evaluate(walk, reward, output=tmp_path, results=tmp_path, **SMALL)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(ValueError, match="set HOME"):
        evaluate(walk, reward, output=Path("~nobody_at_all/x"), **SMALL)
    assert reward.calls == 0


def test_a_draw_that_raises_costs_its_pictures_alone(evaluate, walk, tmp_path, capsys):
    def broken(self, objects, captions):
        raise ZeroDivisionError("no ink")

    reference = type("Inkless", (type(walk),), {"draw": broken})()
    with pytest.raises(SystemExit) as stop:
        evaluate(reference, Counted(), output=tmp_path, **SMALL)
    said = capsys.readouterr()
    assert stop.value.code == 1 and "| SVDD-PM" in said.out
    assert "samples.svg was not written: ZeroDivisionError: no ink" in said.err and "--resume" in said.err
    for file in FILES[:3]:
        assert (tmp_path / file).stat().st_size > 100
    assert "no ink" in (tmp_path / "report.html").read_text()


def test_a_pipe_that_is_gone_costs_no_file(evaluate, walk, tmp_path, monkeypatch):
    class Gone:
        def write(self, text):
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("sys.stdout", Gone())
    evaluate(walk, lambda x: -x.pow(2).sum(dim=1), output=tmp_path, **SMALL)
    assert all((tmp_path / name).is_file() for name in ("report.html", "comparison.json", "comparison.csv"))


def test_a_failing_sampler_is_run_again_and_alone(evaluate, walk, tmp_path, capsys):
    class Once(Counted):
        """Raises after the first sampler, until it is mended."""

        broken = True

        def __call__(self, x):
            if self.broken and self.calls == 5:
                raise RuntimeError("the licence server is away")
            return super().__call__(x)

    reward = Once()
    with pytest.warns(UserWarning, match="best-of-2 failed"), pytest.raises(SystemExit):
        evaluate(walk, reward, output=tmp_path, **SMALL)
    assert "the licence server is away" in capsys.readouterr().out
    reward.broken, reward.calls = False, 0
    evaluate(walk, reward, output=tmp_path, resume=True, **SMALL)
    written = json.loads((tmp_path / "comparison.json").read_text())
    assert len(written["figures"]) == 4 and "failures" not in written
    assert torch.tensor(written["rewards"]["pretrained"]).shape == (5,)
