"""Identities: whether two callables, or two objects, are the same in all that decides what they return.

They are what a cache is keyed by. Two things of one identity do the same; two that do the same may have two.
"""

import dataclasses
import functools
import inspect
import types
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor, nn

from svlearn.bytecode import (
    digest,
    digest_of_code,
    is_installed,
    is_installed_module,
    module_of,
    modules_imported,
    names,
    names_of_globals,
)
from svlearn.fingerprint import fingerprint, fingerprint_of_states
from svlearn.plain_text import plain_text
from svlearn.targets import Target

OPAQUE = (torch.jit.ScriptFunction, np.ufunc)  # of NumPy's own `plain_text` knows
MOMENTARY = ("_thread", "threading", "queue", "multiprocessing.synchronize", "multiprocessing.queues", "asyncio.locks")
HOOKS = ("_forward_pre_hooks", "_forward_hooks")
BARE = {*vars(nn.Module()), "_is_torch_compile", "_compile_kwargs"}  # what every module has, or every compiled one


def identity(thing: Any, name: str = "thing") -> str:
    """32 hex digits that are the same in another process, and others where the thing would return another result.

    function         its code, its defaults, its attributes, what it has closed over, the globals that it reads and what
                     it takes from modules of the user, imported inside it too (they are imported then), each by its own
                     identity: so an edited function is another one, and so is one of another Python version
    method, partial  the object or function, and the arguments
    nn.Module        its fingerprint, its classes, the buffers that it does not save, its forward hooks, and what is no
                     tensor among its attributes as far as that is known
    Target           its name where it has one, else its reward; alpha and floor
    dataclass        its class, its fields and what else it holds
    callable with a `name` that is a str: its class and that name
    other objects    the class and what pickle would keep of them; nothing is pickled

    A class counts with the code of its methods. Of an installed package, and of svlearn, a function or a class counts
    by its name alone. Raises ValueError, naming the argument, where something in it has no identity, as an open file
    or a lock has none: then give the target a name, `Target(reward, alpha, name=...)`.
    """
    try:
        return _Reader().read(thing).hex()[:32]
    except (_Unknown, RecursionError) as error:
        reason = str(error) if isinstance(error, _Unknown) else "holds things in each other without end"
        raise ValueError(
            f"{name}: expected one whose identity can be known, so that what is stored is not taken for another's, got "
            f"{type_name(thing)}, which {reason}; name it, as Target(reward, alpha, name='...'), and change the name "
            "with what it does"
        ) from error


def identity_of_process(process: nn.Module) -> str:
    """32 hex digits of what a process is beside its `fingerprint`: its classes, what their constructors were given and
    keep under the same name, as far as that is known, and the buffers and hooks that no state_dict holds. Other
    attributes, such as counters, are no part of it."""
    reader = _Reader()
    return digest("process", *(reader.read_known(each) for each in _given(process))).hex()[:32]


def type_name(thing: Any) -> str:
    """A function's own name, the class of anything else."""
    return getattr(thing, "__qualname__", type(thing).__qualname__)


class _Unknown(Exception):
    """Something has no identity; says what."""


class _Reader:
    """Digests of things in things, each thing once. tolerant: what has no identity counts by its class."""

    def __init__(self) -> None:
        self.known: dict[tuple[int, bool], tuple[bytes, Any]] = {}  # the things too, for an id may be given again
        self.open: dict[int, int] = {}
        self.tolerant = False

    def read(self, thing: Any) -> bytes:
        text = plain_text(thing)
        if text is not None:
            return digest("plain", text.encode(errors="surrogatepass"))
        key, known = id(thing), (id(thing), self.tolerant)
        if known in self.known:
            return self.known[known][0]
        if key in self.open:  # it holds itself
            return digest("again", str(self.open[key]).encode())
        self.open[key] = len(self.open)
        try:
            content = self._read(thing)
        except _Unknown:
            if not self.tolerant:
                raise
            content = digest("unknown", type_name(type(thing)).encode())
        finally:
            del self.open[key]
        self.known[known] = content, thing
        return content

    def read_known(self, thing: Any) -> bytes:
        """As far as it is known: of all that is in it, what has no identity counts by its class alone."""
        before, self.tolerant = self.tolerant, True
        try:
            return self.read(thing)
        finally:
            self.tolerant = before

    def part(self, what: str, thing: Any) -> bytes:
        try:
            return self.read(thing)
        except _Unknown as error:
            raise _Unknown(f"{what}, a {type_name(type(thing))}, which {error}") from None

    def _read(self, thing: Any) -> bytes:
        thing = getattr(thing, "_orig_mod", getattr(thing, "_torchdynamo_orig_callable", thing))  # of torch.compile
        if isinstance(thing, (Tensor, TensorDict)):
            return digest("states", _fingerprint(fingerprint_of_states, thing))
        if type(thing) in (np.ndarray, np.memmap):
            return self._array(thing)
        if isinstance(thing, types.FunctionType):
            return self._function(thing)
        if isinstance(thing, types.MethodType):
            return digest("method", self.part("is of an object", thing.__self__), self.read(thing.__func__))
        if isinstance(thing, functools.partial):
            return digest("partial", *map(self.read, (thing.func, thing.args, thing.keywords)))
        if isinstance(thing, functools._lru_cache_wrapper):
            return self.read(thing.__wrapped__)
        if isinstance(thing, type):
            return self._class(thing)
        if isinstance(thing, Mapping):
            held = sorted(self.read(k) + self.part(f"has {k!r}", v) for k, v in thing.items())
            return self._container("mapping", held, thing)
        if isinstance(thing, (set, frozenset)):
            return self._container("set", sorted(map(self.read, thing)), thing)
        if type(thing) in (list, tuple):
            return digest("sequence", *(self.part(f"has [{i}]", each) for i, each in enumerate(thing)))
        if isinstance(thing, nn.Module):
            return self._module(thing)
        return self._object(thing)

    def _container(self, kind: str, held: list[bytes], thing: Any) -> bytes:
        """What it holds, and of a class of the user also that and its attributes."""
        if is_installed_module(module_of(type(thing))):
            return digest(kind, *held)
        return digest(kind, self.read(type(thing)), self._state(getattr(thing, "__dict__", None)), *held)

    def _object(self, thing: Any) -> bytes:
        kind = self.read(type(thing))
        if isinstance(thing, Enum):
            return digest("enum", kind, str(thing.name).encode(), self.part("has .value", thing.value))
        if isinstance(thing, Target) and thing.name is not None:
            return digest("target", *map(self.read, (thing.name, thing.alpha, thing.floor)))
        if dataclasses.is_dataclass(thing):
            fields = [each.name for each in dataclasses.fields(thing)]
            held = [self.part(f"has .{name}", getattr(thing, name)) for name in fields]
            others = {name: each for name, each in getattr(thing, "__dict__", {}).items() if name not in fields}
            return digest("dataclass", kind, *held, *([self._state(others)] if others else []))
        if isinstance(thing, OPAQUE) or module_of(type(thing)) in MOMENTARY:
            raise _Unknown("has no identity (its code cannot be read, or it is a state of the moment)")
        name = getattr(thing, "name", None)
        if callable(thing) and isinstance(name, str):
            return digest("named", kind, name.encode())
        try:
            kept = thing.__reduce_ex__(4)
        except Exception as error:
            raise _Unknown(f"has no identity ({type(error).__name__}: {error})") from None
        if isinstance(kept, str):
            return digest("global", kind, kept.encode())
        function, arguments, state, *more = (*kept, None, None, None)[:5]
        parts = [list(each) if each is not None else None for each in more]
        return digest(
            "object", kind, *map(self.read, (function, arguments)), self._state(state), *map(self.read, parts)
        )

    def _state(self, state: Any) -> bytes:
        if isinstance(state, dict):
            held = sorted(state, key=str)
            return digest("state", *(self.read(name) + self.part(f"has .{name}", state[name]) for name in held))
        return self.read(state)

    def _array(self, array: np.ndarray) -> bytes:
        if array.dtype.names is not None:  # what pads its rows is of no meaning, and random
            return digest("record", *(self.read(name) + self._array(array[name]) for name in array.dtype.names))
        if array.dtype.hasobject:
            return digest("objects", self.read(array.tolist()))
        return digest("array", str((array.dtype.str, array.shape)).encode(), np.ascontiguousarray(array).tobytes())

    def _function(self, function: types.FunctionType) -> bytes:
        code = function.__code__
        cells = zip(code.co_freevars, function.__closure__ or ())
        parts = [self._cell(name, cell) for name, cell in cells]
        parts.append(self.part("has defaults", (function.__defaults__, function.__kwdefaults__)))
        if not is_installed(code.co_filename):
            parts += [digest_of_code(code), *(self._global(name, function) for name in sorted(names_of_globals(code)))]
            parts += [self._content(each, names(code), set()) for each in modules_imported(function)]
            parts += [self._state(vars(function))] if vars(function) else []
        elif "<" in code.co_qualname:  # two lambdas of one place have one name
            parts.append(digest_of_code(code))
        else:
            parts.append(f"{module_of(function)} {code.co_qualname}".encode())
        return digest("function", *parts)

    def _cell(self, name: str, cell: types.CellType) -> bytes:
        try:
            content = cell.cell_contents
        except ValueError:  # not yet filled
            return digest("empty")
        return self.part(f"has closed over {name!r}", content)

    def _global(self, name: str, function: types.FunctionType) -> bytes:
        if name not in function.__globals__:  # of Python, or not there
            return name.encode()
        thing = function.__globals__[name]
        content = name.encode() + self.part(f"reads the global {name!r}", thing)
        if isinstance(thing, types.ModuleType):
            return content + self._content(thing, names(function.__code__), set())
        return content

    def _content(self, module: types.ModuleType, read: Iterable[str], visited: set[str]) -> bytes:
        """Of a module of the user, what code that reads these names may take from it, and from those in it."""
        if module.__name__ in visited or is_installed_module(module.__name__):
            return b""
        visited.add(module.__name__)
        read = set(read)
        held = {each: getattr(module, each) for each in sorted(read & vars(module).keys())}
        parts = [self.part(f"reads {module.__name__}.{each}", thing) for each, thing in held.items()]
        inner = [thing for thing in held.values() if isinstance(thing, types.ModuleType)]
        return digest("module", *parts, *(self._content(each, read, visited) for each in inner))

    def _class(self, kind: type) -> bytes:
        parts = []
        for each in kind.__mro__:
            if is_installed_module(module_of(each)):
                parts.append(f"{module_of(each)}.{each.__qualname__}".encode())
            else:
                parts += [each.__qualname__.encode(), *self._body(each)]
        return digest("class", *parts)

    def _body(self, kind: type) -> Iterable[bytes]:
        """What a class of the user defines: its functions, and its attributes that are not Python's own."""
        for name, entry in sorted(vars(kind).items()):
            entry = getattr(entry, "__func__", entry)  # of a static or a class method
            parts = (entry.fget, entry.fset) if isinstance(entry, property) else (entry,)
            if isinstance(entry, (types.FunctionType, property)) or not name.startswith(("__", "_abc")):
                yield digest(name, *map(self.read_known, parts))

    def _module(self, module: nn.Module) -> bytes:
        parts = [_fingerprint(fingerprint, module)]
        for path, each in _modules(module):
            parts += [path.encode(), self.read(type(each))]
            own = {name: vars(each)[name] for name in sorted(vars(each).keys() - BARE)} | _beside(each)
            parts += [name.encode() + self.read_known(held) for name, held in own.items()]
            parts += [str(each.code).encode()] if isinstance(each, torch.jit.ScriptModule) else []
        return digest("module", *parts)


def _given(process: nn.Module) -> Iterable[Any]:
    for path, each in _modules(process):
        yield from (path, type(each))
        makers = [vars(kind)["__init__"] for kind in type(each).__mro__ if "__init__" in vars(kind)]
        for name in sorted({name for maker in makers for name in inspect.signature(maker).parameters}):
            held = vars(each).get(name, vars(each).get(f"_{name}"))
            if held is not None and not isinstance(held, torch.device):
                yield from (name, held)
        yield from _beside(each).items()


def _modules(module: nn.Module) -> Iterable[tuple[str, nn.Module]]:
    """Every module in it by its path, those of torch.compile left out."""
    for path, each in module.named_modules():
        if not hasattr(each, "_orig_mod"):
            yield ".".join(name for name in path.split(".") if name != "_orig_mod"), each


def _beside(module: nn.Module) -> dict[str, Any]:
    """What a module computes with that its state_dict leaves out: buffers that are not saved, and hooks."""
    kept = {name: module._buffers.get(name) for name in sorted(module._non_persistent_buffers_set)}
    hooks = {name: [*vars(module)[name].values()] for name in HOOKS if vars(module).get(name)}
    return {name: held for name, held in kept.items() if held is not None} | hooks


def _fingerprint(of: Callable[[Any], str], thing: Any) -> bytes:
    try:
        return of(thing).encode()
    except (RuntimeError, TypeError, NotImplementedError) as error:  # of sparse and quantised tensors
        raise _Unknown(f"has no identity ({type(error).__name__}: {error})") from None
