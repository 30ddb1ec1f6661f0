"""Puts the toys of this folder on the path; scorers that end with their test; docking with and without Vina."""

import sys
from pathlib import Path

import pytest

from svlearn.domains.molecules import docking, docking_vina
from svlearn.domains.molecules.docking import Receptor
from svlearn.domains.molecules.scoring import MoleculeScorer

sys.path.insert(0, str(Path(__file__).parent))

from docking_toys import BOX, Engine
from molecule_toys import num_atoms


@pytest.fixture
def scored():
    """Make scorers that are closed after the test."""
    made = []

    def make(function=num_atoms, **options) -> MoleculeScorer:
        made.append(MoleculeScorer(function, **{"num_workers": 2, **options}))
        return made[-1]

    yield make
    for scorer in made:
        scorer.close()


@pytest.fixture
def log(tmp_path) -> Path:
    return tmp_path / "calls.txt"


@pytest.fixture
def vina():
    """Skips the test where docking cannot be done."""
    for name in ("vina", "meeko"):
        pytest.importorskip(name, reason=f"docking needs {name}: the extra `docking`")


@pytest.fixture
def parp1(vina, assets):
    assets("docking/parp1.pdbqt")
    return "parp1"


@pytest.fixture
def own(tmp_path):
    """A receptor of one atom."""
    path = tmp_path / "own.pdbqt"
    path.write_text("ATOM      1  C   LIG     1       0.000   0.000   0.000  1.00  0.00     0.000 C \n")
    return Receptor(path, *BOX)


@pytest.fixture
def installed(monkeypatch):
    """As if vina and meeko were there."""
    monkeypatch.setattr(docking, "version", lambda name: f"{name} 1.0")


@pytest.fixture
def engine(monkeypatch, installed):
    """Workers inherit it by the fork."""
    made = Engine()
    monkeypatch.setattr(docking_vina, "ligand_of", lambda molecule: "a ligand")
    monkeypatch.setattr(docking_vina, "_engine", lambda *box: made)
    return made
