"""Rewards of molecules: their values, and that no molecule is scored twice or spoils the score of another."""

import copy
import faulthandler
import logging
import multiprocessing
import os
import pickle
import signal
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from rdkit import Chem
from rdkit.Chem import QED as rdkit_qed

from svlearn.domains.molecules.codec import encode
from svlearn.domains.molecules.graph import MASKED_ATOM, MASKED_BOND, graph_state, num_pairs, permuted
from svlearn.domains.molecules.qm9_data import encode_smiles, read_smiles
from svlearn.domains.molecules.rewards import QED, SA, MoleculeReward
from svlearn.domains.molecules.scoring import Scorer
from svlearn.randomness import seeded
from svlearn.targets import Target

CHAIN = ["C" * length for length in range(1, 9)]


def num_atoms(molecule: Chem.Mol) -> float:
    return molecule.GetNumAtoms()


def counted(path: Path, molecule: Chem.Mol) -> float:
    """The number of atoms; every call leaves a line in the file."""
    with open(path, "a") as file:
        file.write(Chem.MolToSmiles(molecule) + "\n")
    return molecule.GetNumAtoms()


def calls(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


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


def raises_on_ethane(molecule: Chem.Mol) -> float:
    if Chem.MolToSmiles(molecule) == "CC":
        raise KeyError("no ethane")
    return molecule.GetNumAtoms()


def raises_always(molecule: Chem.Mol) -> float:
    raise KeyError("wrong from the start")


def takes_its_time(path: Path, molecule: Chem.Mol) -> float:
    time.sleep(0.6)
    return counted(path, molecule)


def score_in_child(scorer: Scorer, graphs, queue) -> None:
    queue.put(scorer(graphs))
    scorer.close()
    queue.put(len(multiprocessing.active_children()))


@pytest.fixture
def scored():
    """Make scorers that are closed after the test."""
    made = []

    def make(function=num_atoms, **options) -> Scorer:
        made.append(Scorer(function, **{"num_workers": 2, **options}))
        return made[-1]

    yield make
    for scorer in made:
        scorer.close()


@pytest.fixture
def log(tmp_path) -> Path:
    return tmp_path / "calls.txt"


def graphs_of(*smiles: str, size: int = 9):
    return encode_smiles(smiles, num_atoms=size)


def invalid_graph(size: int = 9):
    """Difluoride with a double bond."""
    graphs = graphs_of("FF", size=size)
    graphs["bonds"][0, 0] = 2
    return graphs


def empty_graph(size: int = 9):
    return graph_state(
        torch.zeros(1, size, dtype=torch.long),
        torch.zeros(1, num_pairs(size), dtype=torch.long),
        torch.zeros(1, size, dtype=torch.bool),
    )


# values


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [("CC(=O)Oc1ccccc1C(=O)O", 0.5501), ("CC(C)Cc1ccc(cc1)C(C)C(=O)O", 0.8216)],
    ids=["aspirin", "ibuprofen"],
)
def test_qed_of_known_drugs(smiles, expected):
    assert QED(num_workers=1)(graphs_of(smiles, size=15)).item() == pytest.approx(expected, abs=5e-5)


def test_sa_of_molecules_that_rdkit_lists():
    # From the table that RDKit ships with the score, to its three decimals.
    listed = {
        "COc1ccccc1OC(=O)c1ccccc1": 1.342,
        "CCC1(c2ccccc2)C(=O)N(COC)C(=O)N(COC)C1=O": 2.759,
        "CC12CCC3C(CCC4CC(=O)CCC43C)C1CCC2=O": 3.912,
    }
    rewards = SA(num_workers=1)(graphs_of(*listed, size=25))
    expected = torch.tensor([(10 - score) / 9 for score in listed.values()])
    torch.testing.assert_close(rewards, expected, atol=0.0005 / 9 + 1e-6, rtol=0)


def test_qed_is_that_of_rdkit_in_the_order_of_the_graphs():
    smiles = ["CCO", "c1ccccc1", "N#CC1CC12CN2CO", "CCO", "C", "FC(F)(F)F", "O=C1CNC(=O)CO1"]
    rewards = QED(num_workers=2)(graphs_of(*smiles))
    assert (rewards.dtype, rewards.shape) == (torch.float32, (7,))
    expected = torch.tensor([rdkit_qed.qed(Chem.MolFromSmiles(text)) for text in smiles])
    torch.testing.assert_close(rewards, expected, atol=1e-7, rtol=1e-6)
    assert len(set(rewards.tolist())) == 6


def test_qed_of_molecules_of_qm9(assets):
    smiles = read_smiles(assets("molecules/qm9_smiles.csv"))[::500]
    rewards = QED(num_workers=2)(encode_smiles(smiles))
    plain = [Chem.MolToSmiles(Chem.MolFromSmiles(text), isomericSmiles=False) for text in smiles]
    expected = torch.tensor([rdkit_qed.qed(Chem.MolFromSmiles(text)) for text in plain])
    torch.testing.assert_close(rewards, expected, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("reward", [QED, SA])
def test_an_invalid_graph_and_one_without_atoms_score_zero(reward):
    graphs = torch.cat([invalid_graph(), graphs_of("CCO"), empty_graph()])
    rewards = reward(num_workers=1)(graphs)
    assert rewards[[0, 2]].tolist() == [0.0, 0.0]
    assert 0 < rewards[1] < 1


@pytest.mark.parametrize("reward", [QED, SA])
def test_repair_scores_every_graph_with_an_atom(reward):
    rewards = reward(correct=True, num_workers=1)(torch.cat([invalid_graph(), graphs_of("FF"), empty_graph()]))
    assert rewards[0] == rewards[1] > 0
    assert rewards[2] == 0.0


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


def test_a_reward_serves_a_target():
    target = Target(MoleculeReward(num_atoms, num_workers=1), alpha=0.5)
    assert target(graphs_of("CC", "CCO")).tolist() == [2.0, 3.0]


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
        ({"function": 3}, TypeError, "function: expected a callable of RDKit molecules, got int"),
        ({"function": lambda molecule: 0.0}, TypeError, "function: expected one that can be pickled"),
    ],
)
def test_bad_options_are_refused(options, error, words):
    with pytest.raises(error, match=words):
        Scorer(**{"function": num_atoms, **options})


def test_a_molecule_with_one_atom_place_has_a_score(scored):
    assert scored()(encode(Chem.MolFromSmiles("C"), num_atoms=1)) == [1.0]
