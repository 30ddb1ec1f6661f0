"""A reward of states by what a reference makes of them, its images or its texts: what all such rewards share."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from svlearn.fingerprint import fingerprint
from svlearn.identity import identity, identity_of_process
from svlearn.process import Reference
from svlearn.reward import WeightedSum, as_sum


class ReferenceReward:
    """r(x_T) = r'(what the reference makes of x_T): a subclass calls r', which a dict or a `WeightedSum` may stand for.

    reference: shared, never copied. options: what else the constructor of the subclass takes and r depends on, by name.
    It is asynchronous where one of the rewards is, and forgets what they remember.
    """

    reads_one_hot = False

    def __init__(self, reference: Reference, reward: Callable | Mapping[Callable, float], **options: Any):
        self.reference, self.reward = reference, reward
        self._sum, self._options = as_sum(reward), options
        self.asynchronous = self._sum.asynchronous

    @property
    def single(self) -> Callable | None:
        """The reward, None where it is a weighted sum."""
        return None if isinstance(self.reward, (Mapping, WeightedSum)) else self.reward

    @property
    def name(self) -> str | None:
        """The class, and a digest of the reference, the options and the rewards; None where one of these has no
        identity. What the reference or a reward remembers of earlier calls is no part of it."""
        process = fingerprint(self.reference), identity_of_process(self.reference)
        try:
            held = (*process, *self._options.values(), self._sum.terms)
            return f"{type(self).__qualname__} {identity(held, 'reward')}"
        except ValueError:
            return None

    def forget(self) -> None:
        """Empty what its rewards remember."""
        self._sum.forget()

    def arguments(self) -> dict[str, Any]:
        """What its recipe holds."""
        reward = self._sum if isinstance(self.reward, Mapping) else self.reward
        return {"reference": self.reference, "reward": reward, **self._options}

    def __deepcopy__(self, memo: dict[int, Any]) -> "ReferenceReward":
        """With rewards of its own, and the same reference."""
        reference = memo.get(id(self.reference), self.reference)
        return type(self)(reference, deepcopy(self.reward, memo), **self._options)
