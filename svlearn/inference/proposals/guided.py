"""Gradient guidance: a proposal that moves where a value rises."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any, cast

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.arguments import one_or_each, real
from svlearn.caches import detached
from svlearn.deferred_checks import check_finite
from svlearn.inference.proposals.proposal import Proposal
from svlearn.metering import count, current_max_batch
from svlearn.process import Prediction, Reference, predict
from svlearn.reward import reads_one_hot
from svlearn.state import State, concatenate, device_of_state, flattened, times
from svlearn.targets import Target, refuses_gradient
from svlearn.transitions import FieldTransition, Transition
from svlearn.values.value import Value, at_time, evaluate

POINTS = ("mean", "state")


class Guided(Proposal):
    """q(x_{t+1} | x_t) ∝ p_ref(x_{t+1} | x_t) exp(<s_t g, x_{t+1}>), to first order of what it should be.

    at "mean": g = ∇v_{t+1}/α at the expansion point of the transition: the mean of a Gaussian step, the one-hot of x_t
    for tokens (arXiv 2406.01572), which the value must then read. At the last step v_T = r; where r gives no gradient,
    and for tokens unless the reward says `reads_one_hot = True`, that step is p_ref's own. Whether it gives one is
    found out at the first last step: it gives none where torch sees no way from the states to what it returns, or
    where it refuses states that require one (as x.numpy() does). Every other error of the reward is raised.
    at "state": g = ∇_{x_t} v_t(x_t)/α through the reference (DPS, arXiv 2209.14687); one gradient call of the reference
    for each kept state, in the same call that the sampler makes anyway where M = 1. Where a step moves tokens and no
    floats the gradient is that in the one-hot of x_t, in a call of the reference besides, which must read one-hots.
    None: "state" for a value that reads the prediction, else "mean".

    scale: s, or s_0 ... s_{T-1}. clip: the largest norm of s g of a state, nats per unit of x.
    Raises ValueError for α = 0, a schedule of the wrong length, and a value that has no gradient; TypeError for one
    that is random, and for a transition that cannot be tilted.
    """

    reference: Reference
    target: Target
    scales: list[float]
    reward_has_gradient: bool | None  # None: nobody has asked yet

    def __init__(
        self,
        value: Value,
        scale: float | Sequence[float] = 1.0,
        at: str | None = None,
        *,
        clip: float | None = None,
    ):
        if not isinstance(value, Value):
            raise TypeError(f"value: expected a Value, got {type(value).__name__}")
        if value.needs_generator:
            raise TypeError(f"value: expected one that is not random, got {type(value).__name__}")
        if at is None:
            at = "state" if value.needs_prediction else "mean"
        if at not in POINTS:
            raise ValueError(f"at: expected one of {', '.join(POINTS)}, got {at!r}")
        self.value, self.scale, self.at = value, scale, at
        self.clip = None if clip is None else real(clip, "clip", above=0)
        self.needs_gradient = at == "state"

    def bind(self, reference: Reference, target: Target | None) -> "Guided":
        if target is None or target.alpha == 0:
            raise ValueError("alpha: guidance needs a target with alpha > 0; for a stronger pull, raise `scale`")
        steps = reference.num_steps
        scales = [real(each, "scale") for each in one_or_each(self.scale, steps)]
        if len(scales) != steps:
            raise ValueError(
                f"scale: expected a number or {steps} of them, one per step 0 ... T - 1, got {len(scales)}"
            )
        bound = copy.copy(self)
        bound.reference, bound.target, bound.scales, bound.reward_has_gradient = reference, target, scales, None
        return bound

    def predict(self, reference: Reference, x: State, t: int | Tensor, previous: Prediction | None) -> Prediction:
        """The prediction, with ∇_{x_t} v_t(x_t) where that is asked for."""
        if not self.needs_gradient:
            return predict(reference, x, t, previous)
        moments, value = times(t, len(x), device_of_state(x)), self.value
        value = value if isinstance(t, Tensor) else at_time(value, t)
        if not _floats(x):
            return self._of_tokens(value, x, moments, predict(reference, x, t, previous))

        def predicted(point: State, rows: slice) -> tuple[Tensor, Prediction]:
            prediction = predict(reference, point, moments[rows], None if previous is None else previous[rows])
            return evaluate(value, point, moments[rows], prediction), prediction

        gradients, predictions = self._gradients(x, predicted)
        prediction = concatenate(predictions)
        prediction = replace(prediction, cache=detached(prediction.cache))  # its graph would grow with t
        if _moves_tokens_alone(prediction.transition, x):  # the floats are conditions
            return self._of_tokens(value, x, moments, prediction)
        return replace(prediction, gradient=gradients)

    def _of_tokens(self, value: Value, x: State, moments: Tensor, prediction: Prediction) -> Prediction:
        """The prediction with ∇ v_t in the one-hot of x_t, through a call of the reference there."""

        def valued(point: State, rows: slice) -> tuple[Tensor, None]:
            with _reading_one_hots(value):
                own = predict(self.reference, point, moments[rows]) if value.needs_prediction else None
                return evaluate(value, point, moments[rows], own), None

        return replace(prediction, gradient=self._gradients(prediction.transition.expansion_point(x), valued)[0])

    def keep(self, prediction: Prediction) -> Prediction:
        return replace(prediction.trimmed(), gradient=prediction.gradient)

    def transition(self, x: State, t: int, prediction: Prediction) -> Transition:
        gradient = prediction.gradient if self.needs_gradient else self._at_mean(x, t, prediction)
        if gradient is None:
            return prediction.transition
        return prediction.transition.tilt(
            self._scaled(_moved(gradient, prediction), self.scales[t] / self.target.alpha)
        )

    def _at_mean(self, x: State, t: int, prediction: Prediction) -> State | None:
        """∇v_{t+1} at the expansion point; None at the last step where r gives no gradient."""
        point = prediction.transition.expansion_point(x)
        if t + 1 == self.reference.num_steps:
            return self._of_reward(point, like=x)
        relaxed = len(_floats(x)) < len(_floats(point))

        def valued(point: State, rows: slice) -> tuple[Tensor, None]:
            previous = (
                prediction[rows] if prediction.cache is not None else None
            )  # the step leads from x_t to the point
            told = predict(self.reference, point, t + 1, previous) if self.value.reads(t + 1) else None
            with _reading_one_hots(self.value) if relaxed else nullcontext():
                return evaluate(self.value, point, t + 1, told), None

        return self._gradients(point, valued)[0]

    def _of_reward(self, point: State, like: State) -> State | None:
        relaxed = len(_floats(like)) < len(_floats(point))
        if self.reward_has_gradient is False or (relaxed and not reads_one_hot(self.target.reward)):
            return None
        depends: list[bool] = []

        def rewarded(point: State, rows: slice) -> tuple[Tensor, None]:
            rewards = self.target(point.clone())  # no leaf of the graph: a reward may write to what it is given
            depends.append(rewards.requires_grad)
            return rewards if depends[
                -1
            ] else rewards.clone().requires_grad_(), None  # constant here: its gradient is 0

        gradient: State | None = None
        try:
            gradient = self._gradients(point, rewarded)[0]
        except (RuntimeError, BufferError) as error:
            if self.reward_has_gradient or not refuses_gradient(error):
                raise
            depends.clear()
        if self.reward_has_gradient is None:
            self.reward_has_gradient = any(depends)
        return gradient if any(depends) else None

    def _gradients(self, x: State, function: Callable) -> tuple[State, list]:
        """∇ function of states (N, ...), in the floats among their leaves, in pieces of `max_batch`; and what else the
        function returned for each piece."""
        gradients, others = [], []
        limit = current_max_batch() or max(1, len(x))
        for start in range(0, len(x), limit):
            rows = slice(start, start + limit)
            with torch.inference_mode(False), torch.enable_grad():
                point = x[rows].clone()
                leaves = {name: leaf.detach().requires_grad_() for name, leaf in _floats(point).items()}
                if isinstance(point, Tensor):
                    point = leaves.get("", point)
                else:
                    point.update(leaves)
                values, other = function(point, rows)
                gradients.append(self._gradient(values, leaves, point))
            others.append(other)
        return concatenate(gradients), others

    def _gradient(self, values: Tensor, leaves: dict[str, Tensor], point: State) -> State:
        count("gradient_calls", len(values))
        if not leaves or not values.requires_grad:
            name = type(self.value).__name__
            raise ValueError(
                f"value: expected one with a gradient in the state's floats, {name} has none here; guide with a value "
                "that has (a network of (x, t), or a differentiable reward), or choose by svdd or smc without guidance"
            )
        found = torch.autograd.grad(values.sum(), list(leaves.values()), materialize_grads=True)

        def look() -> None:
            bad = ~torch.stack([flattened(each).isfinite().all(dim=1) for each in found]).all(dim=0)
            if bool(bad.any()):
                raise ValueError(f"value: expected a finite gradient, got another at index {int(bad.nonzero()[0])}")

        check_finite(torch.stack([each.sum().double() for each in found]).sum(), look)
        if isinstance(point, Tensor):
            return found[0]
        return TensorDict(dict(zip(leaves, found, strict=True)), batch_size=[len(values)])

    def _scaled(self, gradient: State, factor: float) -> State:
        gradient = gradient * factor
        if self.clip is None:
            return gradient
        squares = [flattened(leaf).square().sum(dim=1) for leaf in _floats(gradient).values()]
        norm = torch.stack(squares).sum(dim=0).sqrt()
        shrink = (self.clip / norm).clamp(max=1.0)

        def shrunk(leaf: Tensor) -> Tensor:
            return leaf * shrink.view(-1, *[1] * (leaf.dim() - 1)).to(leaf.dtype)

        return shrunk(gradient) if isinstance(gradient, Tensor) else cast(TensorDict, gradient.apply(shrunk))


def _moves_tokens_alone(law: Transition, x: State) -> bool:
    """Whether the leaves that a step moves are none of the floats of x_t, and some can be tilted."""
    if not isinstance(law, FieldTransition) or not isinstance(x, TensorDict):
        return False
    if any(x[name].is_floating_point() for name in law.laws):
        return False
    return len(_floats(law.expansion_point(x))) > len(_floats(x))


def _moved(gradient: State, prediction: Prediction) -> State:
    """The gradient in the leaves that the step moves; that in a condition, which no step moves, guides nothing."""
    law = prediction.transition
    if not isinstance(law, FieldTransition) or not isinstance(gradient, TensorDict):
        return gradient
    moved = [name for name in gradient.keys(True, True) if name in law.laws]
    return gradient.select(*moved) if moved else gradient


@contextmanager
def _reading_one_hots(value: Value) -> Iterator[None]:
    """Errors of a value that does not take one-hots in the place of tokens say so, as TypeError."""
    try:
        yield
    except (RuntimeError, TypeError, IndexError) as error:
        if isinstance(error, (torch.OutOfMemoryError, FloatingPointError)):
            raise
        raise TypeError(
            f"value: guidance reads {type(value).__name__} at one-hots in floats, in the place of token ids, to have a "
            f"gradient there, and it does not take them ({type(error).__name__}: {error}); let its network read both "
            "(one_hot @ embedding.weight), or choose by svdd or smc without guidance"
        ) from error


def _floats(x: State) -> dict[str, Tensor]:
    """The leaves of a state that can be differentiated; a tensor is its own, named ""."""
    leaves: dict[Any, Any] = {"": x} if isinstance(x, Tensor) else dict(x.items(True, True))
    return {name: leaf for name, leaf in leaves.items() if leaf.is_floating_point()}
