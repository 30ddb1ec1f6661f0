"""Monte Carlo regression: learn the value of a state from the rewards of trajectories that pass through it."""

import math

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from svlearn.objectives.objective import Objective
from svlearn.process import Reference, has, predict
from svlearn.state import State, repeat
from svlearn.targets import Target
from svlearn.values.value import Value, check_estimand, evaluate


def squared_loss(values: Tensor, rewards: Tensor) -> Tensor:
    """(f - r)², (B,); its minimiser is the mean value v'_t = E[r | x_t] (SVDD, arXiv 2408.08252, algorithm 2)."""
    return (values - rewards) ** 2


def linear_exponential_loss(values: Tensor, rewards: Tensor, alpha: float) -> Tensor:
    """exp((r - f)/α) + f/α, (B,), in float64; its minimiser is the soft value v_t = α log E[exp(r/α) | x_t].

    r = -inf is legal. The linear-exponential loss of arXiv 2301.02328 (extreme Q-learning), signs as here.
    """
    values, rewards = values.double(), rewards.double()
    return ((rewards - values) / alpha).exp() + values / alpha


class MonteCarloRegression(Objective):
    """Fit v_θ(x_t, t) to r(x_T) along trajectories of the reference.

    estimand "mean": the squared loss, learns v'_t; "soft": the linear-exponential loss, learns v_t.
    num_times: at how many times of each trajectory, drawn uniformly from 0 ... T - 1 (None: at every time).
    noised: draw x_t anew from x_T by the reference's forward process at every step, in the place of the x_t of the
    trajectory (SVDD, remark 1): a stored trajectory then teaches more than T states. Exact where p_ref is the exact
    reversal of that process. Validation always holds the value against the trajectories themselves.
    Raises ValueError for an unknown estimand, the soft one at α = 0, and the mean of rewards that are -inf; TypeError
    where `noised` is asked of a reference that has no forward process.
    """

    def __init__(
        self,
        reference: Reference,
        target: Target,
        value: Value,
        estimand: str = "mean",
        *,
        num_times: int | None = None,
        noised: bool = False,
        learning_rate: float = 1e-3,
        batch_size: int = 256,
        num_validation: int = 256,
        steps_per_epoch: int = 100,
    ):
        super().__init__(
            reference,
            target,
            learning_rate=learning_rate,
            batch_size=batch_size,
            num_validation=num_validation,
            steps_per_epoch=steps_per_epoch,
        )
        if not isinstance(value, Value):
            raise TypeError(f"value: expected a Value, got {type(value).__name__}")
        if not any(parameter.requires_grad for parameter in value.parameters()):
            raise ValueError(f"value: expected one with trainable parameters, got {type(value).__name__} without any")
        if check_estimand(estimand) == "soft" and target.alpha == 0:
            raise ValueError("estimand: the soft value needs alpha > 0, got alpha = 0; use 'mean'")
        if num_times is not None and not 1 <= num_times <= reference.num_steps:
            raise ValueError(f"num_times: expected None or 1 to {reference.num_steps}, got {num_times}")
        if noised and not has(reference, "noise"):
            raise TypeError(f"noised: expected a reference with a forward process, got {type(reference).__name__}")
        self.value, self.estimand, self.num_times, self.noised = value, estimand, num_times, noised

    def trained(self) -> nn.Module:
        return self.value

    def loss(self, trajectories: TensorDict, generator: torch.Generator) -> Tensor:
        rewards = trajectories["rewards"]
        if self.estimand == "mean" and bool((rewards == -math.inf).any()):
            raise ValueError("estimand: the mean of a reward that is -inf does not exist; use 'soft'")
        t = self._times(len(rewards), rewards.device, generator)
        rows = repeat(torch.arange(len(rewards), device=rewards.device), t.shape[1])
        t = t.flatten()
        values = self._evaluate(self._states(trajectories["states"], rows, t, generator), t, generator)
        goal = rewards[rows].to(values.dtype)
        if self.estimand == "mean":
            return squared_loss(values, goal).mean()
        return linear_exponential_loss(values, goal, self.target.alpha).mean()

    def values_by_time(self, trajectories: TensorDict, generator: torch.Generator) -> Tensor:
        times = range(self.reference.num_steps)
        states = trajectories["states"]
        return torch.stack([self._evaluate(states[:, t], t, generator) for t in times], dim=1)

    def _states(self, states: State, rows: Tensor, t: Tensor, generator: torch.Generator) -> State:
        """x_t of the trajectories `rows`, as they went or noised from their x_T."""
        if not self.noised:
            return states[rows, t]
        last = self.reference.num_steps
        return self.reference.noise(states[rows, last], torch.full_like(t, last), t, generator=generator)

    def _times(self, batch_size: int, device: torch.device, generator: torch.Generator) -> Tensor:
        if self.num_times is None:
            return torch.arange(self.reference.num_steps, device=device).expand(batch_size, -1)
        shape = (batch_size, self.num_times)
        return torch.randint(self.reference.num_steps, shape, generator=generator, device=device)

    def _evaluate(self, x: State, t: int | Tensor, generator: torch.Generator) -> Tensor:
        prediction = predict(self.reference, x, t) if self.value.needs_prediction else None
        return evaluate(self.value, x, t, prediction, generator=generator)
