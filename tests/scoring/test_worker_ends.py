"""How worker processes start and end, and that the programs which they started end with them."""

import itertools
import multiprocessing
import os
import signal
import subprocess
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from scoring_toys import Words, length, states_of

from svlearn.scoring import Scorer


def runs_a_program(path: Path, word: str, session: bool) -> float:
    """A program of its own that would last for minutes, perhaps in a session of its own; on disk are its and our id."""
    program = subprocess.Popen(["sleep", "300"], start_new_session=session)
    path.write_text(f"{os.getpid()} {program.pid}")
    program.wait()
    return 0.0


def runs_a_daemon(path: Path, word: str, busy: bool) -> float:
    """A program that its parent leaves, in a session of its own; then it waits, or is in compiled code."""
    subprocess.run(["sh", "-c", f"setsid sleep 300 </dev/null >/dev/null 2>&1 & echo $! > {path}.pid"], check=True)
    path.write_text(f"{os.getpid()} {Path(f'{path}.pid').read_text()}")
    if busy:
        sum(itertools.repeat(1, 10**12))
    time.sleep(300)
    return 0.0


def counts_for_ever(path: Path, word: str) -> float:
    """In compiled code that holds Python's lock, with a program beside it."""
    program = subprocess.Popen(["sleep", "300"])
    path.write_text(f"{os.getpid()} {program.pid}")
    return float(sum(itertools.repeat(1, 10**12)))


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ids_in(path: Path) -> list[int]:
    """Waits until the processes are there."""
    while not path.exists() or len(path.read_text().split()) < 2:
        time.sleep(0.02)
    return [int(each) for each in path.read_text().split()]


def have_ended(processes: list[int]) -> bool:
    """Within half a minute: they would last for five."""
    deadline = time.monotonic() + 30
    while any(map(is_alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(is_alive, processes))


def score_cc(function) -> None:
    Scorer(function, Words(), num_workers=1, timeout=1000.0).score(["CC"])


def score_in_child(scorer: Scorer, states, queue) -> None:
    queue.put(scorer(states))
    scorer.close()
    queue.put(len(multiprocessing.active_children()))


def score_and_leave(scorer: Scorer, states, queue) -> None:
    queue.put(scorer(states))


@pytest.mark.parametrize(
    "function", [*(partial(runs_a_program, session=each) for each in (False, True)), partial(runs_a_daemon, busy=False)]
)
def test_a_program_ends_with_the_time_of_its_worker(scored, log, function):
    scorer = scored(partial(function, log), timeout=1.0, num_workers=1)
    assert scorer.score(["CC"]) == [0.0]
    assert scorer.failures == [("CC", "no result within 1 seconds")]
    assert have_ended(ids_in(log))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize(
    "function",
    [
        partial(runs_a_program, session=True),
        counts_for_ever,
        partial(runs_a_daemon, busy=False),
        partial(runs_a_daemon, busy=True),
    ],
)
def test_workers_and_programs_end_with_their_parent(log, number, function):
    fork = multiprocessing.get_context("fork")
    parent = fork.Process(target=score_cc, args=(partial(function, log),))
    parent.start()
    processes = ids_in(log)
    assert all(map(is_alive, processes))
    os.kill(parent.pid, number)
    ended = have_ended(processes)
    parent.kill()
    parent.join()
    assert ended


def test_closing_ends_the_workers_and_a_later_call_starts_new_ones(scored):
    before = set(multiprocessing.active_children())
    scorer = scored()
    assert set(multiprocessing.active_children()) == before  # none until there is work
    scorer(states_of("CC"))
    assert len(set(multiprocessing.active_children()) - before) == 2
    scorer.close()
    assert set(multiprocessing.active_children()) == before
    assert scorer(states_of("CCC", "CC")) == [3.0, 2.0]


def test_the_workers_end_with_their_scorer():
    before = set(multiprocessing.active_children())
    scorer = Scorer(length, Words(), num_workers=1)
    scorer(states_of("CC"))
    assert len(set(multiprocessing.active_children()) - before) == 1
    del scorer
    assert set(multiprocessing.active_children()) == before


def test_a_process_ends_that_has_not_closed_its_scorer(scored):
    fork = multiprocessing.get_context("fork")
    queue = fork.SimpleQueue()
    child = fork.Process(target=score_and_leave, args=(scored(num_workers=1), states_of("CC"), queue))
    child.start()
    child.join(30)
    ended = not child.is_alive()
    child.kill()
    assert ended and queue.get() == [2.0]


def test_a_forked_process_starts_and_ends_its_own_workers(scored):
    scorer = scored(num_workers=1)
    scorer(states_of("CC"))
    workers = set(multiprocessing.active_children())
    fork = multiprocessing.get_context("fork")
    queue = fork.SimpleQueue()
    child = fork.Process(target=score_in_child, args=(scorer, states_of("CC", "CCC"), queue))
    child.start()
    child.join(30)
    if child.is_alive():
        child.kill()
    assert child.exitcode == 0
    assert queue.get() == [2.0, 3.0]
    assert queue.get() == 0
    assert set(multiprocessing.active_children()) == workers  # the child has left its parent's alone
    assert scorer(states_of("CCCC")) == [4.0]


def test_a_fork_asks_nothing_of_a_pool_whose_lock_a_thread_held(scored):
    """In the fork nobody is left who would give it back."""
    scorer = scored(num_workers=1)
    scorer(states_of("CC"))
    fork = multiprocessing.get_context("fork")
    queue = fork.SimpleQueue()
    child = fork.Process(target=score_in_child, args=(scorer, states_of("CCC"), queue))
    held, forked = threading.Event(), threading.Event()

    def hold():
        with scorer._workers._pool._context.status_mutex:
            held.set()
            forked.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(30)
    child.start()
    forked.set()
    thread.join()
    child.join(30)
    ended = not child.is_alive()
    child.kill()
    assert ended and queue.get() == [3.0]
