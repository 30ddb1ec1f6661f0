"""Scores on disk: what is written is read, by this process and by others, and under its own settings only."""

import logging
import math
import multiprocessing
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from benchmarks.soak_scores import run as soak
from svlearn.scoring.score_store import ScoreStore


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
    with pytest.raises(
        ValueError, match="path: expected a SQLite file of scores that can be written, .* got .*notes.txt"
    ):
        ScoreStore(path, "a")
    assert path.read_text().startswith("what I meant")


# what is not as it was written


def change(path: Path, statement: str, *values) -> None:
    with closing(sqlite3.connect(path)) as file, file:
        file.execute(statement, values)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("score", 1.25),
        ("score", 1),
        ("score", math.nan),
        ("score", "much"),
        ("score", b"\xff\xfe"),
        ("score", None),
        ("failure", "no pose"),
        ("failure", b"\xff"),
        ("checksum", "0" * 16),
        ("checksum", None),
        ("checksum", "x" * 2_000_000),
        ("smiles", "O"),
        ("settings", "b"),
    ],
)
def test_a_row_that_was_changed_is_as_if_not_there(path, caplog, column, value):
    store = ScoreStore(path, "a")
    store.write({"C": (1.5, None), "N": (2.5, None)})
    change(path, f"UPDATE checked_scores SET {column} = ? WHERE smiles = 'C'", value)
    for each in (store, ScoreStore(path, "a"), ScoreStore(path, "b")):
        caplog.clear()
        found = each.read(["C", "N", "O"])
        assert found == ({"N": (2.5, None)} if each.settings == "a" else {})
    if column not in ("smiles", "settings"):
        assert "N" in store.read(["C", "N"]) and "1 scores in it do not check out" in caplog.text
    store.write({"C": (3.5, None)})
    assert store.read(["C"]) == {"C": (3.5, None)}


def test_any_flipped_byte_costs_scores_or_an_error_and_tells_no_wrong_number(path, caplog):
    caplog.set_level(logging.CRITICAL)
    known = {"C" * length: (length + 0.25, None) for length in range(1, 60)}
    ScoreStore(path, "a").write(known)
    whole, generator = path.read_bytes(), np.random.default_rng(0)
    for place in generator.integers(len(whole), size=60).tolist():
        path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << int(generator.integers(8)))]) + whole[place + 1 :])
        try:
            found = ScoreStore(path, "a").read(list(known))
        except (ValueError, sqlite3.Error):
            continue
        assert found.items() <= known.items()


@pytest.mark.parametrize(
    ("known", "error", "words"),
    [
        ((math.nan, None), ValueError, "scores: expected numbers, got NaN of C"),
        (("1.5", None), TypeError, r"scores: expected \(number, None\) or \(None, why\), got \('1.5', None\) of C"),
        ((True, None), TypeError, "scores: expected"),
        ((1.5, "why"), TypeError, "scores: expected"),
        ((None, None), TypeError, "scores: expected"),
    ],
)
def test_what_is_no_score_is_not_written(path, known, error, words):
    store = ScoreStore(path, "a")
    with pytest.raises(error, match=words):
        store.write({"N": (1.0, None), "C": known})
    assert len(store) == 0


def test_numbers_of_numpy_and_any_text_are_written(path):
    store = ScoreStore(path, "a")
    store.write({"C": (np.float32(1.5), None), "N": (None, "of \ud800" + "x" * 1000), "\ud800": (2.0, None)})
    assert store.read(["C", "\ud800"]) == {"C": (1.5, None), "\ud800": (2.0, None)}
    (score, why) = store.read(["N"])["N"]
    assert score is None and why.startswith("of \\ud800xx") and len(why) == 500


def test_a_zero_with_a_sign_is_a_zero(path, caplog):
    ScoreStore(path, "a").write({"C": (-0.0, None)})
    assert ScoreStore(path, "a").read(["C"]) == {"C": (0.0, None)} and caplog.text == ""


def test_settings_that_say_nothing_are_refused(path):
    with pytest.raises(TypeError, match="settings: expected a str, got dict"):
        ScoreStore(path, {})
    with pytest.raises(ValueError, match="settings: expected a text of 1 to 100,000 characters, got 0"):
        ScoreStore(path, "")


# where it is


def test_a_home_folder_is_found(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    ScoreStore("~/scores.sqlite", "a").write({"C": (1.0, None)})
    assert ScoreStore(tmp_path / "scores.sqlite", "a").read(["C"]) == {"C": (1.0, None)}


@pytest.mark.parametrize("name", [":memory:", "scores.sqlite", "file:scores?mode=ro"])
def test_a_store_is_a_file_whatever_its_name_and_stays_where_it_was(monkeypatch, tmp_path, name):
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    store = ScoreStore(name, "a")
    monkeypatch.chdir(tmp_path / "other")
    store.write({"C": (1.0, None)})
    assert store.read(["C"]) == {"C": (1.0, None)} and (tmp_path / name).is_file()


@pytest.mark.parametrize("make", ["file", "folder", "read-only"])
def test_a_store_that_cannot_be_written_says_so_at_the_start(tmp_path, monkeypatch, make):
    path = tmp_path / "made" / "scores.sqlite"
    if make == "file":
        path.parent.write_text("a file in the folder's place")
    elif make == "folder":
        path.mkdir(parents=True)
    else:
        ScoreStore(path, "a")
        connect = sqlite3.connect
        monkeypatch.setattr(sqlite3, "connect", lambda path, **how: connect(f"file:{path}?mode=ro", uri=True, **how))
    with pytest.raises(ValueError, match="path: expected a SQLite file of scores that can be written, .* got .*made"):
        ScoreStore(path, "a")


def test_another_table_in_its_place_and_a_trigger_are_refused(tmp_path):
    view, trigger = tmp_path / "view.sqlite", tmp_path / "trigger.sqlite"
    change(view, "CREATE TABLE checked_scores (settings, smiles, score)")
    ScoreStore(trigger, "a")
    change(trigger, "CREATE TRIGGER t AFTER INSERT ON checked_scores BEGIN DELETE FROM checked_scores; END")
    for path in (view, trigger):
        with pytest.raises(ValueError, match="its table of scores is not one of svlearn"):
            ScoreStore(path, "a")


def test_scores_of_an_earlier_version_are_left_alone_and_told(path, caplog):
    path.parent.mkdir()
    change(path, "CREATE TABLE scores (settings TEXT, smiles TEXT, score REAL, failure TEXT)")
    change(path, "INSERT INTO scores VALUES ('a', 'C', 0.0, 'no result within 1 seconds')")
    assert ScoreStore(path, "a").read(["C"]) == {} and "scores of an earlier svlearn" in caplog.text


def test_many_scores_are_one_transaction(path, monkeypatch):
    store, statements = ScoreStore(path, "a"), []
    connect = sqlite3.connect

    def traced(*args, **options):
        file = connect(*args, **options)
        file.set_trace_callback(statements.append)
        return file

    monkeypatch.setattr(sqlite3, "connect", traced)
    store.write({"C" * length: (1.0, None) for length in range(1, 200)})
    assert statements.count("COMMIT") == 1


@pytest.mark.parametrize("processes", [2, 4])
def test_writers_that_are_killed_leave_whole_scores(tmp_path, processes):
    """Two trials of `python -m benchmarks soak_scores`."""
    for seed in range(2):
        soak.trial(tmp_path / f"{seed}.sqlite", processes, seed)
