"""Interrupts of the user, interrupts that an item raises, and processes that may have no workers."""

import multiprocessing
import os
import signal
import time
from functools import partial

import pytest
from scoring_toys import Words, leaves_on_cc

from svlearn.scoring import Scorer, Workers
from svlearn.scoring.workers import apply_here


def leaves(kind: type[BaseException], item: object) -> float:
    raise kind("it says")


def score_as_a_daemon(function, queue) -> None:
    scorer = Scorer(function, Words(), num_workers=2)
    queue.put((scorer.score(["C", "CC", "CCC"]), scorer.failures))


def interrupts_itself(word: str) -> float:
    os.kill(os.getpid(), signal.SIGINT)  # as Ctrl-C does
    time.sleep(5)
    return 1.0


def sleeps(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@pytest.mark.parametrize("kind", [KeyError, SystemExit, KeyboardInterrupt])
def test_a_daemonic_process_scores_alone_and_says_so(kind):
    fork = multiprocessing.get_context("fork")
    queue = fork.SimpleQueue()
    child = fork.Process(target=score_as_a_daemon, args=(partial(leaves_on_cc, kind), queue), daemon=True)
    child.start()
    child.join(60)
    assert child.exitcode == 0
    scores, ((failed, why),) = queue.get()
    assert scores == [1.0, 0.0, 3.0] and failed == "CC" and why.startswith(f"{kind.__name__}: ")


@pytest.fixture
def interruptible():
    """Ctrl-C raises KeyboardInterrupt, as in a terminal; who starts the tests in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_of_the_user_stops_what_runs_here(interruptible):
    """And one that an item raises does not."""

    def raises(item):
        raise KeyboardInterrupt("not the user's")

    (failure,) = apply_here(raises, [1])
    assert failure.why == "KeyboardInterrupt: not the user's"
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        apply_here(interrupts_itself, [1])
    assert signal.getsignal(signal.SIGINT) is before


def test_where_interrupts_are_ignored_an_item_raises_its_own(interruptible):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    (failure,) = apply_here(partial(leaves, KeyboardInterrupt), [1])
    assert failure.why == "KeyboardInterrupt: it says"
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_an_interrupt_of_the_user_ends_the_work(log):
    """What was under way is dropped, and the pool serves the next call."""
    workers = Workers(1, timeout=1000.0)

    def stop(known):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        workers.map(sleeps, [0.0, 0.5, 300.0, 300.0], per_task=1, done=stop)
    assert workers.map(sleeps, [0.0], per_task=1) == [0.0]
    workers.close()
