"""A pretended second device: real numbers, computed on the CPU, in tensors that say they lie elsewhere.

Inside `tracked()` the device `DEVICE` works as a GPU does: `torch.randn(3, device=DEVICE)`, `x.to(DEVICE)` and
`module.to(DEVICE)` give tensors of it, `torch.Generator(DEVICE)` a generator of it, and an operation on tensors of two
devices raises RuntimeError, as does a draw by a generator of another device and a call of `.numpy()`. As with CUDA, a
number without dimensions may come from the CPU, and an index of a tensor there too.
Its name is torch's "meta", of which tensors without numbers are: torch asks of it neither a driver nor an allocator.
`Synchronisations` counts the numbers that are read back, which on a GPU wait for all that was asked before.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("meta")
CPU = torch.device("cpu")
AFTER_ALL = {"_to_copy", "copy_", "_local_scalar_dense", "equal", "is_nonzero"}
INDEXED = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}
READS = {"_local_scalar_dense", "equal", "is_nonzero", "nonzero"}
ALIKE = {"cat", "stack", "mm", "bmm", "addmm", "index_select", "gather", "scatter", "searchsorted", "index_add"}
LISTED = (torch.tensor, torch.as_tensor, torch.asarray)  # they make their tensor where no mode sees it
Plain = torch.Generator


class Elsewhere(Tensor):
    """A tensor of the pretended device; `own` holds its numbers."""

    own: Tensor

    @staticmethod
    def __new__(cls, own: Tensor) -> "Elsewhere":
        self = Tensor._make_wrapper_subclass(
            cls, own.shape, strides=own.stride(), storage_offset=own.storage_offset(), dtype=own.dtype, device=DEVICE
        )
        self.own = own.detach()
        return self

    def __repr__(self) -> str:
        return f"elsewhere({self.own!r})"

    def __deepcopy__(self, memo: dict) -> Tensor:
        if id(self) not in memo:
            copied: Any = self.detach().clone()
            copied.__dict__.update({name: each for name, each in vars(self).items() if name != "own"})
            memo[id(self)] = copied.requires_grad_(self.requires_grad)
        return memo[id(self)]

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return compute(func, args, kwargs or {})


class Generator(Plain):
    """A generator that says where it lies; the numbers of a seed are those of the CPU."""

    def __new__(cls, device: Any = "cpu") -> "Generator":
        return super().__new__(cls, "cpu")

    def __init__(self, device: Any = "cpu") -> None:
        self.place = torch.device(device)

    @property
    def device(self) -> torch.device:
        return self.place


def compute(func: Any, args: tuple, kwargs: dict) -> Any:
    """What an operation gives, on the numbers themselves; its tensors lie where those that it reads do."""
    name = func._schema.name.removeprefix("aten::")
    flat, _ = tree_flatten((args, kwargs))
    tensors = [each for each in flat if isinstance(each, Tensor)]
    if any(each.is_meta and not isinstance(each, Elsewhere) for each in tensors):
        raise RuntimeError(f"{name}: a tensor of {DEVICE} was made where no mode sees it, and has no numbers")
    device = kwargs.get("device")
    device = device if device is not None else common_device(name, args, tensors)
    for count in _counts:
        count.reads += name in READS and any(isinstance(each, Elsewhere) for each in tensors)
    kwargs = {key: CPU if key == "device" and each is not None else each for key, each in kwargs.items()}
    inner_args, inner_kwargs = tree_map(_own, (args, kwargs))
    found = func(*inner_args, **inner_kwargs)
    returns, changed = func._schema.returns, func._schema.is_mutable and name.endswith("_")
    if "out" in kwargs or (changed and returns):
        return kwargs["out"] if "out" in kwargs else args[0]
    if device.type == DEVICE.type:
        found = tree_map(lambda each: Elsewhere(each) if isinstance(each, Tensor) else each, found)
    return found


def common_device(name: str, args: tuple, tensors: list[Tensor]) -> torch.device:
    """Where all of them lie; RuntimeError, as of CUDA, where they do not lie together."""
    if not tensors:
        return CPU
    if name in AFTER_ALL - {"equal"}:
        return tensors[0].device
    if name in INDEXED and isinstance(args[0], Elsewhere):  # an index may be of the CPU, and is copied
        values = args[2] if len(args) > 2 else None
        tensors = [args[0], *([values] if isinstance(values, Tensor) else [])]
    free = name not in ALIKE  # of which a number of the CPU may take part
    places = {each.device for each in tensors if not (free and each.dim() == 0 and each.device == CPU)}
    if len(places) > 1:
        raise RuntimeError(
            f"{name}: expected all tensors to be on the same device, but found at least two devices, cpu and {DEVICE}"
        )
    return places.pop() if places else CPU


def _own(each: Any) -> Any:
    return each.own if isinstance(each, Elsewhere) else each


class _Operations(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return compute(func, args, kwargs or {})


class _Draws(TorchFunctionMode):
    """Refuses a draw by a generator of another device, as torch does."""

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        asked = torch.get_default_device() if kwargs.get("device") is None else torch.device(kwargs["device"])
        generator = kwargs.get("generator")
        if isinstance(generator, Generator):
            given = next((each.device for each in args if isinstance(each, Tensor)), None)
            device = given or asked
            if device.type != generator.device.type:
                found = generator.device.type
                raise RuntimeError(f"Expected a '{device.type}' device type for generator but found '{found}'")
        if getattr(func, "__name__", "") in ("numpy", "__array__") and args and isinstance(args[0], Elsewhere):
            raise TypeError(f"can't convert {DEVICE} device type tensor to numpy. Use Tensor.cpu() first")
        if getattr(func, "__name__", "") == "tolist" and isinstance(
            args[0], Elsewhere
        ):  # which torch refuses of a subclass
            return args[0].cpu().tolist()
        if func in LISTED and asked == DEVICE:
            return func(*args, **{**kwargs, "device": CPU}).to(DEVICE)
        if getattr(func, "__name__", "") == "new_tensor" and isinstance(args[0], Elsewhere):
            return torch.tensor(*args[1:], **{"dtype": args[0].dtype} | kwargs).to(DEVICE)
        return func(*args, **kwargs)


def _with_draws(run_back: Callable) -> Callable:
    """A backward pass in the mode, which torch leaves for it, and in which a checkpoint computes a step again."""

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with _Draws():
            return run_back(*args, **kwargs)

    return wrapped


class Synchronisations:
    """How many numbers were read back from the pretended device."""

    def __init__(self) -> None:
        self.reads = 0


_counts: list[Synchronisations] = []


@contextmanager
def synchronisations() -> Iterator[Synchronisations]:
    """Count what is read back meanwhile."""
    _counts.append(Synchronisations())
    try:
        yield _counts[-1]
    finally:
        _counts.pop()


@contextmanager
def tracked() -> Iterator[torch.device]:
    """The pretended device, while it is there."""
    run_back = torch.autograd._engine_run_backward
    swaps = torch.__future__.get_swap_module_params_on_conversion()
    torch.Generator = Generator  # type: ignore[misc]
    torch.autograd._engine_run_backward = _with_draws(run_back)  # type: ignore[assignment]
    torch.__future__.set_swap_module_params_on_conversion(True)  # a parameter stays the object that it is
    try:
        with _Operations(), _Draws():
            yield DEVICE
    finally:
        torch.Generator = Plain  # type: ignore[misc]
        torch.autograd._engine_run_backward = run_back  # type: ignore[assignment]
        torch.__future__.set_swap_module_params_on_conversion(swaps)
