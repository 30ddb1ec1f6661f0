"""What of a module is saved: its tensors under their plain names, and its extra states as JSON can hold them."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save as to_bytes
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from svlearn.compiled import plain_names

EXTRA = "_extra_state"  # how torch ends the name of what `get_extra_state` gave
HELD = "svlearn_tensor"  # stands for a tensor inside an extra state, in the record


def gathered(module: nn.Module) -> tuple[dict[str, Tensor], dict[str, Any]]:
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


def place(tensor: Tensor) -> tuple[int, int]:
    """Where its memory begins, which a view of it shares."""
    return tensor.untyped_storage().data_ptr(), int(tensor.storage_offset())


def whole(tensor: Tensor) -> Tensor:
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


def decoded(entry: Any, tensors: Mapping[str, Tensor]) -> Any:
    """An extra state from its JSON and the tensors of the file; ValueError and its like where it is another's."""
    if isinstance(entry, list):
        return [decoded(each, tensors) for each in entry]
    if not isinstance(entry, dict):
        return entry
    ((kind, inside),) = entry.items()
    if kind == HELD:
        return tensors[inside]
    if kind == "tuple":
        return tuple(decoded(each, tensors) for each in inside)
    if kind == "dict":
        return {key: decoded(each, tensors) for key, each in inside.items()}
    raise ValueError(f"expected tuple, dict or {HELD}, got {kind}")
