"""Explicit generators: nothing in svlearn reads a global seed."""

import math
from collections.abc import Sequence
from itertools import chain
from operator import index

import torch
from torch import Tensor, nn

MOST_CATEGORIES = 2**24  # of torch.multinomial


def device_of(module: nn.Module) -> torch.device:
    """Where a module's first parameter or buffer lives; the CPU for a module that has none."""
    for tensor in chain(module.parameters(), module.buffers()):
        return tensor.device
    return torch.device("cpu")


def resolve_generator(generator: torch.Generator | None, device: torch.device) -> torch.Generator:
    """The given generator, or a new one on `device`, seeded from the system's entropy.

    Raises ValueError where the given one lives on another kind of device, TypeError for what is none, such as a seed.
    """
    if generator is None:
        generator = torch.Generator(device)
        generator.seed()
    elif not isinstance(generator, torch.Generator):
        came = f"{type(generator).__name__} {generator!r}"
        raise TypeError(f"generator: expected None or torch.Generator().manual_seed(a seed), got {came}")
    elif generator.device.type != device.type:
        raise ValueError(f"generator: expected one on {device.type}, as the reference, got one on {generator.device}")
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


def draw_by(weights: Tensor, number: int, generator: torch.Generator | None = None) -> Tensor:
    """`number` independent draws from each row of weights (..., V), of any sum: the places (..., number), long.

    As `torch.multinomial` has them, and by inversion where a row is too long for that.
    """
    if weights.shape[-1] <= MOST_CATEGORIES:
        return torch.multinomial(weights, number, replacement=True, generator=generator)
    return inverted(weights, uniform((*weights.shape[:-1], number), generator, weights.device))


def categorical(probs: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """An index drawn from each row of probabilities (..., V), (...), long.

    By inversion, from one uniform number a row: `torch.multinomial` draws V exponential ones, which takes five times as
    long where V is small. A token of probability 0 is never drawn. Raises ValueError for NaN.
    """
    return inverted(probs, uniform((*probs.shape[:-1], 1), generator, probs.device)).squeeze(-1)


def uniform(shape: Sequence[int], generator: torch.Generator | None, device: torch.device) -> Tensor:
    """Uniform numbers in [0, 1), float64."""
    return torch.rand(shape, generator=generator, dtype=torch.float64, device=device)


def inverted(probs: Tensor, uniforms: Tensor) -> Tensor:
    """The indices (..., n) in each row of weights (..., V), of any sum, under its points (..., n) of [0, 1)."""
    cumulative = (probs.detach() if probs.requires_grad else probs).cumsum(dim=-1, dtype=torch.float64)
    total = cumulative[..., -1:]
    if not math.isfinite(total.sum().item()):
        raise ValueError("probs: expected finite numbers, got others")
    return torch.searchsorted(cumulative, uniforms * total, right=True).clamp_(max=probs.shape[-1] - 1)


def uniform_subset(eligible: Tensor, count: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """A uniformly drawn subset of `count` (B,) of the eligible places (B, L), as a mask (B, L)."""
    keys = uniform(eligible.shape, generator, eligible.device).masked_fill_(~eligible, 2.0)
    most = int(count.max())
    padded = keys if most < keys.shape[1] else nn.functional.pad(keys, (0, 1), value=2.0)
    smallest = padded.topk(most + 1, dim=1, largest=False).values  # sorted
    return keys < smallest.gather(1, count.unsqueeze(1))
