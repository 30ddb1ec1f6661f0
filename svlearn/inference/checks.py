"""Checks of what a sampler is made of."""

from typing import Any


def at_least_one(number: int, name: str) -> int:
    """Return it, or raise ValueError where it is no integer of at least 1."""
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ValueError(f"{name}: expected an integer of at least 1, got {number!r}")
    return number


def expect(thing: Any, kind: type, name: str) -> Any:
    """Return it, or raise TypeError where it is of another kind."""
    if not isinstance(thing, kind):
        raise TypeError(f"{name}: expected a {kind.__name__}, got {type(thing).__name__}")
    return thing
