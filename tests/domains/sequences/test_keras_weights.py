"""Weights that Keras wrote: both of its layouts are read, and what is not the model is refused with what is missing."""

import sys

import h5py
import numpy as np
import pytest
import torch
from keras_files import write_keras

from svlearn.domains.sequences.rewards import MPRADragoNN, Optimus5Prime
from svlearn.domains.sequences.rewards.keras import read_weights
from svlearn.domains.sequences.rewards.optimus import SHAPES


def test_both_layouts_of_keras_hold_the_same(tmp_path):
    first = read_weights(write_keras(tmp_path / "1.hdf5", SHAPES, first_keras=True), SHAPES, "Optimus 5-Prime")
    second = read_weights(write_keras(tmp_path / "2.hdf5", SHAPES), SHAPES, "Optimus 5-Prime")
    for layer, shapes in SHAPES.items():
        for name, shape in shapes.items():
            assert first[layer][name].shape == shape and torch.equal(first[layer][name], second[layer][name])


def without(shapes: dict, layer: str, name: str) -> dict:
    return {
        each: {key: shape for key, shape in own.items() if (each, key) != (layer, name)} for each, own in shapes.items()
    }


def test_a_file_that_is_not_the_model_is_refused_with_what_is_missing(tmp_path):
    path = write_keras(tmp_path / "a.hdf5", without(SHAPES, "dense_1", "bias"))
    with pytest.raises(
        ValueError, match=r"a.hdf5: expected Optimus 5-Prime, with dense_1/bias of shape \(40,\), got none"
    ):
        Optimus5Prime(path)
    path = write_keras(tmp_path / "b.hdf5", {**SHAPES, "dense_2": {"kernel": (40, 2), "bias": (2,)}})
    with pytest.raises(ValueError, match=r"dense_2/kernel of shape \(40, 1\), got one of shape \(40, 2\)"):
        Optimus5Prime(path)
    path = write_keras(tmp_path / "c.hdf5", {**SHAPES, "dense_3": {"kernel": (1, 1)}})
    with pytest.raises(ValueError, match=r"convolution1d_1, .*, dense_2 alone, got dense_3 as well"):
        Optimus5Prime(path)
    with pytest.raises(
        ValueError, match=r"a.hdf5: expected MPRA-DragoNN's ConvModel, with conv1d_1/kernel .* got none"
    ):
        MPRADragoNN(path=tmp_path / "a.hdf5")


def test_what_is_no_hdf5_is_refused(tmp_path):
    path = tmp_path / "notes.hdf5"
    path.write_text("what I meant to do, and did not\n" * 10)
    with pytest.raises(ValueError, match=r"notes.hdf5: expected an HDF5 file of the weights of Optimus 5-Prime, got"):
        Optimus5Prime(path)
    with pytest.raises(FileNotFoundError, match=r"none.hdf5: no such file; expected an HDF5 file"):
        Optimus5Prime(tmp_path / "none.hdf5")
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file["model_weights"] = np.zeros(3)
    with pytest.raises(ValueError, match="'model_weights' is no group"):
        Optimus5Prime(tmp_path / "other.hdf5")


def test_without_h5py_it_is_said_what_to_install(tmp_path, monkeypatch):
    path = write_keras(tmp_path / "a.hdf5", SHAPES)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"Optimus 5-Prime needs h5py, .* pip install 'svlearn\[sequences\]'"):
        Optimus5Prime(path)


def test_an_unknown_model_lists_the_known_ones():
    with pytest.raises(ValueError, match="model: expected one of evolution, retrained or a file, got 'optimus'"):
        Optimus5Prime("optimus")
