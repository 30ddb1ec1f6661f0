"""What a causal model is called with: tokens, which of them are real, and where each stands in its text."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.caches import select
from svlearn.domains.language.texts import LENGTH, PROMPT, TEXT


@dataclass(frozen=True)
class Inputs:
    """tokens (B, n); real (B, m): which of all columns, those of the cache first, are no padding; positions (B, n)."""

    tokens: Tensor
    real: Tensor
    positions: Tensor


@dataclass(frozen=True)
class Called:
    """What the model says at the last k of its tokens: logits (B, k, V), hidden (B, k, D), and its cache, if kept."""

    logits: Tensor
    hidden: Tensor
    past: Any


@dataclass(frozen=True)
class Look:
    """What the model says at the last token: logits (B, V), the last hidden state there and at the token before (B, D),
    and the cache of all tokens; None where the rows are of different lengths."""

    logits: Tensor
    last: Tensor
    before: Tensor
    past: Any


def look(call: Callable[..., Called], inputs: Inputs, alike: bool) -> Look:
    """Without a cache; rows that are the same are computed once. alike: whether the columns are of one time."""
    rows = torch.cat([inputs.tokens, inputs.real.long()], dim=1)
    _, places, number = torch.unique(rows, dim=0, return_inverse=True, return_counts=True)
    size = len(number)
    if size < len(rows):
        firsts = torch.full((size,), len(rows), device=rows.device)
        firsts = firsts.scatter_reduce(0, places, torch.arange(len(rows), device=rows.device), "amin")
        inputs = Inputs(inputs.tokens[firsts], inputs.real[firsts], inputs.positions[firsts])
    said = call(inputs, keep=2, past=None, cached=alike)
    last = said.hidden[:, -1]
    before = said.hidden[:, -2] if said.hidden.shape[1] > 1 else torch.zeros_like(last)
    before = torch.where(inputs.real[:, -2:-1], before, 0.0) if inputs.real.shape[1] > 1 else before
    found = Look(said.logits[:, -1], last, before, said.past)
    if size == len(rows):
        return found
    return Look(found.logits[places], found.last[places], found.before[places], select(found.past, places))


def inputs_at(x: TensorDict, t: Tensor) -> tuple[Inputs, bool]:
    """The prompt and the first t (B,) tokens of each text, of an ended one all, which end in the last column; whether
    all are as many."""
    t = torch.minimum(t, x[TEXT][:, -1])
    low, high = (int(each) for each in torch.stack(t.aminmax()).tolist())
    width = x[PROMPT].shape[1]
    tokens = torch.cat([x[PROMPT], x[TEXT][:, :high]], dim=1)
    columns = torch.arange(width + high, device=tokens.device).expand(len(tokens), -1)
    if low != high:
        columns = columns - (high - t)[:, None]
        tokens = tokens.gather(1, columns.clamp(min=0))
    return of_columns(tokens, columns >= (width - x[LENGTH])[:, None]), low == high


def inputs_along(trajectory: TensorDict, steps: int) -> Inputs:
    """All that the laws at all steps of trajectories (B, T + 1) read: the prompts and all new tokens but the last."""
    x = trajectory[:, -1]
    tokens = torch.cat([x[PROMPT], x[TEXT][:, : steps - 1]], dim=1)
    columns = torch.arange(tokens.shape[1], device=tokens.device).expand(len(tokens), -1)
    return of_columns(tokens, columns >= (x[PROMPT].shape[1] - x[LENGTH])[:, None])


def of_columns(tokens: Tensor, real: Tensor) -> Inputs:
    return Inputs(tokens, real, (real.long().cumsum(dim=1) - 1).clamp(min=0))
