"""What an item that breaks its worker costs: itself, and nobody else."""

import faulthandler
import logging
import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest
from scoring_toys import CHAIN, calls, counted, leaves_on_cc, raises_always, raises_on_cc, states_of

from svlearn.scoring import Workers


def exits_on_cc(word: str) -> float:
    if word == "CC":
        os._exit(3)
    return len(word)


def segfaults_on_cc(word: str) -> float:
    if word == "CC":
        faulthandler.disable()  # pytest's, which would print the stack
        os.kill(os.getpid(), signal.SIGSEGV)
    return len(word)


def hangs_on_cc(word: str) -> float:
    if word == "CC":
        time.sleep(60)
    return len(word)


def is_killed_once_on_cc(path: Path, word: str) -> float:
    """As by the system, where memory is short: the first time."""
    if word == "CC" and not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return len(word)


def raises_on_chains(word: str) -> float:
    if "C" in word:
        raise KeyError("no chains")
    return len(word)


def takes_its_time(path: Path, word: str) -> float:
    time.sleep(0.6)
    return counted(path, word)


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (exits_on_cc, "the worker process died with exit code 3"),
        (segfaults_on_cc, f"the worker process died with exit code {-signal.SIGSEGV}"),
        (hangs_on_cc, "no result within 1 seconds"),
        (raises_on_cc, "KeyError: 'no CC'"),
        (partial(leaves_on_cc, SystemExit), "SystemExit: it says"),
        (partial(leaves_on_cc, KeyboardInterrupt), "KeyboardInterrupt: it says"),
        (partial(leaves_on_cc, GeneratorExit), "GeneratorExit: it says"),
    ],
)
def test_a_word_that_breaks_costs_itself_alone(scored, function, why, caplog):
    scorer = scored(function, timeout=1.0, failure_score=-7.0)
    words = [*CHAIN * 2, "N"]
    with caplog.at_level(logging.WARNING):
        scores = scorer(states_of(*words))
    assert scores == [-7.0 if text == "CC" else float(len(text)) for text in words]
    assert scorer.failures == [("CC", why)]
    assert f"CC could not be scored and gets -7: {why}" in caplog.text
    assert scorer(states_of("CC", "CCCCO")) == [-7.0, 5.0]  # remembered, and the workers go on
    assert len(scorer.failures) == 1


def test_a_slow_function_needs_no_second_try(scored, log):
    # Two words a task, which take longer than one may: the second is handed back, not cut short.
    scorer = scored(partial(takes_its_time, log), num_workers=1, timeout=1.0)
    assert scorer.score(CHAIN[:5]) == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert sorted(calls(log)) == CHAIN[:5]


def test_a_function_that_always_fails_is_an_error(scored):
    with pytest.raises(RuntimeError, match="failed on all of the first 8 words; KeyError: 'wrong from the start'"):
        scored(raises_always).score(CHAIN)
    assert scored(raises_always).score(CHAIN[:2]) == [0.0, 0.0]


@pytest.mark.parametrize("sizes", [(7, 52), (2, 2, 2, 1, 1), (1,) * 8])
def test_small_calls_do_not_hide_a_function_that_always_fails(scored, sizes):
    scorer, words = scored(raises_always), ["C" * length for length in range(1, 60)]
    for size in sizes[:-1]:
        assert scorer.score(words[:size]) == [0.0] * size
        words = words[size:]
    with pytest.raises(RuntimeError, match=f"failed on all of the first {sum(sizes)} words; KeyError: 'wrong"):
        scorer.score(words[: sizes[-1]])
    assert scorer.known == 0


def test_after_a_success_many_may_fail(scored):
    scorer = scored(raises_on_chains)
    assert scorer.score(["N"]) == [1.0]
    assert scorer.score(CHAIN) == [0.0] * 8
    scorer.forget()
    assert scorer.score(CHAIN) == [0.0] * 8


def test_a_word_whose_worker_was_killed_is_tried_once_more(scored, log):
    scorer = scored(partial(is_killed_once_on_cc, log), per_task=1)
    assert scorer.score(["C", "CC", "CCC"]) == [1.0, 2.0, 3.0]
    assert scorer.failures == []


def test_what_is_known_is_told_in_few_reports():
    workers, told = Workers(2), []
    results = workers.map(abs, range(-100, 0), per_task=1, done=told.append)
    workers.close()
    assert results == list(range(100, 0, -1))
    assert {place: result for known in told for place, result in known.items()} == dict(enumerate(results))
    assert sum(map(len, told)) == 100 and len(told) < 50
