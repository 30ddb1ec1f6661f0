"""What the objectives that learn a value share: which states they look at, and validation by time step."""

from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from svlearn.objectives.objective import Objective
from svlearn.process import Reference, predict
from svlearn.state import State
from svlearn.targets import Target
from svlearn.values.calibration import agreement
from svlearn.values.value import Value, evaluate


class ValueObjective(Objective):
    """Learn v_θ(x_t, t), t = 0 ... T - 1, reward units.

    num_times: at how many times of each trajectory, drawn uniformly from 0 ... T - 1 (None: at every time).
    Further keywords are those of `Objective`. Raises TypeError for what is not a value, ValueError for one without
    trainable parameters and for a num_times that is out of range.
    """

    reward_variance: Tensor

    def __init__(
        self, reference: Reference, target: Target, value: Value, *, num_times: int | None = None, **options: Any
    ):
        super().__init__(reference, target, **options)
        if not isinstance(value, Value):
            raise TypeError(f"value: expected a Value, got {type(value).__name__}")
        if not any(parameter.requires_grad for parameter in value.parameters()):
            raise ValueError(f"value: expected one with trainable parameters, got {type(value).__name__} without any")
        if num_times is not None and not 1 <= num_times <= reference.num_steps:
            raise ValueError(f"num_times: expected None or 1 to {reference.num_steps}, got {num_times}")
        self.value, self.num_times = value, num_times
        self.register_buffer("reward_variance", torch.zeros((), dtype=torch.float64))
        self._validated: list[tuple[Tensor, Tensor]] = []

    def trained(self) -> nn.Module:
        return self.value

    def times(self, batch_size: int, device: torch.device, generator: torch.Generator) -> Tensor:
        """The times at which each trajectory is looked at, (B, num_times), or (B, T)."""
        if self.num_times is None:
            return torch.arange(self.reference.num_steps, device=device).expand(batch_size, -1)
        shape = (batch_size, self.num_times)
        return torch.randint(self.reference.num_steps, shape, generator=generator, device=device)

    def evaluate(self, x: State, t: int | Tensor, generator: torch.Generator) -> Tensor:
        """v_θ(x_t, t), (N,), with the reference's prediction where the value reads it."""
        prediction = predict(self.reference, x, t) if self.value.needs_prediction else None
        return evaluate(self.value, x, t, prediction, generator=generator)

    def unit(self, rewards: Tensor) -> Tensor:
        """The variance of the rewards of the first batch, 1 if they do not vary; what a squared loss is divided by.

        In this unit the loss, and so the clipping of its gradient, does not depend on the reward's units: unclipped,
        the large gradients of the first steps would hold Adam's steps down for the next thousand.
        """
        if self.reward_variance == 0:
            variance = rewards.double().var(correction=0)
            self.reward_variance.copy_(torch.where(variance > 0, variance, 1.0))
        return self.reward_variance

    def validate(self, trajectories: TensorDict, generator: torch.Generator) -> None:
        states, steps = trajectories["states"], range(self.reference.num_steps)
        values = torch.stack([self.evaluate(states[:, t], t, generator) for t in steps], dim=1)
        self._validated.append((values, trajectories["rewards"]))

    def on_validation_epoch_end(self) -> None:
        """Log Pearson's correlation and R² of the value with the reward (figure 5 of SVDD, arXiv 2408.08252): the
        mean over t, and each t. What is random after t no value can explain, so R² stays below 1 at early t."""
        values, rewards = (torch.cat(parts).double() for parts in zip(*self._validated, strict=True))
        self._validated.clear()
        kept = torch.isfinite(rewards)
        if int(kept.sum()) < 2:
            return
        by_time = torch.tensor([agreement(column[kept], rewards[kept])[:2] for column in values.T])
        for name, column in zip(("pearson", "r2"), by_time.T, strict=True):
            self.log(f"validation/{name}", column.nanmean(), prog_bar=True)
            self.log_dict({f"validation/{name}_t{t:03d}": each for t, each in enumerate(column)})
