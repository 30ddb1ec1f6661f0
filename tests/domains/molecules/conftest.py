"""Puts molecule_toys.py of this folder on the path; scorers that end with their test."""

import sys
from pathlib import Path

import pytest

from svlearn.domains.molecules.scoring import MoleculeScorer

sys.path.insert(0, str(Path(__file__).parent))

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
