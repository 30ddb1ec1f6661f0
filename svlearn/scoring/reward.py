"""A scorer as a reward of a `Target`."""

from typing import Any

import torch
from torch import Tensor

from svlearn.identity import identity
from svlearn.recipes import Recorded
from svlearn.scoring.scorer import Scorer
from svlearn.state import State, device_of_state

OF_THE_MACHINE = ("num_workers", "store", "cache", "memory", "per_task", "executor")  # options that decide no score


class ScoredReward(Recorded):
    """r(x_T) = the score of what x_T is to the scorer's codec, of finished states (B, ...), float32 (B,) on their
    device.

    scorer: remembers the scores, counts them, and tries again what may go well later.
    """

    asynchronous = True  # for its workers, so that a sampler's network may go on meanwhile

    def __init__(self, scorer: Scorer):
        self.scorer = scorer

    def __call__(self, states: State) -> Tensor:
        return torch.tensor(self.scorer(states), dtype=torch.float32, device=device_of_state(states))

    @property
    def name(self) -> str:
        """The class, and a digest of all that decides a reward beside the object: stored rollouts of one name have
        the same rewards."""
        scorer = self.scorer
        options = (*self._reading(), scorer.invalid_score, scorer.failure_score, scorer.timeout)
        return f"{type(self).__qualname__} {identity((self._function(), *options), 'function')}"

    def arguments(self) -> dict[str, Any]:
        """What the constructor was given that decides a score, for the recipe of a value that holds the reward; files
        and workers are of the machine that scores."""
        return {name: each for name, each in super().arguments().items() if name not in OF_THE_MACHINE}

    def _function(self) -> Any:
        """What decides a score of one object."""
        return self.scorer.function

    def _reading(self) -> tuple[Any, ...]:
        """What decides which object a state is."""
        return (self.scorer.codec,)

    def forget(self) -> None:
        """Empty the scorer's caches, as `compare` asks before it times a sampler."""
        self.scorer.forget()
