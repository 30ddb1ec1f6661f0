"""Rewards of molecules: their values against RDKit's, numbers by hand, and what a user may get wrong."""

import gzip
import math

import pytest
import torch
from molecule_toys import empty_graph, graphs_of, invalid_graph, num_atoms
from rdkit import Chem
from rdkit.Chem import QED as rdkit_qed
from rdkit.Chem import Crippen, rdFingerprintGenerator

from svlearn.domains.molecules.qm9_data import encode_smiles, read_smiles
from svlearn.domains.molecules.rewards import (
    LOGP,
    QED,
    SA,
    SA_SCORE,
    MoleculeReward,
    PenalizedLogP,
    Similarity,
    Substructure,
    sascorer,
)
from svlearn.targets import Target, constraint


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


def test_a_reward_serves_a_target():
    target = Target(MoleculeReward(num_atoms, num_workers=1), alpha=0.5)
    assert target(graphs_of("CC", "CCO")).tolist() == [2.0, 3.0]


# penalised logP


def test_penalized_logp_of_the_best_molecules_of_zinc():
    # 4.52, 4.30 and 4.23 are the published three largest of ZINC-250k (arXiv 1802.04364, table 2).
    best = {
        "COc1ccc(-c2cc(-c3ccccc3)cc(-c3ccc(Br)cc3)[o+]2)cc1": 4.52,
        "COc1ccc(-c2cc(-c3ccccc3)cc(-c3ccc(I)cc3)[o+]2)cc1": 4.30,
        "FC(F)(F)c1cccc(Nc2scc(-c3ccc(Cl)cc3)[n+]2CCc2ccccc2)c1": 4.23,
    }
    torch.testing.assert_close(
        PenalizedLogP(num_workers=1).of_smiles(list(best)), torch.tensor(list(best.values())), atol=0.005, rtol=0
    )


@pytest.mark.parametrize(("smiles", "beyond"), [("C1CCCCC1", 0), ("C1CCCCCC1", 1), ("C1CCCC1C1CCCCCCCCC1", 4)])
def test_penalized_logp_by_hand(smiles, beyond):
    # Wildman & Crippen: a CH2 of an alkane has 0.1441 for its carbon and 0.1230 for each hydrogen.
    molecule = Chem.MolFromSmiles(smiles)
    logp, difficulty = Crippen.MolLogP(molecule), 10 - 9 * SA(num_workers=1).of_molecules([molecule]).item()
    if smiles == "C1CCCCC1":
        assert logp == pytest.approx(6 * (0.1441 + 2 * 0.1230), abs=1e-9)
    expected = (logp - 2.4570953) / 1.4343244 - (difficulty - 3.0525811) / 0.8335207 - (beyond - 0.0485697) / 0.2860212
    assert PenalizedLogP(num_workers=1).of_smiles([smiles]).item() == pytest.approx(expected, abs=1e-5)


def test_the_constants_of_penalized_logp_are_those_of_zinc(assets):
    lines = gzip.decompress(assets("molecules/zinc250k_smiles.txt.gz").read_bytes()).decode().split()[::250]
    molecules = [Chem.MolFromSmiles(text) for text in lines]
    for term, (mean, std) in ((Crippen.MolLogP, LOGP), (sascorer().calculateScore, SA_SCORE)):
        values = torch.tensor([term(molecule) for molecule in molecules], dtype=torch.float64)
        central = values - values.mean()
        spread, fourth = central.square().mean().sqrt(), central.pow(4).mean()
        assert abs(values.mean() - mean) < 4 * spread / math.sqrt(len(values))
        assert abs(spread - std) < 4 * spread * math.sqrt((fourth / spread**4 - 1) / (4 * len(values)))


def test_an_invalid_graph_has_the_least_penalized_logp():
    graphs = torch.cat([invalid_graph(), graphs_of("CCO"), empty_graph()])
    assert PenalizedLogP(num_workers=1)(graphs)[[0, 2]].tolist() == [-10.0, -10.0]
    assert PenalizedLogP(num_workers=1, invalid_score=-3.0)(graphs)[0] == -3.0


# similarity and substructures


def test_similarity_is_the_share_of_common_environments():
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    query, other = (set(generator.GetFingerprint(Chem.MolFromSmiles(text)).GetOnBits()) for text in ("CCCCO", "CCCCN"))
    expected = len(query & other) / len(query | other)
    assert 0 < expected < 1
    similar = Similarity("OCCCC", num_workers=1)(graphs_of("CCCCO", "CCCCN", "F"))
    torch.testing.assert_close(similar, torch.tensor([1.0, expected, 0.0]))


def test_similarity_counts_no_invalid_graph():
    assert Similarity("FF", num_workers=1)(torch.cat([invalid_graph(), empty_graph()])).tolist() == [0.0, 0.0]
    assert Similarity("FF", correct=True, num_workers=1)(invalid_graph()).tolist() == [1.0]


def test_a_substructure_is_a_constraint():
    graphs = torch.cat([graphs_of("OC1CC1", "CCO", "C"), invalid_graph(), empty_graph()])
    alcohol = Substructure("[OX2H]", num_workers=1)
    assert alcohol(graphs).tolist() == [0.0, 0.0, -math.inf, -math.inf, -math.inf]
    assert alcohol.holds(graphs).tolist() == [True, True, False, False, False]
    target = constraint(alcohol.holds)
    assert target(graphs).tolist() == [0.0, 0.0, -math.inf, -math.inf, -math.inf]
    assert target.floored(graphs, 0).tolist() == pytest.approx([0.0, 0.0, *[math.log(1e-4)] * 3])
    assert Target(alcohol, alpha=1.0)(graphs_of("CC")).item() == -math.inf


# molecules and SMILES


def test_molecules_and_smiles_are_scored_as_their_graphs():
    reward = MoleculeReward(num_atoms, num_workers=1, invalid_score=-1.0)
    assert reward.of_smiles(["OCC", "C.CC"]).tolist() == [3.0, 2.0]
    assert reward.of_molecules([Chem.MolFromSmiles("CCO"), None]).tolist() == [3.0, -1.0]
    assert reward(graphs_of("CCO")).tolist() == [3.0]
    assert reward.scorer.counts.scored == 2


def test_what_is_no_molecule_is_invalid_and_one_text_is_no_list():
    reward = MoleculeReward(num_atoms, num_workers=1, invalid_score=-1.0)
    five = Chem.MolFromSmiles("C(C)(C)(C)(C)C", sanitize=False)
    assert reward.of_molecules([Chem.Mol(), five, None]).tolist() == [-1.0] * 3
    for call, argument in ((reward.of_smiles, "CCO"), (reward.of_molecules, "CCO"), (reward.of_molecules, Chem.Mol())):
        with pytest.raises(TypeError, match="expected a list of (str|Mol) or None, got one (str|Mol)"):
            call(argument)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: QED(num_workers=1).of_smiles(["CC", "C("]),
            r"smiles\[1\]: expected a SMILES that RDKit reads, got 'C\('",
        ),
        (
            lambda: QED(num_workers=1).of_smiles(["C", "\ud800"]),
            r"smiles\[1\]: expected a SMILES that RDKit reads, got '.ud800'",
        ),
        (lambda: QED(num_workers=1).of_smiles([""]), r"smiles\[0\]: expected a SMILES that RDKit reads, got ''"),
        (lambda: Similarity("c1cc"), "query: expected a SMILES that RDKit reads, got 'c1cc'"),
        (lambda: Similarity(None), "query: expected a SMILES that RDKit reads, got None"),
        (lambda: Substructure("[C"), r"pattern: expected a SMARTS that RDKit reads, got '\[C'"),
        (lambda: Substructure(""), "pattern: expected a SMARTS that RDKit reads, got ''"),
    ],
)
def test_what_rdkit_does_not_read_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
