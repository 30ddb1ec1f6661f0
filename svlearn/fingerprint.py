"""Fingerprints: whether two modules, or two batches of states, are the same, byte for byte."""

import hashlib
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from svlearn.compiled import plain, plain_names
from svlearn.state import State


def fingerprint(module: nn.Module) -> str:
    """SHA-256 (hex) over a module's class name, its `num_steps` and its state_dict: names, dtypes, shapes, bytes.

    It does not depend on the device, nor on whether the module or parts of it are compiled. A plain attribute does not
    count: what shapes a process belongs in a buffer.
    Of an extra state that is no tensor, the repr counts.
    """
    hasher = hashlib.sha256()
    module = plain(module)
    _add(hasher, type(module).__qualname__, getattr(module, "num_steps", None))
    for name, entry in sorted(plain_names(module.state_dict()).items()):
        _add(hasher, name, entry)
    return hasher.hexdigest()


def fingerprint_of_states(states: State) -> str:
    """SHA-256 (hex) over the fields of a batch of states: names, dtypes, shapes, bytes."""
    hasher = hashlib.sha256()
    if isinstance(states, TensorDict):
        fields = states.items(include_nested=True, leaves_only=True)
        for name, field in sorted((str(key), field) for key, field in fields):
            _add(hasher, name, field)
    else:
        _add(hasher, "", states)
    return hasher.hexdigest()


def _add(hasher: Any, name: str, entry: Any) -> None:
    if not isinstance(entry, Tensor):
        hasher.update(f"{(name, entry)!r}\n".encode())
        return
    hasher.update(f"{(name, str(entry.dtype), tuple(entry.shape))!r}\n".encode())
    hasher.update(entry.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
