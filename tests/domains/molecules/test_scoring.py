"""Scoring of molecules: that none is scored twice, that none spoils the score of another, and what is remembered."""

import copy
import errno
import faulthandler
import math
import os
import pickle
import signal
import sqlite3
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from molecule_toys import (
    CHAIN,
    calls,
    counted,
    empty_graph,
    graphs_of,
    invalid_graph,
    num_atoms,
    raises_always,
    raises_on_ethane,
)
from rdkit import Chem
from tensordict import TensorDict

from svlearn.domains.molecules.codec import encode
from svlearn.domains.molecules.graph import MASKED_ATOM, MASKED_BOND, permuted
from svlearn.domains.molecules.rewards import QED, MoleculeReward
from svlearn.domains.molecules.score_store import ScoreStore
from svlearn.domains.molecules.scoring import Codec, Counts
from svlearn.randomness import seeded


def test_a_graph_in_pieces_is_scored_by_its_largest(scored):
    assert scored()(graphs_of("O.CCO.CC")) == [3.0]
    assert scored(correct=True)(graphs_of("O.CCO.CC")) == [3.0]


def test_the_scores_of_invalid_graphs_can_be_chosen(scored):
    graphs = torch.cat([invalid_graph(), graphs_of("CCO"), empty_graph()])
    assert scored(invalid_score=-1.5)(graphs) == [-1.5, 3.0, -1.5]


def test_order_is_kept_over_many_tasks(scored):
    generator = seeded("cpu", 0)
    rows = torch.randint(len(CHAIN), (700,), generator=generator)
    graphs = graphs_of(*CHAIN)[rows]
    graphs = permuted(graphs, torch.rand(700, 9, generator=generator).argsort(dim=1))
    assert scored()(graphs) == (1.0 + rows).tolist()


@pytest.mark.parametrize("place", ["atoms", "bonds"])
def test_undecided_graphs_are_refused(place):
    graphs = graphs_of("CC", "CCO")
    graphs[place][1, 0] = {"atoms": MASKED_ATOM, "bonds": MASKED_BOND}[place]
    with pytest.raises(ValueError, match="graphs: expected finished graphs, got one with masked .* at index 1"):
        QED(num_workers=1)(graphs)


def test_an_empty_batch_has_no_scores(scored):
    assert scored()(graphs_of("CC")[:0]) == []


# memory


def test_no_molecule_is_scored_twice(scored, log):
    scorer = scored(partial(counted, log))
    graphs = graphs_of("CCO", "CC", "CCO", "OCC", "C.CC")
    assert scorer(graphs) == [3.0, 2.0, 3.0, 3.0, 2.0]
    assert sorted(calls(log)) == ["CC", "CCO"]
    order = torch.rand(5, 9, generator=seeded("cpu", 1)).argsort(dim=1)
    assert scorer(permuted(graphs, order)) == [3.0, 2.0, 3.0, 3.0, 2.0]
    assert scorer(graphs_of("CC", "N")) == [2.0, 1.0]
    assert sorted(calls(log)) == ["CC", "CCO", "N"]
    assert scorer.known == 3


def test_a_known_graph_is_not_sent_to_a_worker_again(scored, monkeypatch):
    scorer = scored()
    graphs = graphs_of("CCO", "CC")
    first = scorer(graphs)
    monkeypatch.setattr(scorer._workers, "map", None)
    assert scorer(graphs) == first


def test_forgetting_scores_again(scored, log):
    scorer = scored(partial(counted, log))
    scorer(graphs_of("CCO"))
    scorer.forget()
    assert scorer.known == 0
    assert scorer(graphs_of("CCO")) == [3.0]
    assert calls(log) == ["CCO", "CCO"]


def test_smiles_can_be_scored_directly(scored, log):
    scorer = scored(partial(counted, log))
    assert scorer.score(["CCO", None, "CC", "CCO"]) == [3.0, 0.0, 2.0, 3.0]
    assert scorer.smiles(torch.cat([graphs_of("OCC"), invalid_graph()])) == ["CCO", None]
    assert scorer(graphs_of("OCC")) == [3.0]
    assert sorted(calls(log)) == ["CC", "CCO"]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda reward: pickle.loads(pickle.dumps(reward))])
def test_a_copy_of_a_used_reward_knows_what_it_knew_and_works(copied, log):
    reward = MoleculeReward(partial(counted, log), num_workers=1)
    reward(graphs_of("CCO"))
    other = copied(reward)
    assert other(graphs_of("CCO", "CC")).tolist() == [3.0, 2.0]
    assert reward(graphs_of("CCO", "C")).tolist() == [3.0, 1.0]
    assert calls(log) == ["CCO", "CC", "C"]


def test_a_molecule_with_one_atom_place_has_a_score(scored):
    assert scored()(encode(Chem.MolFromSmiles("C"), num_atoms=1)) == [1.0]


# what is counted, and how much is remembered


def test_what_was_asked_and_what_was_done_is_counted(scored):
    scorer = scored(raises_on_ethane)
    assert scorer.counts == Counts()
    scorer(torch.cat([graphs_of("CCO", "OCC", "CCO", "CC"), invalid_graph()]))  # CCO in two numberings
    assert scorer.counts == Counts(asked=5, built=4, scored=2, failed=1)
    scorer(graphs_of("CCO", "CC", "N"))
    assert scorer.counts == Counts(asked=8, built=5, scored=3, failed=1)
    scorer.forget()
    scorer.score(["N", None])
    assert scorer.counts == Counts(asked=10, built=5, scored=4, failed=1)


def test_memory_is_bounded_and_the_oldest_go(scored, log):
    scorer = scored(partial(counted, log), memory=2, num_workers=1)
    assert scorer(graphs_of(*CHAIN[:4])) == [1.0, 2.0, 3.0, 4.0]  # a batch may be larger than the memory
    assert scorer.known == 2
    assert scorer(graphs_of("CCC", "CCCC")) == [3.0, 4.0]
    assert calls(log) == CHAIN[:4]
    assert scorer(graphs_of("C")) == [1.0]
    assert calls(log) == [*CHAIN[:4], "C"]
    assert scorer.counts == Counts(asked=7, built=5, scored=5)


class Amines(Codec):
    """States that are amines, given by the length of their chain."""

    def keys(self, states):
        return [bytes([length]) for length in states["length"].tolist()]

    def build(self, key, correct):
        return Chem.MolFromSmiles("N" + "C" * key[0]) if key[0] else None


def test_a_codec_reads_states_of_another_kind(scored):
    states = TensorDict({"length": torch.tensor([3, 0, 1, 3])}, batch_size=[4])
    scorer = scored(codec=Amines(), invalid_score=-1.0)
    assert scorer(states) == [4.0, -1.0, 2.0, 4.0]
    assert scorer.smiles(states) == ["CCCN", None, "CN", "CCCN"]
    reward = MoleculeReward(num_atoms, codec=Amines(), num_workers=1)
    assert reward(states).tolist() == [4.0, 0.0, 2.0, 4.0]


def test_states_of_another_kind_need_their_codec(scored):
    states = TensorDict({"x": torch.zeros(2, 3), "mask": torch.ones(2, 3)}, batch_size=[2])
    words = "graphs: expected states with atoms, bonds and mask, got mask, x without atoms, bonds; give the reward the"
    with pytest.raises(ValueError, match=words):
        scored()(states)


# scores on disk


def nan_on_ethane(molecule: Chem.Mol) -> float:
    return math.nan if Chem.MolToSmiles(molecule) == "CC" else molecule.GetNumAtoms()


def fails_on_ethane(path: Path, molecule: Chem.Mol, error: Exception) -> float:
    """Until the file is there."""
    if Chem.MolToSmiles(molecule) == "CC" and not path.exists():
        raise error
    return molecule.GetNumAtoms()


def hangs_on_ethane(path: Path, molecule: Chem.Mol) -> float:
    if Chem.MolToSmiles(molecule) == "CC" and not path.exists():
        time.sleep(60)
    return molecule.GetNumAtoms()


def dies_on_ethane(path: Path, molecule: Chem.Mol, number: int) -> float:
    if Chem.MolToSmiles(molecule) == "CC" and not path.exists():
        faulthandler.disable()  # pytest's, which would print the stack
        os.kill(os.getpid(), number)
        time.sleep(60)
    return molecule.GetNumAtoms()


def waits_for_the_store(path: Path, molecule: Chem.Mol) -> float:
    """The number of atoms; of ammonia, how many scores are on disk within a few seconds."""
    if Chem.MolToSmiles(molecule) != "N":
        return molecule.GetNumAtoms()
    store = ScoreStore(path, "test")
    for _ in range(200):
        if len(store) == 2:
            break
        time.sleep(0.05)
    return len(store)


@pytest.fixture
def store(tmp_path) -> ScoreStore:
    return ScoreStore(tmp_path / "scores.sqlite", "test")


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
    assert scored(raises_on_ethane, store=store).score(["CC", "C"]) == [0.0, 1.0]
    later = scored(num_atoms, store=store, failure_score=-5.0)
    assert later.score(["C", "CC"]) == [1.0, -5.0]
    assert later.failures == [("CC", "KeyError: 'no ethane'")]
    assert later.counts == Counts(asked=2, stored=2)
    assert store.forget_failures() == 1
    assert scored(num_atoms, store=store).score(["C", "CC"]) == [1.0, 2.0]


def test_a_function_that_always_fails_leaves_nothing_on_disk(scored, store):
    with pytest.raises(RuntimeError, match="failed on all of the first 8"):
        scored(raises_always, store=store).score(CHAIN)
    assert len(store) == 0


def test_nan_is_no_score_and_is_not_kept_on_disk(scored, store):
    first, second = scored(nan_on_ethane, store=store).score(["CC", "C"])
    assert math.isnan(first) and second == 1.0
    assert set(store.read(["CC", "C"])) == {"C"}


# failures that need not last


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    "function",
    [
        partial(hangs_on_ethane),
        partial(dies_on_ethane, number=signal.SIGKILL),
        partial(dies_on_ethane, number=signal.SIGTERM),
        partial(dies_on_ethane, number=signal.SIGABRT),
        partial(fails_on_ethane, error=FULL),
        partial(fails_on_ethane, error=MemoryError()),
        partial(fails_on_ethane, error=TimeoutError("the licence server")),
        partial(fails_on_ethane, error=RuntimeError("CUDA out of memory")),
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
    scorer = scored(partial(fails_on_ethane, log, error=error))
    assert scorer.score(["C", "CC"]) == [1.0, 0.0]
    log.touch()
    assert scorer.score(["CC", "C"]) == [2.0, 1.0]
    assert scorer.counts == Counts(asked=4, scored=3, failed=1)


def test_failures_before_the_first_success_wait_for_it(scored, store):
    """As they may be the function's; afterwards they are the molecules'."""
    scorer = scored(raises_on_ethane, store=store)
    assert scorer.score(["CC"]) == [0.0] and len(store) == 0
    assert scorer.score(["C"]) == [1.0]
    assert store.read(["C", "CC"]) == {"C": (1.0, None), "CC": (None, "KeyError: 'no ethane'")}


def test_a_function_that_fails_in_small_calls_leaves_nothing_on_disk(scored, store):
    scorer = scored(raises_always, store=store)
    scorer.score(CHAIN[:7])
    with pytest.raises(RuntimeError, match="failed on all of the first 8"):
        scorer.score(CHAIN[7:])
    assert len(store) == 0


def test_a_full_disk_under_the_store_costs_a_warning(scored, store, monkeypatch, caplog):
    def full(scores):
        raise sqlite3.OperationalError("database or disk is full")

    scorer, write = scored(raises_on_ethane, store=store), store.write
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
    scorer = scored(partial(fails_on_ethane, log, error=ValueError("of \ud800")), store=store)
    assert scorer.score(["C", "CC"]) == [1.0, 0.0]
    assert store.read(["CC"]) == {"CC": (None, "ValueError: of \\ud800")}
    assert scorer.score(["\ud800"]) == [0.0]


# what is no molecule


def test_what_is_no_molecule_has_the_invalid_score(scored):
    scorer = scored(invalid_score=-1.0, failure_score=-2.0)
    five = Chem.MolFromSmiles("C(C)(C)(C)(C)C", sanitize=False)
    raw = Chem.MolFromSmiles("c1ccccc1.[Na+]", sanitize=False)
    assert scorer.score_molecules([Chem.Mol(), five, None, raw]) == [-1.0, -1.0, -1.0, 6.0]
    assert scorer.score(["", None]) == [-1.0, -1.0]
    assert scorer.failures == [] and five.GetNumAtoms() == 6


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda scorer: scorer.score("CCO"), "smiles: expected a list of str or None, got one str"),
        (lambda scorer: scorer.score(3), "smiles: expected a list of str or None, got one int"),
        (lambda scorer: scorer.score(["C", 3]), r"smiles\[1\]: expected a str or None, got int"),
        (lambda scorer: scorer.score_molecules("CCO"), "molecules: expected a list of Mol or None, got one str"),
        (lambda scorer: scorer.score_molecules(Chem.Mol()), "molecules: expected a list of Mol or None, got one Mol"),
        (lambda scorer: scorer.score_molecules(["CCO"]), r"molecules\[0\]: expected a Mol or None, got str"),
    ],
)
def test_one_thing_in_the_place_of_a_list_is_refused(scored, call, words):
    with pytest.raises(TypeError, match=words):
        call(scored())
