"""Iterative refinement: noise finished samples part of the way back, guide them again, keep by weight."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NoReturn, cast

import torch
from torch import Tensor
from tqdm.auto import tqdm

from svlearn.arguments import expect, integer, is_integer, is_number
from svlearn.inference.sampler import Sampler
from svlearn.inference.samples import History, Samples
from svlearn.process import add_noise, draw_initial, has
from svlearn.state import State, device_of_state, times
from svlearn.targets import Target

KEEPS = ("replace", "particle_gibbs")


def refine(
    sampler: Sampler,
    num_rounds: int,
    depth: int | float = 0.25,
    keep: str = "replace",
    *,
    start: Sampler | None = None,
) -> "Refinement":
    """Refine what `start` draws (None: the sampler itself) by num_rounds rounds of any sampler that can resume.

    A round noises a finished x_T back to x_s, s = T - depth, and goes on from there by the sampler, with a group to a
    sample; one particle of each group, drawn by weight, enters the next round. depth: an int from 1 to T, in steps,
    or a float in (0, 1], the share of T.

    keep "replace": what is drawn takes the place of the old sample, x_s ~ noise(x_T, T, s) (arXiv 2502.14944; with
    svdd, SVDD-R). p* stays as it is where the sampler draws from p*(· | x_s), so in the limit of its candidates or
    particles. "particle_gibbs": the old sample is noised step by step, and the trajectory is retained as one of the
    K >= 2 particles (particle Gibbs: Andrieu, Doucet and Holenstein 2010). p* stays as it is for any value and K.
    Both hold where p_ref is the exact reversal of its forward process, and as nearly as it is that.

    Costs the start, and `Sampler.resume` a round; noise costs no call. Raises TypeError for a reference without
    `noise`, ValueError for an unknown keep, numbers out of range, a sampler without a target, and for particle Gibbs
    by one particle or by a sampler that cannot retain a trajectory.
    """
    expect(sampler, Sampler, "sampler")
    start = sampler if start is None else expect(start, Sampler, "start")
    return Refinement(sampler, start, integer(num_rounds, "num_rounds"), depth, keep)


@dataclass(frozen=True, kw_only=True)
class RefinementHistory(History):
    """What happened in the last round, from T - depth on; and rewards (B, num_rounds + 1), reward units: the mean
    reward of each group by its weights, at first and after every round (of a group that died, by none)."""

    rewards: Tensor


class Refinement(Sampler):
    """The sampler of `refine`. Its samples are the weighted groups of the last round, without a `log_normalizer`;
    `improve` starts from given finished samples. It cannot itself resume or retain a trajectory."""

    def __init__(self, sampler: Sampler, start: Sampler, num_rounds: int, depth: int | float, keep: str):
        super().__init__(
            sampler.reference,
            sampler.target,
            sampler.value,
            sampler.selection,
            proposal=sampler.proposal,
            tempering=sampler.tempering,
            num_particles=sampler.num_particles,
            num_candidates=sampler.num_candidates,
        )
        if not has(sampler.reference, "noise"):
            name = type(sampler.reference).__name__
            raise TypeError(f"reference: expected one with a forward process, got {name} without noise()")
        if sampler.target is None or start.target is None:
            raise ValueError("sampler: expected one with a target, got None")
        if keep not in KEEPS:
            raise ValueError(f"keep: expected one of {', '.join(KEEPS)}, got {keep!r}")
        if keep == "particle_gibbs":
            sampler.selection.conditional()
            if sampler.num_particles < 2:
                raise ValueError("keep: particle_gibbs needs groups of at least 2 particles, got 1; use smc")
        self.sampler, self.start, self.num_rounds, self.keep = sampler, start, num_rounds, keep
        self.depth = _steps(depth, sampler.reference.num_steps)

    def sample(
        self,
        batch_size: int,
        *,
        condition: Any = None,
        generator: torch.Generator | None = None,
        progress: bool = False,
        max_batch: int | None = None,
        keep_states: bool = False,
        check: str | None = None,
    ) -> Samples:
        """Draw by the start and refine; as `Sampler.sample`. keep_states: those of the last round."""
        with self._running(generator, check, max_batch) as (generator, meter):
            first = self.start.sample(batch_size, condition=condition, generator=generator, progress=progress)
            states = first.draw(generator=generator)
            samples = self._refine(states, condition, _mean_rewards(first), generator, progress, keep_states)
        return replace(samples, cost=meter.cost)

    def improve(
        self,
        states: State,
        *,
        condition: Any = None,
        generator: torch.Generator | None = None,
        progress: bool = False,
        max_batch: int | None = None,
        keep_states: bool = False,
        check: str | None = None,
    ) -> Samples:
        """Refine given finished samples x_T (B, ...), one to a group. condition: B rows, what they were drawn with."""
        with self._running(generator, check, max_batch) as (generator, meter):
            rewards = cast(Target, self.target)(states).double()
            samples = self._refine(states, condition, rewards, generator, progress, keep_states)
        return replace(samples, cost=meter.cost)

    def _refine(
        self,
        states: State,
        condition: Any,
        first: Tensor,
        generator: torch.Generator,
        progress: bool,
        keep_states: bool,
    ) -> Samples:
        """The groups of the last round, from finished states (B, ...) of rewards `first` (B,)."""
        start = partial(self._start, len(states), condition, generator)
        rewards, t = [first], self.reference.num_steps - self.depth
        for number in tqdm(range(1, self.num_rounds + 1), disable=not progress, desc="refining", leave=False):
            if self.keep == "replace":
                noised, retained = self._noise(states, self.reference.num_steps, t, start, generator), None
            else:
                retained = self._trajectory(states, start, generator)
                noised = retained[:, t]
            keep = keep_states and number == self.num_rounds
            samples = self.sampler.resume(noised, t, retained=retained, generator=generator, keep_states=keep)
            rewards.append(_mean_rewards(samples))
            if number < self.num_rounds:
                states = samples.draw(generator=generator)
        history = RefinementHistory(**vars(samples.history), rewards=torch.stack(rewards, dim=1))
        return replace(samples, log_normalizer=None, history=history)

    def _start(self, batch_size: int, condition: Any, generator: torch.Generator) -> State | None:
        if condition is None:
            return None
        return draw_initial(self.reference, batch_size, condition=condition, generator=generator)

    def _trajectory(self, x: State, start: Callable[[], State | None], generator: torch.Generator) -> State:
        """x noised step by step, (B, T + 1, ...); before T - depth, where nobody looks, x_{T - depth} again."""
        last = self.reference.num_steps
        path = [x]
        for t in range(last, last - self.depth, -1):
            path.append(self._noise(path[-1], t, t - 1, start, generator))
        return torch.stack([path[-1]] * (last - self.depth) + path[::-1], dim=1)

    def _noise(
        self, x: State, t_from: int, t_to: int, start: Callable[[], State | None], generator: torch.Generator
    ) -> State:
        later, earlier = (times(t, len(x), device_of_state(x)) for t in (t_from, t_to))
        return add_noise(self.reference, x, later, earlier, start, generator)

    def _run(self, batch_size: int, generator: torch.Generator, **options: Any) -> NoReturn:
        raise ValueError("refine: it goes on from finished samples; resume or retain with the sampler that it uses")


def _steps(depth: int | float, num_steps: int) -> int:
    share = not is_integer(depth)
    if not is_number(depth) or not 0 < depth <= (1 if share else num_steps):
        raise ValueError(f"depth: expected 1 to {num_steps} steps or a share in (0, 1], got {depth!r}")
    return max(1, round(float(depth) * num_steps)) if share else int(depth)


def _mean_rewards(samples: Samples) -> Tensor:
    """(B,), float64; a particle of weight 0 counts for nothing, though its reward may be -inf."""
    rewards, weights = cast(Tensor, samples.rewards).double(), samples.log_weights.exp()
    means = torch.where(weights > 0, weights * rewards, 0.0).sum(dim=1)
    return torch.where(weights.sum(dim=1) > 0, means, rewards.mean(dim=1))
