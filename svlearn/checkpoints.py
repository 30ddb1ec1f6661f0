"""Weights on disk: safetensors with a record of what they are. Nothing is ever unpickled."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from svlearn.arguments import expect, integer
from svlearn.files import existing, replacing, user_path
from svlearn.fingerprint import fingerprint
from svlearn.process import Reference

AnyModule = TypeVar("AnyModule", bound=nn.Module)
MAX_SIZE = 10_000  # of a number that says how to build a network


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
    try:
        return expect(json.loads(metadata["svlearn"]), dict, "record")
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path}: expected a checkpoint with a record in JSON, got another ({error})") from error


def entry(record: Mapping[str, Any], name: str, kind: type, path: str | Path) -> Any:
    """An entry of a checkpoint's record; ValueError where it is missing or of another kind."""
    if not isinstance(record.get(name), kind):
        came = f"{type(record[name]).__name__} there" if name in record else "one without"
        raise ValueError(f"{path}: expected a record with {name!r}, {kind.__name__}, got {came}")
    return record[name]


def build(network: Callable[..., AnyModule], record: Mapping[str, Any], path: str | Path) -> AnyModule:
    """The network that the record's "network" gives the arguments of, without the weights.

    Raises ValueError where it does not, where the network does not take them, and for a number above 10,000.
    """
    arguments = entry(record, "network", dict, path)
    try:
        for name, given in arguments.items():
            integer(given, name, -MAX_SIZE, MAX_SIZE)
        return network(**arguments)
    except (ValueError, TypeError, RuntimeError, ArithmeticError) as error:
        kind = getattr(network, "__name__", "network")
        raise ValueError(f"{path}: expected the arguments of a {kind}, got {arguments} ({error})") from error


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, by name, on the CPU; the errors are those of `read_record`."""
    with _open(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def load_into(module: AnyModule, path: str | Path) -> AnyModule:
    """Fill a module with the weights of a checkpoint and return it; ValueError where they do not fit."""
    tensors = read_tensors(path)
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


@contextmanager
def _open(path: str | Path) -> Iterator[Any]:
    path = user_path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such checkpoint")
    path = existing(path, "a safetensors file")
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:  # an empty file cannot be mapped, which is an OSError without its name
        raise ValueError(f"{path}: expected a safetensors file, got one that is corrupt ({error})") from error
