"""A lock that ends with its holder, and that one alone holds."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading

import pytest

from svlearn.locks import locked


def test_two_holders_exclude_each_other_in_one_process(tmp_path):
    def hold(then=lambda: None):
        with locked(tmp_path / "lock", "the store"):
            then()

    with pytest.raises(BlockingIOError, match="the store: expected to be its only writer"):
        hold(then=hold)
    hold()


HOLDS = """
import sys, time
from svlearn.locks import locked
with locked(sys.argv[1], "the store"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_killed_holder_holds_nothing(tmp_path):
    file = tmp_path / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLDS, file], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(BlockingIOError), locked(file, "the store"):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with locked(file, "the store"):
        pass


def test_who_holds_it_is_named(tmp_path):
    message = f"the store: expected to be its only writer, got another one .*process {os.getpid()} on "
    with locked(tmp_path / "lock", "the store") as held:
        assert held
        with pytest.raises(BlockingIOError, match=message), locked(tmp_path / "lock", "the store"):
            pass


def test_who_waits_holds_it_after_the_other(tmp_path, caplog):
    order = []

    def hold():
        with locked(tmp_path / "lock", "the store", wait=True):
            order.append("second")

    with locked(tmp_path / "lock", "the store", wait=True):
        second = threading.Thread(target=hold)
        second.start()
        while second.is_alive() and not caplog.messages:
            second.join(0.01)
        order.append("first")
    second.join(60)
    assert order == ["first", "second"]
    assert caplog.messages == [
        f"the store: waiting until {(tmp_path / 'lock').read_text()} is done, which writes there"
    ]


def test_a_lock_whose_file_was_removed_keeps_out_nobody_who_comes_later(tmp_path):
    with locked(tmp_path / "lock", "the store"):
        (tmp_path / "lock").unlink()
        with locked(tmp_path / "lock", "the store") as held:
            assert held
            with pytest.raises(BlockingIOError), locked(tmp_path / "lock", "the store"):
                pass


FORKS = """
import os, sys, time
from svlearn.locks import locked
with locked(sys.argv[1], "the store"):
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        time.sleep(600)
    time.sleep(600)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_what_a_killed_holder_has_forked_holds_nothing(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", FORKS, tmp_path / "lock"], stdout=subprocess.PIPE, text=True)
    worker = int(holder.stdout.readline())
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    try:
        os.kill(worker, 0)  # it lives
        with locked(tmp_path / "lock", "the store"):
            pass
    finally:
        os.kill(worker, signal.SIGKILL)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_locks_gives_a_warning(tmp_path, monkeypatch, number):
    def refuse(descriptor, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    message = "lock: its file system has no locks .*one process alone writes the store"
    with pytest.warns(RuntimeWarning, match=message), locked(tmp_path / "lock", "the store") as held:
        assert not held
