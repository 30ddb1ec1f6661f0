"""The twisted law of every step of a trajectory, and the rounds of SMC whose trajectories it is fitted to."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.inference.sampler import Sampler
from svlearn.process import Prediction, Reference, predict
from svlearn.state import State, concatenate, device_of_state, take
from svlearn.state import times as times_of
from svlearn.targets import Target
from svlearn.trajectories import predictions_at
from svlearn.transitions import Transition
from svlearn.values.outcomes import evaluate_outcomes, has_outcomes
from svlearn.values.value import Value, at_time, evaluate

AT, AHEAD = "at", "ahead"


@dataclass(frozen=True)
class TwistedSteps:
    """Of the moves x_t to x_{t+1} of B trajectories at n times t, each (n, B), nats, float64, v_T = r: `now`, v_t/α of
    x_t; `later`, v_{t+1}/α of x_{t+1}; `ahead`, log E_ref[exp(v_{t+1}/α) | x_t]. The twisted law is then
    p_ref(x_{t+1} | x_t) exp(later - ahead), and `now` is `ahead` where v is the soft value."""

    now: Tensor
    later: Tensor
    ahead: Tensor


class TwistedLaw:
    """p_ref(x_{t+1} | x_t) exp(v_{t+1}(x_{t+1})/α), v_T = r, and what normalises it.

    limit 0: the mean of exp(v_{t+1}/α) over `num_candidates` draws of p_ref, which is unbiased; its logarithm is low by
    half its relative variance. Above 0 all outcomes of a step are summed, of which there may be so many, by
    `Value.of_outcomes` where the value defines it.
    """

    def __init__(self, reference: Reference, target: Target, value: Value, num_candidates: int, limit: int):
        self.reference, self.target, self.value = reference, target, value
        self.num_candidates, self.limit = num_candidates, limit

    def along(
        self, trajectories: TensorDict, times: Sequence[int], generator: torch.Generator, last: Tensor | None = None
    ) -> TwistedSteps:
        """The moves at sorted times of "states" (B, T + 1, ...) and "rewards" (B,); the gradient is in the value.

        last (B,): `ahead` at T - 1, where it is known, for it holds nothing that is learned.
        """
        states, steps = trajectories["states"], self.reference.num_steps
        looks = sorted({*times} | {t + 1 for t in times if t + 1 < steps})
        moved = [t for t in times if t + 1 < steps or last is None]
        called = [t for t in looks if t in moved or self.value.reads(t)]
        known: dict[Any, Any] = {
            (AT, steps): trajectories["rewards"].double() / self.target.alpha,
            (AHEAD, steps - 1): last,
        }
        twists = _Twists(self, generator)
        log_probs: dict[int, Tensor] = {}
        for t, prediction in enumerate(predictions_at(self.reference, states, called)):
            if t in looks:
                twists.ask((AT, t), states[:, t], t, prediction)
            if t not in moved or prediction is None:
                continue
            if self.limit and t + 1 < steps and has_outcomes(at_time(self.value, t + 1)):
                known[AHEAD, t] = self._of_outcomes(states[:, t], t, prediction)
                continue
            after, log_probs[t] = self._after(states[:, t], prediction.transition, generator)
            twists.ask((AHEAD, t), after, t + 1, prediction, log_probs[t].shape[1])
        known |= twists.values()
        for t, weights in log_probs.items():
            known[AHEAD, t] = (weights.double() + known[AHEAD, t].view(weights.shape)).logsumexp(dim=1)
        rows = [[known[AT, t] for t in times], [known[AT, t + 1] for t in times], [known[AHEAD, t] for t in times]]
        return TwistedSteps(*(torch.stack(row) for row in rows))

    def _of_outcomes(self, x: State, t: int, prediction: Prediction) -> Tensor:
        """log E_ref[exp(v_{t+1}/α) | x_t], (B,), from one look at x_t (B, ...)."""
        listed = prediction.transition.listed(self.limit)
        values = evaluate_outcomes(self.value, x, t, replace(prediction, transition=listed))
        return (listed.log_probs.double() + values.double() / self.target.alpha).logsumexp(dim=1)

    @torch.no_grad()
    def _after(self, x: State, law: Transition, generator: torch.Generator) -> tuple[State, Tensor]:
        """N moves from each of x_t (B, ...) that stand for its law, (B · N, ...), and their log-weights (B, N)."""
        if self.limit:
            states, log_probs = law.outcomes(self.limit)
            return states.flatten(0, 1), log_probs
        number, rows = self.num_candidates, torch.arange(len(x), device=device_of_state(x))
        states = law.sample_each(rows.repeat_interleave(self.num_candidates), generator=generator)
        return states, torch.full((len(x), number), -math.log(number), device=rows.device)


class _Twists:
    """v_t/α, nats, of states of many times: those for which the value reads no prediction in one call."""

    def __init__(self, law: TwistedLaw, generator: torch.Generator):
        self.law, self.generator = law, generator
        self.known: dict[Any, Tensor] = {}
        self.waiting: dict[Any, tuple[State, Tensor]] = {}

    def ask(self, key: Any, x: State, t: int, prediction: Prediction | None, copies: int = 0) -> None:
        """v_t, r at T, of x (N, ...). prediction: of x, or where there are copies of the states before, of each of
        which so many come."""
        reference = self.law.reference
        if t == reference.num_steps:
            with torch.no_grad():
                self.known[key] = self.law.target(x).double() / self.law.target.alpha
        elif not self.law.value.reads(t):
            self.waiting[key] = x, times_of(t, len(x), device_of_state(x))
        else:
            if copies:
                parents = torch.arange(len(x) // copies, device=device_of_state(x)).repeat_interleave(copies)
                previous = None if prediction is None or prediction.cache is None else take(prediction, parents)
                with torch.no_grad():
                    prediction = predict(reference, x, t, previous)
            self.known[key] = self._of(x, t, prediction)

    def values(self) -> dict[Any, Tensor]:
        """All that was asked for, by key, (N,)."""
        if self.waiting:
            states, moments = zip(*self.waiting.values(), strict=True)
            found = self._of(concatenate(states), torch.cat(moments), None)
            parts = found.split([len(each) for each in moments])
            self.known |= dict(zip(self.waiting, parts, strict=True))
        return self.known

    def _of(self, x: State, t: int | Tensor, prediction: Prediction | None) -> Tensor:
        values = evaluate(self.law.value, x, t, prediction, generator=self.generator)
        return values.double() / self.law.target.alpha


@torch.no_grad()
def twisted_paths(
    sampler: Sampler, law: TwistedLaw, num_groups: int, generator: torch.Generator, condition: Any = None
) -> TensorDict:
    """Trajectories of `num_groups` groups of SMC with the present twist, N = groups · K, for `TrustRegion` to hold.

    "states" (N, T + 1, ...), "rewards" (N,); "log_weight" (N,), nats: log w of the path given x_0, that is without
    v_0(x_0)/α where that still weighs, of mean w 1 in each group, -inf throughout one that died; "last" (N,):
    log E_ref[exp(r/α) | x_{T-1}]; "residuals" (N, T): ρ_t = v_t/α - log E_ref[exp(v_{t+1}/α) | x_t], 0 before the group
    was last resampled. Up to a constant log_weight is minus their sum, but for the estimates of candidates.
    """
    samples = sampler.sample(num_groups, condition=condition, generator=generator, keep_states=True)
    groups, size = samples.log_weights.shape
    times = torch.arange(law.reference.num_steps + 1, device=samples.log_weights.device)
    resampled = torch.where(samples.history.resampled, times, -1).amax(dim=1, keepdim=True)  # -1: never
    paths = TensorDict({"states": samples.paths(), "rewards": samples.rewards}, batch_size=[groups, size]).flatten()
    moves = law.along(paths, range(law.reference.num_steps), generator)
    spent = times[:-1] < resampled[:, None]
    residuals = torch.where(moves.ahead > -math.inf, moves.now - moves.ahead, 0.0).T.view(groups, size, -1)
    start = moves.now[0].view(groups, size).masked_fill(resampled >= 0, 0.0)
    log_weight = samples.log_weights - start
    mean = log_weight.logsumexp(dim=1, keepdim=True) - math.log(size)
    log_weight = torch.where(log_weight > -math.inf, log_weight - mean, -math.inf)
    own = {"log_weight": log_weight, "residuals": residuals.masked_fill(spent, 0.0)}
    return paths.update({name: leaf.flatten(0, 1) for name, leaf in own.items()} | {"last": moves.ahead[-1]})
