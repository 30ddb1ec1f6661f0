"""How a causal model of transformers is called, and whether its laws are those of the tokens before alone."""

import inspect
import math
from typing import Any

import torch
from torch import Tensor, nn

from svlearn.compiled import plain
from svlearn.domains.language.reading import Called, Inputs, of_columns

OPTIONAL = ("attention_mask", "position_ids", "logits_to_keep", "use_cache")
COLUMNS, PADDED = 5, 2  # of the texts that a model is looked at with, and how many of the second's are padding
TOLERANCE, IN_HALF = 0.003, 0.25  # of differences, in parts of what logits vary by: rounding stays far below


def arguments_of(model: nn.Module) -> frozenset[str]:
    """What a model's `forward` names; of a compiled one and one of peft, which hand all on, the model's inside."""
    inside = plain(model)
    inside = plain(inside.get_base_model()) if hasattr(inside, "get_base_model") else inside
    return frozenset(inspect.signature(inside.forward).parameters) & {*OPTIONAL, "past_key_values"}


def called(model: Any, names: frozenset[str], inputs: Inputs, keep: int, past: Any, cached: bool) -> Called:
    """The model's logits (B, k, V) and hidden states (B, k, D) at the last k = min(keep, n) of n tokens.

    names: `arguments_of` it. One without `past_key_values`, as of a recurrent network, has no cache to keep."""
    cached = cached and "past_key_values" in names
    values = (inputs.real.long(), inputs.positions, keep, cached)
    options = {name: value for name, value in zip(OPTIONAL, values, strict=True) if name in names}
    options |= {"past_key_values": past} if past is not None else {}
    hidden: list[Tensor] = []
    hook = model.get_output_embeddings().register_forward_pre_hook(lambda _, given: hidden.append(given[0]))
    try:
        said = model(input_ids=inputs.tokens, **options)
    finally:
        hook.remove()
    past = getattr(said, "past_key_values", None) if cached else None
    return Called(said.logits[:, -keep:], hidden[-1][:, -keep:], past)


@torch.no_grad()
def check_laws(model: Any, size: int, pad: int) -> None:
    """Raise ValueError where what a model says of a text is not that of its tokens up to there: where it reads what
    follows, as an encoder does, another thing beside padding or by its cache than of the text alone, or NaN.

    size: of the vocabulary; pad: what stands where no token is. Two short texts, five calls of the plain model."""
    device = model.get_input_embeddings().weight.device
    context = getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", None)
    width = min(COLUMNS, context or COLUMNS)
    if device.type == "meta" or width <= PADDED:
        return
    model, names = plain(model), arguments_of(model)
    if getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False):
        raise ValueError("model: expected adapters that add no tokens, got one of peft with tokens of its own in front")
    usual = torch.tensor([token for token in range(min(size, 64)) if token != pad] or [0], device=device)
    tokens = usual[torch.arange(2 * width, device=device) * 7 % len(usual)].view(2, width)
    tokens[1, :PADDED] = pad
    real = torch.ones_like(tokens, dtype=torch.bool)
    real[1, :PADDED] = False
    whole = of_columns(tokens, real)
    logits = called(model, names, whole, width, None, cached=False).logits
    for row, where in ((0, ""), (1, " beside padding on the left")):
        if bool(logits[row, real[row]].isnan().any()):
            raise ValueError(
                f"model: expected a causal language model that is padded on the left, got one that says NaN{where}"
            )
    first = Inputs(tokens[:, :-1], real[:, :-1], whole.positions[:, :-1])
    begun = called(model, names, first, width, None, cached=True)
    _compare(logits[:, :-1][first.real], begun.logits[first.real], "reads tokens that follow, as an encoder does")
    if begun.past is not None:
        last = Inputs(tokens[:, -1:], real, whole.positions[:, -1:])
        further = called(model, names, last, 1, begun.past, cached=True)
        _compare(logits[:, -1], further.logits[:, -1], "says by its cache what it does not say without")
    options = {"use_cache": False} if "use_cache" in names else {}
    for row, places in enumerate(real):
        alone = model(input_ids=tokens[row : row + 1, places], **options).logits[0]
        _compare(
            logits[row, places], alone, "says of a text beside padding on the left what it does not say of it alone"
        )


def _compare(first: Tensor, second: Tensor, fault: str) -> None:
    tolerance = IN_HALF if first.dtype in (torch.float16, torch.bfloat16) else TOLERANCE
    excluded = (first == -math.inf) & (second == -math.inf)
    first, second = (each.double().masked_fill(excluded, 0.0) for each in (first, second))
    spread = (first - first.mean(dim=-1, keepdim=True)).square().mean().sqrt()
    if not bool((first - second).square().mean().sqrt() <= tolerance * spread):  # NaN, too
        raise ValueError(f"model: expected a causal language model that is padded on the left, got one that {fault}")
