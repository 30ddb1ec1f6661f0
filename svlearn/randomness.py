"""Explicit generators: nothing in svlearn reads a global seed.

A generator is honoured wherever it lies: numbers are drawn on its device and moved to where they are needed, so that a
seed on the CPU gives the same noise with and without an accelerator. Every draw of svlearn goes through here.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from operator import index
from typing import Any

import torch
from torch import Tensor, nn

from svlearn.deferred_checks import check_finite

CPU = torch.device("cpu")
MOST_CATEGORIES = 2**24  # of torch.multinomial


def device_of(module: nn.Module) -> torch.device:
    """Where a module's first parameter or buffer lives; the default device in force for a module that has none."""
    for tensor in chain(module.parameters(), module.buffers()):
        return tensor.device
    return torch.get_default_device()


def together(one: torch.device, other: torch.device) -> bool:
    """Whether two devices are one; a device without an index is any of its kind."""
    return one == other or (one.type == other.type and (one.index is None or other.index is None))


def resolve_generator(generator: torch.Generator | None, device: torch.device) -> torch.Generator:
    """The given generator, wherever it lies, or a new one on `device`, seeded from the system's entropy.

    Raises TypeError for what is none, such as a seed.
    """
    if generator is None:
        generator = torch.Generator(device)
        generator.seed()
    elif not isinstance(generator, torch.Generator):
        actual = f"{type(generator).__name__} {generator!r}"
        raise TypeError(f"generator: expected None or torch.Generator().manual_seed(a seed), got {actual}")
    return generator


def seeded(device: torch.device | str, *seeds: int) -> torch.Generator:
    """A generator that depends on all the integers given: one stream per (seed, step), (seed, chunk), ..."""
    mixed = 0
    for word in chain.from_iterable(map(_words, seeds)):  # splitmix64: neighbouring seeds give unrelated streams
        mixed = (mixed + word + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        mixed ^= mixed >> 31
    return torch.Generator(device).manual_seed(mixed & 0x7FFFFFFFFFFFFFFF)


@contextmanager
def global_draws_from(generator: torch.Generator, device: torch.device = CPU) -> Iterator[None]:
    """What knows the global generator alone, as dropout and a layer's first weights, is drawn by this one, on the CPU
    and on `device`; the global one stays as it was."""
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _words(seed: int) -> list[int]:
    """A seed of any size, 64 bits at a time, the lowest first."""
    seed = index(seed)  # a bool too: whatever tells one stream from another
    return [seed >> shift & 0xFFFFFFFFFFFFFFFF for shift in range(0, max(1, seed.bit_length()), 64)]


def stream(
    device: torch.device | str, seed: int, kind: int, step: int, *, rank: int = 0, part: int = 0
) -> torch.Generator:
    """The generator of one draw of a training: (seed, kind of draw, step), and among the processes that train together
    its rank, and of the micro-batches that make up the step its part. Rank 0's part 0 is what a process alone draws."""
    apart = (rank, part) if rank or part else ()
    return seeded(device, seed, kind, step, *apart)


def randn(
    shape: Sequence[int], generator: torch.Generator | None, device: torch.device, dtype: torch.dtype | None = None
) -> Tensor:
    """Standard normal numbers."""
    return _draw(torch.randn, shape, generator=generator, device=device, dtype=dtype)


def rand(
    shape: Sequence[int], generator: torch.Generator | None, device: torch.device, dtype: torch.dtype | None = None
) -> Tensor:
    """Uniform numbers in [0, 1)."""
    return _draw(torch.rand, shape, generator=generator, device=device, dtype=dtype)


def uniform(shape: Sequence[int], generator: torch.Generator | None, device: torch.device) -> Tensor:
    """Uniform numbers in [0, 1), float64."""
    return rand(shape, generator, device, torch.float64)


def randint(high: int, shape: Sequence[int], generator: torch.Generator | None, device: torch.device) -> Tensor:
    """Uniform integers in 0 ... high - 1, long."""
    return _draw(torch.randint, high, shape, generator=generator, device=device)


def randperm(number: int, generator: torch.Generator | None, device: torch.device) -> Tensor:
    """0 ... number - 1 in a random order, long."""
    return _draw(torch.randperm, number, generator=generator, device=device)


def multinomial(weights: Tensor, number: int, generator: torch.Generator | None = None) -> Tensor:
    """As `torch.multinomial` with replacement: `number` places (..., number), long, of weights (..., V)."""
    if generator is None or together(generator.device, weights.device):
        return torch.multinomial(weights, number, replacement=True, generator=generator)
    chosen = torch.multinomial(weights.to(generator.device), number, replacement=True, generator=generator)
    return chosen.to(weights.device)


def draw_by(weights: Tensor, number: int, generator: torch.Generator | None = None) -> Tensor:
    """`number` independent draws from each row of weights (..., V), of any sum: the places (..., number), long.

    As `torch.multinomial` has them, and by inversion where a row is too long for that.
    """
    if weights.shape[-1] <= MOST_CATEGORIES:
        return multinomial(weights, number, generator)
    return inverted(weights, uniform((*weights.shape[:-1], number), generator, weights.device))


def categorical(probs: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """An index drawn from each row of probabilities (..., V), (...), long.

    By inversion, from one uniform number a row: `torch.multinomial` draws V exponential ones, which takes five times as
    long where V is small. A token of probability 0 is never drawn. Raises ValueError for NaN.
    """
    return inverted(probs, uniform((*probs.shape[:-1], 1), generator, probs.device)).squeeze(-1)


def inverted(probs: Tensor, uniforms: Tensor) -> Tensor:
    """The indices (..., n) in each row of weights (..., V), of any sum, under its points (..., n) of [0, 1)."""
    cumulative = (probs.detach() if probs.requires_grad else probs).cumsum(dim=-1, dtype=torch.float64)
    total = cumulative[..., -1:]
    check_finite(total.sum(), _refuse_probs)
    return torch.searchsorted(cumulative, uniforms * total, right=True).clamp_(max=probs.shape[-1] - 1)


def _refuse_probs() -> None:
    raise ValueError("probs: expected finite numbers, got others")


def _draw(
    function: Callable[..., Tensor],
    *sizes: Any,
    generator: torch.Generator | None,
    device: torch.device,
    **options: Any,
) -> Tensor:
    """What a function of torch draws, where the generator lies, and then on `device`."""
    if generator is None or together(generator.device, device):
        return function(*sizes, generator=generator, device=device, **options)
    return function(*sizes, generator=generator, device=generator.device, **options).to(device)


def uniform_subset(eligible: Tensor, count: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """A uniformly drawn subset of `count` (B,) of the eligible places (B, L), as a mask (B, L)."""
    keys = uniform(eligible.shape, generator, eligible.device).masked_fill_(~eligible, 2.0)
    most = int(count.max())
    padded = keys if most < keys.shape[1] else nn.functional.pad(keys, (0, 1), value=2.0)
    smallest = padded.topk(most + 1, dim=1, largest=False).values  # sorted
    return keys < smallest.gather(1, count.unsqueeze(1))
