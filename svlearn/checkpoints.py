"""Weights on disk: safetensors with a record of what they are. Nothing is ever unpickled."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from svlearn.files import replacing
from svlearn.fingerprint import fingerprint
from svlearn.process import Reference

AnyModule = TypeVar("AnyModule", bound=nn.Module)


def save(module: nn.Module, path: str | Path, **record: Any) -> Path:
    """Write a module's weights and a record (anything JSON can hold) to a safetensors file."""
    path = Path(path)
    tensors = {name: tensor.contiguous() for name, tensor in module.state_dict().items()}
    with replacing(path) as beside:
        save_file(tensors, beside, metadata={"svlearn": json.dumps(record)})
    return path


def read_record(path: str | Path) -> dict[str, Any]:
    """The record of a checkpoint; FileNotFoundError where it is missing, ValueError where it is none of ours."""
    with _open(path) as file:
        metadata = file.metadata() or {}
    if "svlearn" not in metadata:
        raise ValueError(f"{path}: expected a checkpoint written by svlearn, got a safetensors file without its record")
    return json.loads(metadata["svlearn"])


def load_into(module: AnyModule, path: str | Path) -> AnyModule:
    """Fill a module with the weights of a checkpoint and return it; ValueError where they do not fit."""
    with _open(path) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{path}: the weights do not fit {type(module).__name__}: {error}") from error
    return module


def save_value(network: nn.Module, path: str | Path, reference: Reference, **record: Any) -> Path:
    """Write a value network, with the fingerprint of the reference whose value it learned."""
    return save(network, path, **{"reference": fingerprint(reference), "num_steps": reference.num_steps, **record})


def load_value(network: AnyModule, path: str | Path, reference: Reference) -> AnyModule:
    """Fill a value network; ValueError where the checkpoint is of another reference."""
    check_reference(read_record(path), path, reference)
    return load_into(network, path)


def check_reference(record: Mapping[str, Any], path: str | Path, reference: Reference) -> None:
    """Raise ValueError unless the record names this reference."""
    wanted, came = fingerprint(reference), record.get("reference")
    if came != wanted:
        steps = record.get("num_steps", reference.num_steps)
        if steps != reference.num_steps:
            raise ValueError(f"{path}: expected a checkpoint of num_steps {reference.num_steps}, got one of {steps}")
        raise ValueError(f"{path}: expected a checkpoint of this reference ({wanted}), got one of another ({came})")


def _open(path: str | Path) -> Any:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint")
    try:
        return safe_open(path, framework="pt")
    except SafetensorError as error:
        raise ValueError(f"{path}: expected a safetensors file, got one that is corrupt ({error})") from error
