"""What a step of a process reads: a parameter that no step reads would learn nothing, without a word."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from svlearn.modes import evaluating
from svlearn.placement import where_the_reference_is
from svlearn.process import Prediction, Reference, call, draw_initial
from svlearn.randomness import device_of, seeded
from svlearn.state import device_of_state, times


@dataclass(frozen=True)
class Reading:
    """The parameters (their ids) that the law of a step depends on, and the modules (their ids) that were called."""

    parameters: set[int]
    called: set[int]


@where_the_reference_is
def read_by(process: Reference, parameters: Iterable[nn.Parameter], condition: Any = None) -> Reading | None:
    """What the first step of a trajectory that reads any of these parameters reads of them; most often step 0.

    Two states a step; condition: two rows, of the two. Nothing is counted, no gradient is computed: the graph that a
    backward pass would take is followed. None where it cannot be told: the process draws no x_0 without a condition and
    none is given, or its law holds no tensors.
    """
    sought = {id(each): each for each in parameters}
    generator = seeded(device_of(process), 0)
    try:
        x = draw_initial(process, 2, condition=condition, generator=generator)
    except Exception:  # as of one that starts from a prompt: what it raises without one is its own affair
        if condition is not None:
            raise
        return None
    found, called, previous = set[int](), set[int](), None
    hooks = [each.register_forward_pre_hook(lambda module, _: called.add(id(module))) for each in process.modules()]
    try:
        for t in range(process.num_steps):
            moments = times(t, 2, device_of_state(x))
            with torch.inference_mode(False), torch.enable_grad(), requiring_grad(sought.values()), evaluating(process):
                cache = None if previous is None or previous.cache is None else previous
                previous = call(process, x, moments, cache)
                law = [each for each in _tensors(previous.transition) if each.is_floating_point()]
                found = _leaves(law) & sought.keys()
            if not law:
                return None
            if found or t + 1 == process.num_steps:
                break
            with torch.no_grad():
                x = previous.transition.sample(generator=generator)
    finally:
        for hook in hooks:
            hook.remove()
    return Reading(found, called)


def check_read(reading: Reading | None, reference: Reference) -> None:
    """Raise ValueError where a copy of the reference is known to read none of the parameters that are trained."""
    if reading is not None and not reading.parameters:
        raise ValueError(
            f"reference: expected a law of the next state that depends on the parameters that are trained, "
            f"{type(reference).__name__}'s does not (is its forward under torch.no_grad, or are other modules meant?)"
        )


@contextmanager
def requiring_grad(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """These parameters require a gradient while the block runs."""
    frozen = [each for each in parameters if not each.requires_grad and each.is_floating_point()]
    for each in frozen:
        each.requires_grad_(True)
    try:
        yield
    finally:
        for each in frozen:
            each.requires_grad_(False)


def _leaves(tensors: Iterable[Tensor]) -> set[int]:
    """The ids of the leaves of a graph that end in these tensors."""
    found = {id(each) for each in tensors if each.is_leaf and each.requires_grad}
    seen, waiting = set[Any](), [each.grad_fn for each in tensors if each.grad_fn is not None]
    while waiting:
        node: Any = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.add(id(node.variable))
        waiting += [each for each, _ in node.next_functions if each is not None]
    return found


def _tensors(thing: Any) -> Iterator[Tensor]:
    """The tensors that a law holds, in whatever it keeps them."""
    if isinstance(thing, Tensor):
        yield thing
    elif isinstance(thing, (dict, TensorDict)):
        for each in thing.values():
            yield from _tensors(each)
    elif isinstance(thing, (list, tuple)):
        for each in thing:
            yield from _tensors(each)
    elif hasattr(thing, "__dict__") and not isinstance(thing, (nn.Module, Prediction, type)):
        for each in vars(thing).values():
            yield from _tensors(each)
