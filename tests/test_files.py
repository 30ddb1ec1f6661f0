"""Files that are whole or not there; a lock that ends with its holder."""

import os
import signal
import stat
import subprocess
import sys

import pytest

from svlearn.files import existing, locked, replacing, user_path, writable, write


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
