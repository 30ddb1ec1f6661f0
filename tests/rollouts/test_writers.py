"""Several writers of one store: what each finds, who waits, and what stays when one is killed or its disk is full."""

import errno
import fcntl
import json
import logging
import os
import signal
import threading
from dataclasses import replace
from pathlib import Path

import forking
import pytest
import torch
from rollout_toys import Mixed, Walk, files_of, total
from tensordict import TensorDict

import svlearn
from svlearn import Target
from svlearn.locks import locked
from svlearn.metering import metered
from svlearn.rollouts import Rollouts, collect
from svlearn.rollouts.manifest import Manifest, Request
from svlearn.rollouts.store import Writer

ROOT = Path(svlearn.__file__).parents[1]
REQUEST = Request("process", num_trajectories=6, num_steps=3, batch_size=2, seed=0, process="p")


def rows(*rewards):
    return TensorDict({"rewards": torch.tensor(rewards)}, batch_size=[len(rewards)])


def test_two_writers_in_one_process_lose_nothing(tmp_path):
    one, other = Writer(tmp_path, REQUEST), Writer(tmp_path, REQUEST)
    one.write(0, rows(1.0, 2.0))
    other.write(0, rows(7.0, 8.0))  # it is there already
    one.write(1, rows(3.0, 4.0))
    other.write(2, rows(5.0, 6.0))
    one.write(2, rows(5.0, 6.0))
    assert Rollouts.open(tmp_path).rewards.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert other.missing() == [] and Writer(tmp_path, REQUEST).missing() == []


def test_a_writer_that_allocates_takes_no_files_from_another(tmp_path):
    one, other = Writer(tmp_path, REQUEST), Writer(tmp_path, REQUEST)
    other.write(1, rows(3.0, 4.0))
    one.write(0, rows(1.0, 2.0))
    other.write(2, rows(5.0, 6.0))
    assert Rollouts.open(tmp_path).rewards.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert sorted(each.name for each in tmp_path.iterdir()) == [".lock", "data", "manifest.json"]


@pytest.mark.parametrize(
    ("chunk", "trajectories", "named"),
    [
        (3, rows(1.0, 2.0), "chunk: expected an integer of 0 ... 2, got 3"),
        (-1, rows(1.0, 2.0), "chunk: expected an integer of 0 ... 2, got -1"),
        (0, rows(1.0), "chunk 0: expected 2, got 1 trajectories"),
        (0, rows(1.0, 2.0, 3.0), "chunk 0: expected 2, got 3 trajectories"),
    ],
)
def test_what_is_no_chunk_is_refused(tmp_path, chunk, trajectories, named):
    writer = Writer(tmp_path, REQUEST)
    with pytest.raises(ValueError, match=named):
        writer.write(chunk, trajectories)
    assert Manifest.read(tmp_path).complete == ()


def test_who_comes_while_another_collects_draws_what_that_one_does_not(tmp_path, caplog):
    begun, go_on = threading.Event(), threading.Event()

    class Slow(Walk):
        def forward(self, x, t, previous=None):
            if threading.current_thread() is first:  # in its first chunk
                begun.set()
                go_on.wait(60)
            return super().forward(x, t)

    walk, drawn, options = Slow(), [], {"target": Target(total, 1.0), "batch_size": 3, "progress": False}

    def collected():
        with metered() as meter:
            rollouts = collect(walk, 10, tmp_path, **options)
        drawn.append((meter.cost.reference_calls, rollouts.states.sum().item()))

    first, second = threading.Thread(target=collected), threading.Thread(target=collected)
    with caplog.at_level(logging.WARNING, logger="svlearn.locks"):
        first.start()
        assert begun.wait(60)
        with pytest.raises(ValueError, match="holds rollouts of other arguments: expected seed = 0, got 1"):
            collect(walk, 10, tmp_path, seed=1, **options)  # at once
        second.start()
        while second.is_alive() and not caplog.messages:
            second.join(0.01)
        go_on.set()
        first.join(60)
        second.join(60)
    assert f"chunk 0 of the rollouts at {tmp_path}: waiting until process {os.getpid()} on " in caplog.messages[0]
    assert sorted(calls for calls, _ in drawn) == [12, 28] and drawn[0][1] == drawn[1][1]
    assert sorted(each.name for each in tmp_path.iterdir()) == [".lock", "data", "manifest.json"]


def test_what_is_complete_needs_no_lock(tmp_path):
    collect(Walk(), 4, tmp_path, progress=False)
    with locked(tmp_path / ".lock", "the store"):
        assert len(collect(Walk(), 4, tmp_path, progress=False)) == 4


COLLECTS = """
import sys, time
from rollout_toys import Walk
from svlearn.rollouts import collect

class Stopping(Walk):
    def forward(self, x, t, previous=None):
        if self.calls == 6:  # in the second chunk
            print("held", flush=True)
            time.sleep(300)
        self.calls += 1
        return super().forward(x, t)

walk = Stopping()
walk.calls = 0
collect(walk, 9, sys.argv[1], batch_size=3, progress=False)
"""


def test_who_waits_goes_on_where_the_killed_one_stopped(tmp_path):
    holder = forking.start("-c", COLLECTS, tmp_path / "a", PYTHONPATH=Path(__file__).parent)
    assert holder.first_line() == "held\n"
    manifest = Manifest.read(tmp_path / "a")
    assert manifest.complete == (0,)
    writer = Writer(tmp_path / "a", manifest.request)
    collect(Walk(), 9, tmp_path / "b", batch_size=3, progress=False)
    whole = Rollouts.open(tmp_path / "b")
    done = threading.Thread(target=lambda: [writer.write(i, whole[manifest.request.rows(i)]) for i in (1, 2)])
    done.start()  # and waits
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    done.join(60)
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")


def test_a_store_that_was_removed_and_begun_anew_gets_no_chunk_of_before(tmp_path):
    writer = Writer(tmp_path / "a", REQUEST)
    writer.write(0, rows(1.0, 2.0))
    with writer.alone():
        (tmp_path / "a").rename(tmp_path / "gone")
        Writer(tmp_path / "a", REQUEST).write(1, rows(3.0, 4.0))
        with pytest.raises(ValueError, match="expected the file that was written to, got another one"):
            writer.write(2, rows(5.0, 6.0))
    assert Manifest.read(tmp_path / "a").complete == (1,)


def test_where_there_are_no_locks_a_warning_says_so(tmp_path, monkeypatch):
    def refuse(descriptor, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.warns(RuntimeWarning, match="has no locks .*one process alone writes the rollouts at"):
        rollouts = collect(Walk(), 4, tmp_path, batch_size=2, progress=False)
    assert torch.equal(rollouts.states, collect(Walk(), 4, tmp_path, batch_size=2, progress=False).states)


@pytest.mark.parametrize("call", ["posix_fallocate", "fsync"])
def test_a_full_disk_is_an_error_and_leaves_the_store_as_it_was(tmp_path, monkeypatch, call):
    collect(Mixed(), 2, tmp_path / "whole", batch_size=2, progress=False)
    writer = Writer(tmp_path / "a", replace(Rollouts.open(tmp_path / "whole").request, num_trajectories=4))

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    chunk = Rollouts.open(tmp_path / "whole")[[0, 1]]
    with monkeypatch.context() as patched:
        patched.setattr(os, call, full)
        with pytest.raises(OSError, match="No space left"):
            writer.write(0, chunk)
    assert json.loads((tmp_path / "a" / "manifest.json").read_text())["complete"] == []
    assert sorted(each.name for each in (tmp_path / "a").iterdir()) == [".lock", "manifest.json"]
    writer.write(0, chunk)
    writer.write(1, chunk)
    assert bool((Rollouts.open(tmp_path / "a").states[2:] == chunk["states"]).all())


def test_data_have_no_holes(tmp_path):
    Writer(tmp_path, replace(REQUEST, num_trajectories=2_000_000, batch_size=2)).write(0, rows(1.0, 2.0))
    status = (tmp_path / "data" / "rewards.memmap").stat()
    assert status.st_size == 8_000_000 and status.st_blocks * 512 >= status.st_size


def test_a_folder_that_cannot_be_made_or_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="expected a folder that can be made; choose another .*file/store"):
        collect(Walk(), 2, tmp_path / "file" / "store", progress=False)

    def refuse(path, flags, *mode):
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        return os_open(path, flags, *mode)

    os_open = os.open
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OSError, match="expected a folder where files can be made, to write the rollouts.*Read-only"):
        collect(Walk(), 2, tmp_path / "new", progress=False)


def test_home_is_written_in_full(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert collect(Walk(), 2, "~/runs/store", progress=False).path == tmp_path / "runs" / "store"
    assert len(Rollouts.open("~/runs/store")) == 2 and not (tmp_path / "~").exists()


def test_a_short_soak():
    """Two and four processes at once, without kills and with them; `make soak` does it a hundred times."""
    run = forking.run("-m", "benchmarks", "soak_rollouts", "--trials", 4, cwd=ROOT)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "every row is right" in run.stdout
