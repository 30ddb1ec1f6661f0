"""Weights on disk: what is refused, and by which words."""

import pytest
import torch
from safetensors.torch import save_file
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


def with_metadata(path, **metadata):
    save_file({"x": torch.zeros(1)}, path, metadata=metadata)
    return path


@pytest.mark.parametrize("record", ["", "not JSON", "[]", "3", "null", "{" * 5, "[" * 100_000, '{"a": 1} more'])
def test_a_malformed_record_is_one_error(record, tmp_path):
    path = with_metadata(tmp_path / "odd.safetensors", svlearn=record)
    for read in (checkpoints.read_record, load):
        with pytest.raises(ValueError, match=r"odd\.safetensors: expected a checkpoint with a record in JSON, got"):
            read(path)


@pytest.mark.parametrize("content", [b"", b"\0" * 8, b"PK\x03\x04", b"\xff" * 100])
def test_an_empty_or_foreign_file_names_its_path(content, tmp_path):
    path = tmp_path / "odd.safetensors"
    path.write_bytes(content)
    for read in (checkpoints.read_record, load, lambda path: checkpoints.load_into(nn.Linear(1, 1), path)):
        with pytest.raises(ValueError, match=r"odd\.safetensors: expected a safetensors file, got one that is corrupt"):
            read(path)


def test_a_file_that_is_cut_anywhere(tmp_path):
    path = checkpoints.save(nn.Linear(3, 1), tmp_path / "cut.safetensors", family="qm9")
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"cut\.safetensors: expected"):
            load(path)


def test_a_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(ValueError, match="expected a safetensors file, got a folder"):
        load(tmp_path)


def test_the_home_folder_in_a_path(tmp_path, monkeypatch, chain):
    monkeypatch.setenv("HOME", str(tmp_path))
    checkpoints.save(nn.Linear(3, 1), tmp_path / "a.safetensors", family="unheard of")
    assert checkpoints.read_record("~/a.safetensors") == {"family": "unheard of"}
    with pytest.raises(ValueError, match="got 'unheard of'"):
        load("~/a.safetensors")


def test_families_that_are_no_names(tmp_path):
    path = checkpoints.save(nn.Linear(1, 1), tmp_path / "odd.safetensors", family=["qm9"])
    with pytest.raises(ValueError, match=r"odd\.safetensors: expected a reference of a family of"):
        load(path)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({}, "expected a record with 'network', dict, got one without"),
        ({"network": 3}, "expected a record with 'network', dict, got int there"),
        ({"network": {"num_atoms": 9, "colour": 1}}, "expected the arguments of a GraphTransformer, got .*colour"),
        ({"network": {"depth": "many"}}, "depth: expected an integer"),
        ({"network": {"depth": 10**7}}, "depth: expected an integer of -10000 ... 10000, got 10000000"),
        ({"network": {"width": -3}}, "expected the arguments of a GraphTransformer"),
        ({"network": {"width": 8, "depth": 1}}, "the weights do not fit"),
    ],
)
def test_records_that_do_not_say_how_to_build(record, message, tmp_path):
    path = checkpoints.save(nn.Linear(1, 1), tmp_path / "odd.safetensors", family="qm9", **record)
    with pytest.raises(ValueError, match=rf"odd\.safetensors: .*{message}"):
        load(path)
