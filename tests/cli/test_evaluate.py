"""`svlearn evaluate` keeps its work: outputs are looked at first, the table is printed first, a stop costs little; and
its samplers are those of the YAML, under its names."""

import json
from pathlib import Path

import pytest
import torch

import svlearn as sv
from svlearn.cli import evaluate as command
from svlearn.cli.request import identity_of_request


@pytest.fixture
def evaluate():
    return command.evaluate


class Counted:
    """r(x) = x, counted in states."""

    def __init__(self):
        self.calls = 0

    def __call__(self, x):
        self.calls += len(x)
        return x.squeeze(1)


PM = {"class_path": "svlearn.values.PosteriorMean"}
SAMPLERS = {
    "pretrained": {"class_path": "svlearn.ancestral"},
    "best-of-2": {"class_path": "svlearn.best_of_n", "init_args": {"n": 2}},
    "SVDD-PM": {"class_path": "svlearn.svdd", "init_args": {"value": PM, "num_candidates": 2}},
    "SMC-PM": {"class_path": "svlearn.smc", "init_args": {"target": "soft", "value": PM, "num_particles": 2}},
}
SMALL = {
    "samplers": SAMPLERS,
    "targets": {"greedy": {"alpha": 0.0}, "soft": {"alpha": 1.0}},
    "num_samples": 5,
}
FILES = ("comparison.json", "comparison.csv", "report.html", "samples.svg")


def test_the_files_are_written_and_a_second_run_draws_nothing(evaluate, walk, tmp_path, capsys):
    reward = Counted()
    evaluate(walk, reward=reward, output=tmp_path, request={"reward": "x", "output": "here"}, **SMALL)
    table = capsys.readouterr().out
    assert "| SVDD-PM" in table and all((tmp_path / file).stat().st_size > 100 for file in FILES)
    calls = reward.calls
    first = json.loads((tmp_path / "comparison.json").read_text())
    again = {"request": {"reward": "x", "output": "there", "resume": True}, "resume": True}
    evaluate(walk, reward=reward, output=tmp_path, **again, **SMALL)
    assert reward.calls == calls
    assert json.loads((tmp_path / "comparison.json").read_text())["figures"] == first["figures"]
    with pytest.raises(ValueError, match="partial.json: expected outcomes of this request"):
        evaluate(walk, reward=reward, output=tmp_path, request={"reward": "y"}, resume=True, **SMALL)


def test_outputs_are_looked_at_before_the_work(evaluate, walk, tmp_path, monkeypatch):
    reward = Counted()
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="output: expected a file that can be written, got .*report.html"):
        evaluate(walk, reward=reward, output=tmp_path / "file", **SMALL)
    with pytest.raises(ValueError, match=r"results: expected a file that can be written, .*directory"):
        evaluate(walk, reward=reward, output=tmp_path, results=tmp_path, **SMALL)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(ValueError, match="set HOME"):
        evaluate(walk, reward=reward, output=Path("~nobody_at_all/x"), **SMALL)
    assert reward.calls == 0


def test_a_draw_that_raises_costs_its_pictures_alone(evaluate, walk, tmp_path, capsys):
    def broken(self, objects, captions):
        raise ZeroDivisionError("no ink")

    reference = type("Inkless", (type(walk),), {"draw": broken})()
    with pytest.raises(SystemExit) as stop:
        evaluate(reference, reward=Counted(), output=tmp_path, **SMALL)
    printed = capsys.readouterr()
    assert stop.value.code == 1 and "| SVDD-PM" in printed.out
    assert "samples.svg was not written: ZeroDivisionError: no ink" in printed.err and "--resume" in printed.err
    for file in FILES[:3]:
        assert (tmp_path / file).stat().st_size > 100
    assert "no ink" in (tmp_path / "report.html").read_text()


def test_a_pipe_that_is_gone_costs_no_file(evaluate, walk, tmp_path, monkeypatch):
    class Gone:
        def write(self, text):
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("sys.stdout", Gone())
    evaluate(walk, reward=lambda x: -x.pow(2).sum(dim=1), output=tmp_path, **SMALL)
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
        evaluate(walk, reward=reward, output=tmp_path, **SMALL)
    assert "the licence server is away" in capsys.readouterr().out
    reward.broken, reward.calls = False, 0
    evaluate(walk, reward=reward, output=tmp_path, resume=True, **SMALL)
    written = json.loads((tmp_path / "comparison.json").read_text())
    assert len(written["figures"]) == 4 and "failures" not in written
    assert torch.tensor(written["rewards"]["pretrained"]).shape == (5,)


def test_the_parts_are_those_of_the_yaml(evaluate, walk, tmp_path, capsys):
    """A policy, a value by name inside another, a target of its own, and who is set against whom."""
    values = {
        "PM": PM,
        "switch": {"class_path": "svlearn.values.Switch", "init_args": {"early": "PM", "late": "zero", "start": 2}},
        "zero": {"class_path": "svlearn.values.Zero"},
    }
    policies = {"policy": {"class_path": "svlearn.policies.Controlled", "init_args": {"network": "MINE"}}}
    policies["policy"]["init_args"]["network"] = {"class_path": "torch.nn.Identity"}
    by_policy = {"class_path": "svlearn.proposals.Policy", "init_args": {"policy": "policy"}}
    samplers = {
        "one": {"class_path": "svlearn.svdd", "init_args": {"value": "switch", "num_candidates": 3}},
        "two": {"class_path": "svlearn.smc", "init_args": {"target": {"alpha": 2.0}, "value": PM, "num_particles": 3}},
        "three": {"class_path": "svlearn.ancestral", "init_args": {"reference": "policy"}},
        "four": {"class_path": "svlearn.svdd", "init_args": {"value": "PM", "proposal": by_policy}},
    }
    parts = command.Parts(walk, Counted(), values=values, policies=policies, samplers=samplers)
    made = parts.all("samplers")
    assert made["one"].value is parts.get("values", "switch") and made["one"].value.early is made["four"].value
    assert made["two"].target.alpha == 2.0 and made["two"].value.target is made["two"].target
    assert made["one"].target.alpha == 0.0 and made["one"].target.reward is made["two"].target.reward
    assert made["three"].reference is parts.get("policies", "policy") and made["three"].reference.reference is walk
    assert made["four"].proposal.policy is made["three"].reference and made["four"].reference is walk


def test_who_is_set_against_whom_is_said(evaluate, walk, tmp_path, capsys):
    pairs = [["best-of-2", "pretrained"], ["SMC-PM", "SVDD-PM"]]
    evaluate(walk, reward=Counted(), output=tmp_path, pairs=pairs, **SMALL)
    printed, written = capsys.readouterr().out, json.loads((tmp_path / "comparison.json").read_text())
    assert "best-of-2 reaches" in printed and [each.split(" reaches ")[0] for each in written["verdicts"]] == [
        "best-of-2",
        "SMC-PM",
    ]
    with pytest.raises(ValueError, match="pairs: expected two of pretrained, best-of-2, SVDD-PM, SMC-PM each, got"):
        evaluate(walk, reward=Counted(), output=tmp_path, pairs=[["pretrained", "nobody"]], **SMALL)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"class_path": "svlearn.svdd"}, TypeError, r"samplers.new: .*missing 1 required positional argument: 'value'"),
        ({"class_path": "svlearn.svd"}, ValueError, "samplers.new: expected what can be imported, got svlearn.svd"),
        ({"class_path": "svlearn.values.Zero"}, TypeError, "samplers.new: expected what builds a Sampler, got a Zero"),
        (
            {"class_path": "svlearn.best_of_n", "init_args": {"n": 0}},
            ValueError,
            "samplers.new: n: expected an integer",
        ),
        (
            {"class_path": "svlearn.best_of_n", "init_args": {"m": 3}},
            ValueError,
            "samplers.new: svlearn.best_of_n takes reference, target, n, got 'm'",
        ),
        (
            {"class_path": "svlearn.svdd", "init_args": {"value": "PN"}},
            ValueError,
            "values: expected one of PM, round, got 'PN'",
        ),
        (
            {"class_path": "svlearn.svdd", "init_args": {"value": "PM", "target": "warm"}},
            ValueError,
            "targets: expected one of greedy, soft, got 'warm'",
        ),
        ({"class_path": "svlearn.svdd", "init_args": {"value": "round"}}, ValueError, "values.round: .*inside itself"),
        (["svdd"], ValueError, "samplers.new: expected {class_path: ..., init_args: ...}, got"),
    ],
)
def test_what_is_wrong_in_a_yaml_is_named_before_the_work(evaluate, walk, tmp_path, change, error, message):
    again = {"class_path": "svlearn.values.AtSteps", "init_args": {"value": "round", "steps": [1]}}
    reward = Counted()
    with pytest.raises(error, match=message):
        evaluate(
            walk,
            reward=reward,
            output=tmp_path,
            values={"PM": PM, "round": again},
            **{**SMALL, "samplers": {**SAMPLERS, "new": change}},
        )
    assert reward.calls == 0


def test_the_values_are_judged_on_trajectories_by_the_name_of_their_sampler(evaluate, walk, tmp_path):
    sv.collect(walk, 30, tmp_path / "rollouts", target=sv.Target(Counted(), 0.0, name="x"), progress=False)
    values = {"PM": PM, "unused": {"class_path": "svlearn.values.Zero"}}
    samplers = {**SAMPLERS, "guided": {"class_path": "svlearn.svdd", "init_args": {"value": "PM"}}}
    evaluate(
        walk,
        reward=Counted(),
        output=tmp_path / "report",
        rollouts=tmp_path / "rollouts",
        values=values,
        **{**SMALL, "samplers": samplers},
    )
    written = json.loads((tmp_path / "report/comparison.json").read_text())
    assert set(written["calibrations"]) == {"guided", "unused"}


def test_what_a_request_hangs_on(tmp_path, walk):
    (tmp_path / "value.safetensors").write_bytes(b"one")
    request = {"values": {"v": {"init_args": {"name_or_path": str(tmp_path / "value.safetensors")}}}, "output": "here"}
    first = identity_of_request(request, walk)
    assert identity_of_request({**request, "output": "there"}, walk) == first
    (tmp_path / "value.safetensors").write_bytes(b"two")
    assert identity_of_request(request, walk) != first
    assert identity_of_request(None, walk)["files"] == {}


def test_judges_and_metrics_of_the_yaml_are_columns(evaluate, walk, tmp_path, capsys, monkeypatch):
    """A judge is built as any part, or named as it is; where it has a parameter `reference`, it is given that one."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_judges.py").write_text(
        "class Ends:\n"
        "    def __init__(self, reference, factor):\n"
        "        self.factor = factor * reference.num_steps\n\n"
        "    def __call__(self, x):\n"
        "        return self.factor * x.squeeze(1)\n\n\n"
        "def is_positive(x):\n"
        "    return x.squeeze(1) > 0\n\n\n"
        "def largest(objects):\n"
        "    return max(objects)\n"
    )
    judges = {"ends": {"class_path": "my_judges.Ends", "init_args": {"factor": 2.0}}, "high": "my_judges.is_positive"}
    judging = {"judges": judges, "metrics": {"largest": "my_judges.largest"}}
    evaluate(walk, reward=Counted(), output=tmp_path, **judging, **SMALL)
    printed = capsys.readouterr().out
    assert all(f" {heading} |" in printed for heading in ("Ends", "High", "Largest"))
    written = json.loads((tmp_path / "comparison.json").read_text())
    for name, rewards in written["rewards"].items():
        figures = written["figures"][name]
        assert figures["ends"] == pytest.approx(8 * sum(rewards) / 5)
        assert figures["largest"] == max(rewards) and figures["high"] == sum(each > 0 for each in rewards) / 5
    with pytest.raises(ValueError, match=r"judges.high: expected what can be imported, got my_judges.nothing"):
        evaluate(walk, reward=Counted(), output=tmp_path, judges={"high": "my_judges.nothing"}, **SMALL)
