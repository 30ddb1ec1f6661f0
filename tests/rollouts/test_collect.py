"""Collecting to disk: the data do not depend on interruptions, of which a real SIGKILL is one."""

import json
import math
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import torch
from rollout_toys import Mixed, Walk, files_of, total
from torch import nn

import svlearn
from svlearn import Target, progress, targets
from svlearn.metering import metered
from svlearn.randomness import seeded
from svlearn.rollouts import Rollouts, collect, collect_by_noising, roll_back, roll_out
from svlearn.targets import NonFiniteError

TARGET = Target(total, alpha=1.0)


class Stopped(Exception):
    pass


class Fragile(Walk):
    """A walk that stops in the middle of its `fatal`-th call."""

    fatal = -1

    def forward(self, x, t, previous=None):
        self.fatal -= 1
        if self.fatal == 0:
            raise Stopped
        return super().forward(x, t, previous)


def test_holds_the_rollouts_of_one_stream_a_chunk(tmp_path):
    rollouts = collect(Walk(), 10, tmp_path / "new" / "store", target=TARGET, batch_size=4, seed=7, progress=False)
    chunks = [roll_out(Walk(), n, target=TARGET, generator=seeded("cpu", 7, i)) for i, n in enumerate((4, 4, 2))]
    expected = torch.cat(chunks)
    assert len(rollouts) == 10 and rollouts.states.shape == (10, 5, 3)
    assert torch.equal(rollouts.states, expected["states"])
    assert torch.equal(rollouts.rewards, expected["rewards"])
    assert bool((rollouts.rewards == -math.inf).any())


def test_tensordict_states_and_no_rewards(tmp_path):
    rollouts = collect(Mixed(), 5, tmp_path, batch_size=2, progress=False)
    expected = torch.cat([roll_out(Mixed(), n, generator=seeded("cpu", 0, i)) for i, n in enumerate((2, 2, 1))])
    assert rollouts.rewards is None
    assert rollouts.states.batch_size == (5, 4)
    assert bool((rollouts.states == expected["states"]).all())
    assert rollouts.states["words"].dtype == torch.long and rollouts.states["inner", "place"].dtype == torch.float32


def test_noising_keeps_the_finished_states_and_draws_one_stream_a_chunk(tmp_path):
    finished = torch.randn(7, 3, generator=seeded("cpu", 5), dtype=torch.float64)
    with metered() as meter:
        rollouts = collect_by_noising(Walk(), finished, tmp_path, target=TARGET, batch_size=3, seed=2, progress=False)
    assert meter.cost.reference_calls == 0 and meter.cost.reward_calls == 7
    assert torch.equal(rollouts.states[:, -1], finished)
    assert torch.equal(rollouts.rewards, total(finished))
    last = roll_back(Walk(), finished[6:], generator=seeded("cpu", 2, 2))
    assert torch.equal(rollouts.states[6:], last["states"])


def test_goes_on_after_an_exception_with_what_is_missing_alone(tmp_path):
    walk = Fragile()
    walk.fatal = 4 * 2 + 3  # in the third chunk
    with pytest.raises(Stopped):
        collect(walk, 10, tmp_path / "a", target=TARGET, batch_size=3, progress=False)
    with pytest.raises(ValueError, match=r"expected 4 chunks, got 2"):
        Rollouts.open(tmp_path / "a")
    with metered() as meter:
        collect(Fragile(), 10, tmp_path / "a", target=TARGET, batch_size=3, progress=False)
    assert meter.cost.reference_calls == 4 * 4  # the third chunk of 3 and the fourth of 1
    collect(Fragile(), 10, tmp_path / "b", target=TARGET, batch_size=3, progress=False)
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")


def test_what_is_complete_is_not_collected_again(tmp_path):
    collect(Walk(), 6, tmp_path, batch_size=3, progress=False)
    before = files_of(tmp_path)
    with metered() as meter:
        collect(Walk(), 6, tmp_path, batch_size=3, progress=False)
    assert meter.cost.reference_calls == 0 and files_of(tmp_path) == before


def test_max_batch_changes_nothing(tmp_path):
    collect(Walk(), 10, tmp_path / "a", target=TARGET, batch_size=5, progress=False)
    collect(Walk(), 10, tmp_path / "b", target=TARGET, batch_size=5, progress=False, max_batch=2)
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"num_trajectories": 11}, "num_trajectories = 10, got 11"),
        ({"batch_size": 5}, "batch_size = 4, got 5"),
        ({"seed": 1}, "seed = 0, got 1"),
        ({"process": Walk(num_steps=5)}, "num_steps = 4, got 5; process = "),
        ({"process": Walk(step=0.25)}, "process = "),
        ({"target": None}, "reward = 'total', got None"),
        ({"target": Target(lambda x: x.sum(1), alpha=1.0)}, "reward = 'total', got '<lambda>'"),
        ({"seed": 1, "batch_size": 5}, "batch_size = 4, got 5; seed = 0, got 1"),
    ],
)
def test_other_arguments_are_refused_by_name(tmp_path, change, named):
    arguments = {"process": Walk(), "num_trajectories": 10, "target": TARGET, "batch_size": 4, "progress": False}
    collect(path=tmp_path, **arguments)
    before = files_of(tmp_path)
    with pytest.raises(ValueError, match="holds rollouts of other arguments: expected") as raised:
        collect(path=tmp_path, **(arguments | change))
    assert named in str(raised.value) and str(tmp_path) in str(raised.value)
    assert files_of(tmp_path) == before


def test_another_temperature_is_the_same_request(tmp_path):
    collect(Walk(), 4, tmp_path, target=TARGET, progress=False)
    assert len(collect(Walk(), 4, tmp_path, target=Target(total, alpha=0.1), progress=False)) == 4


def test_a_reward_module_is_told_apart_by_its_weights(tmp_path):
    class Slope(nn.Module):
        def __init__(self, slope):
            super().__init__()
            self.register_buffer("slope", torch.tensor(slope))

        def forward(self, x):
            return self.slope * x[:, 0]

    collect(Walk(), 4, tmp_path, target=Target(Slope(1.0), alpha=1.0), progress=False)
    collect(Walk(), 4, tmp_path, target=Target(Slope(1.0), alpha=1.0), progress=False)
    with pytest.raises(ValueError, match="reward = "):
        collect(Walk(), 4, tmp_path, target=Target(Slope(2.0), alpha=1.0), progress=False)


@dataclass
class Slope:
    slope: float

    def __call__(self, x):
        return self.slope * x[:, 0]


def sloped(slope):
    return lambda x: slope * x[:, 0]


def of_default(x, slope=1.0):
    return slope * x[:, 0]


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        (lambda x: x[:, 0], lambda x: x[:, 0], lambda x: x[:, 1]),
        (sloped(1.0), sloped(1.0), sloped(2.0)),
        (partial(of_default, slope=1.0), partial(of_default, slope=1), partial(of_default, slope=2.0)),
        (Slope(1.0), Slope(1.0), Slope(2.0)),
        (Slope(1.0).__call__, Slope(1.0).__call__, Slope(2.0).__call__),
    ],
    ids=["lambdas", "closures", "partials", "objects", "methods"],
)
def test_another_reward_of_the_same_name_is_refused(tmp_path, one, same, other):
    collect(Walk(), 4, tmp_path, target=Target(one, alpha=1.0), progress=False)
    collect(Walk(), 4, tmp_path, target=Target(same, alpha=0.5), progress=False)
    with pytest.raises(ValueError, match="holds rollouts of other arguments: expected reward_identity = '.*name="):
        collect(Walk(), 4, tmp_path, target=Target(other, alpha=1.0), progress=False)


@pytest.mark.parametrize(
    "targets_of",
    [
        lambda x: targets.constraint(lambda state: state[:, 0] > x),
        lambda x: targets.likelihood(lambda state: x * state[:, 0]),
        lambda x: targets.unnormalized_density(lambda state: x * state[:, 0], Slope(2.0)),
    ],
    ids=["constraint", "likelihood", "unnormalized_density"],
)
def test_the_targets_of_the_posteriors_are_told_apart_by_their_arguments(tmp_path, targets_of):
    collect(Walk(), 4, tmp_path, target=targets_of(0.0), progress=False, seed=1)
    collect(Walk(), 4, tmp_path, target=targets_of(0.0), progress=False, seed=1)
    with pytest.raises(ValueError, match="expected reward_identity = "):
        collect(Walk(), 4, tmp_path, target=targets_of(1.0), progress=False, seed=1)


def test_a_reward_that_has_no_identity_needs_a_name(tmp_path):
    lock = threading.Lock()

    def reward(x):
        with lock:
            return x[:, 0]

    with pytest.raises(ValueError, match=r"reward: expected one whose identity .*'lock', a lock.*name='...'"):
        collect(Walk(), 4, tmp_path / "a", target=Target(reward, alpha=1.0), progress=False)
    assert not (tmp_path / "a").exists()
    collect(Walk(), 4, tmp_path / "a", target=Target(reward, alpha=1.0, name="first"), progress=False)
    collect(Walk(), 4, tmp_path / "a", target=Target(total, alpha=1.0, name="first"), progress=False)
    with pytest.raises(ValueError, match="expected reward = 'first', got 'second'"):
        collect(Walk(), 4, tmp_path / "a", target=Target(reward, alpha=1.0, name="second"), progress=False)


def test_what_a_process_keeps_beside_its_weights_counts(tmp_path):
    collect(Walk(width=3), 4, tmp_path, progress=False)
    walk = Walk(width=3)
    walk.calls = 7  # which its constructor was not given
    collect(walk, 4, tmp_path, progress=False)
    with pytest.raises(ValueError, match="of other arguments: expected process_identity = "):
        collect(Walk(width=2), 4, tmp_path, progress=False)


def of_before(path):
    """The store as an earlier svlearn wrote it, which had no identities."""
    manifest = path / "manifest.json"
    held = json.loads(manifest.read_bytes())
    for name in ("process_identity", "reward_identity", "proposal_identity"):
        del held["request"][name]
    manifest.write_text(json.dumps(held))


@pytest.mark.parametrize("target", [None, TARGET])
def test_a_store_of_before_is_read_and_not_taken_for_this_one(tmp_path, target):
    collect(Walk(), 4, tmp_path, target=target, progress=False)
    of_before(tmp_path)
    assert len(Rollouts.open(tmp_path)) == 4
    with pytest.raises(
        ValueError, match="of an earlier svlearn, .*Rollouts.open reads them; to collect, choose another"
    ):
        collect(Walk(), 4, tmp_path, target=target, progress=False)
    with pytest.raises(ValueError, match="of other arguments: expected seed = 0, got 1"):
        collect(Walk(), 4, tmp_path, target=target, progress=False, seed=1)


def test_a_trajectory_with_a_nan_is_not_stored(tmp_path):
    class Broken(Walk):
        def forward(self, x, t, previous=None):
            prediction = super().forward(x.clone(), t)
            if t[0] == 1:
                prediction.transition.mean[2] = math.nan
            return prediction

    target = Target(lambda x: (x[:, 0] > 0.5).double(), alpha=1.0)
    with pytest.raises(NonFiniteError, match="expected numbers at step 2, got NaN at index 2") as raised:
        collect(Broken(), 8, tmp_path, target=target, batch_size=4, progress=False)
    assert raised.value.__notes__ == [f"in chunk 0, trajectories 0 to 3 of {tmp_path}"]
    assert json.loads((tmp_path / "manifest.json").read_text())["complete"] == []


def test_noising_and_rolling_out_do_not_mix(tmp_path):
    finished = torch.zeros(4, 3, dtype=torch.float64)
    collect_by_noising(Walk(), finished, tmp_path, progress=False)
    with pytest.raises(ValueError, match="kind = 'noising', got 'process'; finished_states = "):
        collect(Walk(), 4, tmp_path, progress=False)
    with pytest.raises(ValueError, match="finished_states = "):
        collect_by_noising(Walk(), finished + 1, tmp_path, progress=False)


def test_a_reference_without_noise_leaves_nothing_behind(tmp_path):
    class Plain(Walk):
        noise = svlearn.Reference.noise

    with pytest.raises(TypeError, match="Plain without noise"):
        collect_by_noising(Plain(), torch.zeros(2, 3), tmp_path / "store", progress=False)
    assert not (tmp_path / "store").exists()


def test_a_nan_reward_is_refused_and_its_chunk_not_recorded(tmp_path):
    def reward(x):
        return torch.where(x[:, 0] > 1.0, math.nan, x[:, 0])

    with pytest.raises(ValueError, match="reward: expected a number or -inf at step T, got nan at index") as raised:
        collect(Walk(), 50, tmp_path, target=Target(reward, alpha=1.0), batch_size=50, progress=False)
    assert raised.value.__notes__ == [f"in chunk 0, trajectories 0 to 49 of {tmp_path}"]
    assert json.loads((tmp_path / "manifest.json").read_text())["complete"] == []


def test_chunks_of_another_shape_are_refused(tmp_path):
    class Growing(Walk):
        def initial(self, batch_size, *, condition=None, generator=None):
            self.width += 1
            return super().initial(batch_size, generator=generator)

    with pytest.raises(ValueError, match=r"chunk 1: expected .*\(5, 4\).* got .*\(5, 5\)"):
        collect(Growing(), 4, tmp_path, batch_size=2, progress=False)


@pytest.mark.parametrize(
    ("change", "error", "named"),
    [
        ({"process": nn.Linear(2, 2)}, TypeError, "process: expected a Reference, got Linear"),
        ({"target": total}, TypeError, "target: expected None or a Target, got function"),
        ({"num_trajectories": 0}, ValueError, "num_trajectories: expected an integer of at least 1, got 0"),
        ({"batch_size": 2.0}, ValueError, "batch_size: expected an integer of at least 1, got 2.0"),
        ({"seed": -1}, ValueError, "seed: expected an integer of at least 0, got -1"),
        ({"max_batch": 0}, ValueError, "max_batch"),
    ],
)
def test_wrong_arguments_are_refused_by_name(tmp_path, change, error, named):
    arguments = {"process": Walk(), "num_trajectories": 4, "progress": False} | change
    with pytest.raises(error, match=named):
        collect(path=tmp_path / "store", **arguments)
    assert not (tmp_path / "store").exists()


def test_the_bar_starts_at_what_is_there(tmp_path, capsys, monkeypatch):
    walk = Fragile()
    walk.fatal = 4 * 2 + 1
    with pytest.raises(Stopped):
        collect(walk, 10, tmp_path, batch_size=3, progress=False)
    monkeypatch.setattr(progress, "shows_bars", lambda stream: True)
    capsys.readouterr()
    collect(Fragile(), 10, tmp_path, batch_size=3)
    bar = capsys.readouterr().err
    assert "6/10" in bar.split("\r")[1] and "10/10" in bar


def test_where_no_terminal_is_there_are_lines(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    collect(Walk(), 10, tmp_path, batch_size=5)
    said = capsys.readouterr().err
    assert "collecting: 5 of 10 trajectory" in said and "collecting: 10 of 10 trajectory" in said and "\r" not in said


KILLED_AGAIN_AND_AGAIN = """
import json, os, random, signal, sys, time
from pathlib import Path
import torch
from rollout_toys import Walk, total
from svlearn import Target, progress
from svlearn.rollouts import collect

torch.set_num_threads(1)
WRITES = ("__init__", "write", "_write", "allocate", "replacing", "sync")
FILES = tuple(
    os.path.join("svlearn", *name) for name in (("files.py",), ("rollouts", "store.py"), ("rollouts", "memory_map.py"))
)

def run(path):
    collect(Walk(width=500), 23, path, target=Target(total, alpha=1.0), batch_size=3, progress=False)

def killed_at(lines):
    # dies as it comes to that line, counted over the lines that write
    left = [lines]
    def trace(frame, event, argument):
        if frame.f_code.co_name not in WRITES or not frame.f_code.co_filename.endswith(FILES):
            return None
        if event == "line":
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace
    sys.settrace(trace)

def attempt(path, lines=None, seconds=None):
    pid = os.fork()
    if pid == 0:
        if lines is not None:
            killed_at(lines)
        run(path)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    manifest = path / "manifest.json"
    complete = len(json.loads(manifest.read_text())["complete"]) if manifest.exists() else 0
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, complete

root, draw = Path(sys.argv[1]), random.Random(0)
by_line, by_time = [], []
while not by_line or by_line[-1][0] != 0:  # at every line that writes, one after another
    by_line.append(attempt(root / "by_line", lines=len(by_line) + 1))
for _ in range(8):
    by_time.append(attempt(root / "by_time", seconds=draw.uniform(0.0, 0.1)))
attempt(root / "by_time")
attempt(root / "whole")
print(json.dumps([by_line, by_time]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_sigkill_at_any_moment_loses_at_most_a_chunk_and_counts_none_twice(tmp_path):
    paths = [str(Path(__file__).parent), str(Path(svlearn.__file__).parents[1])]
    run = subprocess.run(
        [sys.executable, "-c", KILLED_AGAIN_AND_AGAIN, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    by_line, by_time = json.loads(run.stdout)
    assert [signal for signal, _ in by_line[:-1]] == [9] * (len(by_line) - 1) and len(by_line) > 40
    for attempts in (by_line, by_time):
        complete = [count for _, count in attempts]
        assert complete == sorted(complete)  # nothing that was complete is lost
    whole = files_of(tmp_path / "whole")
    assert files_of(tmp_path / "by_line") == whole and files_of(tmp_path / "by_time") == whole
    manifests = [(tmp_path / name / "manifest.json").read_text() for name in ("by_line", "by_time", "whole")]
    assert manifests[0] == manifests[1] == manifests[2]
    assert json.loads(manifests[0])["complete"] == list(range(8))
