"""Texts out of packed files: bounded in memory, and one error for whatever is wrong with the file."""

import gzip
import hashlib
import io
import tarfile
import tracemalloc

import pytest

from svlearn import unpacking
from svlearn.unpacking import only_text, text_sha256

ZEROS = bytes(2**20)


def packed_zeros(path, megabytes):
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(megabytes):
            file.write(ZEROS)
    return path


def archive(path, *members, mode="w:gz"):
    with tarfile.open(path, mode) as tar:
        for name, text in members:
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
    return path


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(unpacking, "MAX_TEXT", 2**21)


def test_a_text_and_its_sum(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"text"))
    assert text_sha256(tmp_path / "a.gz") == hashlib.sha256(b"text").hexdigest()
    for mode in ("w:gz", "w"):
        assert only_text(archive(tmp_path / "a.tar", ("a.txt", b"text"), mode=mode)) == b"text"


def test_a_bomb_takes_no_more_than_the_limit(tmp_path, small):
    path = packed_zeros(tmp_path / "bomb.gz", 64)
    assert path.stat().st_size < 2**19
    tracemalloc.start()
    assert text_sha256(path) is None
    with pytest.raises(ValueError, match="bomb.gz: expected a text of at most 2097152 bytes, got a longer one"):
        only_text(path)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([], "an archive of one file, got one of 0"),
        ([("a", b"1"), ("b", b"2")], "an archive of one file, got one of 2"),
        ([("a", bytes(2**22))], "a text of at most"),
        ([("a" * 300, b"1"), ("b", bytes(2**22))], "a text of at most"),
    ],
)
def test_other_archives(members, message, tmp_path, small):
    for mode in ("w:gz", "w"):
        with pytest.raises(ValueError, match=message):
            only_text(archive(tmp_path / "a.tar", *members, mode=mode))


def test_an_archive_that_claims_more_than_it_holds(tmp_path):
    path = archive(tmp_path / "a.tar", ("a", b"1" * 1000), mode="w")
    content = path.read_bytes()
    for damaged in (content[:700], b"", b"no archive", gzip.compress(content)[:-20], b"\x1f\x8b" + content):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="a.tar: expected "):
            only_text(path)
