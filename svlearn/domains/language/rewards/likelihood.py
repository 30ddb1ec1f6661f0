"""What a causal language model says of tokens that are there: teacher forcing, in one pass."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from svlearn.domains.language.rewards.pretrained import padded


@torch.no_grad()
def log_likelihoods(
    model: Any, rows: Sequence[Sequence[int]], starts: Sequence[int], longest: int | None, batch_size: int
) -> Tensor:
    """Σ_{i >= start} log p(token i | all tokens before it), nats, (B,), float64, of rows of tokens, each from its own
    start, 1 at least, for nothing is before the first; 0 where no token is left.

    model: of transformers. The rows are padded on the right, where no token that counts sees it, so that positions are
    those of each row alone. longest: tokens that the model reads at most, None: any number. batch_size: rows at once.
    Raises ValueError for a longer row.
    """
    lengths = [len(row) for row in rows]
    if longest is not None and max(lengths, default=0) > longest:
        raise ValueError(
            f"texts: expected at most {longest} tokens in each, as many as the model reads, got {max(lengths)}"
        )
    device = model.get_input_embeddings().weight.device
    taken = "logits_to_keep" in inspect.signature(model.forward).parameters
    sums = torch.zeros(len(rows), dtype=torch.float64, device=device)
    for first in range(0, len(rows), batch_size):
        part = slice(first, first + batch_size)
        inputs, start = padded(rows[part], 0, device), torch.tensor(starts[part], device=device)
        width = inputs["input_ids"].shape[1]
        before = min(starts[part]) - 1  # the first place at which the law of the next token is asked
        if before >= width - 1:
            continue
        options = {"logits_to_keep": width - before} if taken else {}
        logits = model(**inputs, use_cache=False, **options).logits[:, before - width : -1]
        logits = logits if logits.dtype == torch.float64 else logits.float()
        tokens = inputs["input_ids"][:, before + 1 :]
        logs = logits.gather(2, tokens[:, :, None])[:, :, 0] - logits.logsumexp(dim=2)
        places = torch.arange(before + 1, width, device=device)
        counted = (places >= start[:, None]) & inputs["attention_mask"][:, before + 1 :].bool()
        sums[part] = torch.where(counted, logs.double(), 0.0).sum(dim=1)
    return sums
