"""What a scorer did."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Counts:
    """What a scorer was asked for, and what it did, since it was made.

    asked    objects, one a state, those without an object among them
    built    distinct keys made into texts
    stored   distinct objects whose score came from the disk
    scored   objects given to the function
    failed   of those scored, and of those built, the ones that crashed, hung or raised
    """

    asked: int = 0
    built: int = 0
    stored: int = 0
    scored: int = 0
    failed: int = 0
