"""Trajectories that are learned from several times before others are drawn."""

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from svlearn.state import trajectories_of


class Iteration(nn.Module):
    """The trajectories of an iteration and the order in which they are looked at; a checkpoint holds them."""

    of_one_process = begins_together = True

    def __init__(self) -> None:
        super().__init__()
        self.trajectories: TensorDict | None = None
        self.order: Tensor | None = None

    @property
    def size(self) -> int:
        """How many trajectories are held."""
        return 0 if self.trajectories is None else len(self.trajectories)

    def start(self, trajectories: TensorDict, num_epochs: int, generator: torch.Generator) -> None:
        """Forget the last ones; each epoch has an order of its own."""
        size = len(trajectories)
        orders = [torch.randperm(size, generator=generator, device=generator.device) for _ in range(num_epochs)]
        self.trajectories, self.order = trajectories, torch.cat(orders)

    def minibatch(self, step: int, size: int) -> TensorDict:
        """The trajectories (B, ...) of a micro-batch, counted as `step` from the start of the iteration."""
        if self.trajectories is None or self.order is None:
            raise ValueError("trajectories: nothing is held yet")
        return self.trajectories[self.order[step * size : (step + 1) * size]]

    def get_extra_state(self) -> dict:
        trajectories = self.trajectories
        return {"order": self.order, "trajectories": None if trajectories is None else trajectories.to_dict()}

    def set_extra_state(self, state: dict) -> None:
        self.order = state["order"]
        entries = state["trajectories"]
        self.trajectories = None if entries is None else trajectories_of(entries, len(entries["rewards"]))
