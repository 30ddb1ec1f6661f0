"""The Gaussian law, with Diracs where it has no noise."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from svlearn.arguments import is_number
from svlearn.deferred_checks import check_finite, is_deferring
from svlearn.randomness import randn
from svlearn.state import State, concatenate, flattened, take
from svlearn.transitions.coordinates import Coordinates, TensorCoordinates
from svlearn.transitions.transition import Transition, kind_of, total, widened

ROUNDING = 8  # in units of the last place


class UnclearStdError(ValueError):
    """A std whose shape fits the rows of the mean as well as its elements."""


class GaussianTransition(Transition):
    """N(mean, std²), independent over all elements of a state.

    mean (B, ...), floats; std >= 0, a number or a tensor broadcastable to the mean, of which a shorter shape is that of
    the last dimensions. std = 0 is a Dirac at the mean, whose `log_prob` is 0 there and -inf elsewhere. Densities are
    computed in float32 at least, sums over elements in float64.
    Raises TypeError for a mean that is no float tensor and a std that is no number; ValueError for a mean without a
    batch, a std below 0 or NaN, one of another shape, and `UnclearStdError` for one of shape (B,) where B is the last
    dimension as well: it says not whether it is of the rows, (B, 1), or of the elements, (1, B). In a reference that
    svlearn calls, a std of the elements is never refused by this chance: the call is made with one row more.
    """

    _diracs: bool = True  # whether some std may be 0

    def __init__(self, mean: Tensor, std: Tensor | float):
        if not isinstance(mean, Tensor) or not mean.is_floating_point():
            raise TypeError(f"mean: expected a float tensor (B, ...), got {kind_of(mean)}")
        if mean.dim() == 0:
            raise ValueError("mean: expected shape (B, ...), got a number; one of a batch of 1 is mean[None]")
        least = _least(std)
        if not least >= 0:
            _refuse_std(least)
        std = torch.as_tensor(std, dtype=mean.dtype, device=mean.device)
        paired = zip(reversed(std.shape), reversed(mean.shape), strict=False)
        if std.dim() > mean.dim() or any(own not in (1, size) for own, size in paired):
            raise ValueError(f"std: expected a shape broadcastable to {tuple(mean.shape)}, got {tuple(std.shape)}")
        if 0 < std.dim() < mean.dim() and std.shape[0] == mean.shape[0] > 1:
            raise UnclearStdError(
                f"std: expected the batch first, got {tuple(std.shape)} for a mean of {tuple(mean.shape)}, which says "
                f"not whether its {len(std)} numbers are of the rows or of the last elements; write std of shape "
                f"{(*std.shape, *[1] * (mean.dim() - std.dim()))} or {(*[1] * (mean.dim() - std.dim()), *std.shape)}"
            )
        self.mean, self._std = mean, std.reshape((1,) * (mean.dim() - std.dim()) + std.shape)
        self._diracs = least < torch.finfo(mean.dtype).smallest_normal  # what is less may be rounded to 0

    @classmethod
    def _of(cls, mean: Tensor, std: Tensor, diracs: bool) -> "GaussianTransition":
        law = cls.__new__(cls)
        law.mean, law._std, law._diracs = mean, std, diracs
        return law

    @property
    def std(self) -> Tensor:
        """(B, ...), broadcastable to the mean."""
        return self._std.expand(len(self.mean), *self._std.shape[1:])

    @property
    def diracs(self) -> Tensor:
        """Which elements have no noise, (B, ...), of the shape of the mean."""
        return (self._std == 0).expand_as(self.mean)

    def sample(self, *, generator: torch.Generator | None = None) -> Tensor:
        return self._noise(self.mean.shape, generator).mul_(self._std).add_(self.mean)

    def sample_each(self, parents: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        batch_size, *rest = self.mean.shape
        noise = self._noise((parents.shape[0], *rest), generator)
        noise.view(batch_size, -1, *rest).mul_(self._std.unsqueeze(1)).add_(self.mean.unsqueeze(1))
        return noise

    def _noise(self, shape: Sequence[int], generator: torch.Generator | None) -> Tensor:
        """What becomes the sample in place: of many candidates, the states alone fill the memory."""
        return randn(shape, generator, self.mean.device, self.mean.dtype)

    def log_prob(self, x_next: Tensor) -> Tensor:
        std = widened(self._std)
        offset = x_next - widened(self.mean)
        dirac = std == 0
        scale = torch.where(dirac, 1.0, std)
        density = -0.5 * (offset / scale) ** 2 - scale.log() - 0.5 * math.log(2 * math.pi)
        mass = torch.where(offset == 0, 0.0, -math.inf)
        return total(torch.where(dirac, mass, density))

    def log_ratio(self, other: Transition, x_next: Tensor) -> Tensor:
        """log self/other as log(s'/s) + (z' - z)(z' + z)/2, z = (x - m)/s: the large squares never meet.

        Of elements that are Diracs on both sides 0 where these are at one place, wherever x_next is, and -inf where
        they are not: a law may not move a noiseless step for nothing. One place means |m - m'| <= 8 ε max(|m|, |m'|)
        with ε of the means' dtype (the coarser of the two), which is what rounding explains.
        -inf too where only one side is a Dirac: they never meet.
        """
        if not isinstance(other, GaussianTransition):
            return super().log_ratio(other, x_next)
        alike = self._std is other._std or _equal(self._std, other._std)
        mean, others_mean, std, others_std = map(widened, (self.mean, other.mean, self._std, other._std))
        own_scale, other_scale = std, others_std
        if self._diracs or other._diracs:
            own_scale, other_scale = (torch.where(each == 0, 1.0, each) for each in (std, others_std))
        own, others = (x_next - mean) / own_scale, (x_next - others_mean) / other_scale
        if alike:  # as of a tilted law and its own: most of the work below is nothing then
            ratio = 0.5 * ((mean - others_mean) / own_scale) * (others + own)
            return total(torch.where(std == 0, self._apart(other), ratio) if self._diracs else ratio)
        gap = torch.where(std == others_std, (mean - others_mean) / own_scale, others - own)
        ratio = (other_scale / own_scale).log() + 0.5 * gap * (others + own)
        if self._diracs or other._diracs:
            own_dirac, others_dirac = std == 0, others_std == 0
            ratio = torch.where(own_dirac | others_dirac, -math.inf, ratio)
            ratio = torch.where(own_dirac & others_dirac, self._apart(other), ratio)
        return total(ratio)

    def _apart(self, other: "GaussianTransition") -> Tensor:
        """0 where the means are one place but for rounding, -inf where they are two, NaN where one is NaN."""
        mean, others = self.mean.detach(), other.mean.detach()
        rounding = ROUNDING * max(torch.finfo(each.dtype).eps for each in (mean, others))
        gap = (mean - others).abs()
        return torch.where(gap <= rounding * torch.maximum(mean.abs(), others.abs()), 0.0, -math.inf * gap)

    def kl(self, other: Transition) -> Tensor:
        """Σ log(s'/s) + (s²/s'² - 1)/2 + (m - m')²/(2 s'²), of elements that are Diracs as `log_ratio`: 0 at one place,
        infinite at two, and where only one side is a Dirac. Raises TypeError for a law of another kind."""
        if not isinstance(other, GaussianTransition):
            return super().kl(other)
        mean, others_mean, std, others_std = (x.double() for x in (self.mean, other.mean, self._std, other._std))
        own_scale, other_scale = std, others_std
        if self._diracs or other._diracs:
            own_scale, other_scale = (torch.where(each == 0, 1.0, each) for each in (std, others_std))
        excess = (own_scale - other_scale) / other_scale  # of the stds: what is alike leaves no rounding
        terms = excess + 0.5 * excess**2 - excess.log1p() + 0.5 * ((mean - others_mean) / other_scale) ** 2
        if self._diracs or other._diracs:
            own_dirac, others_dirac = std == 0, others_std == 0
            terms = torch.where(own_dirac | others_dirac, math.inf, terms)
            terms = torch.where(own_dirac & others_dirac, -self._apart(other), terms)
        return total(terms)

    def tilt(self, gradient: Tensor) -> "GaussianTransition":
        """Exact for a linear tilt: N(mean + std² · gradient, std²)."""
        return self._of(self.mean + self._std**2 * gradient, self._std, self._diracs)

    def with_diracs_of(self, other: Transition) -> Transition:
        if not isinstance(other, GaussianTransition) or not other._diracs:
            return self
        dirac = other._std == 0
        mean = torch.where(dirac, other.mean, self.mean)
        return self._of(mean, torch.where(dirac, other._std, self._std), diracs=True)

    def expansion_point(self, x: State) -> Tensor:
        """The mean."""
        return self.mean

    def __getitem__(self, index: Any) -> "GaussianTransition":
        mean = take(self.mean, index)
        shared = self._std.shape[0] == 1 and mean.dim() == self.mean.dim()  # one for all rows: nothing is to be copied
        return self._of(mean, self._std if shared else take(self.std, index), self._diracs)

    @classmethod
    def joined(cls, parts: Sequence["GaussianTransition"]) -> "GaussianTransition":
        """The law of the elements of all parts, (B, D), one after the other."""
        means = torch.cat([flattened(part.mean) for part in parts], dim=1)
        stds = torch.cat([flattened(part.std.expand_as(part.mean)) for part in parts], dim=1)
        return cls._of(means, stds, any(part._diracs for part in parts))

    @classmethod
    def cat(cls, parts: Sequence["GaussianTransition"]) -> "GaussianTransition":
        mean, std = concatenate([p.mean for p in parts]), concatenate([p.std for p in parts])
        return cls._of(mean, std, any(p._diracs for p in parts))


def gaussian_of(law: Transition) -> GaussianTransition | None:
    """A Gaussian law itself, or the one over its `coordinates` that a law of other states has as `law`; None of any
    other."""
    inner = getattr(law, "law", law)
    return inner if isinstance(inner, GaussianTransition) else None


def coordinates_of(law: Transition) -> Coordinates:
    """In what `gaussian_of(law)` is Gaussian."""
    return getattr(law, "coordinates", TensorCoordinates())


def _least(std: Any) -> float:
    """The least of the numbers, NaN where one is, inf of none. TypeError for what is no number."""
    waits = is_deferring() and isinstance(std, Tensor) and std.is_floating_point() and std.device.type != "cpu"
    if waits and std.numel():
        lowest = std.detach().amin()
        check_finite(torch.where(lowest >= 0, 0.0, math.nan), lambda: _refuse_std(lowest.item()))
        return 0.0  # it may be, and nobody waits to know
    if is_number(std):
        return std.item() if isinstance(std, Tensor) else float(std)
    try:
        std = torch.as_tensor(std)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"std: expected a number or a tensor, got {type(std).__name__}") from error
    return std.detach().min().item() if std.numel() else math.inf


def _refuse_std(least: float) -> None:
    raise ValueError(f"std: expected numbers of at least 0, got {least}")


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(one, other)
