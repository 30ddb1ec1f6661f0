"""Inverse problems: what was seen of an image through a linear operator, with Gaussian noise, as a likelihood."""

from collections.abc import Callable, Sequence

import torch
from tensordict import TensorDict
from torch import Tensor, nn
from torch.nn import functional as F

from svlearn.arguments import expect, integer, real
from svlearn.targets import Target, likelihood


class GaussianObservation(nn.Module):
    """log N(y; A x, σ² I) = -|y - A x|²/(2σ²) - n log(2πσ²)/2, nats, (B,), of images x (B, C, H, W); differentiable.

    observation: y, the form of A x without the batch, n numbers. operator: A, (B, C, H, W) -> (B, ...), one of
    `Inpainting`, `SuperResolution` and `Blur`, or any callable that torch differentiates; no adjoint is asked for.
    noise_std: σ > 0. x may have any range: that of y. Of a conditional state, the images: see `OnImages`.
    Raises ValueError for σ <= 0, an observation that is not finite, and where A x has another form than y.
    """

    observation: Tensor

    def __init__(self, observation: Tensor | Sequence, operator: Callable[[Tensor], Tensor], noise_std: float):
        super().__init__()
        if not callable(operator):
            raise TypeError(f"operator: expected a callable of images (B, C, H, W), got {type(operator).__name__}")
        observation = torch.as_tensor(observation)
        if not bool(observation.isfinite().all()):
            raise ValueError("observation: expected finite numbers, got others")
        self.noise_std = real(noise_std, "noise_std", above=0)
        self.operator = operator
        self.register_buffer("observation", observation.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        seen = self.operator(x)
        if seen.shape[1:] != self.observation.shape:
            came = tuple(seen.shape[1:])
            raise ValueError(
                f"observation: expected the form of A x, {came}, got {tuple(self.observation.shape)}; of an image "
                "(C, H, W) it is operator(image[None])[0]"
            )
        law = torch.distributions.Normal(seen, self.noise_std, validate_args=False)
        return law.log_prob(self.observation.to(seen)).flatten(1).sum(dim=1)


def inverse_problem(observation: Tensor | Sequence, operator: Callable[[Tensor], Tensor], noise_std: float) -> Target:
    """p*(x) ∝ p_ref(x) N(y; A x, σ² I), the posterior of states that are images; see `GaussianObservation`."""
    return likelihood(GaussianObservation(observation, operator, noise_std))


class Inpainting(nn.Module):
    """A x = the pixels of x that are seen, (B, n). mask: which are, bool, (H, W) for all channels or (C, H, W).

    Raises TypeError for a mask that is not bool, ValueError for one that sees nothing, and for images of another size.
    """

    mask: Tensor

    def __init__(self, mask: Tensor | Sequence):
        super().__init__()
        mask = torch.as_tensor(mask)
        if mask.dtype != torch.bool or mask.dim() not in (2, 3):
            raise TypeError(f"mask: expected bool (H, W) or (C, H, W), got {tuple(mask.shape)} of {mask.dtype}")
        if not bool(mask.any()):
            raise ValueError("mask: expected one that sees a pixel, got one that sees none")
        self.register_buffer("mask", mask.clone())

    def forward(self, x: Tensor) -> Tensor:
        _check_form(x)
        if x.shape[-self.mask.dim() :] != self.mask.shape:
            raise ValueError(f"x: expected images of the mask's size {tuple(self.mask.shape)}, got {tuple(x.shape)}")
        return x[:, self.mask.to(x.device).expand(x.shape[1:])]


class SuperResolution(nn.Module):
    """A x = the means of squares of factor x factor pixels, (B, C, H/factor, W/factor).

    Raises ValueError for a factor below 1 and for images whose sides it does not divide.
    """

    def __init__(self, factor: int):
        super().__init__()
        self.factor = integer(factor, "factor")

    def forward(self, x: Tensor) -> Tensor:
        _check_form(x)
        if x.shape[2] % self.factor or x.shape[3] % self.factor:
            raise ValueError(f"factor: expected one that divides {x.shape[2]} and {x.shape[3]}, got {self.factor}")
        return F.avg_pool2d(x, self.factor)


class Blur(nn.Module):
    """A x = x blurred by a Gaussian of standard deviation `std` pixels, (B, C, H, W); the border is mirrored.

    radius: pixels on each side of the centre at which the kernel, whose weights sum to 1, is cut; None: 3 std, rounded
    up. Raises ValueError for std <= 0 and for images not larger than the radius.
    """

    weights: Tensor

    def __init__(self, std: float, radius: int | None = None):
        super().__init__()
        self.std = real(std, "std", above=0)
        self.radius = integer(-int(-3 * self.std // 1) if radius is None else radius, "radius")
        places = torch.arange(-self.radius, self.radius + 1, dtype=torch.float64)
        self.register_buffer("weights", torch.softmax(-(places**2) / (2 * self.std**2), dim=0))

    def forward(self, x: Tensor) -> Tensor:
        _check_form(x)
        if min(x.shape[2:]) <= self.radius:
            raise ValueError(f"radius: expected less than the sides {tuple(x.shape[2:])}, got {self.radius}")
        row = self.weights.to(x).expand(x.shape[1], 1, 1, -1)
        padded = F.pad(x, (self.radius,) * 4, mode="reflect")
        return F.conv2d(F.conv2d(padded, row, groups=x.shape[1]), row.mT, groups=x.shape[1])


def _check_form(x: Tensor) -> None:
    if isinstance(x, TensorDict):
        raise TypeError(
            "x: expected images (B, C, H, W), got states with conditions; make the reward one of them by "
            "OnImages(reference, inverse_problem(...).reward)"
        )
    if expect(x, Tensor, "x").dim() != 4 or not x.is_floating_point():
        raise ValueError(f"x: expected images (B, C, H, W), got shape {tuple(x.shape)} of {x.dtype}")
