"""What a function is: its bytecode, its constants, the names that it reads, and whether it is installed or not."""

import dis
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
import sysconfig
import types
from collections.abc import Iterable
from pathlib import Path

LIBRARIES = tuple({sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")})
OWN = str(Path(__file__).parent) + os.sep
GLOBALS = ("LOAD_GLOBAL", "LOAD_NAME")


def digest(kind: str, *parts: bytes) -> bytes:
    """SHA-256 over a kind and its parts, each with its length."""
    hasher = hashlib.sha256(kind.encode())
    for part in parts:
        hasher.update(len(part).to_bytes(8, "big"))
        hasher.update(part)
    return hasher.digest()


def digest_of_code(code: types.CodeType) -> bytes:
    """Of its instructions, constants and names; where it stands in which file is no part of it."""
    constants = [digest_of_code(each) if inspect.iscode(each) else _constant(each) for each in code.co_consts]
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return digest("code", code.co_code, code.co_exceptiontable, str((counts, names)).encode(), *constants)


def names_of_globals(code: types.CodeType) -> set[str]:
    """Those that it reads, and the functions in it."""
    own = {each.argval for each in dis.get_instructions(code) if each.opname in GLOBALS}
    return own.union(*(names_of_globals(each) for each in code.co_consts if inspect.iscode(each)))


def names(code: types.CodeType) -> Iterable[str]:
    """Of globals and attributes that it and the functions in it read."""
    yield from code.co_names
    for constant in code.co_consts:
        if inspect.iscode(constant):
            yield from names(constant)


def modules_imported(function: types.FunctionType) -> list[types.ModuleType]:
    """Those of the user that its code, and the functions in it, import when they run, in the order of their names; they
    are imported here, as a call would. One that cannot be imported is left out."""
    modules = {}
    for level, name in sorted(_imports(function.__code__)):
        if level == 0 and _is_installed_package(name.split(".")[0]):
            continue
        try:
            module = importlib.import_module("." * level + name, function.__globals__.get("__package__"))
        except Exception:  # no module but a name in one; or one that raises, of which a call of the function will tell
            continue
        modules[module.__name__] = module
    return [modules[name] for name in sorted(modules)]


def is_installed(file: str) -> bool:
    """Whether a file of code belongs to Python, to an installed package or to svlearn."""
    return file.startswith(("<frozen", OWN, *LIBRARIES))


def is_installed_module(name: str) -> bool:
    file = getattr(sys.modules.get(name), "__file__", None)
    return is_installed(str(file)) if file else name.split(".")[0] in sys.stdlib_module_names - {"__main__"}


def module_of(thing: type | types.FunctionType) -> str:
    """The module that a class or a function says it is from; "" where it says no text, as classes of some C extensions
    do, whose `__module__` is a descriptor or None. It then counts as one of the user."""
    name = getattr(thing, "__module__", None)
    return name if isinstance(name, str) else ""


def _imports(code: types.CodeType) -> set[tuple[int, str]]:
    """Level, 0 where it is absolute, and name of what is imported in it; of `from a import b` both a and a.b."""
    imports, loaded, at = set(), [0, 0], (0, "")
    for each in dis.get_instructions(code):
        if each.opname.startswith("LOAD_"):
            loaded.append(each.argval)
        elif each.opname == "IMPORT_NAME":
            at = loaded[-2], each.argval  # the level and the names that are wanted were loaded last
            imports.add(at)
        elif each.opname == "IMPORT_FROM":
            imports.add((at[0], f"{at[1]}.{each.argval}" if at[1] else each.argval))
    return imports.union(*(_imports(each) for each in code.co_consts if inspect.iscode(each)))


def _is_installed_package(name: str) -> bool:
    if name in sys.modules:
        return is_installed_module(name)
    spec = importlib.util.find_spec(name)
    return name in sys.stdlib_module_names or spec is None or is_installed(spec.origin or "")


def _constant(constant: object) -> bytes:
    if isinstance(constant, frozenset):
        return digest("frozenset", *sorted(map(_constant, constant)))
    if isinstance(constant, tuple):
        return digest("tuple", *map(_constant, constant))
    return f"{type(constant).__name__} {constant!r}".encode(errors="surrogatepass")
