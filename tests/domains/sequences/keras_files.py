"""HDF5 files in Keras' layouts, with weights by a seed; and the networks that they hold, written out in NumPy."""

import json
from pathlib import Path

import h5py
import numpy as np


def one_hot(sequence: str) -> np.ndarray:
    return np.eye(4)[["ACGT".index(letter) for letter in sequence]]


def convolved(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """x (L, C), kernel (K, C, C') -> (L - K + 1, C'), as Keras' "valid" does it: no flip."""
    places = len(x) - len(kernel) + 1
    windows = np.stack([x[start : start + len(kernel)] for start in range(places)])
    return np.einsum("pkc,kcd->pd", windows, kernel) + bias


def forward(layers: list[dict], weights: dict[str, dict[str, np.ndarray]], x: np.ndarray) -> np.ndarray:
    """A Sequential of Keras' JSON on one input: Conv1D, BatchNormalization, Dropout, Flatten and Dense."""
    for layer in layers:
        kind, settings = layer["class_name"], layer["config"]
        own = weights.get(settings["name"], {})
        if kind == "Conv1D":
            assert settings["padding"] == "valid" and settings["strides"] == [1] and settings["dilation_rate"] == [1]
            x = convolved(x, own["kernel"], own["bias"])
        elif kind == "BatchNormalization":
            scale = own["gamma"] / np.sqrt(own["moving_variance"] + settings["epsilon"])
            x = (x - own["moving_mean"]) * scale + own["beta"]
        elif kind == "Flatten":
            x = x.reshape(-1)
        elif kind == "Dense":
            x = x @ own["kernel"] + own["bias"]
        else:
            assert kind == "Dropout"
        if settings.get("activation", "linear") == "relu":
            x = np.maximum(x, 0)
        else:
            assert settings.get("activation", "linear") == "linear"
    return x


def weights_of(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """By layer and by name, in double precision."""
    found: dict[str, dict[str, np.ndarray]] = {}

    def take(name, entry):
        if isinstance(entry, h5py.Dataset):
            layer, *_, last = name.split("/")
            found.setdefault(layer, {})[last.split(":")[0]] = np.asarray(entry, dtype=float)

    with h5py.File(path) as file:
        file.get("model_weights", file).visititems(take)
    return found


def layers_of(path: Path) -> list[dict]:
    return json.loads(path.read_text())["config"]["layers"]


def write_keras(path: Path, shapes: dict, *, first_keras: bool = False, seed: int = 0) -> Path:
    """A file with random weights of the shapes, in the layout of Keras 2, or of Keras 1."""
    draws = np.random.default_rng(seed)
    with h5py.File(path, "w") as file:
        for layer, own in shapes.items():
            for name, shape in own.items():
                numbers = draws.uniform(0.1, 0.5, shape).astype("float32")
                if first_keras:
                    short = {"kernel": "W", "bias": "b"}[name]
                    numbers = numbers[:, None] if numbers.ndim == 3 else numbers
                    file[f"model_weights/{layer}/{layer}_{short}:0"] = numbers
                else:
                    file[f"model_weights/{layer}/{layer}_2/{name}:0"] = numbers
    return path
