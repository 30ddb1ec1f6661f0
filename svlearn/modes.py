"""Modules in evaluation mode for a while: dropout and batch norms are of training alone."""

import types
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache, partial, wraps
from typing import ParamSpec, TypeVar

from torch import Tensor, nn

from svlearn.bytecode import is_installed, is_installed_module, module_of, names

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
PLAIN = {type(None), bool, int, float, str, bytes, Tensor, nn.Parameter}  # what holds no module
BARE = {*vars(nn.Module()), "_trainer", "_fabric"}  # what every module has, and the trainer that Lightning ties to one


@contextmanager
def evaluating(*things: object) -> Iterator[None]:
    """Run the modules among these things, and the modules they hold, in evaluation mode; then give every submodule the
    mode that it had, also after an exception.

    A thing is searched through its attributes, whether it is a module (a value holds its target, and the target a
    reward) or none (a sampler, a proposal, a callable object); lists, tuples and dicts through what is in them; a
    function through what it closes over, its defaults and, one of the user, the globals that it names, those of other
    functions too; an object of a class of the user through its methods.
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
        kind = type(thing)
        if kind in PLAIN or id(thing) in seen:
            continue
        seen.add(id(thing))
        own = getattr(thing, "__dict__", {})
        if "_modules" in own and isinstance(thing, nn.Module):
            if thing.training:
                trained.append(thing)
            waiting.extend(own["_modules"].values())
            if not module_of(kind).startswith("torch.nn."):  # whose own attributes hold no more
                waiting.extend([own[name] for name in own if name not in BARE])
        else:
            waiting.extend(_held(thing, own))
        if not _is_of_package(module_of(kind)):
            waiting.append(kind)


def _held(thing: object, own: Mapping[str, object]) -> list[object]:
    """What a thing that is no module, of these attributes, holds that may be one."""
    if isinstance(thing, (list, tuple, set, frozenset, deque)):
        return [*thing, *own.values()]
    if isinstance(thing, dict):
        return [*thing.keys(), *thing.values(), *own.values()]
    if isinstance(thing, partial):
        return [thing.func, thing.args, thing.keywords]
    if isinstance(thing, types.MethodType):
        return [thing.__self__, thing.__func__]
    if isinstance(thing, types.FunctionType):
        return _named(thing)
    if isinstance(thing, type):  # of the user: what its methods name
        return [] if _is_of_package(module_of(thing)) else [*own.values(), *thing.__bases__]
    if isinstance(thing, (staticmethod, classmethod)):
        return [thing.__func__]
    if isinstance(thing, property):
        return [thing.fget]
    if isinstance(thing, (Tensor, types.ModuleType)):
        return []
    slots = [getattr(thing, name, None) for name in _slots(type(thing))]
    return [*own.values(), *slots]


def _slots(kind: type) -> list[str]:
    if _is_of_package(module_of(kind)):
        return []
    given = [vars(each).get("__slots__", ()) for each in kind.__mro__]
    return [name for names in given for name in ([names] if isinstance(names, str) else names)]


def _named(function: types.FunctionType) -> list[object]:
    """What a function closes over, its defaults and attributes; of one of the user, the globals that it names, and of
    a module of the user what it takes from there."""
    cells = [cell.cell_contents for cell in function.__closure__ or () if cell != types.CellType()]
    held = [*cells, *(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    if is_installed(function.__code__.co_filename):
        return held
    read = list(names(function.__code__))
    globals_ = [function.__globals__[name] for name in read if name in function.__globals__]
    for each in globals_:
        if isinstance(each, types.ModuleType) and not _is_of_package(each.__name__):
            held += [vars(each)[name] for name in read if name in vars(each)]
    return [*held, *globals_, *vars(function).values()]


@lru_cache
def _is_of_package(name: str) -> bool:
    """Whether a module is Python's, of an installed package or of svlearn."""
    return is_installed_module(name)
