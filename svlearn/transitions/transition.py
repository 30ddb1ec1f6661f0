"""The law of the next state, x_{t+1} given x_t, for a batch of states."""

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from svlearn.state import State, flattened

if TYPE_CHECKING:
    from svlearn.transitions.listed import ListedTransition

HALVES = (torch.float16, torch.bfloat16)


class Transition(ABC):
    """The law of x_{t+1} given a batch of B states x_t. A subclass writes `sample`, `log_prob`, `__getitem__`.

    `cat(parts)`, a class method that joins batches, is needed as well where `max_batch` is used.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        """Who samples in a way of its own does so for each row too, whatever `sample_each` it would inherit."""
        super().__init_subclass__(**options)
        if "sample" in vars(cls) and "sample_each" not in vars(cls):
            cls.sample_each = Transition.sample_each  # type: ignore[method-assign]

    @abstractmethod
    def sample(self, *, generator: torch.Generator | None = None) -> State:
        """Draw x_{t+1}, (B, ...); reparametrised where it can be differentiated."""

    def sample_each(self, parents: Tensor, *, generator: torch.Generator | None = None) -> State:
        """Draw M times for each row, (B · M, ...); parents (B · M,): 0 ... B - 1, each M times, side by side.

        As self[parents].sample(), to the bit; a subclass may do without the copies of itself.
        """
        return self[parents].sample(generator=generator)

    @abstractmethod
    def log_prob(self, x_next: State) -> Tensor:
        """Log-density or log-probability of x_next, (B,), nats."""

    @abstractmethod
    def __getitem__(self, index: Any) -> "Transition":
        """The law for the chosen rows, so that it follows the particles."""

    def log_ratio(self, other: "Transition", x_next: State) -> Tensor:
        """log self(x_next) - log other(x_next), (B,), nats; -inf where self cannot reach x_next."""
        own = self.log_prob(x_next)
        return torch.where(own == -math.inf, own, own - other.log_prob(x_next))

    def outcomes(self, limit: int) -> tuple[State, Tensor]:
        """All next states (B, N, ...) and their log-probabilities (B, N), where N <= limit; else ValueError."""
        raise ValueError(f"outcomes: {type(self).__name__} cannot list its next states (the limit is {limit})")

    def listed(self, limit: int) -> "ListedTransition":
        """The law as one over listed states, as `outcomes` gives them; a subclass that can list its next states without
        making them, as a text's next tokens, keeps to no limit. Its states are made when they are asked for."""
        from svlearn.transitions.listed import ListedTransition

        return ListedTransition(*self.outcomes(limit))

    def tilt(self, gradient: State) -> "Transition":
        """∝ self · exp(<gradient, x_next>), to first order; gradient has the shape of `expansion_point`."""
        raise TypeError(f"tilt: {type(self).__name__} cannot be tilted by a gradient")

    def expansion_point(self, x: State) -> State:
        """Where a function of x_{t+1} is linearised to tilt this law of it, given x_t: in floats, (B, ...)."""
        raise TypeError(f"expansion_point: {type(self).__name__} cannot be tilted by a gradient")

    def with_diracs_of(self, other: "Transition") -> "Transition":
        """This law, but where the other has no noise the other one: element by element, of laws that can be such."""
        return self

    def kl(self, other: "Transition") -> Tensor:
        """KL(self || other), exactly, (B,), nats, float64; inf where other cannot reach what self does."""
        kinds = f"{type(self).__name__} and {type(other).__name__}"
        raise TypeError(f"kl: expected two laws whose divergence is known in closed form, got {kinds}")

    def rsample_relaxed(self, x: State, temperature: float, *, generator: torch.Generator | None = None) -> State:
        """x_{t+1} as soft one-hots, given x_t as such (of the shape of `expansion_point`), with a gradient in both the
        law and x_t; its most probable tokens are a draw of the law where x_t has one token a place."""
        raise TypeError(f"rsample_relaxed: {type(self).__name__} cannot be relaxed to soft one-hots")


def total(terms: Tensor) -> Tensor:
    """The sum over all elements of each row of (B, ...), (B,), float64."""
    return flattened(terms).sum(dim=1, dtype=torch.float64)


def widened(x: Tensor) -> Tensor:
    """In float32 at least: bfloat16 has two digits, so that its probabilities sum to 0.99."""
    return x.float() if x.dtype in HALVES else x


def kind_of(thing: Any) -> str:
    """How an error names what came: a tensor by its kind of numbers, anything else by its class."""
    return f"a tensor of {thing.dtype}" if isinstance(thing, Tensor) else type(thing).__name__
