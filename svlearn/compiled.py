"""Modules that `torch.compile` has wrapped: they stand for the plain ones, and are named and saved as these.

`torch.compile(module)` is another module that holds the plain one as `_orig_mod`: it is no instance of the plain one's
class, and every name of its state_dict has that word in it.
"""

from abc import ABCMeta
from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any, TypeVar

from torch import nn

WRAPPED = "_orig_mod"
AnyModule = TypeVar("AnyModule", bound=nn.Module)
Entry = TypeVar("Entry")


def plain(module: Any) -> Any:
    """The module inside a compiled one; anything else as it is."""
    while isinstance(module, nn.Module) and WRAPPED in module._modules:
        module = module._modules[WRAPPED]
    return module


class Compilable(ABCMeta):
    """The metaclass of classes of which a compiled module is an instance where its plain one is."""

    def __instancecheck__(cls, instance: Any) -> bool:
        if super().__instancecheck__(instance):
            return True
        inside = plain(instance)
        return inside is not instance and super().__instancecheck__(inside)


def plain_name(name: str) -> str:
    """The name of a parameter, buffer or module as it is where nothing is compiled."""
    return ".".join(part for part in name.split(".") if part != WRAPPED) if WRAPPED in name else name


def plain_names(state: Mapping[str, Entry]) -> dict[str, Entry]:
    """A state_dict by the names of the plain module."""
    return {plain_name(name): entry for name, entry in state.items()}


def own_names(state: Mapping[str, Entry], own: Iterable[str]) -> dict[str, Entry]:
    """A state_dict, of a compiled module or of a plain one, by the names `own` of the module that is to take it."""
    names = {plain_name(name): name for name in own}
    return {names.get(plain_name(name), name): entry for name, entry in state.items()}


def plain_copy(module: AnyModule, memo: dict[int, Any] | None = None) -> AnyModule:
    """A deep copy of the plain module, no part of it compiled; memo: as of `copy.deepcopy`, what is not copied."""
    memo = {} if memo is None else memo
    for each in reversed(list(module.modules())):
        if plain(each) is not each:
            memo[id(each)] = deepcopy(plain(each), memo)
    return deepcopy(plain(module), memo)
