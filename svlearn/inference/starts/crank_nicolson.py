"""Starts that know the reward: x_0 by tempered preconditioned Crank-Nicolson Langevin moves, with exact weights."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor

from svlearn.arguments import integer, is_number, one_or_each, real
from svlearn.inference.indices import count_up, rows
from svlearn.inference.log_weights import log_mean
from svlearn.inference.resampling import effective_size, scheme
from svlearn.inference.starts.start import Start, Started
from svlearn.inference.starts.tilted import Tilted
from svlearn.process import Reference, draw_initial, has
from svlearn.randomness import randn, uniform
from svlearn.state import device_of_state, flattened
from svlearn.targets import Target
from svlearn.transitions import GaussianTransition, coordinates_of, gaussian_of
from svlearn.values.value import Value

DRIFTS = ("gradient", "none")


@dataclass(frozen=True)
class Points:
    """Coordinates of x_0 (N, ...), log-twists u (N,), nats, float64, and ∇u (N, ...), None where there is no drift."""

    places: Tensor
    log_twists: Tensor
    slopes: Tensor | None

    def __getitem__(self, index: Tensor) -> "Points":
        slopes = None if self.slopes is None else self.slopes[index]
        return Points(self.places[index], self.log_twists[index], slopes)

    def where(self, chosen: Tensor, other: "Points") -> "Points":
        """These in the chosen rows (N,), the others' in the rest."""
        pairs: Any = zip(vars(self).values(), vars(other).values(), strict=True)
        parts: Any = [None if one is None else torch.where(_along(chosen, one), one, two) for one, two in pairs]
        return Points(*parts)


def proposed(points: Points, law: GaussianTransition, level: float, step: float, noise: Tensor) -> Tensor:
    """m + ρ (x - m) + (1 - ρ) s² λ∇u + √(1 - ρ²) s · noise, √(1 - ρ²) = step, in coordinates (N, ...): the Langevin
    step of λu + log N(m, s²) that is preconditioned by s² and discretised by Crank and Nicolson (pCNL, arXiv 1202.0709,
    with ρ = (2 - δ)/(2 + δ)); without a slope it keeps N(m, s²) (pCN)."""
    keep = math.sqrt(1 - step**2)
    places = law.mean + keep * (points.places - law.mean) + step * law.std * noise
    return places if points.slopes is None else places + (1 - keep) * law.std**2 * (level * points.slopes)


def log_acceptance(old: Points, new: Points, law: GaussianTransition, level: float, step: float) -> Tensor:
    """log of π(x') q(x | x')/(π(x) q(x' | x)), (N,), nats, float64, of π ∝ N(m, s²) exp(λu) and q as `proposed`.

    λ(u' - u) + h(x', x) - h(x, x'), h(x, x') = (<x' - m - ρ(x - m), λ∇u> - (1 - ρ) |s λ∇u|²/2)/(1 + ρ): what both
    densities have in common is left out, so that nothing large cancels in many dimensions.
    """
    ratio = level * (new.log_twists - old.log_twists)
    if old.slopes is None:
        return ratio
    keep = math.sqrt(1 - step**2)

    def drawn(here: Points, there: Points) -> Tensor:
        slopes = level * here.slopes.double()  # type: ignore[union-attr]
        offset = (there.places - law.mean).double() - keep * (here.places - law.mean).double()
        terms = offset * slopes - (1 - keep) / 2 * (law.std.double() * slopes) ** 2
        return flattened(terms).sum(dim=1) / (1 + keep)

    return ratio + drawn(new, old) - drawn(old, new)


class CrankNicolson(Start):
    """x_0 from p_0 towards ∝ p_0(x_0) exp(v_0(x_0)/α), by tempered laws π_k ∝ p_0 exp(λ_k v_0/α) of a Gaussian p_0.

    All x_0 of a group begin as draws of p_0. At each level λ_1 < ... < λ_n = 1 their weights take a factor
    exp((λ_k - λ_{k-1}) v_0/α), a group whose ESS falls to ess_threshold of it is resampled, and each x_0 makes
    `num_moves` Metropolis moves that leave π_k as it is: by preconditioned Crank-Nicolson Langevin, whose acceptance
    does not fall as the dimensions grow. So E[Z_hat] = Z and p* stays what the sampler targets, for any number of moves
    and levels (annealed importance sampling, and SMC samplers: Neal 2001; Del Moral, Doucet and Jasra 2006).

    value: v_0, that of the sampler if None; with `PosteriorMean` it is r(x̂_T(x_0)). levels: n, then λ_k = k/n, or the
    numbers λ_1 < ... < λ_n = 1. step: √(1 - ρ²) in (0, 1], the share of fresh noise in a move, or one for each level;
    `acceptance` (n,) of the start that a sampler holds (`sampler.parts.start`) is that of its last run: smaller steps
    raise it. drift: "gradient" follows ∇v_0, one gradient call of the value, and of the reference where v_0 reads its
    prediction, for each move; "none" is plain pCN; None: the gradient where the value has one. A value that is random
    is drawn once for each x_0, and has no gradient.

    It costs 1 + n · num_moves calls of the value for each x_0. It needs a reference that defines `initial_law`, and
    pays where x_0 tells much of x_T: of a memoryless one v_0 is a constant.
    Raises ValueError for α = 0, numbers out of range, a p_0 that is not Gaussian and a drift that the value does not
    give; TypeError where the reference does not say its p_0.
    Source: Ψ-sampler, arXiv 2506.01320, whose chains are here weighed for what they have not yet forgotten.
    """

    reference: Reference
    target: Target
    own: bool  # whether v_0 is that of the sampler

    def __init__(
        self,
        value: Value | None = None,
        levels: int | Sequence[float] = 4,
        num_moves: int = 2,
        step: float | Sequence[float] = 0.5,
        drift: str | None = None,
        *,
        ess_threshold: float = 0.5,
        resampling: str = "systematic",
    ):
        if value is not None and not isinstance(value, Value):
            raise TypeError(f"value: expected None or a Value, got {type(value).__name__}")
        if drift is not None and drift not in DRIFTS:
            raise ValueError(f"drift: expected None or one of {', '.join(DRIFTS)}, got {drift!r}")
        self.value, self.levels, self.drift = value, _levels(levels), drift
        self.num_moves = integer(num_moves, "num_moves", 0)
        self.steps = [real(each, "step", 0, 1, above=0) for each in one_or_each(step, len(self.levels))]
        if len(self.steps) != len(self.levels):
            raise ValueError(
                f"step: expected a number or one for each of {len(self.levels)} levels, got {len(self.steps)}"
            )
        self.ess_threshold = real(ess_threshold, "ess_threshold", 0, 1)
        self.resample = scheme(resampling)
        self.acceptance: Tensor | None = None

    def bind(self, reference: Reference, target: Target | None, value: Value) -> "CrankNicolson":
        if target is None or target.alpha == 0:
            raise ValueError("alpha: starts.CrankNicolson needs a target with alpha > 0")
        if not has(reference, "initial_law"):
            raise TypeError(
                f"start: expected a reference that says its p_0, got {type(reference).__name__} without initial_law(); "
                "write initial_law(x), the GaussianTransition of x_0, where it is one; else sample without a start"
            )
        bound = copy.copy(self)
        bound.reference, bound.target, bound.own = reference, target, self.value is None or self.value is value
        known = value if self.value is None else self.value
        bound.value = known
        if known.needs_generator:
            if self.drift == "gradient":
                name = type(known).__name__
                raise ValueError(f"drift: expected None or 'none' for {name}, which is random, got 'gradient'")
            bound.drift = "none"
        return bound

    def draw(self, batch_size: int, copies: int, *, condition: Any, generator: torch.Generator) -> Started:
        x = draw_initial(self.reference, batch_size * copies, condition=condition, generator=generator)
        law = self.reference.initial_law(x)
        gaussian, coordinates = gaussian_of(law), coordinates_of(law)
        if gaussian is None:
            raise ValueError(
                f"start: expected a Gaussian p_0, got a {type(law).__name__} of {type(self.reference).__name__}; "
                "starts.CrankNicolson moves by it; sample without a start"
            )
        twist = Tilted(self.reference, self.target, cast(Value, self.value), coordinates, x, self.drift)
        points = Points(coordinates.of(x), *twist(coordinates.of(x), generator))
        log_weights = torch.zeros((batch_size, copies), dtype=torch.float64, device=device_of_state(x))
        accepted: list[Tensor] = []
        for (before, level), step in zip(pairwise([0.0, *self.levels]), self.steps, strict=True):
            log_weights = log_weights + (level - before) * points.log_twists.view(batch_size, copies)
            index, log_weights = self._resampled(log_weights, generator)
            if index is not None:
                points, gaussian, twist = points[index], gaussian[index], twist[index]
            moves = [torch.ones_like(points.log_twists, dtype=torch.bool)] * (self.num_moves == 0)
            for _ in range(self.num_moves):
                noise = randn(points.places.shape, generator, points.places.device, points.places.dtype)
                places = proposed(points, gaussian, level, step, noise)
                new = Points(places, *twist(places, generator))
                draw = uniform((len(places),), generator, log_weights.device).log()
                moves.append(draw < log_acceptance(points, new, gaussian, level, step))
                points = new.where(moves[-1], points)
            accepted.append(torch.stack(moves).double().mean())
        self.acceptance = torch.stack(accepted)
        values = points.log_twists * self.target.alpha if self.own else None
        return Started(twist.state(points.places), log_weights.flatten() - points.log_twists, values)

    def _resampled(self, log_weights: Tensor, generator: torch.Generator) -> tuple[Tensor | None, Tensor]:
        """Rows (B · n,) of those that are kept, None of all, and the log-weights (B, n) after it."""
        batch_size, size = log_weights.shape
        if size == 1 or self.ess_threshold == 0:
            return None, log_weights
        weights = log_weights.softmax(dim=1)
        due = (effective_size(weights) <= self.ess_threshold * size)[:, None] | (self.ess_threshold == 1)
        index = self.resample(weights, uniform((batch_size, size), generator, weights.device))
        places = torch.where(due, index, count_up(size, weights.device))
        shared = log_mean(log_weights)[:, None]
        return rows(places, (batch_size, size, 1)), torch.where(due, shared, log_weights)


def _levels(levels: int | Sequence[float]) -> list[float]:
    if is_number(levels):
        number = integer(levels, "levels")
        return [k / number for k in range(1, number + 1)]
    rising = [real(each, "levels", above=0) for each in levels]  # type: ignore[union-attr]
    if not rising or rising[-1] != 1 or any(two <= one for one, two in pairwise(rising)):
        raise ValueError(f"levels: expected numbers above 0 that rise to 1, got {rising}")
    return rising


def _along(rows: Tensor, like: Tensor) -> Tensor:
    """(N,) as (N, 1, ...), to go with a tensor (N, ...)."""
    return rows.view(-1, *[1] * (like.dim() - 1))
