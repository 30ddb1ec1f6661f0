"""Memory: how much x_0 tells of x_T under a reference, and a warning where a policy that keeps p_0 suffers from it."""

import math
import warnings
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from svlearn.arguments import integer
from svlearn.conditions import rows_for
from svlearn.metering import metered
from svlearn.modes import in_evaluation
from svlearn.placement import at_home
from svlearn.process import Reference, draw_initial
from svlearn.randomness import device_of, rand, resolve_generator
from svlearn.state import State, flattened, repeat
from svlearn.values.finish import finish

MEMORY = 2  # stream of randomness, beside those of training and validation
NUM_PAIRS, FEW_PAIRS = 128, 32
UNSUSPICIOUS = 0.2  # a reference that remembers enough to matter shows such a p-value in few of 32 pairs
PERMUTATIONS = 999
SIGNIFICANT = 1 / (1 + PERMUTATIONS)  # no permutation reaches what was measured
COMPONENTS = 16


@dataclass(frozen=True)
class MemorylessTest:
    """What x_0 tells of x_T, from pairs of trajectories that share x_0. All is 0 for a memoryless reference.

    information  Gaussian estimate of I(x_0; x_T), nats; unbiased for a linear-Gaussian process, so it may fall
                 below 0; inf where x_0 determines x_T
    explained    share of the variance of x_T, each coordinate in its own unit, that E[x_T | x_0] explains
    p_value      chance that a memoryless reference shows as large a share: the test is exact in any dimension
    """

    information: float
    explained: float
    p_value: float


@torch.no_grad()
@in_evaluation
def measure_memory(
    reference: Reference,
    num_pairs: int = NUM_PAIRS,
    *,
    condition: Any = None,
    generator: torch.Generator | None = None,
) -> MemorylessTest:
    """Finish `num_pairs` states x_0 ~ p_0 twice each, 2 T calls a pair, and compare the two x_T (B, ...).

    condition: one row, of which all pairs are: what a condition tells of x_T is no memory, for it is given.
    It sees what moves the mean of x_T; a dependence in the higher moments alone stays unseen.
    Raises ValueError for fewer than 16 pairs, and for conditions of another number than 1.
    """
    num_pairs = integer(num_pairs, "num_pairs", 16)
    generator = resolve_generator(generator, device_of(reference))
    rows = rows_for(condition, 1, "for all pairs")
    rows = None if rows is None else repeat(rows, num_pairs)
    with at_home(reference, generator=generator):
        x = repeat(draw_initial(reference, num_pairs, condition=rows, generator=generator), 2)
        finished = moved(x, finish(reference, x, 0, generator))
    first, second = standardized(finished[::2], finished[1::2])
    explained, p_value = shared_variance(first, second, generator)
    return MemorylessTest(shared_information(first, second), explained, p_value)


def moved(x: State, finished: State) -> Tensor:
    """The numbers of x_T (N, d), float64, less the leaves that are as in x_0 (N, ...): what it is conditioned on."""
    if isinstance(finished, Tensor) or isinstance(x, Tensor):
        return flattened(cast(Tensor, finished)).double()
    starts, ends = (cast(dict[str, Tensor], dict(each.flatten_keys().items())) for each in (x, finished))
    changed = [flattened(leaf).double() for name, leaf in ends.items() if not torch.equal(leaf, starts[name])]
    return torch.cat(changed, dim=1)


def look_for_memory(
    reference: Reference,
    *,
    condition: Any = None,
    generator: torch.Generator | None = None,
    max_batch: int | None = None,
) -> MemorylessTest:
    """`measure_memory` by as few pairs as tell: 32, then twice and four times as many where the p-value is neither as
    small as it can be nor above `UNSUSPICIOUS`. At most `max_batch` states in one network call."""
    generator = resolve_generator(generator, device_of(reference))
    number = FEW_PAIRS
    with metered(max_batch):
        memory = measure_memory(reference, number, condition=condition, generator=generator)
        while SIGNIFICANT < memory.p_value < UNSUSPICIOUS and number < NUM_PAIRS:
            number *= 2
            memory = measure_memory(reference, number, condition=condition, generator=generator)
    return memory


def warn_of_memory(
    reference: Reference,
    *,
    condition: Any = None,
    generator: torch.Generator | None = None,
    max_batch: int | None = None,
) -> None:
    """Warn (UserWarning) where the reference is not memoryless, as far as `look_for_memory` sees."""
    memory = look_for_memory(reference, condition=condition, generator=generator, max_batch=max_batch)
    if memory.p_value <= SIGNIFICANT:
        warnings.warn(
            f"reference: not memoryless, x_0 explains {100 * memory.explained:.0f} % of the variance of x_T "
            f"(I(x_0; x_T) is about {memory.information:.2g} nats). A policy keeps p_0, so its law of x_T will differ "
            "from p*: its ELBO stays below log Z. Weigh its samples (smc with proposals.Policy), learn v_0 as well "
            "(PathConsistency), or give a diffusion all of its noise: the steps of schedules.gaussian_steps with eta=1 "
            "from alpha_bar_0 = 0 are memoryless",
            stacklevel=2,
        )


def standardized(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Both (N, d) less their common mean, each coordinate over its common std; what never varies becomes 0."""
    both = torch.cat([first, second])
    both = both - both.mean(dim=0)
    std = both.std(dim=0, correction=0)
    both = torch.where(std > 0, both / torch.where(std > 0, std, 1.0), 0.0)
    return both[: len(first)], both[len(first) :]


def shared_variance(first: Tensor, second: Tensor, generator: torch.Generator) -> tuple[float, float]:
    """Σ_i <x_i, x'_i> / Σ_i (|x_i|² + |x'_i|²)/2 of standardised twins (N, d), and its p-value.

    Its expectation is the explained share (a random-effects analysis of variance). Where x_0 tells nothing the twins
    are independent, so any other pairing shows as much: the p-value is exact.
    """
    total = float((first**2 + second**2).sum()) / 2
    if total == 0:
        return 0.0, 1.0
    products = first @ second.T
    shuffled = rand((PERMUTATIONS, len(first)), generator, first.device).argsort(dim=1)
    by_chance = products[torch.arange(len(first), device=first.device), shuffled].sum(dim=1)
    measured = products.trace()
    return float(measured) / total, (1 + int((by_chance >= measured).sum())) / (1 + PERMUTATIONS)


def shared_information(first: Tensor, second: Tensor) -> float:
    """(log det Cov[x_T] - log det Cov[x_T | x_0])/2, nats, of standardised twins (N, d), by their within-covariance.

    Cov[x_T | x_0] is half that of x_T - x'_T. In more than 16 dimensions (or N/8) only the leading principal
    components of x_T are looked at, which can but lower the information.
    """
    _, sizes, axes = torch.linalg.svd(torch.cat([first, second]), full_matrices=False)
    number = min(COMPONENTS, len(first) // 8, int((sizes > 1e-6 * sizes[0]).sum()))
    first, second = first @ axes[:number].T, second @ axes[:number].T
    within = log_det_covariance((first - second) / math.sqrt(2), len(first))
    whole = [log_det_covariance(part - part.mean(dim=0), len(part) - 1) for part in (first, second)]
    return float(sum(whole) / 2 - within) / 2


def log_det_covariance(deviations: Tensor, degrees: int) -> Tensor:
    """log det Σ, (), from rows (N, k) whose scatter has a Wishart law of that many degrees of freedom; unbiased.

    E[log det scatter] = log det Σ + k log 2 + Σ_i ψ((degrees - i)/2), i = 0 ... k - 1.
    """
    number = deviations.shape[1]
    halves = (degrees - torch.arange(number, device=deviations.device, dtype=deviations.dtype)) / 2
    expected = number * math.log(2) + torch.digamma(halves).sum()
    return torch.linalg.slogdet(deviations.T @ deviations)[1] - expected
