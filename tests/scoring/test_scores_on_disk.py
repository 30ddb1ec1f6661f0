"""What a scorer writes to its store, when, and what a store that cannot be used costs."""

import math
import sqlite3
import time
from functools import partial
from pathlib import Path

import pytest
from scoring_toys import CHAIN, calls, counted, fails_on_cc, length, raises_always, raises_on_cc

from svlearn.scoring import Counts, ScoreStore


def nan_on_cc(word: str) -> float:
    return math.nan if word == "CC" else len(word)


def waits_for_the_store(path: Path, word: str) -> float:
    """The number of letters; of N, how many scores are on disk within a few seconds."""
    if word != "N":
        return len(word)
    store = ScoreStore(path, "test")
    for _ in range(200):
        if len(store) == 2:
            break
        time.sleep(0.05)
    return len(store)


def test_a_later_run_takes_its_scores_from_the_disk(scored, log, store):
    scored(partial(counted, log), store=store).score(["CC", "CCO"])
    later = scored(partial(counted, log), store=store)
    assert later.score(["CCO", None, "N", "CC"]) == [3.0, 0.0, 1.0, 2.0]
    assert sorted(calls(log)) == ["CC", "CCO", "N"]
    assert later.counts == Counts(asked=4, stored=2, scored=1)
    later.forget()
    assert later.score(["N"]) == [1.0]
    assert later.counts == Counts(asked=5, stored=3, scored=1)


def test_a_score_is_on_disk_before_the_others_are_known(scored, store):
    scorer = scored(partial(waits_for_the_store, store.path), store=store, num_workers=1, per_task=1)
    assert scorer.score(["C", "CC", "N"]) == [1.0, 2.0, 2.0]


def test_a_failure_is_remembered_on_disk_with_its_reason(scored, store):
    assert scored(raises_on_cc, store=store).score(["CC", "C"]) == [0.0, 1.0]
    later = scored(length, store=store, failure_score=-5.0)
    assert later.score(["C", "CC"]) == [1.0, -5.0]
    assert later.failures == [("CC", "KeyError: 'no CC'")]
    assert later.counts == Counts(asked=2, stored=2)
    assert store.forget_failures() == 1
    assert scored(length, store=store).score(["C", "CC"]) == [1.0, 2.0]


def test_a_function_that_always_fails_leaves_nothing_on_disk(scored, store):
    with pytest.raises(RuntimeError, match="failed on all of the first 8"):
        scored(raises_always, store=store).score(CHAIN)
    assert len(store) == 0


def test_nan_is_no_score_and_is_not_kept_on_disk(scored, store):
    first, second = scored(nan_on_cc, store=store).score(["CC", "C"])
    assert math.isnan(first) and second == 1.0
    assert set(store.read(["CC", "C"])) == {"C"}


def test_failures_before_the_first_success_wait_for_it(scored, store):
    """As they may be the function's; afterwards they are the words'."""
    scorer = scored(raises_on_cc, store=store)
    assert scorer.score(["CC"]) == [0.0] and len(store) == 0
    assert scorer.score(["C"]) == [1.0]
    assert store.read(["C", "CC"]) == {"C": (1.0, None), "CC": (None, "KeyError: 'no CC'")}


def test_a_function_that_fails_in_small_calls_leaves_nothing_on_disk(scored, store):
    scorer = scored(raises_always, store=store)
    scorer.score(CHAIN[:7])
    with pytest.raises(RuntimeError, match="failed on all of the first 8"):
        scorer.score(CHAIN[7:])
    assert len(store) == 0


def test_a_full_disk_under_the_store_costs_a_warning(scored, store, monkeypatch, caplog):
    def full(scores):
        raise sqlite3.OperationalError("database or disk is full")

    scorer, write = scored(raises_on_cc, store=store), store.write
    monkeypatch.setattr(store, "write", full)
    assert scorer.score(["C", "CC", "CCC"]) == [1.0, 0.0, 3.0]
    assert "scores.sqlite cannot be written, and 3 scores wait: database or disk is full" in caplog.text
    monkeypatch.setattr(store, "write", write)
    assert scorer.score(["N"]) == [1.0]
    assert set(store.read(["C", "CC", "CCC", "N"])) == {"C", "CC", "CCC", "N"}


def test_a_store_that_is_deleted_or_damaged_costs_a_warning(scored, store, caplog):
    scorer = scored(store=store)
    assert scorer.score(["C"]) == [1.0]
    store.path.unlink()
    assert scorer.score(["CC"]) == [2.0] and "cannot be read, so that its scores are found anew" in caplog.text
    assert set(store.read(["C", "CC"])) == {"CC"}
    store.path.write_bytes(b"noise" * 1000)
    assert scorer.score(["CCC"]) == [3.0] and "cannot be written, and 1 scores wait" in caplog.text


def test_scores_are_written_many_at_a_time(scored, store, monkeypatch):
    written, write = [], store.write
    monkeypatch.setattr(store, "write", lambda scores: written.append(len(scores)) or write(scores))
    scored(store=store, per_task=1).score(["C" * length for length in range(1, 200)])
    assert sum(written) == 199 and len(written) < 50


def test_a_reason_that_is_no_proper_text_is_kept(scored, store, log):
    scorer = scored(partial(fails_on_cc, log, error=ValueError("of \ud800")), store=store)
    assert scorer.score(["C", "CC"]) == [1.0, 0.0]
    assert store.read(["CC"]) == {"CC": (None, "ValueError: of \\ud800")}
    assert scorer.score(["\ud800"]) == [1.0] and store.read(["\ud800"]) == {"\ud800": (1.0, None)}
