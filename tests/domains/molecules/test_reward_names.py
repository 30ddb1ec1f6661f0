"""A molecular reward's name says all that decides a score, and nothing that does not."""

from dataclasses import dataclass

import pytest
import torch
from molecule_toys import num_atoms

from svlearn import Reference, Target
from svlearn.domains.molecules import docking
from svlearn.domains.molecules.docking import Docking, Receptor
from svlearn.domains.molecules.gdss.decode import GDSSCodec
from svlearn.domains.molecules.rewards import (
    QED,
    SA,
    MoleculeReward,
    PenalizedLogP,
    Similarity,
    Substructure,
    drug_likeness,
)
from svlearn.domains.molecules.surrogate import Surrogate
from svlearn.identity import identity
from svlearn.rollouts import collect

CHAINS = [f"{'C' * length}{end}" for length in range(1, 6) for end in ("O", "N", "F")]


@dataclass(frozen=True)
class Times:
    factor: float

    def __call__(self, molecule):
        return self.factor * molecule.GetNumAtoms()


@pytest.mark.parametrize(
    "pair",
    [
        lambda: (QED(), SA()),
        lambda: (QED(), QED(correct=True)),
        lambda: (QED(), QED(codec=GDSSCodec())),
        lambda: (QED(), QED(invalid_score=-1.0)),
        lambda: (QED(), QED(failure_score=-1.0)),
        lambda: (QED(), QED(timeout=1.0)),
        lambda: (Similarity("CCO"), Similarity("CCN")),
        lambda: (Substructure("[OH]"), Substructure("[NH2]")),
        lambda: (PenalizedLogP(), PenalizedLogP(invalid_score=-5.0)),
        lambda: (MoleculeReward(num_atoms), MoleculeReward(drug_likeness)),
        lambda: (MoleculeReward(Times(1.0)), MoleculeReward(Times(2.0))),
        lambda: (Surrogate(CHAINS, range(15)), Surrogate(CHAINS, range(15), seed=1)),
        lambda: (Surrogate(CHAINS, range(15)), Surrogate(CHAINS, range(1, 16))),
    ],
)
def test_what_scores_otherwise_has_another_name(pair):
    one, other = pair()
    assert one.name != other.name and identity(one) != identity(other)


def test_what_scores_the_same_has_the_same_name():
    reward = QED(num_workers=1)
    before = reward.name
    reward.of_smiles(["CCO", "CCN"])  # which it remembers
    reward.scorer.close()
    assert reward.name == before == QED(num_workers=2, memory=10, per_task=1).name
    assert before.startswith("QED ")
    assert Surrogate(CHAINS, range(15)).name == Surrogate(CHAINS, range(15)).name


@pytest.fixture
def receptors(tmp_path, monkeypatch):
    """Three receptors in files: two of one content, one of another; and programs that need not be there."""
    monkeypatch.setattr(docking, "versions", lambda: dict.fromkeys(docking.PROGRAMS, "1.0"))
    line = "ATOM      1  C   LIG     1       0.000   0.000   0.{}  1.00  0.00     0.000 C \n"
    for name, place in (("one", "000"), ("copy", "000"), ("other", "500")):
        (tmp_path / f"{name}.pdbqt").write_text(line.format(place))

    def make(name, size=10.0):
        return Receptor(tmp_path / f"{name}.pdbqt", (0.0, 0.0, 0.0), (size,) * 3)

    return make


def test_a_docking_is_named_by_the_receptor_and_the_search(receptors, monkeypatch, tmp_path):
    one = Docking(receptors("one"))
    assert one.name == Docking(receptors("one"), cache=tmp_path / "scores.sqlite", num_workers=1).name
    others = [
        Docking(receptors("other")),
        Docking(receptors("one", size=11.0)),
        Docking(receptors("one"), exhaustiveness=3),
        Docking(receptors("one"), seed=2),
        Docking(receptors("one"), correct=True),
        Docking(receptors("one"), timeout=10.0),
    ]
    monkeypatch.setattr(docking, "versions", lambda: dict.fromkeys(docking.PROGRAMS, "2.0"))
    others.append(Docking(receptors("one")))
    assert len({one.name, *(each.name for each in others)}) == len(others) + 1


def test_a_receptor_is_its_content(receptors):
    assert Docking(receptors("one")).name == Docking(receptors("copy")).name


class Still(Reference):
    """Draws nothing: what is stored of it is of its reward alone."""

    num_steps = 1

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.zeros(batch_size, 1)

    def forward(self, x, t, previous=None):
        raise AssertionError("nothing is drawn")


@pytest.mark.parametrize(
    ("one", "other"), [(QED(), QED(correct=True)), (Similarity("CCO"), Similarity("CCN")), (QED(), MoleculeReward(len))]
)
def test_rollouts_of_another_reward_are_refused(tmp_path, one, other):
    with pytest.raises(AssertionError, match="nothing is drawn"):
        collect(Still(), 2, tmp_path, target=Target(one, 1.0), progress=False)
    with pytest.raises(AssertionError, match="nothing is drawn"):
        collect(Still(), 2, tmp_path, target=Target(one, 0.5), progress=False)
    with pytest.raises(ValueError, match="of other arguments: expected .*reward_identity = "):
        collect(Still(), 2, tmp_path, target=Target(other, 1.0), progress=False)
