"""Lets the tests here import `rollout_toys`, which a process of their own imports as well; a store that is there."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from rollout_toys import TARGET, Walk

from svlearn.rollouts import collect


@pytest.fixture
def stored(tmp_path):
    """The path of a store of 10 trajectories in three chunks."""
    path = tmp_path / "store"
    collect(Walk(), 10, path, target=TARGET, batch_size=4, progress=False)
    return path
