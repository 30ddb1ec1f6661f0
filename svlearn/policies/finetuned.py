"""A policy for processes of any kind: a copy of the reference that is trained, whole or by low-rank adapters."""

import re
from collections.abc import Iterable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from svlearn.arguments import integer
from svlearn.policies.policy import Policy
from svlearn.process import Prediction, Reference
from svlearn.state import State
from svlearn.transitions import Transition

ADAPTED = (nn.Linear, nn.Conv1d, nn.Conv2d)


class Finetuned(Policy):
    """q(x_{t+1} | x_t) = that of a trainable copy of the reference, which starts as q = p_ref.

    lora_rank: None trains every parameter of the copy. A rank r >= 1 freezes them, and every linear layer and
    ungrouped convolution of the copy becomes W + B A, with A (r, in) random and the same at every construction,
    B (out, r) = 0 at first, and no further factor (LoRA, arXiv 2106.09685, with its α = r); needs the library peft.
    Parameters that the reference has frozen are then shared with it in memory, not copied.

    Where a step of the reference has no noise, as the last of many samplers, a copy that moves it at all has
    log q - log p_ref = -inf: objectives refuse to train one that would (see `objectives.probe.check_unmoved`).
    A step costs one call of the copy; as a proposal it takes nothing from the reference's prediction. The copy is in
    evaluation mode: dropout would make log q random. The state_dict leaves out the reference: the copy holds it.
    Raises ValueError where the reference has no parameter to train, no layer to adapt, or for a lora_rank below 1;
    ImportError where peft is missing.
    """

    copy: Reference

    def __init__(self, reference: Reference, lora_rank: int | None = None):
        super().__init__(reference)
        self.copy = _whole(reference) if lora_rank is None else _adapted(reference, lora_rank)
        self.copy.eval()
        self.register_state_dict_post_hook(_without_reference)
        self.register_load_state_dict_pre_hook(_with_own_reference)

    def steer(self, prediction: Prediction, x: State, t: Tensor) -> Transition:
        return self.copy(x, t).transition

    def forward(self, x: State, t: Tensor, previous: Prediction | None = None) -> Prediction:
        """All that the copy says, its own x̂_T and cache included: one call, and none of the reference."""
        given = {} if previous is None else {"previous": previous}
        return self.copy(x, t, **given)

    def trained(self) -> Iterable[nn.Parameter]:
        return [parameter for parameter in self.copy.parameters() if parameter.requires_grad]


def _whole(reference: Reference) -> Reference:
    trainable = deepcopy(reference)
    parameters = [each for each in trainable.parameters() if each.is_floating_point()]
    if not parameters:
        raise ValueError(f"reference: expected one with parameters to train, got {type(reference).__name__} without")
    for parameter in parameters:
        parameter.requires_grad_(True)
    return trainable


def _adapted(reference: Reference, rank: int) -> Reference:
    """A copy with an adapter of that rank at each layer of `ADAPTED`, the rest frozen."""
    rank = integer(rank, "lora_rank", optional=True)
    names = [name for name, module in reference.named_modules() if _adaptable(module)]
    if not names:
        wanted = "one with linear or convolution layers to adapt"
        raise ValueError(f"reference: expected {wanted}, got {type(reference).__name__} without; use lora_rank=None")
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ImportError("lora_rank: low-rank adapters need peft; pip install 'svlearn[policies]'") from error
    shared: dict[int, Any] = {id(each): each for each in reference.parameters() if not each.requires_grad}
    copied = deepcopy(reference, shared)
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules="|".join(map(re.escape, names)))
    with torch.random.fork_rng(devices=[]):  # peft draws A on the CPU, from the global generator
        torch.default_generator.manual_seed(0)
        inject_adapter_in_model(config, copied)
    for module in copied.modules():  # torch's fast path for encoders reads the weights past the adapters
        if isinstance(module, nn.TransformerEncoder):
            module.use_nested_tensor = False
        elif isinstance(module, nn.TransformerEncoderLayer):
            module.register_forward_pre_hook(_nothing)  # it gives way to any hook
    return copied


def _adaptable(module: nn.Module) -> bool:
    """Whether calling it is all that its owner does; a subclass, as in nn.MultiheadAttention, is read in other ways."""
    return type(module) in ADAPTED and getattr(module, "groups", 1) == 1


def _nothing(module: nn.Module, arguments: tuple) -> None:
    """A hook that changes nothing."""


def _without_reference(module: nn.Module, state: dict[str, Any], prefix: str, metadata: dict) -> None:
    for name in [name for name in state if name.startswith(f"{prefix}reference.")]:
        del state[name]


def _with_own_reference(module: nn.Module, state: dict[str, Any], prefix: str, *rest: Any) -> None:
    for name, entry in module.get_submodule("reference").state_dict().items():
        state.setdefault(f"{prefix}reference.{name}", entry)
