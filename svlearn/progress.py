"""Progress of what takes long: a bar where somebody looks at a terminal or a notebook, else a line now and then."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm.auto import tqdm

from svlearn.processes import rank

SECONDS = 20.0  # between two lines
LINE = "{desc}: {n_fmt} of {total_fmt} {unit}, {rate_noinv_fmt}, {remaining} to go{postfix}"
OPEN_LINE = "{desc}: {n_fmt} {unit}, {rate_noinv_fmt}, {elapsed} passed{postfix}"

_quiet = False  # whether `quiet` is in force


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing shows its progress meanwhile; what `say` says is no progress."""
    global _quiet
    before, _quiet = _quiet, True
    try:
        yield
    finally:
        _quiet = before


class Lines:
    """A text stream to which a bar's states are written as whole lines."""

    def __init__(self, stream: Any):
        self.stream = stream

    def write(self, text: str) -> int:
        line = text.strip("\r\n ")
        if line:
            self.stream.write(f"{line}\n")
        return len(text)

    def flush(self) -> None:
        self.stream.flush()


def progress(iterable: Iterable | None = None, *, unit: str = "step", **options: Any) -> tqdm:
    """A tqdm bar of these options, on the standard error.

    Where that is no terminal it writes a line every `SECONDS`, and none for what is done before: how many of how many,
    the rate and the time that remains. Of several processes of a run the first alone shows one, and none in `quiet`.
    """
    if _quiet or rank() > 0:
        options["disable"] = True
    if options.get("disable") or shows_bars(sys.stderr):
        return tqdm(iterable, unit=unit, **options)
    total = options.get("total")
    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)  # type: ignore[arg-type]
    form = OPEN_LINE if total is None else LINE
    lines = dict(file=Lines(sys.stderr), bar_format=form, mininterval=SECONDS, miniters=1, delay=SECONDS)
    return tqdm(iterable, unit=unit, **options | lines | {"leave": False})


def say(text: str) -> None:
    """One line on the standard error, above any bar."""
    tqdm.write(text, file=sys.stderr)


def shows_bars(stream: Any) -> bool:
    """Whether a bar can be drawn over itself there."""
    notebook = any(base.__module__ == "tqdm.notebook" for base in tqdm.__mro__)
    return notebook or bool(getattr(stream, "isatty", lambda: False)())
