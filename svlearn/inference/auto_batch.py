"""max_batch="auto": how many states one network call may have, found by one probe of what a state takes."""

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch

from svlearn.arguments import integer
from svlearn.metering import unmetered
from svlearn.modes import evaluating
from svlearn.placement import at_home
from svlearn.process import draw_initial, predict
from svlearn.randomness import CPU, device_of, seeded
from svlearn.state import number_of_rows, take, times
from svlearn.values.value import evaluate

if TYPE_CHECKING:
    from svlearn.inference.sampler import Sampler

AUTO = "auto"
SHARE = 0.4  # of the memory that is free, for one call: the loop holds states and predictions beside it
MOST_ON_CPU = 512  # where larger batches gain no speed
PROBED = 8, 64  # states
# The bytes of a state, by sampler, and by device and shapes of conditions.
_known: "WeakKeyDictionary[Any, dict[Any, float]]" = WeakKeyDictionary()


def checked_max_batch(max_batch: Any) -> Any:
    """None, "auto" or an int of at least 1, else ValueError."""
    if max_batch is None or (isinstance(max_batch, str) and max_batch == AUTO):
        return max_batch
    if isinstance(max_batch, str):
        raise ValueError(f"max_batch: expected None, 'auto' or an integer of at least 1, got {max_batch!r}")
    return integer(max_batch, "max_batch", optional=True)


def resolved(max_batch: Any, sampler: "Sampler", condition: Any = None) -> int | None:
    """The limit itself; of "auto" so many states that one call takes at most 0.4 of the memory that is free, on a GPU
    as the driver tells it, on the CPU as the system does, and there never more than 512.

    The reference, and a value that reads states alone, are called once each with 8 and with 64 states x_0, which no
    cost counts; what 56 states more take tells what one takes. It sees no gradient, no cache that grows along a text
    and no reward or value of predictions, and of memory no limit of a container: where one of these decides, give a
    number. What the system does not tell is taken for enough. The probe is made once for a sampler on a device; what
    else is free is looked up anew, and shared by the processes that torchrun has started on the host. How samples are
    rounded may depend on the limit, their noise does not. On Linux's CPU the allocator may keep more than is in use
    between the calls that a limit cuts; MALLOC_MMAP_THRESHOLD_=65536 in the environment has it given back.
    """
    if checked_max_batch(max_batch) != AUTO:
        return max_batch
    device = device_of(sampler.reference)
    held = _known.setdefault(sampler, {})
    key = (str(device), None if condition is None else shapes_of(condition))
    if key not in held:
        held[key] = bytes_of_a_state(_probe(sampler, condition), device)
    return limit_of(held[key], free_memory(device), device)


def limit_of(bytes_of_state: float, free: int | None, device: torch.device) -> int:
    """SHARE · free / bytes, at least 1; on the CPU MOST_ON_CPU at most, and where nothing is known."""
    most = MOST_ON_CPU if device.type == "cpu" else 2**20
    if free is None or bytes_of_state <= 0:
        return most
    together = int(os.environ.get("LOCAL_WORLD_SIZE", "1") or 1)  # processes on this host, as torchrun tells it
    return max(1, min(most, int(SHARE * free / together / bytes_of_state)))


def bytes_of_a_state(call: Callable[[int], None], device: torch.device) -> float:
    """The peak that further states add, each: (peak of 64 - peak of 8)/56; 0 where the system does not tell."""
    call(PROBED[0])  # what is made at a first call is no state's
    few, many = (_growth(partial(call, number), device) for number in PROBED)
    return max(0.0, (many - few) / (PROBED[1] - PROBED[0]))


def free_memory(device: torch.device) -> int | None:
    """Bytes that are free, None where the system does not tell."""
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cached
    with suppress(OSError, ValueError, IndexError, StopIteration):
        lines = [line.split() for line in Path("/proc/meminfo").read_text().splitlines()]
        return next(int(line[1]) * 1024 for line in lines if line[0] == "MemAvailable:")
    with suppress(AttributeError, ValueError, OSError):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def shapes_of(condition: Any) -> str:
    """What tells conditions of one size from those of another."""
    if isinstance(condition, dict):
        return str({name: shapes_of(each) for name, each in condition.items()})
    if hasattr(condition, "items"):  # a TensorDict
        return str({str(name): tuple(each.shape[1:]) for name, each in condition.items(True, True)})
    return str(tuple(getattr(condition, "shape", ("",))[1:]))


def _probe(sampler: "Sampler", condition: Any) -> Callable[[int], None]:
    reference, value = sampler.reference, sampler.value

    @torch.no_grad()
    def call(number: int) -> None:
        rows = None if condition is None else take(condition, torch.arange(number) % number_of_rows(condition))
        with evaluating(sampler), unmetered(), at_home(reference, sampler, generator=seeded(CPU, 0)) as generator:
            x = draw_initial(reference, number, condition=rows, generator=generator)
            predict(reference, x, 0)
            if not value.needs_prediction and not value.needs_generator:
                evaluate(value, x, times(0, number, device_of(reference)), None, generator=generator)

    return call


def _growth(call: Callable[[], None], device: torch.device) -> float:
    """By how many bytes the memory in use rises at most while a call runs."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        return torch.cuda.max_memory_allocated(device) - before
    try:
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS:")
        call()
        return _status("VmHWM:") - before
    except (OSError, StopIteration):
        return 0


def _status(mark: str) -> int:
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return next(int(line[1]) * 1024 for line in lines if line[0] == mark)
