"""A scorer whose workers are an executor's: the same scores, limits and failures, and hosts that die."""

import copy
import os
import pickle
import signal
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from scoring_toys import CHAIN, Words, calls, counted, length, raises_always, raises_on_cc, states_of

from svlearn.scoring import ExecutorWorkers, Scorer, ScoreStore, Workers


def exits_on_cc(word: str) -> float:
    if word == "CC":
        os._exit(3)
    return len(word)


def hangs_on_cc(word: str) -> float:
    if word == "CC":
        time.sleep(60)
    return len(word)


def kills_its_host_once(path: Path, word: str) -> float:
    """The process of the executor, which is the parent of the one that works."""
    if word == "CC" and not path.exists():
        path.touch()
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    return counted(path.with_suffix(".calls"), word)


@pytest.fixture(scope="module")
def threads():
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture(scope="module")
def cluster():
    """Two worker processes of dask.distributed, which are daemonic, as they are by default."""
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        yield client


def test_an_executor_gives_the_pools_scores(threads):
    words = [*CHAIN, "NC", "F", "CC"]
    scorers = [Scorer(length, Words(), num_workers=2), Scorer(length, Words(), executor=threads)]
    both = [scorer(states_of(*words)) for scorer in scorers]
    assert both[0] == both[1] == [1, 2, 3, 4, 5, 6, 7, 8, 2, 0, 2]
    assert scorers[0].counts == scorers[1].counts
    scorers[0].close()


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (exits_on_cc, "the worker process died with exit code 3"),
        (hangs_on_cc, "no result within 1 seconds"),
        (raises_on_cc, "KeyError: 'no CC'"),
    ],
)
def test_an_object_that_breaks_its_process_costs_itself(threads, function, why):
    scorer = Scorer(function, Words(), executor=threads, timeout=1.0, failure_score=-1.0)
    assert scorer(states_of(*CHAIN)) == [1, -1, 3, 4, 5, 6, 7, 8]
    assert scorer.failures == [("CC", why)]


def test_the_store_and_the_function_that_always_fails(threads, tmp_path):
    store, lines = ScoreStore(tmp_path / "scores.sqlite", "letters"), tmp_path / "calls"
    first = Scorer(partial(counted, lines), Words(), executor=threads, store=store)
    first(states_of(*CHAIN))
    again = Scorer(partial(counted, lines), Words(), executor=threads, store=store)
    assert again(states_of(*CHAIN)) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert sorted(calls(lines)) == CHAIN and again.counts.stored == 8
    with pytest.raises(RuntimeError, match="function: it failed on all of the first 8 words"):
        Scorer(raises_always, Words(), executor=threads)(states_of(*CHAIN))


def test_a_closed_executor_is_named():
    executor = ProcessPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="executor: this ProcessPoolExecutor takes no more tasks"):
        Scorer(length, Words(), executor=executor)(states_of("C"))


def test_what_is_no_executor_is_refused():
    with pytest.raises(TypeError, match="executor: expected a concurrent.futures.Executor, got int"):
        Scorer(length, Words(), executor=3)


def test_a_copy_keeps_the_executor_and_a_pickle_has_workers_of_its_own(threads):
    scorer = Scorer(length, Words(), executor=threads)
    scorer(states_of("CC"))
    copied = copy.deepcopy(scorer)
    assert copied._workers.executor is threads and copied(states_of("CCC")) == [3]
    read = pickle.loads(pickle.dumps(scorer))
    assert type(read._workers) is Workers and read.known == 1
    assert ExecutorWorkers(threads).num_workers == 2


def test_a_cluster_scores_and_limits(cluster):
    scorer = Scorer(hangs_on_cc, Words(), executor=cluster.get_executor(), timeout=1.0, failure_score=-1.0)
    assert scorer(states_of(*CHAIN)) == [1, -1, 3, 4, 5, 6, 7, 8]
    assert scorer.failures == [("CC", "no result within 1 seconds")]


def test_a_cluster_of_which_a_worker_is_killed_loses_nothing(cluster, tmp_path):
    path = tmp_path / "killed"
    options = {"executor": cluster.get_executor(), "per_task": 1, "timeout": 30.0}
    scorer = Scorer(partial(kills_its_host_once, path), Words(), **options)
    assert scorer(states_of(*CHAIN)) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert path.exists() and not scorer.failures
    assert sorted(set(calls(path.with_suffix(".calls")))) == CHAIN


def test_a_host_keeps_its_process_from_task_to_task(cluster):
    scorer = Scorer(process_of_work, Words(), executor=cluster.get_executor(), per_task=1, timeout=30.0)
    assert len(set(scorer(states_of(*CHAIN)))) <= 2


def test_the_process_that_works_ends_with_its_host(cluster):
    executor = cluster.get_executor()
    scorer = Scorer(process_of_work, Words(), executor=executor, per_task=1)
    process = int(scorer(states_of("C"))[0])
    assert os.path.exists(f"/proc/{process}")
    cluster.restart()
    deadline = time.monotonic() + 30
    while os.path.exists(f"/proc/{process}") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{process}")


def process_of_work(word: str) -> float:
    return float(os.getpid())
