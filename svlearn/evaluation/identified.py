"""What tells a thing from another one in another process, as far as that can be known."""

from typing import Any

from svlearn.identity import identity


def identified(thing: Any, name: str) -> str:
    """Its identity; its kind alone where that cannot be known."""
    try:
        return identity(thing, name)
    except Exception:  # a lambda of the command line, say
        return type(thing).__name__
