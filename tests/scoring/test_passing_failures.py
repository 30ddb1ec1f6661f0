"""Failures that need not last: what the next call, the next run or nobody tries again."""

import errno
import signal
import time
from functools import partial
from pathlib import Path

import pytest
from scoring_toys import dies_on_cc, fails_on_cc

from svlearn.scoring import Counts


def hangs_on_cc(path: Path, word: str) -> float:
    if word == "CC" and not path.exists():
        time.sleep(60)
    return len(word)


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    "function",
    [
        partial(hangs_on_cc),
        partial(dies_on_cc, number=signal.SIGKILL),
        partial(dies_on_cc, number=signal.SIGTERM),
        partial(dies_on_cc, number=signal.SIGABRT),
        partial(fails_on_cc, error=FULL),
        partial(fails_on_cc, error=MemoryError()),
        partial(fails_on_cc, error=TimeoutError("the licence server")),
        partial(fails_on_cc, error=RuntimeError("CUDA out of memory")),
    ],
)
def test_what_need_not_fail_again_is_not_kept_on_disk(scored, store, log, function):
    function = partial(function.func, log, **function.keywords)
    first = scored(function, store=store, timeout=1.0, failure_score=-1.0)
    assert first.score(["C", "CC", "N"]) == [1.0, -1.0, 1.0]
    assert [text for text, _ in first.failures] == ["CC"] and set(store.read(["C", "CC", "N"])) == {"C", "N"}
    log.touch()  # more time, memory, disk
    later = scored(function, store=store, timeout=10.0, failure_score=-1.0)
    assert later.score(["C", "CC"]) == [1.0, 2.0]
    assert later.counts == Counts(asked=2, stored=1, scored=1)
    first.forget()
    assert first.score(["CC"]) == [2.0]


@pytest.mark.parametrize("error", [FULL, MemoryError()])
def test_where_the_machine_failed_the_next_call_tries_again(scored, log, error):
    scorer = scored(partial(fails_on_cc, log, error=error))
    assert scorer.score(["C", "CC"]) == [1.0, 0.0]
    log.touch()
    assert scorer.score(["CC", "C"]) == [2.0, 1.0]
    assert scorer.counts == Counts(asked=4, scored=3, failed=1)
