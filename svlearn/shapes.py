"""What a process gives for a batch of states, looked at where it is called first: an error that names it, not luck."""

import inspect
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from svlearn.caches import check_cache
from svlearn.state import State
from svlearn.transitions import CategoricalTransition, GaussianTransition, Transition, UnclearStdError

MOST = 256  # shapes that are remembered of a process
DISTRIBUTIONS = "GaussianTransition(mean, std) in the place of a Normal, CategoricalTransition(logits) of a Categorical"

_seen: WeakKeyDictionary[object, set] = WeakKeyDictionary()
_cached: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()  # whether it was seen to give a cache
_unclear: WeakKeyDictionary[nn.Module, set] = WeakKeyDictionary()  # the numbers of rows that a std is as long as


def is_new(process: object, key: Any) -> bool:
    """Whether a process, or a reward, was not yet seen with this key, a shape of its states; from now on it was.

    Never inside what torch compiles: its guards would be on this memory, from which processes go as they are freed.
    """
    if torch.compiler.is_compiling():
        return False
    keys = _seen.get(process)
    if keys is None:
        keys = _seen[process] = set()
    if key in keys:
        return False
    if len(keys) >= MOST:
        keys.clear()
    keys.add(key)
    return True


def forget(process: object) -> None:
    """Look at it anew: a call has failed."""
    _seen.pop(process, None)


def check_forward(process: nn.Module, cached: bool) -> None:
    """Raise TypeError unless forward takes (x, t), and `previous` where there is a cache."""
    options = {"previous": None} if cached else {}
    try:
        inspect.signature(process.forward).bind(None, None, **options)
    except TypeError as error:
        expected = "forward(self, x, t, previous=None)"
        raise TypeError(f"{type(process).__name__}.forward: expected {expected}, {error}") from None
    except ValueError:  # of some builtins nothing is known
        return


def check_prediction(process: nn.Module, x: State, prediction: Any) -> None:
    """Raise TypeError or ValueError, with the part, unless a prediction fits the states (B, ...) it was made from."""
    name, size, law = f"{type(process).__name__}.forward", x.shape[0], prediction.transition
    if not isinstance(law, Transition):
        kind = f"{type(law).__module__}.{type(law).__name__}"
        raise TypeError(f"{name}: transition: expected a svlearn.Transition, got {kind}; write {DISTRIBUTIONS}")
    if isinstance(x, Tensor):
        expected, shape = tuple(x.shape), None
        if isinstance(law, GaussianTransition):
            shape, part = tuple(law.mean.shape), "mean"
        elif isinstance(law, CategoricalTransition) and not x.is_floating_point():
            shape, part = tuple(law.log_probs.shape[:2]), "logits (B, L, V) over states"
        if shape is not None and shape != expected:
            raise ValueError(f"{name}: transition: expected a {part} of shape {expected}, as the states, got {shape}")
    _check_rows(prediction.clean, size, f"{name}: clean")
    _check_rows(prediction.features, size, f"{name}: features")
    if prediction.clean_law is not None and not isinstance(prediction.clean_law, Transition):
        raise TypeError(f"{name}: clean_law: expected a Transition, got {type(prediction.clean_law).__name__}")
    told = prediction.evaluations
    if told is not None and not (isinstance(told, Tensor) and told.dtype == torch.long and told.shape == (size,)):
        came = f"{tuple(told.shape)} of {told.dtype}" if isinstance(told, Tensor) else type(told).__name__
        raise ValueError(f"{name}: evaluations: expected numbers of calls ({size},), long, got {came}")
    check_cache(prediction.cache, size)
    _cached[process] = _cached.get(process, False) or prediction.cache is not None
    if prediction.cache is not None:
        check_forward(process, cached=True)


def gives_cache(process: nn.Module) -> bool | None:
    """Whether the predictions of a process that were looked at had a cache; None where none was yet."""
    return _cached.get(process)


def is_unclear(process: nn.Module, size: int) -> bool:
    """Whether a process is known to make, of so many rows, a std of the elements that is as long as there are rows.

    Not where a gradient is computed: a checkpointed step is then computed twice, by the very same operations.
    """
    if torch.compiler.is_compiling():
        return False
    return bool(_unclear) and not torch.is_grad_enabled() and size in _unclear.get(process, ())


def with_one_more(process: nn.Module, size: int, call: Callable[[Tensor], Any], error: UnclearStdError | None) -> Any:
    """The first rows of call([0, 1, ... size - 1, size - 1]): with one row more a std of the elements fits, and one of
    the rows does not. error: of the call without, raised in that case; None where `is_unclear` was known."""
    try:
        result = call(torch.arange(size + 1).clamp(max=size - 1))[:size]
    except ValueError:
        if error is None:
            raise
        raise error from None
    _unclear.setdefault(process, set()).add(size)
    return result


def check_states(x: Any, size: int, name: str) -> None:
    """Raise TypeError for what is no state, ValueError for another number of rows."""
    if not isinstance(x, (Tensor, TensorDict)):
        raise TypeError(f"{name}: expected a tensor or a TensorDict ({size}, ...), got {type(x).__name__}")
    if not x.shape or x.shape[0] != size:
        raise ValueError(f"{name}: expected shape ({size}, ...), the batch first, got {tuple(x.shape)}")


def _check_rows(part: Any, size: int, name: str) -> None:
    if part is not None:
        check_states(part, size, name)
