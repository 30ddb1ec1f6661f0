"""What a dry run has found, and the comparisons that all of them make."""

from collections.abc import Callable
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.state import State
from svlearn.transitions import Transition, gaussian_of

CLOSE = {"rtol": 1e-4, "atol": 1e-4}  # float32 sums in another order differ by less


class Findings:
    """What a dry run has found: errors, and warnings of what runs but is not what it seems."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.warnings: list[str] = []
        self.first: Exception | None = None  # that was raised

    def attempt(self, name: str, function: Callable[[], Any]) -> Any:
        """What the function returns; None, and an error of that name, where it raises."""
        try:
            return function()
        except Exception as error:  # whatever a user's code may raise
            self.first = error if self.first is None else self.first
            text = str(error) or type(error).__name__
            self.wrong(text if text.startswith(name) else f"{name}: {text} ({type(error).__name__})")
            return None

    def draw(self, name: str, function: Callable[[torch.Generator], Any], device: torch.device) -> Any:
        """What the function draws by a generator of a fixed seed; an error where it does not draw by that alone."""
        state = torch.random.get_rng_state()
        drawn = self.attempt(name, lambda: function(torch.Generator(device).manual_seed(3)))
        if drawn is None:
            return None
        if not torch.equal(state, torch.random.get_rng_state()):
            self.wrong(
                f"{name}: expected draws by `generator` alone, got some by torch's global one; write "
                "torch.randn(..., generator=generator), and so for every draw"
            )
            return drawn
        again = self.attempt(name, lambda: function(torch.Generator(device).manual_seed(3)))
        if again is not None and not same(drawn, again):
            self.wrong(
                f"{name}: expected the same numbers by the same seed, got others; let every draw take "
                "generator=generator, and keep nothing from call to call"
            )
        return drawn

    def wrong(self, text: str) -> None:
        if text not in self.errors:
            self.errors.append(text)

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    def finish(self, name: str) -> None:
        """Raise ValueError with the errors, if there are any."""
        if self.errors:
            raise ValueError(f"{name}\n{self}") from self.first

    def __str__(self) -> str:
        lines = [*self.errors, *(f"warning: {text}" for text in self.warnings)]
        return "\n".join(f"- {line}" for line in lines)


def leaves(x: State) -> dict[Any, Tensor]:
    """The tensors of a state by their names; a tensor is its own, named ""."""
    named: Any = {"": x} if isinstance(x, Tensor) else dict(x.items(True, True))
    return named


def same(one: State, other: State) -> bool:
    """Whether two states hold the same numbers, to the bit; NaN is NaN."""
    return layout(one) == layout(other) and all(
        torch.equal(leaf.nan_to_num(), leaves(other)[name].nan_to_num())
        if leaf.is_floating_point()
        else torch.equal(leaf, leaves(other)[name])
        for name, leaf in leaves(one).items()
    )


def close(one: Tensor, other: Tensor) -> bool:
    """Whether numbers (B,) are the same but for rounding; infinities and NaN where the others are."""
    return torch.allclose(one.double(), other.double(), equal_nan=True, **CLOSE)


def same_law(one: Transition, other: Transition, point: State) -> bool:
    """Whether two laws of the same rows say the same of a point but for rounding. Of Gaussians of which some elements
    have no noise, the means and stds are compared: rounding alone, as of another batch size, moves a Dirac off it."""
    laws = gaussian_of(one), gaussian_of(other)
    if laws[0] is None or laws[1] is None or not bool(laws[0].diracs.any()):
        return close(one.log_prob(point), other.log_prob(point))
    means, stds = zip(*((law.mean, law.std.expand_as(law.mean)) for law in laws if law is not None), strict=True)
    return means[0].shape == means[1].shape and close(*means) and close(*stds)


def layout(x: Any) -> Any:
    """The shapes and kinds of numbers of a state."""
    if isinstance(x, TensorDict):
        return {name: (tuple(leaf.shape), leaf.dtype) for name, leaf in sorted(x.flatten_keys().items())}
    return (tuple(x.shape), x.dtype) if isinstance(x, Tensor) else type(x).__name__


def numbers(findings: Findings, values: Any, size: int, name: str, *, finite: bool = False) -> bool:
    """Whether these are real numbers (B,) without NaN and inf, and without -inf where they are to be finite."""
    if not isinstance(values, Tensor) or values.shape != (size,) or not values.dtype.is_floating_point:
        actual = f"{tuple(values.shape)} of {values.dtype}" if isinstance(values, Tensor) else type(values).__name__
        findings.wrong(f"{name}: expected floats of shape (B,) = ({size},), one number a row, got {actual}")
        return False
    bad = values.isnan() | (values == torch.inf) | (values.isinf() if finite else torch.zeros_like(values).bool())
    if bool(bad.any()):
        expected = "finite numbers" if finite else "numbers or -inf"
        findings.wrong(f"{name}: expected {expected}, got {float(values[bad][0])} at index {int(bad.nonzero()[0])}")
        return False
    return True
