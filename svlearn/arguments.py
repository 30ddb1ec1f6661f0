"""Checks of what a caller gives: the number, or the object, or an error that names the argument and what was wanted.

A number may be Python's, NumPy's or a tensor without dimensions; a bool is no number, whoever's it is. What comes back
is Python's own, so that it can be hashed, written as JSON and compared.
"""

import math
import operator
from collections.abc import Iterable
from typing import Any

MAX_INTEGER = 2**63  # what a tensor can hold


def integer(number: Any, name: str, least: int = 1, most: int | None = None, *, optional: bool = False) -> int:
    """An int of least ... most, else ValueError; optional: the error says that None would do too."""
    expected = "None or " if optional else ""
    expected += f"an integer of at least {least}" if most is None else f"an integer of {least} ... {most}"
    value = _index(number)
    if value is None:
        raise ValueError(f"{name}: expected {expected}, got {number!r}")
    if value < least or value > (MAX_INTEGER - 1 if most is None else most):
        raise ValueError(f"{name}: expected {expected}, got {value}")
    return value


def integers(numbers: Any, name: str, least: int = 1, most: int | None = None) -> list[int]:
    """A list of ints of least ... most, from any iterable of them; else ValueError."""
    if isinstance(numbers, str) or not isinstance(numbers, Iterable):
        raise TypeError(f"{name}: expected integers, got {type(numbers).__name__}")
    entries = list(numbers)
    try:
        return [integer(each, name, least, most) for each in entries]
    except ValueError as error:
        expected = f"of at least {least}" if most is None else f"of {least} ... {most}"
        raise ValueError(f"{name}: expected integers {expected}, got {entries}") from error


def as_seed(number: Any, name: str = "seed") -> int:
    """An int from 0 on, of any size: `randomness.seeded` mixes all of its bits."""
    seed = _index(number)
    if seed is None or seed < 0:
        raise ValueError(f"{name}: expected an integer of at least 0, got {number!r}")
    return seed


def is_number(thing: Any) -> bool:
    """Whether a thing is one number: of Python, of NumPy, or a tensor without dimensions; a bool is none."""
    try:
        _real(thing, "")
    except TypeError:
        return False
    return True


def is_integer(thing: Any) -> bool:
    """Whether a thing is one integer: of Python, of NumPy, or a tensor without dimensions; a bool is none."""
    return _index(thing) is not None


def as_python(thing: Any) -> Any:
    """A number or bool of NumPy or torch as Python's own; anything else as it is."""
    if type(thing) in (bool, int, float) or isinstance(thing, (str, bytes)):
        return thing
    if _is_bool(thing):
        return bool(thing) if getattr(thing, "shape", ()) == () else thing
    integral = _index(thing)
    return integral if integral is not None else _real(thing, "") if is_number(thing) else thing


def one_or_each(numbers: Any, number: int) -> list[Any]:
    """One number as `number` copies of it, several as they come."""
    return [numbers] * number if is_number(numbers) else list(numbers)


def real(
    number: Any, name: str, least: float = -math.inf, most: float = math.inf, *, above: float = -math.inf
) -> float:
    """A finite float, least <= number <= most and above < number. TypeError where it is no number, else ValueError."""
    value = _real(number, name)
    if not (math.isfinite(value) and least <= value <= most and value > above):
        raise ValueError(f"{name}: expected a finite number{_range(least, most, above)}, got {value}")
    return value


def expect(thing: Any, kind: type | tuple[type, ...], name: str) -> Any:
    """Return it, or raise TypeError where it is of another kind (of none of several)."""
    if not isinstance(thing, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        wanted = " or a ".join(each.__name__ for each in kinds)
        raise TypeError(f"{name}: expected a {wanted}, got {type(thing).__name__}")
    return thing


def each_of(collection: Any, kind: type, name: str) -> list[Any]:
    """A list of things of a kind or None; TypeError for one thing instead of a list, and for one of another kind."""
    if isinstance(collection, (str, bytes, kind)) or not isinstance(collection, Iterable):
        raise TypeError(f"{name}: expected a list of {kind.__name__} or None, got one {type(collection).__name__}")
    things = list(collection)
    for place, thing in enumerate(things):
        if thing is not None and not isinstance(thing, kind):
            raise TypeError(f"{name}[{place}]: expected a {kind.__name__} or None, got {type(thing).__name__}")
    return things


def names_of(collection: Any, name: str) -> list[str]:
    """A list of names, of any iterable of them; TypeError for what is none, or holds anything else."""
    if isinstance(collection, (str, bytes)) or not isinstance(collection, Iterable):
        raise TypeError(f"{name}: expected a list of names, got {type(collection).__name__}")
    names = list(collection)
    for place, each in enumerate(names):
        if not isinstance(each, str):
            raise TypeError(f"{name}[{place}]: expected a name (a str), got {type(each).__name__}")
    return names


def _range(least: float, most: float, above: float) -> str:
    low = f" above {above:g}" if above > -math.inf else f" of at least {least:g}" if least > -math.inf else ""
    return low + (f"{' and' if low else ' of'} at most {most:g}" if most < math.inf else "")


def _is_bool(thing: Any) -> bool:
    return isinstance(thing, bool) or str(getattr(thing, "dtype", "")) in ("bool", "torch.bool")


def _index(number: Any) -> int | None:
    """As an int, None where it is none."""
    if _is_bool(number):
        return None
    try:
        return operator.index(number)
    except TypeError:  # a float too, whatever it holds: 3.0 steps are a mistake elsewhere
        return None


def _real(number: Any, name: str) -> float:
    if not _is_bool(number) and not isinstance(number, (str, bytes)) and getattr(number, "shape", ()) == ():
        try:
            return float(number)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            pass
    raise TypeError(f"{name}: expected a number, got {type(number).__name__}")
