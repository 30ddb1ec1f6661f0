"""Read weights as others saved them with torch, by name and shape, without unpickling."""

from pathlib import Path
from textwrap import shorten
from typing import Any

from torch import Tensor, nn

from svlearn.files import existing
from svlearn.torch_archive import MAX_BYTES, NamesCode, content_of
from svlearn.torch_legacy import START, legacy_content_of


def load_into(network: nn.Module, path: str | Path, kind: str, prefix: str = "") -> None:
    """Fill a network with the state dict in a file of `torch.save`, of whatever version of torch.

    kind: what the file should be, in words. prefix: of all names in it. Raises FileNotFoundError where there is no
    file, and ValueError, with the path, for one that holds code, is cut or damaged, or whose names, shapes or types are
    not the network's, and for weights that are not finite.
    """
    path = existing(path, kind)
    with open(path, "rb") as file:
        content = file.read(MAX_BYTES + 1)
    try:
        state = legacy_content_of(content) if content.startswith(START) else content_of(content)
    except NamesCode as error:
        raise ValueError(f"{path}: expected {kind}, got a file that names code: {shorten(str(error), 200)}") from error
    except ValueError as error:
        raise ValueError(f"{path}: expected {kind}, got a corrupt file ({shorten(str(error), 200)})") from error
    ours = {f"{prefix}{name}": tensor for name, tensor in network.state_dict().items()}
    if not isinstance(state, dict) or set(state) != set(ours):
        names = sorted(map(str, set(state) ^ set(ours))) if isinstance(state, dict) else [type(state).__name__]
        raise ValueError(f"{path}: expected {kind}, got one that differs in {shorten(', '.join(names), 200)}")
    for name, tensor in state.items():
        _check(tensor, ours[name], f"{path}: {name}")
    network.load_state_dict({name.removeprefix(prefix): tensor for name, tensor in state.items()})


def _check(tensor: Any, wanted: Tensor, where: str) -> None:
    shape, came = tuple(wanted.shape), f"{tuple(tensor.shape)}" if isinstance(tensor, Tensor) else type(tensor).__name__
    if not isinstance(tensor, Tensor) or tensor.shape != wanted.shape:
        raise ValueError(f"{where}: expected weights of shape {shape}, got {came}")
    if not tensor.is_floating_point() or not bool(tensor.isfinite().all()):
        raise ValueError(f"{where}: expected finite floating-point weights, got {tensor.dtype} or NaN or infinity")
