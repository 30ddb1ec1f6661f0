"""Where things run: on the device of the reference, or of the objective that is trained."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from itertools import chain
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from svlearn.bytecode import module_of
from svlearn.deferred_checks import deferring
from svlearn.randomness import device_of, resolve_generator, together

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
WITHOUT_FLOAT64 = ("mps",)


@contextmanager
def at_home(
    reference: nn.Module, *things: object, generator: torch.Generator | None = None, check: str | None = None
) -> Iterator[torch.Generator]:
    """Run where the reference does (`home_of`): what the things hold is `placed` there, code that names no device is
    `working_on` it, and checks wait for the end where `check` says so (see `deferred_checks.deferring`).

    Gives the generator to draw by: the given one, wherever it lies, or a new one there.
    """
    home = home_of(reference, *things)
    generator = resolve_generator(generator, home)
    with placed(home, *things, but=reference), working_on(home, generator), deferring(check, home):
        yield generator


def where_the_reference_is(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """The function, whose first argument is a reference or another process, run `at_home` with all its arguments."""

    @wraps(function)
    def wrapped(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        reference: Any = args[0]
        with at_home(reference, *args[1:], *kwargs.values()):
            return function(*args, **kwargs)

    return wrapped


@contextmanager
def working_on(device: torch.device, generator: torch.Generator | None = None) -> Iterator[None]:
    """Let code that names no device work there: the default device, that of `torch.zeros(3)` and of a reference without
    parameters, is `device` meanwhile.

    generator: what draws inside; where it lies on another device, a user's `torch.randn(..., generator=generator)` is
    drawn where the generator lies, and moved to where it is wanted. Costs nothing where `device` is the default
    already and the generator lies there. Raises ValueError for a device that has no float64, in which weights are
    accumulated.
    """
    check_float64(device)
    with ExitStack() as held:
        if generator is not None and not together(generator.device, device):
            held.enter_context(_MovedDraws())
        if torch.get_default_device() != device:
            held.enter_context(torch.device(device))
        yield


def check_float64(device: torch.device) -> None:
    """Raise ValueError where a device has no float64."""
    if device.type in WITHOUT_FLOAT64:
        raise ValueError(
            f"device: expected one with float64, in which log-weights and log-probabilities are summed, got {device}, "
            "which has none; move the modules to 'cpu' or to a CUDA device (a Trainer takes accelerator='cpu')"
        )


def home_of(reference: nn.Module, *others: object) -> torch.device:
    """Where a reference runs: where its parameters or buffers are; else those of the first of the other things, a value
    or a target, that holds a module with any; else on the default device."""
    for module in (reference, *modules_of(*others)):
        for tensor in _tensors(module):
            return tensor.device
    return device_of(reference)


@contextmanager
def placed(device: torch.device, *things: object, but: nn.Module | None = None) -> Iterator[None]:
    """Move the modules that these things are or hold to a device, and back to where they were at the end, also after an
    exception; but: one that stays, with all its parts, such as a reference that offloads some of them.

    A thing is searched through the attributes of svlearn's own classes alone: a value, the target in it, the reward of
    that, each of a weighted sum, a proposal. A function may hold a network as it likes, and takes care of it. What lies
    on another device of the kind, such as a second GPU, stays there: somebody has put it there.
    """
    moved: list[tuple[nn.Module, torch.device]] = []
    staying = set() if but is None else set(but.modules())
    try:
        for module in modules_of(*things):
            for part in module.modules():
                places = set() if part in staying else {tensor.device for tensor in _own(part)}
                if len(places) == 1 and (place := places.pop()).type != device.type:
                    moved.append((part, place))
                    _move(part, device)
        yield
    finally:
        for part, place in moved:
            _move(part, place)


@contextmanager
def left_in_place(*modules: nn.Module) -> Iterator[None]:
    """Bring every part of these modules back, at the end, to the device where it was, whoever has moved it."""
    homes = []
    for part in chain.from_iterable(module.modules() for module in modules):
        places = {tensor.device for tensor in _own(part)}
        if len(places) == 1:
            homes.append((part, places.pop()))
    try:
        yield
    finally:
        for part, place in homes:
            if any(tensor.device != place for tensor in _own(part)):
                _move(part, place)


def modules_of(*things: object) -> list[nn.Module]:
    """The modules that these things are, or hold in attributes of svlearn's classes, lists, tuples and dicts."""
    modules, visited, waiting = [], set(), list(things)[::-1]
    while waiting:
        thing = waiting.pop()
        if id(thing) in visited:
            continue
        visited.add(id(thing))
        if isinstance(thing, nn.Module):
            modules.append(thing)
        if isinstance(thing, (list, tuple)):
            waiting.extend(reversed(thing))
        elif isinstance(thing, dict):
            waiting.extend(reversed(list(thing.values())))
        elif module_of(type(thing)).split(".")[0] == "svlearn":
            waiting.extend(reversed(list(getattr(thing, "__dict__", {}).values())))
    return modules


class _MovedDraws(TorchFunctionMode):
    """Draws by a generator of another device than is asked for are made where the generator lies, and moved."""

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        generator = kwargs.get("generator")
        if not isinstance(generator, torch.Generator):
            return func(*args, **kwargs)
        tensors = [each for each in args if isinstance(each, Tensor)]
        if tensors:
            device = tensors[0].device
        else:
            device = torch.get_default_device() if kwargs.get("device") is None else torch.device(kwargs["device"])
        if together(generator.device, device):
            return func(*args, **kwargs)
        if not tensors:  # torch.randn(sizes, ...)
            return func(*args, **{**kwargs, "device": generator.device}).to(device)
        there = [each.to(generator.device) if isinstance(each, Tensor) else each for each in args]
        drawn = func(*there, **kwargs)
        return args[0].copy_(drawn) if func.__name__.endswith("_") else drawn.to(device)


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from chain(module.parameters(), module.buffers())


def _own(part: nn.Module) -> Iterator[Tensor]:
    """The parameters and buffers of a module, without those of its parts."""
    yield from chain(part.parameters(recurse=False), part.buffers(recurse=False))


def _move(part: nn.Module, device: torch.device) -> None:
    part._apply(lambda tensor: tensor.to(device), recurse=False)
