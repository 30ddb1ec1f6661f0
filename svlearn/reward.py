"""The reward r(x_T): what a callable must do to be one, what it may say of itself, and the weighted sum of several."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from svlearn.arguments import real
from svlearn.state import State


class Reward(Protocol):
    """r(x_T), (B,), reward units, of finished states (B, ...); -inf is legal (a constraint). Any callable is one.

    What it may say of itself besides, each by an attribute that may be missing:

    asynchronous   True where a call mostly waits for other processes: a sampler's network goes on meanwhile. False
    reads_one_hot  True where it also takes soft one-hots (B, ..., V) in the place of tokens (B, ...), so that it has a
                   gradient in them; of a masked diffusion (B, ..., V + 1) too, the mask last. False
    name           a text that tells it apart from every other reward, and changes with what it does: stored rollouts
                   go by it (see `svlearn.identity`). None: by its code and all that it holds
    stands_in      True where it stands in for a dearer reward, as a surrogate does: what it is asked does not count as
                   calls of the reward. False
    forget()       empties what it remembers of earlier calls; a comparison asks for it before it times a sampler
    """

    def __call__(self, x: State) -> Tensor:
        """r(x_T), (B,), of states (B, ...)."""


def is_asynchronous(reward: Callable) -> bool:
    """Whether a call mostly waits for other processes."""
    return bool(getattr(reward, "asynchronous", False))


def stands_in(reward: Callable) -> bool:
    """Whether it is asked in the place of a dearer reward."""
    return bool(getattr(reward, "stands_in", False))


def reads_one_hot(reward: Callable) -> bool:
    """Whether it takes soft one-hots (B, ..., V) in the place of tokens (B, ...)."""
    return bool(getattr(reward, "reads_one_hot", False))


def forget(reward: Callable) -> None:
    """Empty what it remembers of earlier calls, if it remembers any."""
    empty = getattr(reward, "forget", None)
    if callable(empty):
        empty()


def as_sum(reward: Any) -> "WeightedSum":
    """A weighted sum as it is, or of a dict {reward: weight}; of one reward that of weight 1."""
    if isinstance(reward, WeightedSum):
        return reward
    return WeightedSum(reward if isinstance(reward, Mapping) else {reward: 1.0})


class WeightedSum:
    """r(x_T) = Σ_i w_i r_i(x_T), (B,), reward units: what `Target({r_1: w_1, r_2: w_2}, alpha)` stands for.

    weights: {reward: weight}, or pairs [[reward, weight], ...], as a recipe holds them, in which no reward is a key.
    A reward of weight 0 is not called. It is asynchronous where one of them is, and reads one-hots, or stands
    in for a dearer one, where all do.
    Raises ValueError for no reward and for a weight that is not finite, TypeError for what is not callable.
    """

    def __init__(self, weights: Mapping[Callable, float] | Sequence[Sequence[Any]]):
        pairs: Iterable[Any] = weights.items() if isinstance(weights, Mapping) else map(_pair, weights)
        self.terms = tuple((real(weight, f"reward[{place}]"), reward) for place, (reward, weight) in enumerate(pairs))
        if not self.terms:
            raise ValueError("reward: expected at least one, as {reward: weight}, got {}")
        for _, reward in self.terms:
            if not callable(reward):
                raise TypeError(f"reward: expected callables of states, as {{reward: weight}}, got {reward!r}")
        self.asynchronous = any(is_asynchronous(reward) for _, reward in self.terms)
        self.reads_one_hot = all(reads_one_hot(reward) for _, reward in self.terms)
        self.stands_in = all(stands_in(reward) for _, reward in self.terms)

    def __call__(self, x: State) -> Tensor:
        parts = [weight * reward(x) for weight, reward in self.terms if weight != 0]
        total: Any = sum(parts) if parts else 0.0 * self.terms[0][1](x)
        return total

    def forget(self) -> None:
        """Empty what its rewards remember."""
        for _, reward in self.terms:
            forget(reward)

    def arguments(self) -> dict[str, Any]:
        """What its recipe holds: the pairs."""
        return {"weights": [[reward, weight] for weight, reward in self.terms]}


def _pair(pair: Any) -> Sequence[Any]:
    if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
        raise TypeError(f"reward: expected pairs [reward, weight], got {pair!r}")
    return pair
