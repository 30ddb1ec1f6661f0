"""Training in another precision, on modules that the caller gets back in the one they had."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.plugins.precision import DoublePrecision, HalfPrecision, TransformerEnginePrecision
from tensordict import TensorDict
from torch import Tensor, nn

CONVERTING = (HalfPrecision, DoublePrecision, TransformerEnginePrecision)  # "bf16-true", "16-true", "64-true", ...


def converts(trainer: pl.Trainer) -> bool:
    """Whether the trainer's precision changes the dtype of the modules themselves."""
    return isinstance(trainer.precision_plugin, CONVERTING)


@contextmanager
def kept_precision(trainer: pl.Trainer, objective: pl.LightningModule, trained: nn.Module) -> Iterator[None]:
    """Fit an objective in the trainer's precision; modules have their dtype again afterwards, also after an exception.

    All parts of the objective run in that precision meanwhile, the reference too; numbers that the objective itself
    keeps (float64) stay as they are, and so do stored rewards. What `trained` holds comes back as it was trained,
    rounded to its own dtype; anything else, such as the reference, byte for byte.
    """
    if not converts(trainer):
        yield
        return
    plugin: Any = trainer.precision_plugin
    learned = {id(each) for each in trained.parameters() if each.requires_grad}
    parts = [part for part in objective.modules() if part is not objective]
    built = [(part, dict(part._modules)) for part in parts if not learned & {id(each) for each in part.parameters()}]
    parameters = [(each, each.data, id(each) in learned) for each in objective.parameters()]
    buffers = [(part, name, each, _learns(part, learned)) for part in parts for name, each in part._buffers.items()]
    convert = type(plugin).convert_module

    def by_parts(module: nn.Module) -> nn.Module:
        for child in module.children():
            convert(plugin, child)
        return module

    def states_alone(batch: Any) -> Any:
        if not isinstance(batch, TensorDict):
            return type(plugin).convert_input(plugin, batch)
        states: Any = batch["states"]
        cast = partial(type(plugin).convert_input, plugin)
        cast_states: Any = states.apply(cast) if isinstance(states, TensorDict) else cast(states)
        return batch.copy().set("states", cast_states)

    plugin.convert_module, plugin.convert_input = by_parts, states_alone
    try:
        yield
    finally:
        del plugin.convert_module, plugin.convert_input
        for part, children in built:
            part._modules.update(children)
        for parameter, data, is_learned in parameters:
            if parameter.dtype != data.dtype:
                parameter.data = (parameter.data if is_learned else data).to(parameter.device, data.dtype)
                parameter.grad = None
        for part, name, original, is_learned in buffers:
            converted = part._buffers[name]
            if isinstance(converted, Tensor) and isinstance(original, Tensor) and converted.dtype != original.dtype:
                part._buffers[name] = (converted if is_learned else original).to(converted.device, original.dtype)


def _learns(part: nn.Module, learned: set[int]) -> bool:
    return any(id(each) in learned for each in part.parameters())
