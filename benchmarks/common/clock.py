"""Seconds on the wall and of processors."""

import time
from collections.abc import Callable
from resource import RUSAGE_CHILDREN, getrusage
from typing import Any


def clock() -> tuple[float, float]:
    """Wall seconds, and the seconds of processors of this process and of the children that ended."""
    children = getrusage(RUSAGE_CHILDREN)
    return time.perf_counter(), time.process_time() + children.ru_utime + children.ru_stime


def since(start: tuple[float, float]) -> dict[str, float]:
    """What has passed since a `clock`."""
    return dict(zip(("seconds", "cpu_seconds"), (now - then for now, then in zip(clock(), start))))


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Seconds on the wall and of processors that a call takes."""
    start = clock()
    work()
    spent = since(start)
    return spent["seconds"], spent["cpu_seconds"]
