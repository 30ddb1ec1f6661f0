"""Gradients in a state, whether it is a tensor or has leaves: of a reward, and back through the reference's mean."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from svlearn.metering import count
from svlearn.objectives.control import gaussian
from svlearn.process import Prediction, Reference, predict
from svlearn.state import State, flattened
from svlearn.targets import Target, check_scalars, refuses_gradient
from svlearn.transitions import Coordinates, coordinates_of
from svlearn.transitions.coordinates import Name

WHOLE = ""  # the name of the one leaf of a state that is a tensor


def reward_gradient(target: Target, x: State) -> State:
    """∇r(x_T), (B, ...), reward units per unit of x, of finished states (B, ...), in the floats among their leaves.

    Raises ValueError where the reward gives no gradient, and where r or its gradient is not finite (with the index).
    """
    refusal = (
        "reward: expected one that torch can differentiate in the state, got one without a gradient; "
        "DerivativeFreeAdjointMatching, PathConsistency and MonteCarloRegression learn from any reward"
    )
    with torch.inference_mode(False), torch.enable_grad():
        point, leaves = with_gradient(x)
        try:
            rewards = target(point)
        except RuntimeError as error:  # as of x.numpy(), which a tensor with a gradient refuses
            if not refuses_gradient(error):
                raise
            raise ValueError(f"{refusal} ({error})") from error
        check_scalars(rewards, len(x), "reward", "T", finite=True)
        gradient = gradient_in(leaves, rewards.sum()) if rewards.requires_grad else None
    if gradient is None:
        raise ValueError(refusal)
    bad = ~torch.stack([flattened(each).isfinite().all(dim=1) for each in _leaves(gradient)]).all(dim=0)
    if bool(bad.any()):
        raise ValueError(f"reward: expected a finite gradient at step T, got another at index {int(bad.nonzero()[0])}")
    return gradient


def density_gradient(log_density: Callable[[State], Tensor], x: State, name: str) -> State:
    """∇ of a log-density (B,) at states (B, ...), nats per unit of x; ValueError, by name, where it has none."""
    with torch.inference_mode(False), torch.enable_grad():
        point, leaves = with_gradient(x)
        log_densities = log_density(point)
        gradient = gradient_in(leaves, log_densities.sum()) if log_densities.requires_grad else None
    if gradient is None:
        raise ValueError(f"{name}: expected one that torch can differentiate, got one without a gradient")
    return gradient


def pull_back(
    reference: Reference, x: State, t: int, adjoint: Tensor, previous: Prediction | None = None
) -> tuple[Tensor, Tensor, bool]:
    """(∂m_t/∂x)ᵀ a of an adjoint a at the states x_t (B, ...), and the std s_t, all over the coordinates, (B, ...); and
    whether s_t has a gradient in x. previous: that of the step before, whose cache stands still.

    Raises ValueError where the mean has no gradient in x, TypeError where the transition is not Gaussian.
    """
    with torch.inference_mode(False), torch.enable_grad(), frozen(reference):
        point, leaves = with_gradient(x)
        prediction = predict(reference, point, t, previous)
        law = gaussian(prediction)
        count("gradient_calls", len(x))
        slope = gradient_in(leaves, law.std.sum(), retain=True) if law.std.requires_grad else None
        pulled = None
        if law.mean.requires_grad:
            pulled = gradient_in(leaves, law.mean, adjoint.clone().to(law.mean.dtype))
        if pulled is None:
            raise without_gradient(reference)
    varies = slope is not None and any(bool((each != 0).any()) for each in _leaves(slope))
    return coordinates_of(prediction.transition).gradient(pulled, x), law.std.detach(), varies


def through_caches(
    reference: Reference, states: State, adjoint: Tensor, coordinates: Coordinates
) -> tuple[list[Tensor], list[Tensor | None]]:
    """a_1 ... a_T of a_T = adjoint, and s_0 ... s_{T-1}, None where it has a gradient in the state, of a reference that
    keeps a cache, along trajectories (B, T + 1, ...), or of x_0 ... x_t alone with a_t: the path, each x_{t+1} as it is
    with the gradient of m_t(x_t), is run once with the cache handed on, and back by one gradient, in x_1 ... x_T."""
    steps = states.shape[1] - 1
    point, previous = coordinates.of(states[:, 0]).detach(), None
    points: list[Tensor] = []
    stds: list[Tensor | None] = []
    with torch.inference_mode(False), torch.enable_grad(), frozen(reference):
        for t in range(steps):
            previous = predict(reference, coordinates.state(point, states[:, t]), t, previous)
            law = gaussian(previous)
            if t > 0 and not law.mean.requires_grad:
                raise without_gradient(reference)
            slope = None
            if t > 0 and law.std.requires_grad:
                (slope,) = torch.autograd.grad(law.std.sum(), point, retain_graph=True, allow_unused=True)
            varies = slope is not None and bool((slope != 0).any())
            stds.append(None if varies else law.std.detach().expand_as(law.mean))
            point = coordinates.of(states[:, t + 1]).detach() + (law.mean - law.mean.detach())  # to the bit: what was
            point = point if t > 0 else point.detach().requires_grad_()  # cached is looked at as it came
            points.append(point)
        count("gradient_calls", len(adjoint) * (steps - 1))
        adjoints = torch.autograd.grad(point, points, adjoint.clone().to(point.dtype))
    return list(adjoints), stds


def without_gradient(reference: Reference) -> ValueError:
    """What to raise where the reference's mean has no gradient in the state."""
    return ValueError(
        f"reference: expected a mean that torch can differentiate in the state, {type(reference).__name__} gives one "
        "without a gradient (is its forward under torch.no_grad?)"
    )


def with_gradient(x: State) -> tuple[State, dict[Name, Tensor]]:
    """A copy of states of which every float asks for a gradient, and these leaves by name."""
    if isinstance(x, Tensor):
        point = x.clone().detach().requires_grad_()
        return point, {WHOLE: point}
    state = x.copy()
    leaves: dict[Name, Tensor] = {}
    for name, leaf in x.items(include_nested=True, leaves_only=True):
        if isinstance(leaf, Tensor) and leaf.is_floating_point():
            leaves[name] = leaf.clone().detach().requires_grad_()
            state[name] = leaves[name]
    return state, leaves


def gradient_in(
    leaves: dict[Name, Tensor], output: Tensor, weights: Tensor | None = None, retain: bool = False
) -> State | None:
    """The gradient of an output, weighted, in the leaves of `with_gradient`, as a state; None where it reads none."""
    slopes = torch.autograd.grad(output, list(leaves.values()), weights, allow_unused=True, retain_graph=retain or None)
    if all(each is None for each in slopes):
        return None
    filled = {
        name: torch.zeros_like(leaf) if each is None else each
        for (name, leaf), each in zip(leaves.items(), slopes, strict=True)
    }
    if WHOLE in filled:
        return filled[WHOLE]
    gradient = TensorDict({}, batch_size=[len(next(iter(filled.values())))])
    for name, each in filled.items():
        gradient[name] = each
    return gradient


def _leaves(x: State) -> list[Tensor]:
    if isinstance(x, Tensor):
        return [x]
    return cast(list[Tensor], list(x.values(include_nested=True, leaves_only=True)))


@contextmanager
def frozen(module: object) -> Iterator[None]:
    """Record no gradient of a module's parameters inside; that of its inputs still passes. Else nothing is done."""
    free = [each for each in module.parameters() if each.requires_grad] if isinstance(module, nn.Module) else []
    for parameter in free:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in free:
            parameter.requires_grad_(True)
