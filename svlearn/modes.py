"""Modules in evaluation mode for a while: dropout and batch norms are of training alone."""

import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from typing import ParamSpec, TypeVar

from torch import Tensor, nn

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
PLAIN = {type(None), bool, int, float, str, bytes, Tensor, nn.Parameter}  # what holds no module


@contextmanager
def evaluating(*things: object) -> Iterator[None]:
    """Run the modules among these things, and the modules they hold, in evaluation mode; then give every submodule the
    mode that it had, also after an exception.

    A thing is searched through its attributes, whether it is a module (a value holds its target, and the target a
    reward) or none (a sampler, a proposal, a callable object); lists, tuples and dicts through what is in them; a
    function through what it closes over, its defaults and the modules that it names.
    """
    trained: list[nn.Module] = []
    seen: set[int] = set()
    for thing in things:
        _find(thing, seen, trained)
    try:
        for each in trained:
            each.training = False
        yield
    finally:
        for each in trained:
            each.training = True


def in_evaluation(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """The function with all the modules that its arguments are or hold in evaluation mode while it runs."""

    @wraps(function)
    def wrapped(*given: Parameters.args, **named: Parameters.kwargs) -> Result:
        with evaluating(*given, *named.values()):
            return function(*given, **named)

    return wrapped


def _find(thing: object, seen: set[int], trained: list[nn.Module]) -> None:
    """Add to `trained` the modules in training mode that a thing is or holds."""
    waiting = [thing]
    while waiting:
        thing = waiting.pop()
        if type(thing) in PLAIN or id(thing) in seen:
            continue
        seen.add(id(thing))
        own = getattr(thing, "__dict__", {})
        if "_modules" in own and isinstance(thing, nn.Module):
            if thing.training:
                trained.append(thing)
            waiting.extend(own["_modules"].values())
            if not type(thing).__module__.startswith("torch.nn."):  # whose own attributes hold no more
                waiting.extend([own[name] for name in own if name[0] != "_"])
        else:
            waiting.extend(_held(thing, own))


def _held(thing: object, own: dict[str, object]) -> list[object]:
    """What a thing that is no module, of these attributes, holds that may be one."""
    if isinstance(thing, (list, tuple, set, frozenset)):
        return list(thing)
    if isinstance(thing, dict):
        return list(thing.values())
    if isinstance(thing, partial):
        return [thing.func, thing.args, thing.keywords]
    if isinstance(thing, types.MethodType):
        return [thing.__self__]
    if isinstance(thing, types.FunctionType):
        return _named(thing)
    return [] if isinstance(thing, (Tensor, type, types.ModuleType)) else list(own.values())


def _named(function: types.FunctionType) -> list[object]:
    """What a function closes over, its defaults, and the modules among the globals that it names."""
    cells = [cell.cell_contents for cell in function.__closure__ or () if cell != types.CellType()]
    globals_ = [function.__globals__.get(name) for name in function.__code__.co_names]
    held = [each for each in globals_ if isinstance(each, nn.Module)]
    return [*cells, *(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values(), *held]
