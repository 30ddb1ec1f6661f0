"""Checkpoints: written beside their place, whole or not there, whatever TMPDIR is."""

import os
from pathlib import Path

import pytest
import torch

from svlearn.checkpoints import check_reference, save
from svlearn.objectives.lightning.last_checkpoint import WholeFiles


def test_a_lightning_checkpoint_is_written_beside_its_place(monkeypatch, tmp_path):
    keeper = WholeFiles()
    path = tmp_path / "deep" / "last.ckpt"
    keeper.save_checkpoint({"step": torch.tensor(1)}, path)
    replaced = []
    monkeypatch.setattr(os, "replace", lambda source, target: replaced.append((Path(source), Path(target))))
    keeper.save_checkpoint({"step": torch.tensor(2)}, path)
    ((source, target),) = replaced
    assert source.parent == target.parent == path.parent and target == path

    def cut(*arguments):
        raise OSError("the disk is full")

    monkeypatch.setattr(torch, "save", cut)
    with pytest.raises(OSError, match="the disk is full"):
        keeper.save_checkpoint({"step": torch.tensor(3)}, path)
    assert torch.load(path, weights_only=True)["step"] == 1
    assert [each.name for each in path.parent.iterdir()] == ["last.ckpt"]


def test_weights_are_whole_or_not_there(monkeypatch, tmp_path):
    path = save(torch.nn.Linear(2, 1), tmp_path / "a.safetensors")
    before = path.read_bytes()

    def cut(tensors, place, metadata):
        Path(place).write_bytes(b"half")
        raise OSError("the disk is full")

    monkeypatch.setattr("svlearn.checkpoints.save_file", cut)
    with pytest.raises(OSError, match="the disk is full"):
        save(torch.nn.Linear(2, 1), path)
    assert path.read_bytes() == before and [each.name for each in tmp_path.iterdir()] == ["a.safetensors"]


def test_another_number_of_steps_is_said_in_numbers(walk):
    with pytest.raises(ValueError, match="a.safetensors: expected a checkpoint of num_steps 4, got one of 15"):
        check_reference({"reference": "0", "num_steps": 15}, "a.safetensors", walk)
    with pytest.raises(ValueError, match="got one of another"):
        check_reference({"reference": "0", "num_steps": 4}, "a.safetensors", walk)
    with pytest.raises(ValueError, match="got one of another"):
        check_reference({"reference": "0"}, "a.safetensors", walk)
