"""Soft-Q iteration: learn the value of a state from the value of the state that follows it."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.arguments import integer
from svlearn.objectives.monte_carlo import linear_exponential_loss, squared_loss
from svlearn.objectives.value_objective import ROWS, ValueObjective
from svlearn.process import Prediction, Reference, predict, step_by_step
from svlearn.state import State, repeat, take
from svlearn.targets import Target
from svlearn.trajectories import Calls, in_one_pass, keeps_cache, pieces_along
from svlearn.values.value import Value, check_estimand, copy_of, evaluate


def backup(next_values: Tensor, alpha: float) -> Tensor:
    """α log (1/k) Σ exp(v̄_i/α), (N,), reward units, of the values (N, k) of k next states.

    Its mean is below v_t at finite k (Jensen); at k = 1 it is v̄ itself, the backup of the mean value.
    """
    scaled = next_values.double() / alpha
    return alpha * (scaled.logsumexp(dim=1) - math.log(next_values.shape[1]))


class SoftQIteration(ValueObjective):
    """Fit v_θ(x_t, t) to v̄(x_{t+1}, t + 1) one step later; v̄ is a slow copy of v_θ, and v̄_T = r.

    estimand "soft": exp((v̄_{t+1} - f)/α) + f/α, whose minimiser α log E[exp(v̄_{t+1}/α) | x_t] needs only one next
    state; learns v_t. "mean": (f - v̄_{t+1})² in units of the rewards' variance; learns v'_t.
    decay: after each optimiser step v̄ ← decay · v̄ + (1 - decay) · v_θ. News from T reaches x_0 after about
    T / (1 - decay) steps; a larger decay averages more noise away.
    num_next: k next states of each x_t, drawn anew from the reference (None: the x_{t+1} of the trajectory). The mean
    estimand then regresses on their mean, and the soft one, as SVDD does, on α log (1/k) Σ exp(v̄/α) by the squared
    loss: biased low at finite k, and at k = 1 this is the mean value. Backups below the target's floor are raised to
    it there. Costs one reference call per x_t, one for each next state whose v̄ reads its prediction, with the
    cache of its x_t, and k reward calls per x_{T-1}.
    proposal: see `ValueObjective`. Only the one move that is looked at is weighed, w = p_ref/q of it, whatever T: the
    soft loss is w exp((v̄_{t+1} - f)/α) + f/α, the mean one w (f - v̄_{t+1})². Fresh next states need no weight.

    Raises ValueError for an unknown estimand, the soft one at α = 0, the mean of rewards that are -inf, a decay
    outside [0, 1), num_next < 1; and as `ValueObjective`.
    Source: SVDD, arXiv 2408.08252, algorithm 5; soft-Q learning for diffusion, arXiv 2402.15194.
    """

    understands = frozenset({"since"})

    def __init__(
        self,
        reference: Reference,
        target: Target,
        value: Value,
        estimand: str = "soft",
        *,
        decay: float = 0.95,
        num_next: int | None = None,
        num_times: int | None = None,
        **options: Any,
    ):
        super().__init__(reference, target, value, num_times=num_times, **options)
        if check_estimand(estimand) == "soft" and target.alpha == 0:
            raise ValueError("estimand: the soft value needs alpha > 0, got alpha = 0; use 'mean'")
        if not 0 <= decay < 1:
            raise ValueError(f"decay: expected a number in [0, 1), got {decay}")
        num_next = None if num_next is None else integer(num_next, "num_next", optional=True)
        self.estimand, self.decay, self.num_next = estimand, decay, num_next
        self.slow = copy_of(value).requires_grad_(False).eval()

    def loss(self, trajectories: TensorDict, generator: torch.Generator) -> Tensor:
        states, rewards = trajectories["states"], trajectories["rewards"]
        t = self.times(len(rewards), rewards.device, generator, trajectories.get("since", None))
        rows = repeat(torch.arange(len(rewards), device=rewards.device), t.shape[1])
        log_weights = torch.zeros(t.numel(), dtype=torch.float64, device=t.device)
        if self.num_next is None:
            log_weights = self.log_ratios(trajectories)[rows, t.flatten()]
            values, next_values = self._along(states, rewards, t, generator)
        else:
            values, next_values = self._fresh(states, t, self.num_next, generator)
        if self.estimand == "mean":
            if bool((next_values == -math.inf).any()):
                raise ValueError("estimand: the mean of a reward that is -inf does not exist; use 'soft'")
            losses = squared_loss(values, next_values.mean(dim=1))
            return (log_weights.exp() * losses).mean() / self.unit(rewards)
        if self.num_next is None:
            goal = next_values.squeeze(1) + self.target.alpha * log_weights
            return linear_exponential_loss(values, goal, self.target.alpha).mean()
        goal = backup(next_values, self.target.alpha).clamp(min=self.target.floor)
        return squared_loss(values, goal).mean() / self.unit(rewards.clamp(min=self.target.floor))

    @torch.no_grad()
    def next_values(
        self,
        x: State,
        t: Tensor,
        generator: torch.Generator,
        rewards: Tensor | None = None,
        *,
        previous: Prediction | None = None,
        parents: Tensor | None = None,
    ) -> Tensor:
        """v̄_t(x), (N,), reward units, at t (N,) in 1 ... T; at T it is r: of `rewards` (N,) where they are known.

        previous: of the states before, whose cache a call reuses; parents (N,): the row of it that each comes from.
        """
        values = torch.empty(len(t), dtype=torch.float64, device=t.device)
        final = t == self.reference.num_steps
        if bool(final.any()):
            values[final] = (self.target(x[final]) if rewards is None else rewards[final]).double()
        if not bool(final.all()):
            x, t, parents = x[~final], t[~final], None if parents is None else parents[~final]
            reads = self.slow.reads(t)
            prediction = predict(self.reference, x, t, previous, parents=parents) if reads else None
            values[~final] = evaluate(self.slow, x, t, prediction, generator=generator).double()
        return values

    def _along(self, states: State, rewards: Tensor, t: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """v_θ at the times t (B, n), (B n,), and v̄ of the states that follow there, (B n, 1).

        Of a value that reads predictions along the trajectories both read the same: one call of the reference a state.
        """
        size, number = t.shape
        if not self.reads_along(t):
            rows, later = repeat(torch.arange(size, device=t.device), number), t.flatten() + 1
            values = self.evaluate_along(states, t, generator).flatten()
            return values, self.next_values(states[rows, later], later, generator, rewards[rows])[:, None]
        fast: list[Tensor] = []
        slow: list[Tensor] = []
        for piece in pieces_along([Calls(self.reference)], states, ROWS):
            x, moments, prediction = piece.x, piece.t, piece.predictions[0]
            fast.append(evaluate(self.value, x, moments, prediction, generator=generator).view(-1, size))
            if piece.steps.start == 0:  # x_0 follows nothing
                x, moments, prediction = x[size:], moments[size:], prediction[slice(size, None)]
            if len(moments) > 0:
                with torch.no_grad():
                    following = evaluate(self.slow, x, moments, prediction, generator=generator)
                slow.append(following.double().view(-1, size))
        next_values = torch.cat([*slow, rewards.double()[None]])
        values = self.watch("value", torch.cat(fast))
        return values.T.gather(1, t).flatten(), next_values.T.gather(1, t).view(-1, 1)

    def _fresh(self, states: State, t: Tensor, copies: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """v_θ at the times t (B, n), (B n,), and v̄_{t+1}, (B n, k), of k next states of each x_t, drawn from the
        reference: one call of it a state serves the value, the draws and the caches of their calls."""
        places, fast, slow = [], [], []
        for place, x, moments, prediction in self._predicted(states, t):
            values = evaluate(self.value, x, moments, self._read(prediction, moments), generator=generator)
            parents = repeat(torch.arange(len(moments), device=t.device), copies)
            with torch.no_grad():
                x_next = prediction.transition.sample_each(parents, generator=generator)
                later, cached = moments[parents] + 1, prediction if prediction.cache is not None else None
                following = self.next_values(x_next, later, generator, previous=cached, parents=parents)
            places.append(place)
            fast.append(values)
            slow.append(following.view(-1, copies))
        back = torch.cat(places).argsort()
        return self.watch("value", torch.cat(fast)[back]), torch.cat(slow)[back]

    def _read(self, prediction: Prediction, t: Tensor) -> Prediction | None:
        return prediction if self.value.reads(t) else None

    @torch.no_grad()
    def _predicted(self, states: State, t: Tensor) -> Iterator[tuple[Tensor, State, Tensor, Prediction]]:
        """The states of trajectories (B, T + 1, ...) at the times t (B, n), in pieces: their places in the flat t, x_t,
        t, and the reference's predictions.

        Where a cache is to be handed on to the next states they are of one t each, and of steps that follow each other
        unless only one time of each trajectory is looked at.
        """
        size, number = t.shape
        later = t[t + 1 < self.reference.num_steps] + 1
        hands_on = len(later) > 0 and self.slow.reads(later) and keeps_cache(self.reference, states[:1, 0])
        if in_one_pass(self.reference, range(number)):
            for steps, predictions in self._along_steps(states, hands_on):
                rows, columns = torch.cat([(t == step).nonzero() for step in steps]).unbind(dim=1)
                moments = t[rows, columns]
                chosen = None if self.num_times is None else (moments - steps.start) * size + rows
                if len(moments) > 0:
                    yield rows * number + columns, states[rows, moments], moments, take(predictions, chosen)
            return
        flat, rows = t.flatten(), repeat(torch.arange(size, device=t.device), number)
        for step in flat.unique() if hands_on else [None]:
            places = torch.arange(len(flat), device=t.device) if step is None else (flat == step).nonzero()[:, 0]
            x = states[rows[places], flat[places]]
            yield places, x, flat[places], predict(self.reference, x, flat[places])

    def _along_steps(self, states: State, hands_on: bool) -> Iterator[tuple[range, Prediction]]:
        """What the reference predicts along trajectories: step by step where its cache is needed, for one pass over the
        whole need not give any."""
        if hands_on:
            for step, prediction in enumerate(step_by_step(self.reference, states)):
                yield range(step, step + 1), prediction
        else:
            for piece in pieces_along([Calls(self.reference)], states, ROWS):
                yield piece.steps, piece.predictions[0]

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self.follow()

    @torch.no_grad()
    def follow(self) -> None:
        """Move v̄ towards v_θ by one step of the exponential average; buffers are copied."""
        for slow, fast in zip(self.slow.parameters(), self.value.parameters(), strict=True):
            slow.lerp_(fast, 1 - self.decay)
        for kept, current in zip(self.slow.buffers(), self.value.buffers(), strict=True):
            kept.copy_(current)
