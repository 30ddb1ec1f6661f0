"""Checks that can wait: whether numbers are finite is asked at once, or of all steps together at the end of a run.

To read a number back from an accelerator waits for all that was asked of it before, some hundred times as long as on
the CPU. Inside `deferring` a check leaves its number on the device, and all are read back at once at the end.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

CHECKS = ("every", "end")

_waiting: ContextVar[list[tuple[Tensor, Callable[[], None]]] | None] = ContextVar("svlearn_checks", default=None)


def check_finite(number: Tensor, look: Callable[[], None]) -> None:
    """Call `look`, which raises what is to be raised, where a number (no dimensions) is NaN or infinite.

    The number is a hint, such as the sum of those that count: `look` may find nothing wrong. Inside `deferring` this
    happens at its end, and what `look` reads is held until then.
    """
    waiting = _waiting.get()
    if waiting is not None:
        waiting.append((number.detach(), look))
    elif not math.isfinite(number.item()):
        look()


def is_deferring() -> bool:
    """Whether checks wait."""
    return _waiting.get() is not None


@contextmanager
def deferring(check: str | None, device: torch.device) -> Iterator[None]:
    """Let the checks inside wait for the end, where `check` is "end"; "every": none waits.

    None: "every" on the CPU, where it costs nothing, and "end" on every other device. At the end the first check that
    failed is raised, by the order in which they were asked; so it is where another error ended the run, which may be
    its consequence. Inside another `deferring` the outer one decides. Raises ValueError for another `check`.
    """
    if check is not None and check not in CHECKS:
        raise ValueError(f"check: expected one of {', '.join(CHECKS)}, got {check!r}")
    if check == "every" or (check is None and device.type == "cpu") or _waiting.get() is not None:
        yield
        return
    waiting: list[tuple[Tensor, Callable[[], None]]] = []
    token = _waiting.set(waiting)
    try:
        try:
            yield
        finally:  # an interrupt, too
            _waiting.reset(token)
    except Exception:
        _read_back(waiting)
        raise
    _read_back(waiting)


def _read_back(waiting: list[tuple[Tensor, Callable[[], None]]]) -> None:
    """Ask what is not finite, in order."""
    if not waiting:
        return
    finite = torch.stack([number.double().isfinite().to(waiting[0][0].device) for number, _ in waiting]).tolist()
    for fine, (_, look) in zip(finite, waiting, strict=True):
        if not fine:
            look()
