"""Weights on disk: what is refused, and by which words."""

import pytest
import torch
from torch import nn

from svlearn import checkpoints
from svlearn.domains.analytic import FiniteMarkovChain
from svlearn.loading import load, shipped


@pytest.fixture
def chain():
    return FiniteMarkovChain.random(3, 2, seed=0)


def test_a_value_comes_back_as_it_was(tmp_path, chain):
    network = nn.Linear(3, 1)
    path = checkpoints.save_value(network, tmp_path / "new" / "value.safetensors", chain, note="by hand")
    other = checkpoints.load_value(nn.Linear(3, 1), path, chain)
    assert torch.equal(other.weight, network.weight)
    assert checkpoints.read_record(path)["note"] == "by hand"


def test_a_checkpoint_of_another_reference_is_refused(tmp_path, chain):
    path = checkpoints.save_value(nn.Linear(3, 1), tmp_path / "value.safetensors", chain)
    with pytest.raises(ValueError, match="expected a checkpoint of this reference"):
        checkpoints.load_value(nn.Linear(3, 1), path, FiniteMarkovChain.random(3, 2, seed=1))


def test_weights_of_another_shape_are_refused(tmp_path, chain):
    path = checkpoints.save_value(nn.Linear(3, 1), tmp_path / "value.safetensors", chain)
    with pytest.raises(ValueError, match="the weights do not fit Linear"):
        checkpoints.load_value(nn.Linear(4, 1), path, chain)


def test_missing_corrupt_and_foreign_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        checkpoints.read_record(tmp_path / "absent.safetensors")
    (tmp_path / "corrupt.safetensors").write_bytes(b"not a checkpoint at all")
    with pytest.raises(ValueError, match="expected a safetensors file, got one that is corrupt"):
        checkpoints.read_record(tmp_path / "corrupt.safetensors")
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ValueError, match="without its record"):
        checkpoints.read_record(tmp_path / "foreign.safetensors")


def test_load_says_what_it_knows(tmp_path):
    with pytest.raises(ValueError, match="expected a file or one of .*qm9.*, got 'qm8'"):
        load("qm8")
    with pytest.raises(FileNotFoundError, match=r"absent\.safetensors: no such checkpoint"):
        load(tmp_path / "absent.safetensors")
    path = checkpoints.save(nn.Linear(1, 1), tmp_path / "odd.safetensors", family="unheard of")
    with pytest.raises(ValueError, match="expected a reference of a family of .*qm9.*, got 'unheard of'"):
        load(path)
    with pytest.raises(FileNotFoundError, match="no such shipped checkpoint"):
        shipped("absent.safetensors")
