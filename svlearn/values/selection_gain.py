"""What choosing by a value gains: two draws of one step, told apart by the value, and the reward that came of one."""

import math
from collections.abc import Iterable, Sequence

import pandas as pd
import torch
from tensordict import TensorDict
from torch import Tensor
from tqdm.auto import tqdm

from svlearn.arguments import integer, integers
from svlearn.metering import metered
from svlearn.modes import in_evaluation
from svlearn.placement import at_home
from svlearn.process import Prediction, Reference, predict
from svlearn.randomness import device_of, resolve_generator
from svlearn.state import State, repeat
from svlearn.values.along_trajectories import along_trajectories, finite_rewards
from svlearn.values.calibration import agreement
from svlearn.values.children import asks_parents, evaluate_children, reads_candidates
from svlearn.values.value import Value, evaluate

COLUMNS = ["t", "value", "gain", "gain_error", "pearson"]
FEWEST = 8  # trajectories of which a line is made
PERSISTENCE = ["t", "value", "levels", "gain", "gain_error", "kept"]


@torch.no_grad()
@in_evaluation
def selection_gain(
    values: Sequence[Value],
    reference: Reference,
    trajectories: TensorDict,
    *,
    rewards: Tensor | None = None,
    steps: Iterable[int] | None = None,
    num_others: int = 1,
    generator: torch.Generator | None = None,
    max_batch: int | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """A row per t and value: what the better of two candidates for x_t, by that value, is worth at the end.

        gain_t = E[r(x_T) | x_t the better of two by v_t] - E[r(x_T)] = E[sign(v_t(x_t) - v_t(x'_t)) r(x_T)],

    reward units, x_t and x'_t two draws of the reference's step from the same x_{t-1}, and x_T what the reference makes
    of x_t. That is what one choice of SVDD with M = 2 adds, whatever the scale of v and whatever all candidates share,
    which a correlation over trajectories counts as well. Gains of several steps add up as long as they are small.

    trajectories: N of the reference, that no value was trained on: "states" (N, T + 1, ...) and "rewards" (N,);
    rewards: (N,), in the place of those; -inf is left out. steps: t in 0 ... T - 1, all of them where it is None.
    num_others: K draws x'_t for each x_t, by `generator`, the same for all values, over which the sign is averaged: the
    standard errors of 3 are three quarters of those of 1, where v tells little of r. x_0 has those of K other
    trajectories, which makes its gain too large by an N-th part or less. value: the place in `values`. gain_error: one
    standard error; what the mean of v_t over all candidates tells of r is a control variate, which leaves the gain as
    it is and lowers its error where v foresees r. pearson: the correlation of v_t(x_t) and r(x_T), as `calibrate` has
    it.
    The reference is called once a trajectory and step, and K + 1 times more where a value reads its predictions.
    Raises ValueError for a step that is none, K < 1 and K >= N, and as `calibrate` does; TypeError for what is no
    `Value`.
    """
    chosen = _chosen(values, reference, steps)
    num_others = integer(num_others, "num_others", 1, len(trajectories["states"]) - 1)
    rewards, kept = finite_rewards(reference, trajectories, rewards)
    generator = resolve_generator(generator, device_of(reference))
    outcomes, rows = rewards[kept], []
    for t in tqdm(chosen, desc="choices", disable=not progress, leave=False):
        with metered(max_batch), at_home(reference, *values, generator=generator):
            own, others = _said(values, reference, trajectories["states"], t, num_others, generator)
        for place, (one, rest) in enumerate(zip(own, others, strict=True)):
            gain, error = _won(one, rest, kept, outcomes)
            rows.append((t, place, gain, error, agreement(one[kept], outcomes)[0]))
    return pd.DataFrame(rows, columns=COLUMNS)


@torch.no_grad()
@in_evaluation
def persistence(
    values: Sequence[Value],
    reference: Reference,
    trajectories: TensorDict,
    *,
    levels: Iterable[int] = (0, 1, 10),
    rewards: Tensor | None = None,
    steps: Iterable[int] | None = None,
    num_others: int = 1,
    generator: torch.Generator | None = None,
    max_batch: int | None = None,
) -> pd.DataFrame:
    """A row per t, value and number of levels n: what the better of two candidates for x_t is taken for n steps later.

        gain_{t,n} = E[sign(v_t(x_t) - v_t(x'_t)) v_{t+n}(x_{t+n})],

    reward units, with r for v from T on: of n = 0 half of what the two differ by on average, of n >= T - t the
    `selection_gain` itself. kept: gain_{t,n} / gain_{t,0}. It is 1 for every n of the exact mean value, whose
    differences no later step washes away; of a value that fluctuates it says how many steps a choice lasts, with far
    less noise than r would, and so from how many trajectories (see `rollouts.label_survivors` for labels of so many
    levels). A trajectory whose r is -inf is left out where r itself is looked at, and there alone. levels: n of at
    least 0; the other arguments, and what is raised, are those of `selection_gain`. The reference is called along the
    trajectories once more where a value reads its predictions.
    """
    chosen, later = _chosen(values, reference, steps), sorted({*integers(levels, "levels", 0)})
    num_others = integer(num_others, "num_others", 1, len(trajectories["states"]) - 1)
    rewards, kept = finite_rewards(reference, trajectories, rewards)
    generator, rows = resolve_generator(generator, device_of(reference)), []
    with at_home(reference, *values, generator=generator):
        looks = along_trajectories(values, reference, trajectories, generator=generator, max_batch=max_batch)
        along = dict(looks)
    for t in chosen:
        with metered(max_batch), at_home(reference, *values, generator=generator):
            own, others = _said(values, reference, trajectories["states"], t, num_others, generator)
        for place, (one, rest) in enumerate(zip(own, others, strict=True)):
            at_once = float((one[:, None] - rest.view(-1, num_others)).abs().mean()) / 2
            for number in later:
                ahead = t + number
                said = one if number == 0 else rewards if ahead >= reference.num_steps else along[ahead][place]
                there = kept if ahead >= reference.num_steps else torch.ones_like(kept)
                gain, error = _won(one, rest, there, said[there])
                rows.append((t, place, number, gain, error, gain / at_once if at_once > 0 else math.nan))
    return pd.DataFrame(rows, columns=PERSISTENCE)


def _chosen(values: Sequence[Value], reference: Reference, steps: Iterable[int] | None) -> list[int]:
    """The steps that are looked at."""
    if not all(isinstance(value, Value) for value in values):
        raise TypeError(f"values: expected Values, got {[type(value).__name__ for value in values]}")
    last = reference.num_steps
    return list(range(last)) if steps is None else sorted({*integers(steps, "steps", 0, last - 1)})


def _won(one: Tensor, rest: Tensor, kept: Tensor, outcomes: Tensor) -> tuple[float, float]:
    """The gain and its standard error of choosing between own values (N,) and those of others (N · K,), of the rows
    kept, whose outcomes are these (n,)."""
    rest = rest.view(len(one), -1)
    signs = torch.sign(one[:, None] - rest).mean(dim=1)[kept]
    won = signs * _unforeseen(torch.cat([one[:, None], rest], dim=1).mean(dim=1)[kept], outcomes)
    return float(won.mean()), float(won.std()) / math.sqrt(len(won))


def _unforeseen(shared: Tensor, outcomes: Tensor) -> Tensor:
    """What the mean value of all candidates of a row, (n,), does not tell of its outcome, (n,): a control variate.

    Which of its candidates a row has gone on from is chance, given all of them, so what all share has no part in a
    gain, and much in its variance. A row is foreseen by the line through all others (leave one out), so that its own
    outcome moves nothing that is taken from it; by their mean alone where a line has nothing to go by.
    """
    apart, number = shared - shared.mean(), len(outcomes)
    spread, centred = apart.square().sum(), outcomes - outcomes.mean()
    if number < FEWEST or not bool(spread.isfinite()) or float(spread) == 0:
        return centred * number / (number - 1)
    leverage = 1 / number + apart.square() / spread
    line = (apart * centred).sum() / spread * apart
    return (centred - line) / (1 - leverage)


def _said(
    values: Sequence[Value], reference: Reference, states: State, t: int, number: int, generator: torch.Generator
) -> tuple[list[Tensor], list[Tensor]]:
    """v_t(x_t) of each value, (N,), float64, and v_t(x'_t), (N · K,), of K other draws from the same x_{t-1}."""
    device = device_of(reference)
    x = states[:, t].to(device)
    rows = repeat(torch.arange(len(x), device=device), number)
    before: Prediction | None = None
    if t == 0:
        others = x[(rows + 1 + torch.arange(len(rows), device=device) % number) % len(x)]
    else:
        before = predict(reference, states[:, t - 1].to(device), t - 1)
        others = before.transition[rows].sample(generator=generator)
    reads = any(reads_candidates(value, t) for value in values)
    said = []
    for point, parents in ((x, None), (others, rows)):
        prediction = predict(reference, point, t, before, parents=parents) if reads else None
        own = []
        for value in values:
            if before is not None and asks_parents(value, t):
                own.append(evaluate_children(value, point, t, before, parents).double())
            else:
                own.append(evaluate(value, point, t, prediction, generator=generator).double())
        said.append(own)
    return said[0], said[1]
