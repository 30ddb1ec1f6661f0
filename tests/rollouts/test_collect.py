"""Collecting to disk: the data do not depend on interruptions, of which a real SIGKILL is one."""

import json
import math
import os
from pathlib import Path

import forking
import pytest
import torch
from rollout_toys import TARGET, Mixed, Walk, files_of, total

import svlearn
from svlearn import Target, progress
from svlearn.metering import metered
from svlearn.randomness import seeded
from svlearn.rollouts import Rollouts, collect, collect_by_noising, roll_back, roll_out
from svlearn.targets import NonFiniteError


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
    lines = capsys.readouterr().err
    assert all(f"collecting: {number} of 10 trajectory" in lines for number in (5, 10)) and "\r" not in lines


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
    run = forking.run("-c", KILLED_AGAIN_AND_AGAIN, tmp_path, PYTHONPATH=Path(__file__).parent)
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
