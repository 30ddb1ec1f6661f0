"""A dry run on two rows: what is wrong with a reference, a reward or a value is said before it costs an hour."""

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, cast

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from svlearn.arguments import expect, integer
from svlearn.modes import evaluating
from svlearn.process import Prediction, Reference, draw_initial, has, predict
from svlearn.randomness import device_of, seeded
from svlearn.shapes import forget
from svlearn.state import State, device_of_state, take
from svlearn.targets import Target
from svlearn.trajectories import predictions_at
from svlearn.transitions import Transition, gaussian_of
from svlearn.values.value import Value, evaluate

ROWS = 2
LOST = 5e-4  # of a step's std that rounding may take
NOISY = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.modules.batchnorm._BatchNorm)


class Findings:
    """What a dry run has found: errors, and warnings of what runs but is not what it seems."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.warnings: list[str] = []
        self.first: Exception | None = None  # that was raised

    def attempt(self, name: str, function: Callable[[], Any]) -> Any:
        """What the function returns; None, and an error of that name, where it raises."""
        try:
            return function()
        except Exception as error:  # whatever a user's code may raise
            self.first = error if self.first is None else self.first
            text = str(error) or type(error).__name__
            self.errors.append(text if text.startswith(name) else f"{name}: {text} ({type(error).__name__})")
            return None

    def wrong(self, text: str) -> None:
        self.errors.append(text)

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    def __str__(self) -> str:
        lines = [*self.errors, *(f"warning: {text}" for text in self.warnings)]
        return "\n".join(f"- {line}" for line in lines)


@torch.no_grad()
def check(
    reference: Reference, target: Target | None = None, value: Value | None = None, *, condition: Any = None
) -> list[str]:
    """Try a reference, a reward and a value on two rows, rolled out once; T calls of the reference, no training.

    At the first and the last step: forward, the law's `sample`, `log_prob`, `log_ratio` and `__getitem__`, the value;
    at all steps, where the reference defines `along`, that it predicts what forward does; of the finished states the
    reward, `decode`, `describe` and `draw`. condition: two rows, where there are any.
    Returns what runs but is not what it seems, one sentence each, and issues each as a UserWarning: a reference
    without noise, of which selection and guidance move nothing; one in training mode with dropout; states so far from
    0, against the noise of a step, that rounding biases log Z; a law without `cat`, which `max_batch` needs.
    Raises TypeError for what is no Reference, Target or Value; ValueError with all that is wrong, one line each.
    """
    expect(reference, Reference, "reference")
    for thing, kind, name in ((target, Target, "target"), (value, Value, "value")):
        if thing is not None:
            expect(thing, kind, name)
    found = Findings()
    _check_modes(found, reference, "reference")
    if target is not None:
        _check_modes(found, target.reward, "reward")
    with evaluating(reference, target, value):
        finished = _walk(found, reference, target, value, condition)
        if finished is not None:
            if target is not None:
                found.attempt("reward", lambda: target(finished))
            found.attempt(type(reference).__name__, lambda: check_presentation(reference, finished))
    if found.errors:
        raise ValueError(f"check: {type(reference).__name__}\n{found}") from found.first
    for text in found.warnings:
        warnings.warn(text, stacklevel=3)
    return found.warnings


@torch.no_grad()
def check_presentation(reference: Reference, states: State | None = None) -> None:
    """Try `decode`, `describe` and `draw`, where a reference has them, on two finished states, drawn if not given.

    Raises ValueError that names the method, and what it gave or raised, from what it raised.
    """
    if not has(reference, "decode"):
        return
    name, found = type(reference).__name__, Findings()
    if states is None:
        with evaluating(reference):
            *_, (_, _, _, states) = _steps(reference, None)
    objects = found.attempt(f"{name}.decode", lambda: reference.decode(states))
    listed = hasattr(objects, "__len__") and not isinstance(objects, (str, bytes, dict))
    if not found.errors and not (listed and len(objects) == len(states)):
        came = (
            f"{len(objects)} in a {type(objects).__name__}" if hasattr(objects, "__len__") else type(objects).__name__
        )
        found.wrong(f"{name}.decode: expected a list of {len(states)} objects, got {came}")
    if not found.errors:
        objects = list(objects)
        figures = found.attempt(
            f"{name}.describe", lambda: {k: float(v) for k, v in reference.describe(objects).items()}
        )
        if figures is not None and not all(isinstance(key, str) for key in figures):
            found.wrong(f"{name}.describe: expected a dict of names and numbers, got keys {list(figures)}")
        picture = found.attempt(f"{name}.draw", lambda: reference.draw(objects, ["", ""]))
        if picture is not None and not isinstance(picture, str):
            found.wrong(f"{name}.draw: expected SVG or <img> markup, or None, got {type(picture).__name__}")
    if found.errors:
        raise ValueError("\n".join(found.errors)) from found.first


def _walk(
    found: Findings, reference: Reference, target: Target | None, value: Value | None, condition: Any
) -> State | None:
    """The finished states of two rows, None where they are not reached; what is met on the way is looked at."""
    name = type(reference).__name__
    steps = found.attempt(f"{name}.num_steps", lambda: integer(reference.num_steps, f"{name}.num_steps"))
    if steps is None:
        return None
    if condition is None:  # of one row more: an initial that ignores batch_size is right for one number alone
        generator = seeded(device_of(reference), 1)
        found.attempt(f"{name}.initial", lambda: draw_initial(reference, ROWS + 1, generator=generator))
    forget(reference)
    silent, walk, t = [], _steps(reference, condition), -1
    moves: list[tuple[State, Transition, State]] = []
    while True:
        where = f"{name}.initial" if t < 0 else f"{name}.forward" if t == 0 else f"{name}.forward after t = {t}"
        step = found.attempt(where, lambda: next(walk, None))
        if step is None:
            break
        t, x, prediction, finished = step
        moves.append((x, prediction.transition, finished))
        if t in (0, steps - 1):
            silent.append(_check_law(found, x, finished, prediction.transition, f"{name} at t = {t}"))
            _check_value(found, value, x, t, prediction)
            if target is not None and prediction.clean is not None:
                found.attempt(f"{name}.forward: clean at t = {t}", partial(target, prediction.clean))
    if t >= 0 and silent and all(silent):
        found.warn(
            f"{name}: its steps have no noise (a std of 0), so all candidates are one, and selection, guidance and "
            "policies move nothing; take a sampler with noise (eta > 0, an SDE and not its flow)"
        )
    if t != steps - 1:
        return None
    if has(reference, "along") and not found.errors:
        found.attempt(f"{name}.along", lambda: _check_along(found, reference, moves))
    return finished


def _check_along(found: Findings, reference: Reference, moves: list[tuple[State, Transition, State]]) -> None:
    """Hold the laws that `along` predicts for the states of a walk against those of forward, by the moves x_t, law,
    x_{t+1} that were made."""
    states = torch.stack([*(x for x, _, _ in moves), moves[-1][2]], dim=1)
    predictions = list(predictions_at(reference, states, range(len(moves))))
    for t, ((_, law, after), other) in enumerate(zip(moves, predictions, strict=True)):
        own, came = (each.log_prob(after) for each in (law, cast(Prediction, other).transition))
        if not torch.allclose(came, own, rtol=1e-3, atol=1e-3):
            name = type(reference).__name__
            found.wrong(
                f"{name}.along: expected at t = {t} the law that forward predicts, log_prob {own.tolist()} of the "
                f"moves that were made, got {came.tolist()}; objectives would train another law than samplers draw from"
            )
            return


def _steps(reference: Reference, condition: Any) -> Iterator[tuple[int, State, Prediction, State]]:
    """t, x_t, the prediction there and x_{t+1}, of two rows."""
    generator = seeded(device_of(reference), 0)
    x, prediction = draw_initial(reference, ROWS, condition=condition, generator=generator), None
    for t in range(reference.num_steps):
        prediction = predict(reference, x, t, prediction)
        x, before = prediction.transition.sample(generator=generator), x
        yield t, before, prediction, x


def _check_law(found: Findings, x: State, x_next: State, law: Transition, where: str) -> bool:
    """Look at a law and what it drew; whether it is Gaussian without any noise."""
    kind, swapped = type(law).__name__, torch.arange(ROWS - 1, -1, -1, device=device_of_state(x))
    if _layout(x) != _layout(x_next):
        found.wrong(f"{where}: {kind}.sample: expected states as x_t, {_layout(x)}, got {_layout(x_next)}")
        return False
    log_probs = found.attempt(f"{where}: {kind}.log_prob", lambda: law.log_prob(x_next))
    if log_probs is not None:
        if not isinstance(log_probs, Tensor) or log_probs.shape != (ROWS,) or bool(log_probs.isnan().any()):
            came = tuple(log_probs.shape) if isinstance(log_probs, Tensor) else type(log_probs).__name__
            found.wrong(f"{where}: {kind}.log_prob: expected shape (B,) = ({ROWS},) without NaN, got {came}")
        else:
            rows = found.attempt(f"{where}: {kind}[rows]", lambda: law[swapped].log_prob(take(x_next, swapped)))
            if rows is not None and not torch.allclose(rows, log_probs[swapped], rtol=1e-4, atol=1e-4):
                found.wrong(f"{where}: {kind}[rows]: expected the law of the chosen rows, got another log_prob")
    if not hasattr(type(law), "cat"):
        found.warn(f"{kind} has no class method cat(parts): max_batch and tree_search cannot join batches of it")
    inner = gaussian_of(law)
    if inner is None:
        return False
    lost = torch.finfo(inner.mean.dtype).eps * inner.mean.abs() / inner.std
    said = any("to rounding" in text for text in found.warnings)
    if not said and bool((lost.masked_fill(inner.diracs, 0.0) > LOST).any()):
        found.warn(
            f"{where}: states of up to {float(inner.mean.abs().max()):.3g} in {str(inner.mean.dtype)[6:]} lose more "
            f"than {LOST:g} of a step's noise to rounding, which biases weights and log Z; shift them to around 0, or "
            "use float64"
        )
    return bool(inner.diracs.all())


def _check_value(found: Findings, value: Value | None, x: State, t: int, prediction: Prediction) -> None:
    if value is None:
        return
    generator = seeded(device_of_state(x), 2)
    found.attempt(
        f"value at t = {t}", lambda: evaluate(value, x, t, prediction if value.reads(t) else None, generator=generator)
    )


def _check_modes(found: Findings, thing: Any, name: str) -> None:
    if not isinstance(thing, nn.Module):
        return
    noisy = sorted({type(each).__name__ for each in thing.modules() if each.training and isinstance(each, NOISY)})
    if noisy:
        found.warn(f"{name}: {type(thing).__name__} is in training mode, where {', '.join(noisy)} act; call eval()")


def _layout(x: State) -> Any:
    """The shapes and kinds of numbers of a state."""
    if isinstance(x, TensorDict):
        return {name: (tuple(leaf.shape), leaf.dtype) for name, leaf in sorted(x.flatten_keys().items())}
    return (tuple(x.shape), x.dtype) if isinstance(x, Tensor) else type(x).__name__
