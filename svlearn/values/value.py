"""The value v_t(x_t) of a state, in reward units, and how it is called."""

import copy
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from svlearn.compiled import Compilable, plain
from svlearn.metering import count, current_max_batch
from svlearn.process import Prediction
from svlearn.raising import noted
from svlearn.state import State, concatenate, device_of_state, take, times
from svlearn.targets import Target, check_scalars

ESTIMANDS = ("mean", "soft")


class Value(nn.Module, ABC, metaclass=Compilable):
    """v_t(x_t) in reward units: soft, α log E[exp(r/α) | x_t], or mean, E[r | x_t], t = 0 ... T - 1.

    At T every sampler uses r itself. A value must be finite. counted: whether its calls are value calls; not those of
    a value that costs nothing, or that calls another one. checked: whether who computes its numbers has seen that they
    are finite, so that nobody need look again. asynchronous: whether a call mostly waits for other processes; a
    sampler goes on with the network meanwhile.
    """

    needs_prediction: bool = False
    needs_generator: bool = False
    counted: bool = True
    checked: bool = False
    asynchronous: bool = False

    @abstractmethod
    def forward(
        self, x: State, t: Tensor, prediction: Prediction | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """v_t(x_t), (B,), of states (B, ...) at t (B,). `prediction` is given where the value `reads` it, and
        `generator` where it `needs_generator`: it is then random."""

    def reads(self, t: int | Tensor) -> bool:
        """Whether a call at t, or at any of the t (B,), reads the prediction: where it does not, samplers do not call
        the reference for candidates that lose. As `needs_prediction` says, unless a class knows better."""
        return self.needs_prediction

    def at_time(self, t: int) -> "Value":
        """Optional: what is called in its place at one t in 0 ... T - 1, by who knows it as a number and asks for no
        other. It must be `forward` there, and need not read t back from the tensor, for which an accelerator waits."""
        return self

    def of_outcomes(self, x: State, t: Tensor, prediction: Prediction) -> Tensor:
        """Optional: v_{t+1} (B, N) of all N outcomes of the step from x_t (B, ...) at t (B,) in 0 ... T - 2, reward
        units, from one look at x_t. `prediction` is the reference's of x_t, and its transition a `ListedTransition`:
        `prediction.transition.states` (B, N, ...) are the outcomes, in the order of what is returned.

        Must be `forward` of each. `proposals.Exact`, and the samplers that use it, then call the value no more.
        """
        raise TypeError(f"{type(self).__name__} does not define of_outcomes()")

    def of_children(self, x: State, t: Tensor, parents: Prediction) -> Tensor:
        """Optional: v_t (N,) of x_t (N, ...) at t (N,) in 1 ... T - 1, reward units, that a step has just drawn, from
        what the reference predicted for the x_{t-1} that each comes from: N rows of its transition and its `clean`.

        Samplers ask this of their candidates in the place of `forward`, and then call the reference for those that are
        kept alone. It may differ from `forward`: in a run log-weights telescope over whatever a particle was given.
        """
        raise TypeError(f"{type(self).__name__} does not define of_children()")

    def defines(self, method: str) -> bool:
        """Whether it has an optional method of its own; one that hands them on to what it holds asks that."""
        return getattr(type(self), method) is not getattr(Value, method)


class Zero(Value):
    """v_t = 0: no look-ahead. Gives best-of-N and plain importance sampling."""

    counted, checked = False, True

    def forward(
        self, x: State, t: Tensor, prediction: Prediction | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        return torch.zeros(len(x), device=device_of_state(x))


def copy_of(value: Value) -> Value:
    """A deep copy with parameters of its own, that asks the same targets: their rewards stay one object each, wherever
    they are counted, placed on a device or emptied of what they remember."""
    held = [each for part in value.modules() for each in vars(part).values() if isinstance(each, Target)]
    return copy.deepcopy(value, {id(each): each for each in held})


def at_time(value: Value, t: int) -> Value:
    """`Value.at_time`; of a compiled value itself, for its parts are compiled in it alone."""
    return value if plain(value) is not value else value.at_time(t)


def evaluate(
    value: Value,
    x: State,
    t: int | Tensor,
    prediction: Prediction | None = None,
    *,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Call a value on a batch, in pieces of the frame's `max_batch`, count it and check that it is finite, (B,).

    A random value gets the whole batch, so that its noise does not depend on the cut; its own calls are cut.
    """
    size = x.shape[0]
    value = value if isinstance(t, Tensor) else at_time(value, t)
    reads = value.reads(t)
    t = times(t, size, device_of_state(x))
    if value.counted:
        count("value_calls", size)
    if reads and prediction is None:
        advice = "got None; give what svlearn.process.predict(reference, x, t) returns"
        raise ValueError(f"prediction: {type(value).__name__} reads the reference's prediction, {advice}")
    given = {"generator": generator} if value.needs_generator else {}
    limit = None if value.needs_generator else current_max_batch()
    if limit is None or size <= limit:
        return _checked(value, x, t, 0, {**given, "prediction": prediction} if reads else given)
    parts = []
    for start in range(0, size, limit):
        cut = slice(start, start + limit)
        told = {"prediction": take(prediction, cut)} if reads else {}
        parts.append(_checked(value, x[cut], t[cut], start, told))
    return concatenate(parts)


def _checked(value: Value, x: State, t: Tensor, start: int, given: dict[str, Any]) -> Tensor:
    with noted(type(value).__name__, value, x):
        values = value(x, t, **given)
    if not value.checked:
        check_scalars(values, t.shape[0], type(value).__name__, t, start, finite=True)
    return values


def check_estimand(estimand: str) -> str:
    """Return it, or raise ValueError with the known ones."""
    if estimand not in ESTIMANDS:
        raise ValueError(f"estimand: expected one of {', '.join(ESTIMANDS)}, got {estimand!r}")
    return estimand
