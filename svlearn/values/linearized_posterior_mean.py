"""The posterior mean of a candidate without a call for it: that of its parent, moved as the candidate's noise says."""

import math
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor

from svlearn.modes import evaluating
from svlearn.process import Prediction, Reference, step_by_step
from svlearn.randomness import device_of
from svlearn.schedules import NoiseLevels
from svlearn.state import State, to_device
from svlearn.targets import Target
from svlearn.transitions import Coordinates, GaussianTransition, Transition, coordinates_of, gaussian_of
from svlearn.transitions.fields import described
from svlearn.values.posterior_mean import PosteriorMean

PER = ("step", "coordinate")


class LinearizedPosteriorMean(PosteriorMean):
    """v_{t+1}(x_{t+1}) ≈ r(x̂_T(x_t) + J_{t+1} (x_{t+1} - m_t(x_t))), (B,), reward units, of a candidate x_{t+1} that
    the Gaussian step N(m_t, s_t²) drew from x_t: the true reward of a guess at x̂_T(x_{t+1}).

    E[x̂_T(x_{t+1}) | x_t] = x̂_T(x_t), and to first order in the candidate's noise x̂_T moves from there by J_{t+1} =
    ∂x̂_T(x_{t+1})/∂x_{t+1}. Where x_T and x_{t+1} are jointly Gaussian given x_t, and each coordinate of x̂_T moves with
    that coordinate alone, as J says, this is no approximation.

    In `svdd` a candidate that loses costs one reward call and no reference call: T + M - 1 calls a lineage, where
    `PosteriorMean` takes M T. A state that no step has drawn, as x_0, and one that is met outside the sampling loop, as
    in `tree_search`, has r of its own x̂_T, for which the reference is called. The weights of a run are right
    with either; those of single moves (`Sampler.move`) do not chain, for each takes its x_t for a state of that kind.

    sensitivity: J_t at t = 0 ... T - 1, a number each (T,), or (T, ...) for each coordinate of a state (see
    `transitions.coordinates`); that of t = 0 is not used. `of_levels` knows it of an isotropic Gaussian x_T, and
    `measured` measures it along trajectories. J = 0 makes all candidates alike, J too large chooses by noise.
    Raises ValueError for a sensitivity that is not finite or not (T, ...), and where the reference predicts no x̂_T;
    TypeError for steps that are not Gaussian, as those of tokens, where no noise is to be followed.
    Source: the regression of a Gaussian on another; x̂_T by Tweedie's formula (arXiv 2209.14687, equation 10).
    """

    sensitivity: Tensor

    def __init__(self, target: Target, sensitivity: Tensor | Sequence[float]):
        super().__init__(target)
        sensitivity = torch.as_tensor(sensitivity, dtype=torch.float64).clone()
        if sensitivity.dim() == 0 or not len(sensitivity):
            raise ValueError(f"sensitivity: expected (T,) or (T, ...), got shape {tuple(sensitivity.shape)}")
        if not bool(sensitivity.isfinite().all()):
            raise ValueError("sensitivity: expected finite numbers, got others")
        self.register_buffer("sensitivity", sensitivity)

    @classmethod
    def of_levels(cls, target: Target, levels: NoiseLevels, data_std: float = 1.0) -> Self:
        """Of x_T ~ N(·, s² I): J_t = a_t s²/(a_t² s² + σ_t²), s = data_std, a and σ those of `NoiseLevels`.

        s = inf gives J_t = 1/a_t: how x̂_T = (x_t + σ_t² ∇log p(x_t))/a_t moves if the score stood still. Raises
        ValueError for s <= 0, and for s = inf where an a_t with t > 0 is 0.
        """
        if not data_std > 0:
            raise ValueError(f"data_std: expected a number above 0, got {data_std}")
        scales, variances = levels.scales[:-1], levels.stds[:-1] ** 2
        precision = 0.0 if math.isinf(data_std) else data_std**-2
        spread = scales**2 + precision * variances
        return cls(target, torch.where(spread > 0, scales / torch.where(spread > 0, spread, 1.0), 0.0))

    @classmethod
    @torch.no_grad()
    def measured(cls, target: Target, reference: Reference, trajectories: State, per: str = "step") -> Self:
        """From N trajectories (N, T + 1, ...) of the reference, which is called along them once, N T calls.

        J_t = Σ <x̂_T(x_t) - x̂_T(x_{t-1}), d>/Σ |d|², d = x_t - m_{t-1}(x_{t-1}): least squares, over all coordinates
        of a step (per "step") or for each of them alone ("coordinate", (T, ...), which wants many trajectories); 0
        where a step has no noise. Raises ValueError for another `per` and trajectories of another length.
        """
        if per not in PER:
            raise ValueError(f"per: expected one of {', '.join(PER)}, got {per!r}")
        if tuple(trajectories.shape[1:2]) != (reference.num_steps + 1,):
            shape = tuple(trajectories.shape)
            raise ValueError(f"trajectories: expected (N, {reference.num_steps + 1}, ...), got {shape}")
        states: Any = to_device(trajectories, device_of(reference))
        before: tuple[Tensor, Tensor, Tensor] | None = None  # x̂_T, and the mean and the std of the step
        found = []
        with evaluating(reference):
            for t, prediction in enumerate(step_by_step(reference, states)):
                law, coordinates = _gaussian(prediction.transition)
                clean = coordinates.of(_clean(prediction)).double()
                if before is not None:
                    moved, noise = clean - before[0], coordinates.of(states[:, t]).double() - before[1]
                    found.append(_slope(moved, torch.where(before[2] > 0, noise, 0.0), per))
                before = clean, law.mean.double(), torch.as_tensor(law.std, device=law.mean.device)
        started = torch.zeros_like(found[0]) if found else torch.zeros((), dtype=torch.float64)
        return cls(target, torch.stack([started, *found]))

    def arguments(self) -> dict[str, Any]:
        """What the constructor took, for a checkpoint."""
        return {"target": self.target, "sensitivity": self.sensitivity.tolist()}

    def at_time(self, t: int) -> "LinearizedPosteriorMean":
        if t >= len(self.sensitivity):
            raise ValueError(f"sensitivity: expected a number for t = {t}, got {len(self.sensitivity)} of them")
        return self

    def of_children(self, x: State, t: Tensor, parents: Prediction) -> Tensor:
        law, coordinates = _gaussian(parents.transition)
        clean = _clean(parents)
        point, offset = coordinates.of(clean), coordinates.of(x) - law.mean
        slope = self.sensitivity[t].to(offset)
        slope = slope.view(*slope.shape, *[1] * (offset.dim() - slope.dim()))
        return self.target.floored(coordinates.state(point + slope * offset, clean), t)


def _gaussian(transition: Transition) -> tuple[GaussianTransition, Coordinates]:
    law = gaussian_of(transition)
    if law is None:
        raise TypeError(
            f"reference: LinearizedPosteriorMean expected Gaussian steps, got {described(transition)}, which has no "
            "one noise that x̂_T would follow; use PosteriorMean, or a learned value"
        )
    return law, coordinates_of(transition)


def _clean(prediction: Prediction) -> State:
    if prediction.clean is None:
        raise ValueError(
            "prediction.clean: LinearizedPosteriorMean needs x̂_T, and the reference predicts none; return "
            "Prediction(..., clean=x̂_T) from its forward"
        )
    return prediction.clean


def _slope(moved: Tensor, noise: Tensor, per: str) -> Tensor:
    """<moved, noise>/|noise|² of (N, ...), over all or over N alone; 0 where there is no noise."""
    products, squares = moved * noise, noise.square()
    products, squares = (each.sum() if per == "step" else each.sum(dim=0) for each in (products, squares))
    return torch.where(squares > 0, products / torch.where(squares > 0, squares, 1.0), 0.0)
