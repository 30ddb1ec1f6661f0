"""Whole trajectories in memory: forward by a process, or backward from finished states by its noise."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.arguments import integer
from svlearn.conditions import rows_for
from svlearn.deferred_checks import deferring
from svlearn.inference import proposals
from svlearn.inference.proposals import Proposal
from svlearn.modes import in_evaluation
from svlearn.moving import Moving, spread
from svlearn.placement import at_home
from svlearn.process import Reference, add_noise, draw_initial, has, predict
from svlearn.randomness import device_of
from svlearn.rollouts.kept import AllTimes, SomeTimes, check_kept
from svlearn.state import State, device_of_state
from svlearn.state import times as times_of_batch
from svlearn.targets import NonFiniteError, Target
from svlearn.transitions import Transition

Measure: TypeAlias = Callable[[Transition, Transition, State], Tensor]


@torch.no_grad()
@in_evaluation
def roll_out(
    process: Reference,
    batch_size: int,
    *,
    target: Target | None = None,
    generator: torch.Generator | None = None,
    condition: Any = None,
    kind: str = "reference_calls",
    proposal: Proposal | Reference | None = None,
    measures: Mapping[str, Measure] | None = None,
    times: Tensor | None = None,
) -> TensorDict:
    """Draw trajectories x_0 ~ p_0, x_{t+1} ~ p(· | x_t) of a reference or a policy; T calls a trajectory.

    One that is `Reference.finished` before T costs no call from there on, and stays what it is.
    Returns "states" (B, T + 1, ...), where ["states"][:, t] is x_t, and, with a target, "rewards" (B,), reward units.
    condition: B rows of what the samples are conditioned on (see `svlearn.conditions`). kind: what a call counts as
    (see `metering.KINDS`).
    proposal: q, in the place of p, draws x_{t+1}; "log_ratios" (B, T), float64, nats, are then log p(x_{t+1}|x_t) -
    log q(x_{t+1}|x_t): their exponential weighs what q has drawn as p would. A process is taken as a policy.
    measures: functions (q, p, x_{t+1}) -> (B,) of both laws at a step, of which each is then there by its name, (B, T),
    float64: 0 where q is the very law p and where a state is finished. They need a proposal.
    times (B, n), long: of each trajectory keep x_t at these t < T alone; "states" are then (B, n, ...), and "times" are
    there. The trajectories are the same. Not beside a proposal, whose weights are of whole ones.
    Raises ValueError for an empty batch and a condition of another length; NonFiniteError, which is one, for a state
    with a NaN, naming the first step that has one and the row, and for a reward that is NaN or +inf; TypeError for
    what is no proposal.
    """
    q = None if proposal is None else as_proposal(proposal).bind(process, target)
    if q is None and measures:
        raise ValueError(f"measures: expected a proposal beside them, got {', '.join(measures)} and none")
    batch_size = integer(batch_size, "batch_size")
    if times is not None and (q is not None or times.dim() != 2 or len(times) != batch_size):
        came = f"those of {tuple(times.shape)}" if q is None else "some beside a proposal"
        raise ValueError(f"times: expected None, or times ({batch_size}, n) without a proposal, got {came}")
    if times is not None and (times.dtype != torch.long or times.min() < 0 or times.max() >= process.num_steps):
        raise ValueError(
            f"times: expected whole numbers of 0 ... {process.num_steps - 1}, long, got {times.dtype} from "
            f"{times.min():g} to {times.max():g}"
        )
    condition = rows_for(condition, batch_size, "a trajectory")
    with at_home(process, target, q, generator=generator, check="every") as generator:
        start = draw_initial(process, batch_size, condition=condition, generator=generator)
        with deferring(None, device_of_state(start)):
            of_steps = {} if q is None else {"log_ratios": _log_ratio, **(measures or {})}
            kept = AllTimes() if times is None else SomeTimes(times)
            last, figures = _moved(process, start, q, generator, kind, of_steps, kept)
        return _trajectories(kept.entries(), last, target, figures)


def _log_ratio(q: Transition, p: Transition, x_next: State) -> Tensor:
    return p.log_ratio(q, x_next)


def _moved(
    process: Reference,
    start: State,
    q: Proposal | None,
    generator: torch.Generator,
    kind: str,
    measures: Mapping[str, Measure],
    kept: AllTimes | SomeTimes,
) -> tuple[State, dict[str, list[Tensor]]]:
    """x_T from x_0 (B, ...), all states told to `kept`, and what the measures say (B,) of each of the T steps."""
    x_next, moving, done = start, Moving(process, start), 0
    kept.add(0, start)
    figures: dict[str, list[Tensor]] = {name: [] for name in measures}
    nothing = torch.zeros(len(start), dtype=torch.float64, device=device_of_state(start))
    for t in range(process.num_steps):
        if not moving.leave_finished():
            break
        if q is None:
            prediction = predict(process, moving.x, t, moving.previous, kind)
        else:
            prediction = q.predict(process, moving.x, t, moving.previous)
        law = prediction.transition if q is None else q.transition(moving.x, t, prediction)
        x = law.sample(generator=generator)
        for name, measure in measures.items():
            own = None if law is prediction.transition else measure(law, prediction.transition, x).double()
            figures[name].append(nothing if own is None else spread(own, moving.rows, len(start)))
        x_next, done = moving.step(x, prediction), t + 1
        kept.add(done, x_next)
    left = range(done + 1, process.num_steps + 1)
    for t in left:
        kept.add(t, x_next)
    return x_next, {name: each + [nothing] * len(left) for name, each in figures.items()}


@torch.no_grad()
@in_evaluation
def roll_back(
    reference: Reference,
    finished_states: State,
    *,
    target: Target | None = None,
    start: State | None = None,
    generator: torch.Generator | None = None,
) -> TensorDict:
    """Draw trajectories that end in the given x_T (B, ...): x_t ~ noise(x_{t+1}, t + 1, t), t = T - 1 ... 0.

    No call of the network (SVDD, arXiv 2408.08252, remark 1). Returns the same as `roll_out`. Its law is that of
    p_ref where p_ref is the exact reversal of the forward process and the finished states are drawn from it.
    start: x_0 (B, ...), for a process that reads there what its samples are conditioned on (see `Reference.noise`).
    Raises TypeError where the reference has no `noise`; NonFiniteError for a reward that is NaN or +inf, and for a
    state with a NaN, naming the last step that has one, for they are drawn from there.
    """
    check_has_noise(reference)
    with at_home(reference, target, generator=generator, check="every") as generator:
        device = device_of(reference)
        states = [finished_states.to(device)]
        for t in reversed(range(reference.num_steps)):
            now, earlier = (times_of_batch(step, len(finished_states), device) for step in (t + 1, t))
            states.append(add_noise(reference, states[-1], now, earlier, lambda: start, generator))
        entries = {"states": torch.stack(states[::-1], dim=1)}
        return _trajectories(entries, states[0], target, backward=True)


def check_has_noise(reference: Reference) -> None:
    """Raise TypeError unless the reference defines the forward process."""
    if not has(reference, "noise"):
        name = type(reference).__name__
        raise TypeError(f"reference: expected one with a forward process, got {name} without noise()")


def as_proposal(proposal: Proposal | Reference) -> Proposal:
    """A proposal as it is, a process (such as a policy) as the proposal that moves by it; else TypeError."""
    if isinstance(proposal, Reference):
        return proposals.Policy(proposal)
    if not isinstance(proposal, Proposal):
        raise TypeError(f"proposal: expected a Proposal, or a process such as a policy, got {type(proposal).__name__}")
    return proposal


def _trajectories(
    entries: dict[str, Any],
    last: State,
    target: Target | None,
    figures: Mapping[str, Sequence[Tensor]] | None = None,
    backward: bool = False,
) -> TensorDict:
    """entries: the states that are kept, and at which times where these are not all; last: x_T (B, ...)."""
    batch = TensorDict(entries, batch_size=[len(last)])
    for name, each in (figures or {}).items():
        batch[name] = torch.stack(list(each), dim=1)
    try:
        if "times" in batch:
            check_kept(batch["states"], batch["times"])
        else:
            _check_numbers(batch["states"], backward)
        if target is not None:
            batch["rewards"] = target(last)
    except NonFiniteError as error:
        error.trajectories = batch  # for who wants to see on what
        raise
    return batch


def _check_numbers(states: State, backward: bool) -> None:
    """Raise NonFiniteError where a float of trajectories (B, T + 1, ...) is NaN: a reward may be blind to it.

    It names the first step that has one, the last where they were drawn backward, and the first such row there. An
    infinite one passes, for a mask may hold it.
    """
    leaves = [states] if isinstance(states, Tensor) else states.values(include_nested=True, leaves_only=True)
    floats = [leaf for leaf in cast(Iterable[Tensor], leaves) if leaf.is_floating_point()]
    if not floats or not bool(torch.stack([leaf.sum().double() for leaf in floats]).isnan().any()):
        return
    bad = torch.stack([leaf.isnan().flatten(2).any(dim=2) if leaf.dim() > 2 else leaf.isnan() for leaf in floats])
    rows, steps = bad.any(dim=0).nonzero(as_tuple=True)
    if len(steps) > 0:  # else a sum is that of inf and -inf
        t = int(steps.max() if backward else steps.min())
        raise NonFiniteError(f"state: expected numbers at step {t}, got NaN at index {int(rows[steps == t][0])}")
