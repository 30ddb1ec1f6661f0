"""Weights on disk: safetensors with a record of what they are. Nothing is ever unpickled."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from svlearn.compiled import own_names, plain, plain_name, plain_names
from svlearn.files import replacing, user_path
from svlearn.fingerprint import fingerprint
from svlearn.process import Reference

AnyModule = TypeVar("AnyModule", bound=nn.Module)
EXTRA = "_extra_state"  # how torch ends the name of what `get_extra_state` gave
HELD = "svlearn_tensor"  # stands for a tensor inside an extra state, in the record


def save(module: nn.Module, path: str | Path, **record: Any) -> Path:
    """Write a module's weights and a record (anything JSON can hold) to a safetensors file, beside it first.

    Weights that share memory, as tied ones and views do, are written each in full, and are tied again where a module
    that ties them is filled. A compiled module is written as its plain one. What `get_extra_state` gives is kept where
    it is made of None, bools, numbers, strings, tensors, and lists, tuples and dicts by strings of these.
    Raises ValueError as `check_savable`, TypeError for a record that JSON cannot hold; nothing is written then.
    """
    path = user_path(path)
    tensors, extras = _gathered(module)
    try:
        told = {"svlearn": json.dumps(record), **({"svlearn_extra_states": json.dumps(extras)} if extras else {})}
    except TypeError as error:
        raise TypeError(f"record: expected what JSON can hold, got something else ({error})") from error
    with replacing(path) as beside:
        save_file({name: _whole(tensor) for name, tensor in tensors.items()}, beside, metadata=told)
    return path


def check_savable(module: nn.Module, name: str) -> None:
    """Raise ValueError where `save` could not write this module, with the entry and why; `name` is what it is called.

    A weight must be dense, hold numbers (no lazy or meta tensor), and be of a type that safetensors has; an extra state
    must be as `save` says.
    """
    try:
        _gathered(module)
    except ValueError as error:
        raise ValueError(f"{name}: expected a module that can be saved, got one that cannot: {error}") from error


def check_own_parameters(trained: nn.Module, reference: nn.Module) -> None:
    """Raise ValueError where a parameter that is trained is the reference's too, which would be trained along."""
    names = {_place(each): plain_name(name) for name, each in reference.named_parameters() if each.numel()}
    shared = [names[_place(each)] for each in trained.parameters() if each.requires_grad and _place(each) in names]
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
            state[name] = _decoded(entry, state)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
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
    return save(network, path, reference=fingerprint(reference), **record)


def load_value(
    network: AnyModule, path: str | Path, reference: Reference, map_location: torch.device | str | None = None
) -> AnyModule:
    """Fill a value network, as `load_into`; ValueError where the checkpoint is of another reference."""
    check_reference(read_record(path), path, reference)
    return load_into(network, path, map_location)


def check_reference(record: Mapping[str, Any], path: str | Path, reference: Reference) -> None:
    """Raise ValueError unless the record names this reference."""
    wanted, came = fingerprint(reference), record.get("reference")
    if came != wanted:
        raise ValueError(f"{path}: expected a checkpoint of this reference ({wanted}), got one of another ({came})")


def _gathered(module: nn.Module) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a module by their plain names, those inside extra states among them; and its extra states."""
    tensors, extras = {}, {}
    for name, entry in plain_names(module.state_dict()).items():
        if isinstance(entry, Tensor):
            tensors[name] = _checked(name, entry)
        elif name == EXTRA or name.endswith(f".{EXTRA}"):
            extras[name] = _encoded(name, entry, tensors)
        else:
            raise ValueError(f"{name} is a {type(entry).__name__}, a state_dict holds tensors")
    return tensors, extras


def _checked(name: str, tensor: Tensor) -> Tensor:
    if is_lazy(tensor):
        raise ValueError(f"{name} is not initialised yet; call the module once")
    if tensor.is_meta or tensor.layout != torch.strided or tensor.is_quantized:
        raise ValueError(f"{name} is no dense tensor with numbers in it, but {tensor.layout} on {tensor.device}")
    if not _is_known(tensor.dtype):
        raise ValueError(f"{name} is of {tensor.dtype}, which a safetensors file cannot hold")
    return tensor


@cache
def _is_known(dtype: torch.dtype) -> bool:
    """Whether safetensors knows this type."""
    try:
        to_bytes({"x": torch.zeros(1, dtype=dtype)})
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError):
        return False
    return True


def _place(tensor: Tensor) -> tuple[int, int]:
    """Where its memory begins, which a view of it shares."""
    return tensor.untyped_storage().data_ptr(), int(tensor.storage_offset())


def _whole(tensor: Tensor) -> Tensor:
    """The numbers of a tensor in memory that nothing else shares."""
    tensor = tensor.detach()
    return tensor.clone(memory_format=torch.contiguous_format)


def _encoded(name: str, entry: Any, tensors: dict[str, Tensor]) -> Any:
    """An extra state as JSON can hold it, its tensors put among `tensors`."""
    if entry is None or isinstance(entry, (bool, int, float, str)):
        return entry
    if isinstance(entry, Tensor):
        held = f"{HELD}/{len(tensors)}"
        tensors[held] = _checked(name, entry)
        return {HELD: held}
    if type(entry) in (list, tuple):
        parts = [_encoded(name, each, tensors) for each in entry]
        return parts if isinstance(entry, list) else {"tuple": parts}
    if isinstance(entry, dict) and all(isinstance(key, str) for key in entry):
        return {"dict": {key: _encoded(name, each, tensors) for key, each in entry.items()}}
    raise ValueError(
        f"{name} holds a {type(entry).__name__}; expected None, bools, numbers, strings, tensors, and lists, tuples "
        "and dicts by strings of these, as nothing here is pickled"
    )


def _decoded(entry: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(entry, list):
        return [_decoded(each, tensors) for each in entry]
    if not isinstance(entry, dict):
        return entry
    ((kind, inside),) = entry.items()
    if kind == HELD:
        return tensors[inside]
    if kind == "tuple":
        return tuple(_decoded(each, tensors) for each in inside)
    if kind == "dict":
        return {key: _decoded(each, tensors) for key, each in inside.items()}
    raise ValueError(f"expected tuple, dict or {HELD}, got {kind}")


def _json_object(text: str, path: str | Path) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path}: expected a record as svlearn writes it, got no JSON ({error})") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path}: expected a record as svlearn writes it, got a {type(found).__name__}")
    return found


def _open(path: str | Path, device: str = "cpu") -> Any:
    path = user_path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint")
    try:
        return safe_open(path, framework="pt", device=device)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: expected a safetensors file, got one that is corrupt ({error})") from error
