"""States: rows are taken as indexing takes them, whatever the state is made of."""

import pytest
import torch
from tensordict import TensorDict

from svlearn.state import repeat, take

INDICES = [
    torch.tensor([2, 0, 2]),
    torch.tensor([], dtype=torch.long),
    torch.tensor([True, False, True]),
    torch.tensor([[0, 1], [2, 2]]),
    slice(1, 3),
]


def nested():
    """Three rows of two times, a leaf inside another."""
    leaves = {"x": torch.randn(3, 2, 4), "inner": TensorDict({"y": torch.arange(6).view(3, 2)}, batch_size=[3, 2])}
    return TensorDict(leaves, batch_size=[3, 2])


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_rows_are_those_of_indexing(index):
    rows, graphs = torch.randn(3, 2), nested()
    assert torch.equal(take(rows, index), rows[index])
    taken, indexed = take(graphs, index), graphs[index]
    assert taken.batch_size == indexed.batch_size and taken.device == indexed.device
    assert torch.equal(taken["x"], indexed["x"]) and torch.equal(taken["inner", "y"], indexed["inner", "y"])


def test_what_has_no_rows_and_what_is_a_sequence():
    assert take(None, torch.tensor([0])) is None
    rows = torch.randn(2)
    assert take(rows, None) is rows
    assert take(["a", "b"], torch.tensor([1, 1, 0])) == ["b", "b", "a"]


def test_copies_stand_side_by_side():
    rows = torch.tensor([1, 2])
    assert repeat(rows, 2).tolist() == [1, 1, 2, 2] and repeat(rows, 1) is rows


def test_gradients_reach_the_rows():
    rows = torch.zeros(3, requires_grad=True)
    take(rows, torch.tensor([2, 0, 2])).sum().backward()
    assert rows.grad.tolist() == [1.0, 0.0, 2.0]
