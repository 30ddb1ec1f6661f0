"""A sampler: the parts that the loop runs with, and what a run of it gives."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from svlearn.arguments import integer
from svlearn.conditions import rows_for
from svlearn.inference.auto_batch import resolved
from svlearn.inference.particles import Particles
from svlearn.inference.parts import Parts
from svlearn.inference.proposals import Proposal
from svlearn.inference.retained import check_shape, check_start
from svlearn.inference.run import Run
from svlearn.inference.samples import History, Samples
from svlearn.inference.selection import Selection
from svlearn.inference.tempering import Tempering
from svlearn.metering import Cost, Meter, metered
from svlearn.modes import evaluating
from svlearn.placement import at_home
from svlearn.process import Prediction, Reference
from svlearn.state import State
from svlearn.targets import NonFiniteError, Target
from svlearn.values.value import Value


class Sampler:
    """Groups of particles that are proposed, weighed and selected step by step; the named samplers fill in the `parts`.

    Its methods all run the one loop: from x_0, from a given x_t, with a given trajectory among the particles, or for a
    single step. All of its modules are in evaluation mode meanwhile, and then get their own mode back.
    """

    def __init__(self, reference: Reference, target: Target | None, value: Value, selection: Selection, **parts: Any):
        """As `Parts`."""
        self.parts = Parts(reference, target, value, selection, **parts)

    @property
    def reference(self) -> Reference:
        return self.parts.reference

    @property
    def target(self) -> Target | None:
        return self.parts.target

    @property
    def value(self) -> Value:
        return self.parts.value

    @property
    def selection(self) -> Selection:
        return self.parts.selection

    @property
    def proposal(self) -> Proposal:
        return self.parts.proposal

    @property
    def tempering(self) -> Tempering | None:
        return self.parts.tempering

    @property
    def num_particles(self) -> int:
        return self.parts.num_particles

    @property
    def num_candidates(self) -> list[int]:
        return self.parts.num_candidates

    @property
    def estimates_normalizer(self) -> bool:
        return self.parts.estimates_normalizer

    def sample(
        self,
        batch_size: int,
        *,
        condition: Any = None,
        generator: torch.Generator | None = None,
        progress: bool = False,
        max_batch: int | str | None = None,
        keep_states: bool = False,
        check: str | None = None,
    ) -> Samples:
        """Draw `batch_size` groups.

        condition: batch_size rows of what the samples are conditioned on (see `svlearn.conditions`); a row serves its
        whole group.
        generator: the same seed on the same machine gives the same samples. progress: show a bar over steps.
        max_batch: at most so many states in one network call, or "auto" (see `auto_batch.resolved`); the noise does not
        depend on it.
        keep_states: hold the particles of every step, so that `Samples.paths` can trace them back.
        check: when it is asked whether rewards, values and states are numbers: at "every" step, or at the "end" of the
        run, which an accelerator need not wait for; None: the first on the CPU, the second elsewhere.
        All runs on the reference's device: values and module rewards that lie on another kind of device are moved there
        meanwhile, and so is what a generator of another device draws.
        Raises ValueError for an empty batch, and where a reward or a value is NaN (with the step and the index).
        """
        options: dict[str, Any] = {"keep_states": keep_states, "progress": progress}
        return self._sample(batch_size, condition, generator, max_batch, check, options)

    def sample_candidates(
        self,
        batch_size: int,
        *,
        condition: Any = None,
        generator: torch.Generator | None = None,
        progress: bool = False,
        max_batch: int | str | None = None,
        check: str | None = None,
    ) -> Samples:
        """As `sample` with `keep_states`, the same samples, and hold all candidates of every step, the losers too, with
        what was said of them: `history.candidates`, the data of `rollouts.label_candidates` and `label_survivors`. They
        take M times the memory of the trajectories."""
        options: dict[str, Any] = {"keep_states": True, "keep_candidates": True, "progress": progress}
        return self._sample(batch_size, condition, generator, max_batch, check, options)

    def _sample(
        self,
        batch_size: int,
        condition: Any,
        generator: torch.Generator | None,
        max_batch: int | str | None,
        check: str | None,
        options: dict[str, Any],
        may_die: bool = False,
    ) -> Samples:
        """may_die: let every group die, as where what is drawn last is not looked at."""
        batch_size = integer(batch_size, "batch_size")
        condition = rows_for(condition, batch_size, "a group")
        with self._running(generator, check, resolved(max_batch, self, condition)) as (generator, meter):
            particles, history = self._run(batch_size, generator, **options).from_start(condition)
        return self._finish(particles, history, meter.cost, may_die)

    def resume(
        self,
        x: State,
        t: int,
        *,
        retained: State | None = None,
        generator: torch.Generator | None = None,
        progress: bool = False,
        max_batch: int | None = None,
        keep_states: bool = False,
        check: str | None = None,
    ) -> Samples:
        """Go on from x_t (B, ...), 0 <= t < T: all K particles of a group start there. For exact weights,
        E[exp(log_normalizer)] = E_ref[exp(r(x_T)/α) | x_t].

        retained: a trajectory (B, T + 1, ...) for each group, which its first particle follows from t on (conditional
        SMC: Andrieu, Doucet and Holenstein 2010). One particle drawn by its weight then has the law p*(x_{t+1:T} | x_t)
        where the trajectory has it, whatever the value. The other arguments are those of `sample`.
        Raises ValueError for a t out of range, where the selection cannot retain a trajectory, and for one that is not
        at x_t at t.
        """
        t = integer(t, "t", 0, self.reference.num_steps - 1)
        with self._running(generator, check, max_batch) as (generator, meter):
            run = self._run(len(x), generator, retained=retained, keep_states=keep_states, progress=progress)
            if retained is not None:
                check_start(retained, x, t)
            particles, history = run.from_states(x, t)
        return self._finish(particles, history, meter.cost)

    def sample_conditionally(
        self,
        trajectories: State,
        *,
        condition: Any = None,
        generator: torch.Generator | None = None,
        progress: bool = False,
        max_batch: int | None = None,
        keep_states: bool = False,
        check: str | None = None,
    ) -> Samples:
        """Draw groups of which the first particle follows a given trajectory x_0 ... x_T (B, T + 1, ...).

        The other particles start anew (conditional SMC; for svdd, the other candidates). Where the trajectories have
        the law p*, E[log_normalizer] >= log Z (arXiv 2404.17546, section 5), and so do those that are then drawn.
        condition: B rows of what the trajectories are conditioned on, from which the others of their group start. A
        trajectory does not say which parts of its x_0 were given and which drawn, so without one they start as they do
        in `sample` without one. Raises ValueError for trajectories of another length, for conditions of another
        number, and where the proposal cannot follow one (with the t and the group).
        """
        check_shape(trajectories, None, self.reference.num_steps, "trajectories")
        condition = rows_for(condition, len(trajectories), "a group")
        with self._running(generator, check, max_batch) as (generator, meter):
            size = len(trajectories)
            run = self._run(size, generator, retained=trajectories, keep_states=keep_states, progress=progress)
            particles, history = run.from_start(condition)
        return self._finish(particles, history, meter.cost)

    @torch.no_grad()
    def move(
        self, x: State, t: int, prediction: Prediction, *, generator: torch.Generator | None = None
    ) -> tuple[State, Tensor]:
        """The step of single particles from the given states x_t (N, ...) of any law, t = 0 ... T - 1.

        Returns x_{t+1} (N, ...) and log w_{t+1} - log w_t (N,), nats, float64, -inf where no candidate was possible.
        prediction: the reference's, of x_t. Raises ValueError for a sampler whose particles compete in groups.
        """
        if self.num_particles != 1:
            raise ValueError(f"num_particles: expected 1 to move given states, got groups of {self.num_particles}")
        with evaluating(self), at_home(self.reference, self, generator=generator) as generator:
            return Run(self.parts, len(x), generator).step(x, t, prediction)

    @contextmanager
    def _running(
        self, generator: torch.Generator | None, check: str | None, max_batch: int | None
    ) -> Iterator[tuple[torch.Generator, Meter]]:
        """What all runs have in common: the generator to draw by, and the count of their cost."""
        home = at_home(self.reference, self, generator=generator, check=check)
        with torch.no_grad(), evaluating(self), metered(max_batch) as meter, home as generator:
            yield generator, meter

    def _run(self, batch_size: int, generator: torch.Generator, **options: Any) -> Run:
        """The pass over B groups that `sample`, `resume` and `sample_conditionally` make."""
        return Run(self.parts, batch_size, generator, **options)

    def _finish(self, particles: Particles, history: History, cost: Cost, may_die: bool = False) -> Samples:
        batch_size, size = particles.log_weights.shape
        log_sum = particles.log_weights.logsumexp(dim=1, keepdim=True)
        if not bool((log_sum < math.inf).all()):
            raise _no_weights(log_sum, history)
        alive = log_sum > -math.inf
        if self.estimates_normalizer and not may_die and not bool(alive.any()):
            died = history.start + int((history.ess > 0).sum(dim=1).max())
            raise ValueError(
                f"every group died, the last at t = {died} of {self.reference.num_steps}: all its particles have "
                "reward or proposal ratio -inf (as where a policy moves a step without noise); "
                "use more particles, a value that looks ahead, or a larger alpha"
            )
        return Samples(
            states=particles.x.unflatten(0, (batch_size, size)),
            rewards=None if particles.rewards is None else particles.rewards.view(batch_size, size),
            log_weights=particles.log_weights.log_softmax(dim=1).masked_fill(~alive, -math.inf),
            log_normalizer=(log_sum - math.log(size)).squeeze(1) if self.estimates_normalizer else None,
            cost=cost,
            history=history,
        )


def _no_weights(log_sum: Tensor, history: History) -> NonFiniteError:
    """What to raise for the first group (B, 1) whose total weight is no number, at the first t where it was none."""
    group = int((~(log_sum < math.inf)).nonzero()[0, 0])
    steps = range(history.start, history.start + history.ess.shape[1])
    spreads = [] if history.spreads is None else history.spreads[group, :, 0].isnan().tolist()
    t = next((t for t, lost in zip(steps, spreads, strict=False) if lost), steps[-1])
    return NonFiniteError(
        f"log_weights: expected numbers below inf, got {log_sum[group].item()} in group {group} at t = {t}; a value or "
        "a reward over alpha is too large for a float64, or the ratio of reference and proposal is"
    )
