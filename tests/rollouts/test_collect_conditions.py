"""Collecting under conditions: drawn with each chunk's stream, part of the request, resumed to the bit."""

import pytest
import torch
from condition_toys import ALPHA, markov_by_class
from torch.utils.data import TensorDataset

from svlearn.domains.analytic import ConditionalOracle
from svlearn.randomness import seeded
from svlearn.rollouts import Rollouts, collect, roll_out

ORACLE = markov_by_class()
TARGET = ORACLE.target(ALPHA)
CLASSES = torch.arange(3)
QUIET = dict(target=TARGET, batch_size=4, seed=7, progress=False)


def some(number, generator):
    return torch.randint(2, (number,), generator=generator)


def test_each_chunk_draws_its_conditions_first(tmp_path):
    rollouts = collect(ORACLE, 10, tmp_path, conditions=CLASSES, **QUIET)
    parts = []
    for chunk, number in enumerate((4, 4, 2)):
        generator = seeded("cpu", 7, chunk)
        rows = torch.randint(3, (number,), generator=generator)
        parts.append(roll_out(ORACLE, number, target=TARGET, condition=rows, generator=generator))
    expected = torch.cat(parts)
    assert bool((rollouts.states == expected["states"]).all()) and torch.equal(rollouts.rewards, expected["rewards"])
    assert bool((rollouts.states["condition"] == rollouts.states["condition"][:, :1]).all())


@pytest.mark.parametrize(
    "conditions",
    [CLASSES, CLASSES.tolist(), TensorDataset(CLASSES), some],
    ids=["tensor", "list", "dataset", "callable"],
)
def test_other_conditions_are_another_store_and_the_same_are_taken(tmp_path, conditions):
    first = collect(ORACLE, 6, tmp_path, conditions=conditions, **QUIET)
    again = collect(ORACLE, 6, tmp_path, conditions=conditions, **QUIET)
    assert bool((first.states == again.states).all()) and first.request.conditions_identity is not None
    with pytest.raises(ValueError, match="holds rollouts of other arguments: expected conditions_identity = '"):
        collect(ORACLE, 6, tmp_path, conditions=torch.tensor([0, 1]), **QUIET)


class Fragile(ConditionalOracle):
    """Stops in its `fatal`-th call."""

    fatal = -1

    def forward(self, x, t, previous=None):
        self.fatal -= 1
        if self.fatal == 0:
            raise KeyboardInterrupt
        return super().forward(x, t, previous)


def test_what_a_killed_run_left_is_completed(tmp_path):
    process = Fragile(list(ORACLE.oracles))
    process.fatal = 7  # in the second chunk
    with pytest.raises(KeyboardInterrupt):
        collect(process, 10, tmp_path / "stopped", conditions=CLASSES, **QUIET)
    with pytest.raises(ValueError, match="expected 3 chunks, got 1"):
        Rollouts.open(tmp_path / "stopped")
    resumed = collect(process, 10, tmp_path / "stopped", conditions=CLASSES, **QUIET)
    whole = collect(process, 10, tmp_path / "whole", conditions=CLASSES, **QUIET)
    assert bool((resumed.states == whole.states).all())


def test_conditions_without_an_identity_say_what_to_do(tmp_path):
    file = (tmp_path / "open").open("w")
    try:
        words = "conditions: expected some whose identity can be known, .* whose `name`"
        with pytest.raises(ValueError, match=words):
            collect(ORACLE, 6, tmp_path / "store", conditions=lambda n, g: [file] * n, **QUIET)
    finally:
        file.close()


def test_without_conditions_nothing_is_drawn_of_the_stream(tmp_path):
    chain = ORACLE.oracles[0]
    rollouts = collect(chain, 4, tmp_path, target=chain.target(ALPHA), batch_size=4, seed=7, progress=False)
    assert torch.equal(rollouts.states, roll_out(chain, 4, generator=seeded("cpu", 7, 0))["states"])
    assert rollouts.request.conditions_identity is None
