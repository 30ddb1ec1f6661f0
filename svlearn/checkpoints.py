"""Weights on disk: safetensors with a record of what they are. Nothing is ever unpickled."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from svlearn.arguments import expect, integer
from svlearn.compiled import own_names, plain, plain_name
from svlearn.files import existing, replacing, user_path
from svlearn.fingerprint import fingerprint
from svlearn.process import Reference
from svlearn.saved_state import HELD, decoded, gathered, place, whole

AnyModule = TypeVar("AnyModule", bound=nn.Module)
MAX_SIZE = 10_000  # of a number that says how to build a network


def save(module: nn.Module, path: str | Path, **record: Any) -> Path:
    """Write a module's weights and a record (anything JSON can hold) to a safetensors file, beside it first.

    Weights that share memory, as tied ones and views do, are written each in full, and are tied again where a module
    that ties them is filled. A compiled module is written as its plain one. What `get_extra_state` gives is kept where
    it is made of None, bools, numbers, strings, tensors, and lists, tuples and dicts by strings of these.
    Raises ValueError as `check_savable`, TypeError for a record that JSON cannot hold, OSError where the disk is full;
    nothing is written then.
    """
    path = user_path(path)
    tensors, extras = gathered(module)
    try:
        metadata = {"svlearn": json.dumps(record), **({"svlearn_extra_states": json.dumps(extras)} if extras else {})}
    except TypeError as error:
        raise TypeError(f"record: expected what JSON can hold, got something else ({error})") from error
    with replacing(path) as beside:
        try:
            save_file({name: whole(tensor) for name, tensor in tensors.items()}, beside, metadata=metadata)
        except SafetensorError as error:  # of a full disk too
            raise OSError(f"{path}: could not be written ({error})") from error
    return path


def check_savable(module: nn.Module, name: str) -> None:
    """Raise ValueError where `save` could not write this module, with the entry and why; `name` is what it is called.

    A weight must be dense, hold numbers (no lazy or meta tensor), and be of a type that safetensors has; an extra state
    must be as `save` says.
    """
    try:
        gathered(module)
    except ValueError as error:
        raise ValueError(f"{name}: expected a module that can be saved, got one that cannot: {error}") from error


def check_own_parameters(trained: nn.Module, reference: nn.Module) -> None:
    """Raise ValueError where a parameter that is trained is the reference's too, which would be trained along."""
    names = {place(each): plain_name(name) for name, each in reference.named_parameters() if each.numel()}
    shared = [names[place(each)] for each in trained.parameters() if each.requires_grad and place(each) in names]
    if shared:
        raise ValueError(
            f"trained: expected parameters of its own, got {len(shared)} that are the reference's too ({shared[0]}, "
            "...): training would change the reference, whose value or policy it is then no more. Share a layer "
            "frozen, by requires_grad_(False), or copy it by copy.deepcopy"
        )


def read_record(path: str | Path) -> dict[str, Any]:
    """The record of a checkpoint; FileNotFoundError where it is missing, ValueError where it is none of ours."""
    with _open(path) as file:
        metadata = file.metadata() or {}
    if "svlearn" not in metadata:
        raise ValueError(f"{path}: expected a checkpoint written by svlearn, got a safetensors file without its record")
    return _json_object(metadata["svlearn"], path)


def entry(record: Mapping[str, Any], name: str, kind: type, path: str | Path) -> Any:
    """An entry of a checkpoint's record; ValueError where it is missing or of another kind."""
    if not isinstance(record.get(name), kind):
        actual = f"{type(record[name]).__name__} there" if name in record else "one without"
        raise ValueError(f"{path}: expected a record with {name!r}, {kind.__name__}, got {actual}")
    return record[name]


def build(network: Callable[..., AnyModule], record: Mapping[str, Any], path: str | Path) -> AnyModule:
    """The network that the record's "network" gives the arguments of, without the weights.

    Raises ValueError where it does not, where the network does not take them, and for a number above 10,000.
    """
    arguments = entry(record, "network", dict, path)
    try:
        for name, argument in arguments.items():
            integer(argument, name, -MAX_SIZE, MAX_SIZE)
        return network(**arguments)
    except (ValueError, TypeError, RuntimeError, ArithmeticError) as error:
        kind = getattr(network, "__name__", "network")
        raise ValueError(f"{path}: expected the arguments of a {kind}, got {arguments} ({error})") from error


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, by name, on the CPU; the errors are those of `read_record`."""
    with _open(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def load_into(module: AnyModule, path: str | Path, map_location: torch.device | str | None = None) -> AnyModule:
    """Fill a module with the weights of a checkpoint and return it; ValueError where they do not fit.

    map_location: the device that the module goes to first; None: it stays where it is. It does not matter which device
    the weights were saved from, nor whether the module, or the one that was saved, is compiled.
    """
    with _open(path, "cpu" if map_location is None else str(map_location)) as file:
        state: dict[str, Any] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        extras = _json_object((file.metadata() or {}).get("svlearn_extra_states", "{}"), path)
    for name, entry in extras.items():
        try:
            state[name] = decoded(entry, state)
        except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
            raise ValueError(f"{path}: expected the extra state {name!r} as svlearn writes it, got another") from error
    state = {name: entry for name, entry in state.items() if not name.startswith(f"{HELD}/")}
    if map_location is not None:
        module.to(map_location)
    try:
        module.load_state_dict(own_names(state, module.state_dict()))
    except RuntimeError as error:
        kind = type(plain(module)).__name__
        raise ValueError(f"{path}: the weights do not fit {kind}: {error}") from error
    return module


def save_value(network: nn.Module, path: str | Path, reference: Reference, **record: Any) -> Path:
    """Write a value network, with the fingerprint of the reference whose value it learned."""
    return save(network, path, **{"reference": fingerprint(reference), "num_steps": reference.num_steps, **record})


def load_value(
    network: AnyModule, path: str | Path, reference: Reference, map_location: torch.device | str | None = None
) -> AnyModule:
    """Fill a value network, as `load_into`; ValueError where the checkpoint is of another reference."""
    check_reference(read_record(path), path, reference)
    return load_into(network, path, map_location)


def load_policy(
    policy: AnyModule,
    path: str | Path,
    reference: Reference,
    map_location: torch.device | str | None = None,
    *,
    trained_on: Reference | None = None,
) -> AnyModule:
    """Fill a policy as it was before training, and return it in evaluation mode; the errors are as of `load_value`.

    trained_on: the process that it was trained on, where that is another one of the same network, as of fewer steps;
    of a `policies.Finetuned`, see its `on`. TypeError for a policy that cannot go on to another process.
    """
    if trained_on is None:
        return load_value(policy, path, reference, map_location).eval()
    movable: Any = policy
    if not hasattr(policy, "take_weights"):
        raise TypeError(f"policy: expected a Finetuned, to be used on another process, got a {type(policy).__name__}")
    if map_location is not None:
        policy.to(map_location)
    movable.take_weights(load_value(movable.on(trained_on), path, trained_on))
    return policy.eval()


def check_reference(record: Mapping[str, Any], path: str | Path, reference: Reference) -> None:
    """Raise ValueError unless the record names this reference."""
    expected, actual = fingerprint(reference), record.get("reference")
    if actual != expected:
        steps = record.get("num_steps", reference.num_steps)
        if steps != reference.num_steps:
            raise ValueError(f"{path}: expected a checkpoint of num_steps {reference.num_steps}, got one of {steps}")
        raise ValueError(f"{path}: expected a checkpoint of this reference ({expected}), got one of another ({actual})")


def _json_object(text: str, path: str | Path) -> dict[str, Any]:
    try:
        return expect(json.loads(text), dict, "record")
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path}: expected a checkpoint with a record in JSON, got another ({error})") from error


@contextmanager
def _open(path: str | Path, device: str = "cpu") -> Iterator[Any]:
    path = user_path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such checkpoint")
    path = existing(path, "a safetensors file")
    try:
        with safe_open(path, framework="pt", device=device) as file:
            yield file
    except (SafetensorError, OSError) as error:  # an empty file cannot be mapped, which is an OSError without its name
        raise ValueError(f"{path}: expected a safetensors file, got one that is corrupt ({error})") from error
