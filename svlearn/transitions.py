"""The law of the next state, x_{t+1} given x_t, for a batch of states."""

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, cast

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from svlearn.arguments import is_number
from svlearn.randomness import categorical, inverted, uniform
from svlearn.state import State, concatenate, take

SHORT = 16  # numbers of float32 in a register


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

    def tilt(self, gradient: State) -> "Transition":
        """∝ self · exp(<gradient, x_next>), to first order; gradient has the shape of `expansion_point`."""
        raise TypeError(f"tilt: {type(self).__name__} cannot be tilted by a gradient")

    def expansion_point(self, x: State) -> State:
        """Where a function of x_{t+1} is linearised to tilt this law of it, given x_t: in floats, (B, ...)."""
        raise TypeError(f"expansion_point: {type(self).__name__} cannot be tilted by a gradient")


class GaussianTransition(Transition):
    """N(mean, std²), independent over all elements of a state.

    mean (B, ...); std >= 0, a number or a tensor broadcastable to the mean. std = 0 is a Dirac at the mean, whose
    `log_prob` is 0 there and -inf elsewhere. Sums over elements are taken in float64.
    """

    def __init__(self, mean: Tensor, std: Tensor | float):
        number = is_number(std) and not isinstance(std, Tensor)
        if not (std >= 0 if number else bool((torch.as_tensor(std) >= 0).all())):
            raise ValueError("std: expected numbers of at least 0, got a negative one or NaN")
        std = torch.as_tensor(std, dtype=mean.dtype, device=mean.device)
        paired = zip(reversed(std.shape), reversed(mean.shape), strict=False)
        if std.dim() > mean.dim() or any(own not in (1, wanted) for own, wanted in paired):
            raise ValueError(f"std: expected a shape broadcastable to {tuple(mean.shape)}, got {tuple(std.shape)}")
        self.mean, self._std = mean, std.reshape((1,) * (mean.dim() - std.dim()) + std.shape)

    @classmethod
    def _of(cls, mean: Tensor, std: Tensor) -> "GaussianTransition":
        law = cls.__new__(cls)
        law.mean, law._std = mean, std
        return law

    @property
    def std(self) -> Tensor:
        """(B, ...), broadcastable to the mean."""
        return self._std.expand(len(self.mean), *self._std.shape[1:])

    def sample(self, *, generator: torch.Generator | None = None) -> Tensor:
        return self._noise(self.mean.shape, generator).mul_(self._std).add_(self.mean)

    def sample_each(self, parents: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        batch_size, *rest = self.mean.shape
        noise = self._noise((parents.shape[0], *rest), generator)
        noise.view(batch_size, -1, *rest).mul_(self._std.unsqueeze(1)).add_(self.mean.unsqueeze(1))
        return noise

    def _noise(self, shape: Sequence[int], generator: torch.Generator | None) -> Tensor:
        """What becomes the sample in place: of many candidates, the states alone fill the memory."""
        return torch.randn(shape, generator=generator, dtype=self.mean.dtype, device=self.mean.device)

    def log_prob(self, x_next: Tensor) -> Tensor:
        offset = x_next - self.mean
        dirac = self._std == 0
        scale = torch.where(dirac, 1.0, self._std)
        density = -0.5 * (offset / scale) ** 2 - scale.log() - 0.5 * math.log(2 * math.pi)
        mass = torch.where(offset == 0, 0.0, -math.inf)
        return _total(torch.where(dirac, mass, density))

    def log_ratio(self, other: Transition, x_next: Tensor) -> Tensor:
        """log self/other as log(s'/s) + (z' - z)(z' + z)/2, z = (x - m)/s: the large squares never meet.

        0 for elements that are Diracs on both sides; -inf where only one side is one: they never meet.
        """
        if not isinstance(other, GaussianTransition):
            return super().log_ratio(other, x_next)
        std, others_std = self._std, other._std
        own_dirac, alike = std == 0, std is others_std or torch.equal(std, others_std)
        own_scale = torch.where(own_dirac, 1.0, std)
        other_scale = own_scale if alike else torch.where(others_std == 0, 1.0, others_std)
        own, others = (x_next - self.mean) / own_scale, (x_next - other.mean) / other_scale
        if alike:  # as of a tilted law and its own: most of the work below is nothing then
            ratio = 0.5 * ((self.mean - other.mean) / own_scale) * (others + own)
            return _total(torch.where(own_dirac, 0.0, ratio))
        gap = torch.where(std == others_std, (self.mean - other.mean) / own_scale, others - own)
        ratio = (other_scale / own_scale).log() + 0.5 * gap * (others + own)
        both, either = own_dirac & (others_std == 0), own_dirac | (others_std == 0)
        return _total(torch.where(both, 0.0, torch.where(either, -math.inf, ratio)))

    def tilt(self, gradient: Tensor) -> "GaussianTransition":
        """Exact for a linear tilt: N(mean + std² · gradient, std²)."""
        return self._of(self.mean + self._std**2 * gradient, self._std)

    def expansion_point(self, x: State) -> Tensor:
        """The mean."""
        return self.mean

    def __getitem__(self, index: Any) -> "GaussianTransition":
        mean = take(self.mean, index)
        shared = self._std.shape[0] == 1 and mean.dim() == self.mean.dim()  # one for all rows: nothing is to be copied
        return self._of(mean, self._std if shared else take(self.std, index))

    @classmethod
    def cat(cls, parts: Sequence["GaussianTransition"]) -> "GaussianTransition":
        return cls._of(concatenate([p.mean for p in parts]), concatenate([p.std for p in parts]))


def log_normalized(logits: Tensor) -> Tensor:
    """The log-softmax of logits (..., L, V) over V.

    Along a short last dimension the CPU's kernel goes number by number: it is moved out of the way, which is faster.
    """
    if logits.shape[-1] >= SHORT or logits.device.type != "cpu":
        return logits.log_softmax(dim=-1)
    return logits.transpose(-1, -2).contiguous().log_softmax(dim=-2).transpose(-1, -2).contiguous()


class CategoricalTransition(Transition):
    """Independent draws at each of L places: logits (B, L, V), unnormalised, over states (B, L) of token ids."""

    def __init__(self, logits: Tensor):
        if logits.dim() != 3:
            raise ValueError(f"logits: expected shape (B, L, V), got {tuple(logits.shape)}")
        self.log_probs = log_normalized(logits)

    @property
    def logits(self) -> Tensor:
        """Normalised logits (B, L, V)."""
        return self.log_probs

    def sample(self, *, generator: torch.Generator | None = None) -> Tensor:
        return categorical(self.log_probs.exp(), generator)

    def sample_each(self, parents: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        batch_size, length, _ = self.log_probs.shape
        points = uniform((len(parents), length), generator, self.log_probs.device).view(batch_size, -1, length)
        drawn = inverted(self.log_probs.exp(), points.transpose(1, 2).contiguous())
        return drawn.transpose(1, 2).reshape(len(parents), length)

    def log_prob(self, x_next: Tensor) -> Tensor:
        return _total(self._of_tokens(x_next))

    def log_ratio(self, other: Transition, x_next: Tensor) -> Tensor:
        """Summed place by place, so that equal places cancel exactly."""
        if not isinstance(other, CategoricalTransition):
            return super().log_ratio(other, x_next)
        own = self._of_tokens(x_next)
        return _total(torch.where(own == -math.inf, own, own - other._of_tokens(x_next)))

    def outcomes(self, limit: int) -> tuple[Tensor, Tensor]:
        """The product over places of the tokens that some row of the batch can take."""
        possible = [place.nonzero().flatten().tolist() for place in (self.log_probs > -math.inf).any(dim=0)]
        number = math.prod(len(tokens) for tokens in possible)
        if number > limit:
            raise ValueError(f"outcomes: {number} next states, the limit is {limit}")
        states = torch.tensor(list(itertools.product(*possible)), device=self.log_probs.device)
        log_probs = torch.stack([self.log_prob(row.expand(len(self.log_probs), -1)) for row in states], dim=1)
        return states.expand(len(self.log_probs), -1, -1), log_probs

    def tilt(self, gradient: Tensor) -> "CategoricalTransition":
        """logits + gradient, the gradient (B, L, V) taken in the one-hot of x_next (arXiv 2406.01572)."""
        return CategoricalTransition(self.log_probs + gradient)

    def expansion_point(self, x: State) -> Tensor:
        """The one-hot of x_t, (B, L, V): a step changes few places."""
        return nn.functional.one_hot(x, self.log_probs.shape[-1]).to(self.log_probs.dtype)

    def __getitem__(self, index: Any) -> "CategoricalTransition":
        return self._of(take(self.log_probs, index))

    @classmethod
    def cat(cls, parts: Sequence["CategoricalTransition"]) -> "CategoricalTransition":
        return cls._of(concatenate([p.log_probs for p in parts]))

    @classmethod
    def _of(cls, log_probs: Tensor) -> "CategoricalTransition":
        law = cls.__new__(cls)
        law.log_probs = log_probs
        return law

    def _of_tokens(self, tokens: Tensor) -> Tensor:
        return self.log_probs.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)


def _total(terms: Tensor) -> Tensor:
    return terms.flatten(1).sum(dim=1, dtype=torch.float64)


class ListedTransition(Transition):
    """A law over few next states that are listed: states (B, N, ...) with logits (B, N), unnormalised, nats.

    A state that is listed twice has the sum of its probabilities.
    """

    def __init__(self, states: State, logits: Tensor):
        if logits.dim() != 2 or tuple(states.shape[:2]) != tuple(logits.shape):
            shapes = f"{tuple(states.shape[:2])} and {tuple(logits.shape)}"
            raise ValueError(f"logits: expected (B, N) with states (B, N, ...), got {shapes}")
        self.states, self.log_probs = states, logits.double().log_softmax(dim=1)

    def sample(self, *, generator: torch.Generator | None = None) -> State:
        chosen = categorical(self.log_probs.exp(), generator)
        return self.states[torch.arange(len(chosen), device=chosen.device), chosen]

    def log_prob(self, x_next: State) -> Tensor:
        equal = self._equal(self.states, x_next)
        return torch.where(equal, self.log_probs, -math.inf).logsumexp(dim=1)

    def outcomes(self, limit: int) -> tuple[State, Tensor]:
        number = self.log_probs.shape[1]
        if number > limit:
            raise ValueError(f"outcomes: {number} next states, the limit is {limit}")
        return self.states, self.log_probs

    def __getitem__(self, index: Any) -> "ListedTransition":
        return ListedTransition(self.states[index], self.log_probs[index])

    @staticmethod
    def _equal(states: State, x: State) -> Tensor:
        """Which of the states (B, N, ...) are x (B, ...), (B, N)."""
        if isinstance(states, Tensor):
            return (states == x.unsqueeze(1)).flatten(2).all(dim=2)
        leaves = states.flatten_keys().items()
        named = cast(TensorDict, x).flatten_keys()
        return torch.stack([ListedTransition._equal(leaf, named[name]) for name, leaf in leaves]).all(dim=0)
