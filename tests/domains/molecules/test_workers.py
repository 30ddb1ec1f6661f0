"""Worker processes: what an item that breaks costs, and how the processes start and end."""

import faulthandler
import logging
import multiprocessing
import os
import signal
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


def takes_its_time(path: Path, molecule: Chem.Mol) -> float:
    time.sleep(0.6)
    return counted(path, molecule)


def score_in_child(scorer: Scorer, graphs, queue) -> None:
    queue.put(scorer(graphs))
    scorer.close()
    queue.put(len(multiprocessing.active_children()))


# molecules that break


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (exits_on_ethane, "the worker process died with exit code 3"),
        (segfaults_on_ethane, f"the worker process died with exit code {-signal.SIGSEGV}"),
        (hangs_on_ethane, "no result within 1 seconds"),
        (raises_on_ethane, "KeyError: 'no ethane'"),
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


# processes


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


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"num_workers": 0}, ValueError, "num_workers: expected None or an integer of at least 1, got 0"),
        ({"timeout": 0.0}, ValueError, "timeout: expected seconds above 0, got 0.0"),
        ({"memory": 0}, ValueError, "memory: expected an integer of at least 1, got 0"),
        ({"function": 3}, TypeError, "function: expected a callable of RDKit molecules, got int"),
        ({"function": lambda molecule: 0.0}, TypeError, "function: expected one that can be pickled"),
    ],
)
def test_bad_options_are_refused(options, error, words):
    with pytest.raises(error, match=words):
        Scorer(**{"function": num_atoms, **options})
