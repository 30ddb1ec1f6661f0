"""Small things as text: what two of them must have in common to be the same."""

import types
from enum import Enum
from pathlib import PurePath
from typing import Any

import numpy as np
import torch

from svlearn.bytecode import is_installed_module, module_of

OF_PYTHON = (types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType, np.ufunc)


def plain_text(thing: Any) -> str | None:
    """A text for what is small and cannot change; None for anything else. 2, 2.0 and NumPy's 2 are the same number."""
    if thing is None or thing is ... or isinstance(thing, (bool, np.bool_)):
        return str(thing)
    if isinstance(thing, Enum) or not (isinstance(thing, OF_PYTHON) or is_installed_module(module_of(type(thing)))):
        return None
    if isinstance(thing, (int, np.integer)):
        return f"number {int(thing)}"
    if isinstance(thing, (float, np.floating)):
        return f"number {int(thing) if float(thing).is_integer() else float(thing)!r}"
    if isinstance(thing, str):
        return f"text {thing}"
    if isinstance(thing, PurePath):
        return f"path {thing}"
    if isinstance(thing, types.ModuleType):
        return f"module {thing.__name__}"
    if isinstance(thing, np.ufunc) and thing.__name__.endswith("(vectorized)"):  # np.frompyfunc
        return None
    if isinstance(thing, OF_PYTHON) and not _is_bound(thing):
        return f"built in {getattr(thing, '__module__', None)} {getattr(thing, '__qualname__', thing.__name__)}"
    if isinstance(thing, (bytes, complex, range, slice, torch.dtype, torch.device, np.dtype, np.generic)):
        return f"{type(thing).__name__} {thing!r}"
    return None


def _is_bound(thing: Any) -> bool:
    return not isinstance(getattr(thing, "__self__", None), (types.ModuleType, type, types.NoneType))
