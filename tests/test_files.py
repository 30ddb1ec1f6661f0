"""Files that are whole or not there; a lock that ends with its holder."""

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
import threading

import pytest

from svlearn.files import allocate, existing, explained, locked, replacing, user_path, writable, write


def test_text_is_whole_and_nothing_stays_beside_it(tmp_path):
    path = write(tmp_path / "new" / "page.html", "α")
    assert path.read_text(encoding="utf-8") == "α" and [each.name for each in path.parent.iterdir()] == ["page.html"]
    write(path, "β")
    assert path.read_text(encoding="utf-8") == "β"


def test_what_fails_leaves_the_old_file_alone(tmp_path):
    path = write(tmp_path / "page", "old")
    with pytest.raises(IsADirectoryError), replacing(path) as beside:
        beside.write_text("new") and tmp_path.read_text()
    assert path.read_text() == "old" and [each.name for each in tmp_path.iterdir()] == ["page"]


def test_each_writer_has_a_name_of_its_own(tmp_path):
    with replacing(tmp_path / "page") as one, replacing(tmp_path / "page") as other:
        assert one != other and one.parent == other.parent == tmp_path
        one.write_text("one")
        other.write_text("other")
    assert (tmp_path / "page").read_text() == "one"


def test_a_file_is_readable_as_the_umask_says(tmp_path):
    before = os.umask(0o027)
    try:
        path = write(tmp_path / "page", "text")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_two_holders_exclude_each_other_in_one_process(tmp_path):
    def hold(then=lambda: None):
        with locked(tmp_path / "lock", "the store"):
            then()

    with pytest.raises(BlockingIOError, match="the store: expected to be its only writer"):
        hold(then=hold)
    hold()


HOLDS = """
import sys, time
from svlearn.files import locked
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
        while not caplog.messages:
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
from svlearn.files import locked
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


@pytest.mark.parametrize("missing", [None, errno.EOPNOTSUPP, "posix_fallocate"])
def test_all_of_a_file_is_on_the_disk(tmp_path, monkeypatch, missing):
    def refuse(descriptor, start, size):
        raise OSError(missing, os.strerror(missing))

    if isinstance(missing, int):
        monkeypatch.setattr(os, "posix_fallocate", refuse)
    elif missing is not None:
        monkeypatch.delattr(os, missing)
    size, file = 3_000_001, tmp_path / "data"
    allocate(file, size)
    assert file.read_bytes() == bytes(size) and file.stat().st_blocks * 512 >= size
    file.write_bytes(b"abc")
    os.truncate(file, size)  # as a map of a file does
    allocate(file, size)
    assert file.read_bytes() == b"abc" + bytes(size - 3) and file.stat().st_blocks * 512 >= size


def test_a_full_disk_is_no_lack_of_support(tmp_path, monkeypatch):
    def full(descriptor, start, size):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        allocate(tmp_path / "data", 10)


def test_an_error_of_a_path_says_what_was_wanted(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(FileExistsError, match="expected a folder .File exists.*file'"),
        explained(tmp_path / "file", "a folder"),
    ):
        (tmp_path / "file").mkdir()


def test_home_is_written_in_full(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/runs") == tmp_path / "runs"


def test_a_file_to_read_is_there_and_a_file(tmp_path):
    (tmp_path / "a").write_text("")
    assert existing(str(tmp_path / "a"), "a table") == tmp_path / "a"
    with pytest.raises(FileNotFoundError, match="b: no such file; expected a table"):
        existing(tmp_path / "b", "a table")
    with pytest.raises(ValueError, match="expected a table, got a folder"):
        existing(tmp_path, "a table")


def test_a_folder_to_write_to(tmp_path):
    assert writable(tmp_path / "new" / "one", "cache") == tmp_path / "new" / "one"
    assert not list((tmp_path / "new" / "one").iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="CACHE: expected a folder that can be written, got .*file/in' "):
        writable(tmp_path / "file" / "in", "CACHE")


def test_a_home_that_is_not_known(monkeypatch):
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(ValueError, match="CACHE: .*set HOME"):
        writable("~/cache", "CACHE")
