"""What a computation costs: calls counted per state, seconds, peak memory; and how much of it may run at once.

`metered` opens a frame; every call of a network or a reward inside it, however deep, adds to that frame's count.
The frame also carries `max_batch`, so that work nested in a value (a Monte Carlo rollout) is cut as well.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from svlearn.arguments import integer

KINDS = ("reference_calls", "policy_calls", "value_calls", "gradient_calls", "reward_calls")


@dataclass(frozen=True)
class Cost:
    """Calls in states (one state evaluated once is one call), wall seconds, peak memory in bytes.

    peak_memory_bytes is the process' peak resident memory during the run, or, on a GPU, the peak that its
    allocator held; 0 where the system does not tell.
    """

    reference_calls: int = 0
    policy_calls: int = 0
    value_calls: int = 0
    gradient_calls: int = 0
    reward_calls: int = 0
    seconds: float = 0.0
    peak_memory_bytes: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        """Calls and seconds add up; the peak is the larger one."""
        total = {name: value + getattr(other, name) for name, value in asdict(self).items()}
        total["peak_memory_bytes"] = max(self.peak_memory_bytes, other.peak_memory_bytes)
        return Cost(**total)

    def share(self, part: float) -> "Cost":
        """A part of 0 ... 1 of the calls, rounded, and of the seconds; the peak is that of all."""
        calls = {kind: round(part * getattr(self, kind)) for kind in KINDS}
        return Cost(**calls, seconds=part * self.seconds, peak_memory_bytes=self.peak_memory_bytes)


@dataclass
class Meter:
    """The open count of one `metered` frame; `cost` is final once the frame is closed."""

    max_batch: int | None = None
    calls: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    cost: Cost = Cost()


_frames: ContextVar[tuple[Meter, ...]] = ContextVar("svlearn_meters", default=())


@contextmanager
def metered(max_batch: int | None = None) -> Iterator[Meter]:
    """Count what runs inside; cut network calls there to `max_batch` states (None: as the frame around it)."""
    max_batch = None if max_batch is None else integer(max_batch, "max_batch", optional=True)
    frames = _frames.get()
    meter = Meter(max_batch if max_batch is not None else current_max_batch())
    token = _frames.set((*frames, meter))
    if not frames:  # the mark is one for the process: a frame inside another must not lower the other's
        _reset_peak_memory()
    start = time.perf_counter()
    try:
        yield meter
    finally:
        _frames.reset(token)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        meter.cost = Cost(**meter.calls, seconds=time.perf_counter() - start, peak_memory_bytes=_peak_memory())


@contextmanager
def unmetered() -> Iterator[None]:
    """Count nothing of what runs inside, in no frame, and cut nothing: a look at what a call takes is no work."""
    token = _frames.set(())
    try:
        yield
    finally:
        _frames.reset(token)


def count(kind: str, states: int) -> None:
    """Add `states` calls of a kind (one of `KINDS`) to every open frame."""
    for meter in _frames.get():
        meter.calls[kind] += states


def current_max_batch() -> int | None:
    """The limit that the innermost frame sets, or None."""
    frames = _frames.get()
    return frames[-1].max_batch if frames else None


def _reset_peak_memory() -> None:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")  # Linux: the high-water mark starts again from here
    except OSError:
        pass


def _peak_memory() -> int:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    marks = [line.split() for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(marks[0][1]) * 1024 if marks else 0
