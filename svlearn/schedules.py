"""Noise schedules: from how much noise x_t holds to the Gaussian steps of a diffusion, and the ones that forget x_0."""

import copy
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.compiled import plain
from svlearn.modes import evaluating
from svlearn.placement import where_the_reference_is
from svlearn.process import Prediction, Reference, call, draw_initial
from svlearn.randomness import device_of, seeded
from svlearn.state import State, device_of_state, times
from svlearn.transitions import GaussianTransition, Transition

VARIANCES = ("large", "small")


@dataclass(frozen=True, eq=False)
class NoiseLevels:
    """x_t | x_T ~ N(a_t x_T, σ_t²), t = 0 ... T: scales a and stds σ, (T + 1,), kept in float64, a_T = 1, σ_T = 0.

    The law of a chain that runs from x_T down: x_t = κ x_{t+1} + ρ · noise, κ = a_t/a_{t+1}, ρ² = σ_t² - κ² σ_{t+1}².
    A flow along straight lines has a_t = t/T, σ_t = 1 - t/T.
    Raises ValueError for wrong shapes, numbers that are not finite, a_t <= 0 after t = 0, σ_t < 0, σ_t = 0 before T
    (but for a_0 = 0, where x_0 is the point 0), and where ρ² < 0: a later x_t would be noisier than an earlier one.
    """

    scales: Tensor
    stds: Tensor

    def __post_init__(self) -> None:
        scales, stds = (torch.as_tensor(part, dtype=torch.float64).clone() for part in (self.scales, self.stds))
        if scales.dim() != 1 or len(scales) < 2:
            raise ValueError(f"scales: expected shape (T + 1,), T >= 1, got {tuple(scales.shape)}")
        if stds.shape != scales.shape:
            raise ValueError(f"stds: expected shape {tuple(scales.shape)}, as scales, got {tuple(stds.shape)}")
        if not bool(scales.isfinite().all() and scales[0] >= 0 and (scales[1:] > 0).all() and scales[-1] == 1):
            raise ValueError(f"scales: expected finite numbers above 0 (or 0 at t = 0), 1 at T, got {scales.tolist()}")
        point = scales[:-1] == 0
        if not bool(stds.isfinite().all() and (stds >= 0).all() and ((stds[:-1] > 0) | point).all() and stds[-1] == 0):
            raise ValueError(f"stds: expected finite numbers above 0 before T, 0 at T, got {stds.tolist()}")
        object.__setattr__(self, "scales", scales)
        object.__setattr__(self, "stds", stds)
        if bool((self.added_variances < -1e-12 * stds[:-1] ** 2).any()):
            raise ValueError(f"stds: expected x_t noisier, for its scale, than x_{{t+1}}, got {stds.tolist()}")

    @classmethod
    def from_alpha_bars(cls, alpha_bars: Tensor) -> "NoiseLevels":
        """a_t = √ā_t and σ_t = √(1 - ā_t), from ā (T + 1,) that rises to ā_T = 1: a variance-preserving diffusion."""
        alpha_bars = torch.as_tensor(alpha_bars, dtype=torch.float64)
        if not bool((alpha_bars >= 0).all() and (alpha_bars <= 1).all()):
            raise ValueError(f"alpha_bars: expected numbers in [0, 1], got {alpha_bars.tolist()}")
        return cls(alpha_bars.sqrt(), (1 - alpha_bars).sqrt())

    @property
    def num_steps(self) -> int:
        return len(self.scales) - 1

    @property
    def added_variances(self) -> Tensor:
        """ρ_t², (T,), t = 0 ... T - 1."""
        kappa = self.scales[:-1] / self.scales[1:]
        return self.stds[:-1] ** 2 - kappa**2 * self.stds[1:] ** 2


class GaussianSteps(NamedTuple):
    """x_{t+1} ~ N(kept_t x_t + added_t x̂_T(x_t), stds_t²), t = 0 ... T - 1; each (T,), float64."""

    kept: Tensor
    added: Tensor
    stds: Tensor


def gaussian_steps(levels: NoiseLevels, eta: float = 1.0, variance: str = "small") -> GaussianSteps:
    """The ancestral sampler between DDIM (eta = 0, no noise) and DDPM (eta = 1).

    stds = η (σ_{t+1}/σ_t) ρ_t, kept = √(σ_{t+1}² - stds²)/σ_t, added = a_{t+1} - kept a_t, with ρ_t of the levels
    (DDIM, arXiv 2010.02502, equations 12 and 16). At η = 1 it is E[x_{t+1} | x_t, x_T] and its spread; variance
    "large" puts ρ_t, which is above 0 at the last step too, in the place of that (DDPM, arXiv 2006.11239, section 3.2).

    η = 1 from a_0 = 0 is memoryless: kept_0 = 0, so x_0 enters by x̂_T(x_0) alone, which is then E[x_T] for every x_0:
    I(x_0; x_T) = 0. Any η < 1 keeps √(σ_1² - stds²)/σ_0 of x_0. It is the discrete form of σ(t)² = 2 η_t, for which
    alone a policy that keeps p_0 reaches p* (arXiv 2409.08861).
    Raises ValueError for an eta outside [0, 1], an unknown variance, and "large" with another eta than 1.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta: expected a number in [0, 1], got {eta}")
    if variance not in VARIANCES:
        raise ValueError(f"variance: expected one of {', '.join(VARIANCES)}, got {variance!r}")
    if variance == "large" and eta != 1:
        raise ValueError(f"eta: expected 1 with the variance 'large', got {eta}")
    scales, later_scales = levels.scales[:-1], levels.scales[1:]
    stds, later_stds = levels.stds[:-1], levels.stds[1:]
    added_stds = levels.added_variances.clamp(min=0).sqrt()
    point = stds == 0  # x_0 = 0 says nothing: all of x_1 is drawn, whatever eta is
    scale = torch.where(point, 1.0, stds)
    spread = torch.where(point, later_stds, later_stds / scale * added_stds)
    drawn = torch.where(point, spread, eta * spread)
    kept = torch.where(point, 0.0, (later_stds**2 - drawn**2).clamp(min=0).sqrt() / scale)
    if eta == 1:  # without the cancellation
        kept = scales / later_scales * (later_stds / scale) ** 2
    if variance == "large":
        drawn = torch.where(point, later_stds, added_stds)
    return GaussianSteps(kept, later_scales - kept * scales, drawn)


def cosine_schedule(num_steps: int, start: float = 0.0) -> Tensor:
    """ā_t = sin²(π/2 · (s + (1 - s) t/T)), (T + 1,), float64, from ā_0 = start in [0, 1) to ā_T = 1.

    start = 0 is memoryless: x_0 tells nothing of x_T. The cosine schedule of arXiv 2102.09672, our time.
    """
    if num_steps < 1:
        raise ValueError(f"num_steps: expected an integer of at least 1, got {num_steps}")
    if not 0 <= start < 1:
        raise ValueError(f"start: expected a number in [0, 1), got {start}")
    offset = 2 / math.pi * math.asin(math.sqrt(start))
    phases = offset + (1 - offset) * torch.linspace(0, 1, num_steps + 1, dtype=torch.float64)
    alpha_bars = (math.pi / 2 * phases).sin() ** 2
    alpha_bars[0], alpha_bars[-1] = start, 1.0
    return alpha_bars


def check_noise(reference: Reference, need: str, condition: Any = None) -> None:
    """Raise ValueError where no step of the reference has noise, as with eta = 0 or in an Euler flow, and say what has.

    need: what would do nothing then. Two trajectories are looked at, up to the first step with noise: most often one
    call, of a shallow copy of the reference, so that neither it nor the cost of a run remembers it. A step is without
    noise where its Gaussian std is 0 or, for other laws of floats, where two draws are equal. condition: two rows, of
    the two; a process that starts from nothing else cannot be looked at without, and is taken.
    """
    try:
        noiseless = _is_noiseless(reference, condition)
    except Exception:  # what a look meets, a run will meet, and say where
        return
    if noiseless:
        raise ValueError(
            f"reference: expected noise at some step t < {reference.num_steps}, got {type(reference).__name__} without "
            f"any: {need}. The steps of schedules.gaussian_steps with eta > 0 have noise, with eta=1 they are "
            "memoryless as well; a flow along straight lines is NoiseLevels(scales=t/T, stds=1 - t/T) for them"
        )


@torch.no_grad()
@where_the_reference_is
def _is_noiseless(reference: Reference, condition: Any) -> bool:
    generator = seeded(device_of(reference), 0)
    previous: Prediction | None = None
    reference = copy.copy(plain(reference))
    x = draw_initial(reference, 2, condition=condition, generator=generator)
    for t in range(reference.num_steps):
        cache = None if previous is None or previous.cache is None else previous
        with evaluating(reference):
            previous = call(reference, x, times(t, 2, device_of_state(x)), cache)
        after = _after_a_noiseless_step(previous.transition, x, generator)
        if after is None:
            return False
        x = after
    return True


def _after_a_noiseless_step(law: Transition, x: State, generator: torch.Generator) -> State | None:
    """x_{t+1}, or None where x_t and the law do not say it for certain."""
    if type(law) is GaussianTransition:
        return law.mean if bool((law.std == 0).all()) else None
    drawn = [_leaves(law.sample(generator=generator)) for _ in range(2)]
    before, moved = _leaves(x), False
    for name, leaf in drawn[0].items():
        if not torch.equal(leaf, drawn[1][name]):
            return None
        still = torch.equal(leaf, before[name])
        if not still and not leaf.is_floating_point():
            return None  # two draws of a token are equal by chance
        moved = moved or not still
    return law.sample(generator=generator) if moved else None


def _leaves(x: State) -> dict:
    return dict(x.items(True, True)) if isinstance(x, TensorDict) else {"": x}
