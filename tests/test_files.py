"""Files that are whole or not there, and paths that are looked at before."""

import errno
import os
import stat

import pytest

from svlearn.files import allocate, check_writable, existing, explained, replacing, user_path, writable, write


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
    with pytest.raises(OSError, match="No space left .*data'"):
        allocate(tmp_path / "data", 10)


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path):
    with pytest.raises(OSError, match="No space left on device: '.*page'") as raised, replacing(tmp_path / "page"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert raised.value.errno == errno.ENOSPC and not list(tmp_path.iterdir())


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


def test_a_file_to_write_is_seen_before_there_is_anything_to_write(monkeypatch, tmp_path):
    assert check_writable(tmp_path / "new" / "page", "output") == tmp_path / "new" / "page"
    assert not list((tmp_path / "new").iterdir())
    with pytest.raises(ValueError, match="output: expected a file that can be written, got .*new .*directory"):
        check_writable(tmp_path / "new", "output")
    with pytest.raises(ValueError, match="output: .*File name too long"):  # which the folder alone would not say
        check_writable(tmp_path / ("n" * 255), "output")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(ValueError, match="output: .*set HOME"):
        check_writable("~/page", "output")
