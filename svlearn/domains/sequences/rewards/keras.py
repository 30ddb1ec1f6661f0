"""Weights that Keras wrote to HDF5, by the names of their layers; numbers are read, and no code."""

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from svlearn.files import existing

Shapes = Mapping[str, Mapping[str, tuple[int, ...]]]
NAMES = {"W": "kernel", "b": "bias"}  # of Keras 1, as Keras 2 calls them


def read_weights(path: str | Path, shapes: Shapes, model: str) -> dict[str, dict[str, Tensor]]:
    """The weights {layer: {weight: tensor}} of a Keras file, float32, in Keras' own layouts.

    shapes: what must be there: by layer, "kernel", "bias", "gamma", ... with their shape; a convolution of Keras 1,
    whose kernel (k, 1, C, C') has a place for a second dimension, is read as (k, C, C'). Other layers with weights are
    refused. model: what the file should hold, for errors.
    Raises FileNotFoundError where there is no file, ImportError where h5py is missing, ValueError, with the path and
    what is missing, for a file that is not HDF5, or not this model.
    """
    path = existing(path, f"an HDF5 file of the weights of {model}")
    h5py = import_h5py(model)
    try:
        with h5py.File(path, "r") as file:
            group = file.get("model_weights", file)
            if not isinstance(group, h5py.Group):
                raise ValueError("'model_weights' is no group")
            layers = {name: _weights(layer, h5py) for name, layer in group.items() if isinstance(layer, h5py.Group)}
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{path}: expected an HDF5 file of the weights of {model}, got another ({error})") from error
    found: dict[str, dict[str, Tensor]] = {}
    for layer, wanted in shapes.items():
        for name, shape in wanted.items():
            came = layers.get(layer, {}).get(name)
            if came is None or came.shape != shape:
                got = "none" if came is None else f"one of shape {tuple(came.shape)}"
                raise ValueError(f"{path}: expected {model}, with {layer}/{name} of shape {shape}, got {got}")
            found.setdefault(layer, {})[name] = came
    others = [name for name, weights in layers.items() if weights and name not in shapes]
    if others:
        raise ValueError(f"{path}: expected {model}, with {', '.join(shapes)} alone, got {', '.join(others)} as well")
    return found


def fill(layer: nn.Conv1d | nn.Linear, weights: dict[str, Tensor]) -> None:
    """Put Keras' kernel, inputs before outputs, and bias into a layer of torch, outputs first."""
    kernel = weights["kernel"]
    with torch.no_grad():
        layer.weight.copy_(kernel.permute(*reversed(range(kernel.dim()))))
        if layer.bias is not None:
            layer.bias.copy_(weights["bias"])


def import_h5py(model: str) -> ModuleType:
    """The module h5py; ImportError, saying what to install, where it is missing."""
    try:
        import h5py
    except ImportError as error:
        raise ImportError(f"{model} needs h5py, which is not installed: pip install 'svlearn[sequences]'") from error
    return h5py


def _weights(layer: Any, h5py: ModuleType) -> dict[str, Tensor]:
    """The weights of a layer by their last name, as "conv1d_1/kernel:0" and "convolution1d_1_W:0" end."""
    found: dict[str, Tensor] = {}

    def take(name: str, entry: object) -> None:
        if isinstance(entry, h5py.Dataset):
            last = name.split("/")[-1].split(":")[0]
            last = NAMES.get(last.rsplit("_", 1)[-1], last)
            numbers = np.asarray(entry, dtype=np.float32)
            found[last] = torch.from_numpy(numbers[:, 0] if numbers.ndim == 4 and numbers.shape[1] == 1 else numbers)

    layer.visititems(take)
    return found
