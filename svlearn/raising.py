"""What a user's code was called with, where it raised: a note beneath the error that torch gives."""

import inspect
from typing import Any, Self

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from svlearn.state import State


class noted:
    """Give what is raised inside a note: what raised, the dtypes and the device of the states, those of its parameters
    where they differ."""

    __slots__ = ("module", "name", "x")

    def __init__(self, name: str, module: Any, x: State):
        self.name, self.module, self.x = name, module, x

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, RuntimeError | TypeError) and not torch.compiler.is_compiling():
            why = _timeless(self.module) if isinstance(error, TypeError) else ""
            error.add_note(f"in {self.name}, given x = {in_words(self.x)}{why}{_unlike(self.module, self.x)}")


def in_words(part: Any) -> str:
    """What is handed to a user's code: the form, dtype and device of its tensors."""
    if isinstance(part, dict | TensorDict):
        return f"a dict of {', '.join(f'{name}: {in_words(each)}' for name, each in part.items())}"
    if isinstance(part, list) and part:
        return f"a list of {len(part)} {type(part[0]).__name__}"
    if isinstance(part, Tensor):
        return f"a Tensor {tuple(part.shape)} of {part.dtype} on {part.device}"
    return f"a {type(part).__name__} {tuple(getattr(part, 'shape', ()))}"


def wrong_initial(reference: nn.Module, options: dict[str, Any]) -> TypeError | None:
    """What to raise where `initial` does not take what it is called with; None where it does."""
    try:
        inspect.signature(reference.initial).bind(1, generator=None, **options)  # type: ignore[arg-type]
    except TypeError as error:
        expected = "initial(self, batch_size, *, condition=None, generator=None)"
        return TypeError(f"{type(reference).__name__}.initial: expected {expected}, {error}")
    except ValueError:  # of some builtins nothing is known
        pass
    return None


def check_steps(reference: nn.Module) -> None:
    """Raise TypeError for a process that has no number of steps."""
    if not hasattr(reference, "num_steps"):
        name = type(reference).__name__
        raise TypeError(f"{name}.num_steps: expected the number of steps T, on the class or set in __init__, got none")


def _unlike(module: Any, x: State) -> str:
    """What parameters of floats have that the states have not."""
    leaves = [x] if isinstance(x, Tensor) else list(x.values(True, True)) if isinstance(x, TensorDict) else []
    floats = {(each.dtype, each.device) for each in leaves if isinstance(each, Tensor) and each.is_floating_point()}
    owned = module.parameters() if isinstance(module, nn.Module) else ()
    own = {(each.dtype, each.device) for each in owned if each.is_floating_point()}
    if not own or not floats or own <= floats:
        return ""
    listed = ", ".join(sorted({f"{dtype} on {device}" for dtype, device in own}))
    return f"; its parameters are {listed}: bring both to one dtype and one device with .to(...)"


def _timeless(module: Any) -> str:
    """That the network of a value does not take (x, t), where it does not."""
    network = getattr(module, "network", None)
    if not isinstance(network, nn.Module):
        return ""
    try:
        inspect.signature(network.forward).bind(None, None)
    except TypeError as error:
        return f"; network: expected one whose forward takes (x, t), {type(network).__name__}.forward: {error}"
    except ValueError:  # of some builtins nothing is known
        pass
    return ""
