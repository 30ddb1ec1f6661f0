"""Bounds on log Z from both sides, and with them how far a sampler's law is from its target, in nats."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from svlearn.arguments import integer
from svlearn.conditions import distinct, rows_for
from svlearn.evaluation.summary import Floats, log_mean_exp, mean, standard_error
from svlearn.inference.retained import check_shape
from svlearn.inference.sampler import Sampler
from svlearn.inference.samples import Samples
from svlearn.metering import Cost
from svlearn.randomness import device_of, draw_by, resolve_generator
from svlearn.state import State


@dataclass(frozen=True)
class NormalizerBounds:
    """lower <= log Z <= upper in expectation, in nats, with their standard errors.

    Let Q be the law of all that a run draws, its last choice of one particle included, and P* the law of a run with a
    path of p* at a uniform place among the others (conditional SMC). Then Z_hat = Z dP*/dQ, and so

        lower = E_Q[log Z_hat] = log Z - KL(Q || P*),  upper = E_P*[log Z_hat] = log Z + KL(P* || Q).

    The drawn path has the law q under Q and p* under P*, and no map raises a KL: KL(q || p*) <= log Z - lower and
    KL(p* || q) <= upper - log Z, of paths and of x_T alike. Each is at most the gap, and the gap is at least their
    sum, whatever log Z is. (Bidirectional SMC: arXiv 2404.17546, section 5.)

    log_normalizer: log of the mean Z_hat over the G groups of the first kind, a better estimate of log Z than either
    bound (below it in expectation by about its variance/2). A group that died has log Z_hat = -inf, and so has lower:
    q then leaves room where p* has none. cost: of both kinds of runs.

    by_condition: the same of each condition where the groups have several, in the order in which they come; the costs
    are shared out by groups. The figures of all are then means over the groups of those of their condition: log Z is
    that of one condition in each, never the log of a mean of different Z. So the gap is the mean of the gaps.
    """

    lower: float
    lower_standard_error: float
    upper: float
    upper_standard_error: float
    log_normalizer: float
    log_normalizer_standard_error: float
    cost: Cost
    by_condition: tuple["NormalizerBounds", ...] = ()

    @property
    def gap(self) -> float:
        """upper - lower >= KL(q || p*) + KL(p* || q), nats."""
        return self.upper - self.lower

    @property
    def gap_standard_error(self) -> float:
        return math.hypot(self.lower_standard_error, self.upper_standard_error)

    def kl_to_target(self, log_normalizer: float | None = None) -> float:
        """What KL(q || p*) is at most: log Z - lower, nats; log Z is the estimate where it is not given."""
        return (self.log_normalizer if log_normalizer is None else float(log_normalizer)) - self.lower

    def kl_from_target(self, log_normalizer: float | None = None) -> float:
        """What KL(p* || q) is at most: upper - log Z, nats; log Z is the estimate where it is not given."""
        return self.upper - (self.log_normalizer if log_normalizer is None else float(log_normalizer))


def normalizer_bounds(
    sampler: Sampler,
    num_groups: int,
    *,
    trajectories: State | None = None,
    condition: Any = None,
    generator: torch.Generator | None = None,
    max_batch: int | None = None,
) -> NormalizerBounds:
    """The bounds of a sampler that estimates log Z: `smc`, and `svdd` at α > 0. See `NormalizerBounds`.

    lower is the mean of log Z_hat over num_groups groups of `sampler.sample`, upper that over one group of
    `sampler.sample_conditionally` for each of the given trajectories x_0 ... x_T (B, T + 1, ...). These must be
    independent draws of p*, as `optimal_trajectories` of the oracles gives them.

    trajectories None: they are drawn from all paths of the groups of the first kind, by their weights and their
    groups' Z_hat. That law tends to p* as groups and particles grow, but it is not p*: upper is then only an estimate
    of the bound. A mode of p* that no group found is missing in both, and the gap does not tell; the trajectories
    share groups, so that the standard error is too small as well.

    condition: num_groups rows of what is conditioned on, one a group (see `svlearn.conditions`); trajectories are then
    as many, each of its row, and are drawn from the groups of equal rows where they are None. Of rows that are not all
    equal the result has the bounds of each condition, `by_condition`; repeat a row for each of its groups.

    `smc` resamples independently where it retains a path, so that the bound on KL(p* || q) is of the sampler with
    resampling="multinomial", of all particles; log Z <= upper holds for each.
    Raises ValueError for a sampler without an estimate, trajectories of another length, and as `sampler.sample` does.
    """
    if not sampler.estimates_normalizer:
        raise ValueError("sampler: expected one that estimates log Z (smc, svdd at alpha > 0), got one that does not")
    num_groups = integer(num_groups, "num_groups")
    condition = rows_for(condition, num_groups, "a group")
    which = torch.zeros(num_groups, dtype=torch.long) if condition is None else distinct(condition)[1]
    if trajectories is not None:
        size = None if condition is None else num_groups
        check_shape(trajectories, size, sampler.reference.num_steps, "trajectories")
    generator = resolve_generator(generator, device_of(sampler.reference))
    drawing: dict[str, Any] = {"condition": condition, "generator": generator, "max_batch": max_batch}
    samples = sampler.sample(num_groups, keep_states=trajectories is None, **drawing)
    below = cast(Tensor, samples.log_normalizer).double()
    if trajectories is None:
        trajectories = _drawn_paths(samples, below, which.to(below.device), generator)
    conditional = sampler.sample_conditionally(trajectories, **drawing)
    above = cast(Tensor, conditional.log_normalizer).double()
    lower, upper, cost = below.cpu().numpy(), above.cpu().numpy(), samples.cost + conditional.cost
    whole = _bounds(lower, upper, cost)
    if condition is None or not bool(which.any()):
        return whole
    places = [(which == number).nonzero()[:, 0].cpu().numpy() for number in range(int(which.max()) + 1)]
    parts = [_bounds(lower[at], upper[at], cost.share(len(at) / num_groups)) for at in places]
    return _mean_of(parts, [len(at) / num_groups for at in places], whole)


def _bounds(lower: Floats, upper: Floats, cost: Cost) -> NormalizerBounds:
    """Of the log Z_hat of both kinds of groups, nats."""
    estimate, error = log_mean_exp(lower)
    return NormalizerBounds(
        lower=mean(lower),
        lower_standard_error=standard_error(lower),
        upper=mean(upper),
        upper_standard_error=standard_error(upper),
        log_normalizer=estimate,
        log_normalizer_standard_error=error,
        cost=cost,
    )


def _mean_of(parts: Sequence[NormalizerBounds], shares: Sequence[float], whole: NormalizerBounds) -> NormalizerBounds:
    """The mean over the groups of the bounds of their conditions. Where a condition has too few groups for errors of
    its own, the error of a mean is that over all groups, as if they were of one: too large, but it tells."""
    names = ("lower", "upper", "log_normalizer")
    means = {name: sum(share * getattr(part, name) for share, part in zip(shares, parts)) for name in names}
    errors = {
        f"{name}_standard_error": math.hypot(
            *(share * getattr(part, f"{name}_standard_error") for share, part in zip(shares, parts))
        )
        for name in names
    }
    for name in ("lower_standard_error", "upper_standard_error"):
        errors[name] = getattr(whole, name) if math.isnan(errors[name]) else errors[name]
    return NormalizerBounds(**means, **errors, cost=whole.cost, by_condition=tuple(parts))


def _drawn_paths(samples: Samples, log_normalizer: Tensor, which: Tensor, generator: torch.Generator) -> State:
    """A path for each group, (B, T + 1, ...), by weight, from all groups of its condition which (B,) together."""
    paths = samples.paths()
    joint, size = samples.log_weights + log_normalizer[:, None], paths.shape[1]
    drawn = torch.zeros_like(which)  # the place of each among all paths
    for number in which.unique():
        rows = (which == number).nonzero()[:, 0]
        places = draw_by(joint[rows].flatten().softmax(dim=0), len(rows), generator)
        drawn[rows] = rows[places // size] * size + places % size
    return paths.flatten(0, 1)[drawn]
