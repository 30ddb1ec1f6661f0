"""Puts scoring_toys.py of this folder on the path; scorers that end with their test."""

import sys
from pathlib import Path

import pytest

from svlearn.scoring import Scorer, ScoreStore

sys.path.insert(0, str(Path(__file__).parent))

from scoring_toys import Words, length


@pytest.fixture
def scored():
    """Make scorers that are closed after the test."""
    made = []

    def make(function=length, **options) -> Scorer:
        made.append(Scorer(function, options.pop("codec", Words()), **{"num_workers": 2, **options}))
        return made[-1]

    yield make
    for scorer in made:
        scorer.close()


@pytest.fixture
def log(tmp_path) -> Path:
    return tmp_path / "calls.txt"


@pytest.fixture
def store(tmp_path) -> ScoreStore:
    return ScoreStore(tmp_path / "scores.sqlite", "test")
