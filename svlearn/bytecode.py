"""What a function is: its bytecode, its constants, the names that it reads, and whether it is installed or not."""

import dis
import hashlib
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


def is_installed(file: str) -> bool:
    """Whether a file of code belongs to Python, to an installed package or to svlearn."""
    return file.startswith(("<frozen", OWN, *LIBRARIES))


def is_installed_module(name: str) -> bool:
    file = getattr(sys.modules.get(name), "__file__", None)
    return is_installed(file) if file else name.split(".")[0] in sys.stdlib_module_names - {"__main__"}


def _constant(constant: object) -> bytes:
    if isinstance(constant, frozenset):
        return digest("frozenset", *sorted(map(_constant, constant)))
    if isinstance(constant, tuple):
        return digest("tuple", *map(_constant, constant))
    return f"{type(constant).__name__} {constant!r}".encode(errors="surrogatepass")
