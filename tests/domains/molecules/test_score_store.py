"""Scores on disk: what is written is read, by this process and by others, and under its own settings only."""

import math
import multiprocessing

import pytest

from svlearn.domains.molecules.score_store import ScoreStore


@pytest.fixture
def path(tmp_path):
    return tmp_path / "made" / "scores.sqlite"


def write_many(path, start):
    store = ScoreStore(path, "shared")
    for number in range(start, start + 50):
        store.write({f"{number}": (float(number), None)})


def test_what_is_written_is_read(path):
    store = ScoreStore(path, "a")
    assert store.read(["C"]) == {} and len(store) == 0
    store.write({"C": (1.5, None), "CC": (None, "too slow"), "N": (-math.inf, None)})
    again = ScoreStore(path, "a")
    known = {"C": (1.5, None), "CC": (None, "too slow"), "N": (-math.inf, None)}
    assert again.read(["N", "C", "O", "CC"]) == known and len(again) == 3
    store.write({"CC": (2.0, None)})
    store.write({})
    assert again.read(["CC"]) == {"CC": (2.0, None)} and len(again) == 3


def test_other_settings_have_other_scores(path):
    one, other = ScoreStore(path, "exhaustiveness 1"), ScoreStore(path, "exhaustiveness 8")
    one.write({"C": (1.0, None)})
    other.write({"C": (2.0, None), "N": (None, "why")})
    assert (one.read(["C", "N"]), len(one), len(other)) == ({"C": (1.0, None)}, 1, 2)
    assert one.forget_failures() == 0
    assert other.forget_failures() == 1
    assert other.read(["C", "N"]) == {"C": (2.0, None)}


def test_processes_share_a_file(path):
    fork = multiprocessing.get_context("fork")
    writers = [fork.Process(target=write_many, args=(path, start)) for start in (0, 50, 100)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    store = ScoreStore(path, "shared")
    assert store.read([str(number) for number in range(150)]) == {str(number): (number, None) for number in range(150)}


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("what I meant to do, and did not\n" * 10)
    with pytest.raises(ValueError, match="path: expected a SQLite file of scores or none yet, got .*notes.txt"):
        ScoreStore(path, "a")
    assert path.read_text().startswith("what I meant")
