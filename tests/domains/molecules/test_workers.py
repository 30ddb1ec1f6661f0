"""Worker processes: what an item that breaks costs, and how the processes start and end."""

import faulthandler
import itertools
import logging
import math
import multiprocessing
import os
import signal
import subprocess
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from molecule_toys import (
    CHAIN,
    calls,
    counted,
    graphs_of,
    num_atoms,
    raises_always,
    raises_on_ethane,
)
from rdkit import Chem

from svlearn.domains.molecules.scoring import Scorer
from svlearn.domains.molecules.workers import Workers, apply_here


def exits_on_ethane(molecule: Chem.Mol) -> float:
    if Chem.MolToSmiles(molecule) == "CC":
        os._exit(3)
    return molecule.GetNumAtoms()


def segfaults_on_ethane(molecule: Chem.Mol) -> float:
    if Chem.MolToSmiles(molecule) == "CC":
        faulthandler.disable()  # pytest's, which would print the stack
        os.kill(os.getpid(), signal.SIGSEGV)
    return molecule.GetNumAtoms()


def hangs_on_ethane(molecule: Chem.Mol) -> float:
    if Chem.MolToSmiles(molecule) == "CC":
        time.sleep(60)
    return molecule.GetNumAtoms()


def leaves(kind: type[BaseException], item: object) -> float:
    raise kind("it says")


def leaves_on_ethane(kind: type[BaseException], molecule: Chem.Mol) -> float:
    if Chem.MolToSmiles(molecule) == "CC":
        raise kind("it says")
    return molecule.GetNumAtoms()


def is_killed_once_on_ethane(path: Path, molecule: Chem.Mol) -> float:
    """As by the system, where memory is short: the first time."""
    if Chem.MolToSmiles(molecule) == "CC" and not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return molecule.GetNumAtoms()


def runs_a_program(path: Path, molecule: Chem.Mol, session: bool) -> float:
    """A program of its own that would last for minutes, perhaps in a session of its own; on disk are its and our id."""
    program = subprocess.Popen(["sleep", "300"], start_new_session=session)
    path.write_text(f"{os.getpid()} {program.pid}")
    program.wait()
    return 0.0


def runs_a_daemon(path: Path, molecule: Chem.Mol, busy: bool) -> float:
    """A program that its parent leaves, in a session of its own; then it waits, or is in compiled code."""
    subprocess.run(["sh", "-c", f"setsid sleep 300 </dev/null >/dev/null 2>&1 & echo $! > {path}.pid"], check=True)
    path.write_text(f"{os.getpid()} {Path(f'{path}.pid').read_text()}")
    if busy:
        sum(itertools.repeat(1, 10**12))
    time.sleep(300)
    return 0.0


def counts_for_ever(path: Path, molecule: Chem.Mol) -> float:
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


def score_ethane(function) -> None:
    Scorer(function, num_workers=1, timeout=1000.0).score(["CC"])


def score_as_a_daemon(function, queue) -> None:
    scorer = Scorer(function, num_workers=2)
    queue.put((scorer.score(["C", "CC", "CCC"]), scorer.failures))


def interrupts_itself(molecule: Chem.Mol) -> float:
    os.kill(os.getpid(), signal.SIGINT)  # as Ctrl-C does
    time.sleep(5)
    return 1.0


def raises_on_chains(molecule: Chem.Mol) -> float:
    if "C" in Chem.MolToSmiles(molecule):
        raise KeyError("no chains")
    return molecule.GetNumAtoms()


def sleeps(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def takes_its_time(path: Path, molecule: Chem.Mol) -> float:
    time.sleep(0.6)
    return counted(path, molecule)


def score_in_child(scorer: Scorer, graphs, queue) -> None:
    queue.put(scorer(graphs))
    scorer.close()
    queue.put(len(multiprocessing.active_children()))


def score_and_leave(scorer: Scorer, graphs, queue) -> None:
    queue.put(scorer(graphs))


# molecules that break


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (exits_on_ethane, "the worker process died with exit code 3"),
        (segfaults_on_ethane, f"the worker process died with exit code {-signal.SIGSEGV}"),
        (hangs_on_ethane, "no result within 1 seconds"),
        (raises_on_ethane, "KeyError: 'no ethane'"),
        (partial(leaves_on_ethane, SystemExit), "SystemExit: it says"),
        (partial(leaves_on_ethane, KeyboardInterrupt), "KeyboardInterrupt: it says"),
        (partial(leaves_on_ethane, GeneratorExit), "GeneratorExit: it says"),
    ],
)
def test_a_molecule_that_breaks_costs_itself_alone(scored, function, why, caplog):
    scorer = scored(function, timeout=1.0, failure_score=-7.0)
    smiles = [*CHAIN * 2, "N"]
    with caplog.at_level(logging.WARNING):
        scores = scorer(graphs_of(*smiles))
    assert scores == [-7.0 if text == "CC" else float(len(text)) for text in smiles]
    assert scorer.failures == [("CC", why)]
    assert f"CC could not be scored and gets -7: {why}" in caplog.text
    assert scorer(graphs_of("CC", "CCCCO")) == [-7.0, 5.0]  # remembered, and the workers go on
    assert len(scorer.failures) == 1


def test_a_slow_function_needs_no_second_try(scored, log):
    # Two molecules a task, which take longer than one may: the second is handed back, not cut short.
    scorer = scored(partial(takes_its_time, log), num_workers=1, timeout=1.0)
    assert scorer.score(CHAIN[:5]) == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert sorted(calls(log)) == CHAIN[:5]


def test_a_function_that_always_fails_is_an_error(scored):
    with pytest.raises(RuntimeError, match="failed on all of the first 8 molecules; KeyError: 'wrong from the start'"):
        scored(raises_always).score(CHAIN)
    assert scored(raises_always).score(CHAIN[:2]) == [0.0, 0.0]


@pytest.mark.parametrize("sizes", [(7, 52), (2, 2, 2, 1, 1), (1,) * 8])
def test_small_calls_do_not_hide_a_function_that_always_fails(scored, sizes):
    scorer, smiles = scored(raises_always), ["C" * length for length in range(1, 60)]
    for size in sizes[:-1]:
        assert scorer.score(smiles[:size]) == [0.0] * size
        smiles = smiles[size:]
    with pytest.raises(RuntimeError, match=f"failed on all of the first {sum(sizes)} molecules; KeyError: 'wrong"):
        scorer.score(smiles[: sizes[-1]])
    assert scorer.known == 0


def test_after_a_success_many_may_fail(scored):
    scorer = scored(raises_on_chains)
    assert scorer.score(["N"]) == [1.0]
    assert scorer.score(CHAIN) == [0.0] * 8
    scorer.forget()
    assert scorer.score(CHAIN) == [0.0] * 8


def test_a_molecule_whose_worker_was_killed_is_tried_once_more(scored, log):
    scorer = scored(partial(is_killed_once_on_ethane, log), per_task=1)
    assert scorer.score(["C", "CC", "CCC"]) == [1.0, 2.0, 3.0]
    assert scorer.failures == []


def test_what_is_known_is_told_in_few_reports():
    workers, told = Workers(2), []
    results = workers.map(abs, range(-100, 0), per_task=1, done=told.append)
    workers.close()
    assert results == list(range(100, 0, -1))
    assert {place: result for known in told for place, result in known.items()} == dict(enumerate(results))
    assert sum(map(len, told)) == 100 and len(told) < 50


# processes


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
    parent = fork.Process(target=score_ethane, args=(partial(function, log),))
    parent.start()
    processes = ids_in(log)
    assert all(map(is_alive, processes))
    os.kill(parent.pid, number)
    ended = have_ended(processes)
    parent.kill()
    parent.join()
    assert ended


@pytest.mark.parametrize("kind", [KeyError, SystemExit, KeyboardInterrupt])
def test_a_daemonic_process_scores_alone_and_says_so(kind):
    fork = multiprocessing.get_context("fork")
    queue = fork.SimpleQueue()
    child = fork.Process(target=score_as_a_daemon, args=(partial(leaves_on_ethane, kind), queue), daemon=True)
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


def test_closing_ends_the_workers_and_a_later_call_starts_new_ones(scored):
    before = set(multiprocessing.active_children())
    scorer = scored()
    assert set(multiprocessing.active_children()) == before  # none until there is work
    scorer(graphs_of("CC"))
    assert len(set(multiprocessing.active_children()) - before) == 2
    scorer.close()
    assert set(multiprocessing.active_children()) == before
    assert scorer(graphs_of("CCC", "CC")) == [3.0, 2.0]


def test_the_workers_end_with_their_scorer():
    before = set(multiprocessing.active_children())
    scorer = Scorer(num_atoms, num_workers=1)
    scorer(graphs_of("CC"))
    assert len(set(multiprocessing.active_children()) - before) == 1
    del scorer
    assert set(multiprocessing.active_children()) == before


def test_a_process_ends_that_has_not_closed_its_scorer(scored):
    fork = multiprocessing.get_context("fork")
    queue = fork.SimpleQueue()
    child = fork.Process(target=score_and_leave, args=(scored(num_workers=1), graphs_of("CC"), queue))
    child.start()
    child.join(30)
    ended = not child.is_alive()
    child.kill()
    assert ended and queue.get() == [2.0]


def test_a_forked_process_starts_and_ends_its_own_workers(scored):
    scorer = scored(num_workers=1)
    scorer(graphs_of("CC"))
    workers = set(multiprocessing.active_children())
    fork = multiprocessing.get_context("fork")
    queue = fork.SimpleQueue()
    child = fork.Process(target=score_in_child, args=(scorer, graphs_of("CC", "CCC"), queue))
    child.start()
    child.join(30)
    if child.is_alive():
        child.kill()
    assert child.exitcode == 0
    assert queue.get() == [2.0, 3.0]
    assert queue.get() == 0
    assert set(multiprocessing.active_children()) == workers  # the child has left its parent's alone
    assert scorer(graphs_of("CCCC")) == [4.0]


def test_a_fork_asks_nothing_of_a_pool_whose_lock_a_thread_held(scored):
    """In the fork nobody is left who would give it back."""
    scorer = scored(num_workers=1)
    scorer(graphs_of("CC"))
    fork = multiprocessing.get_context("fork")
    queue = fork.SimpleQueue()
    child = fork.Process(target=score_in_child, args=(scorer, graphs_of("CCC"), queue))
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


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"num_workers": 0}, ValueError, "num_workers: expected None or an integer of at least 1, got 0"),
        ({"timeout": 0.0}, ValueError, "timeout: expected seconds above 0, got 0.0"),
        ({"num_workers": 1.5}, ValueError, "num_workers: expected None or an integer of at least 1, got 1.5"),
        ({"timeout": math.nan}, ValueError, "timeout: expected seconds above 0, got nan"),
        ({"timeout": "10"}, TypeError, "timeout: expected seconds above 0, got str"),
        ({"per_task": 0}, ValueError, "per_task: expected an integer of at least 1, got 0"),
        ({"failure_score": None}, TypeError, "failure_score: expected a number, got NoneType"),
        ({"memory": 0}, ValueError, "memory: expected an integer of at least 1, got 0"),
        ({"function": 3}, TypeError, "function: expected a callable of RDKit molecules, got int"),
        ({"function": lambda molecule: 0.0}, TypeError, "function: expected one that can be pickled"),
    ],
)
def test_bad_options_are_refused(options, error, words):
    with pytest.raises(error, match=words):
        Scorer(**{"function": num_atoms, **options})
