"""How likely a text is to another causal language model."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from svlearn.arguments import integer
from svlearn.domains.language.opening import open_network
from svlearn.domains.language.rewards.checks import parts_of, texts_of
from svlearn.domains.language.rewards.likelihood import log_likelihoods
from svlearn.domains.language.rewards.pretrained import Tokens, keep_names, longest_text

PARTS = ("text", "continuation")


class MeanLogLikelihood(nn.Module):
    """r = (1/n) Σ_i log p(y_i | y_<i), nats a token, (B,), of texts of n tokens y; exp(-r) is their perplexity.

    model: a causal language model of transformers, its name or its folder, whose weights are read from safetensors; it
    is put into evaluation mode and frozen. tokenizer: its own, by default that of the name or folder.
    of: "text", all tokens of the text, behind the tokenizer's bos_token; without one the first token is given, and not
    counted. "continuation": what follows the prompt of a text that knows it (`OnTexts(..., of="text")` hands such on),
    given the prompt: the tokens of the whole text behind those that it shares with its prompt, of which the first may
    hold the prompt's last letters. batch_size: texts at once.
    A text without a token that counts has -inf: nothing can be said of it, and it must not be the best.
    Raises what `open_network` raises, ValueError for an unknown `of` and, at a call, for a text that is longer than the
    model's context.
    """

    network: Any

    def __init__(self, model: Any, tokenizer: Any = None, of: str = "text", batch_size: int = 64):
        super().__init__()
        if of not in PARTS:
            raise ValueError(f"of: expected one of {', '.join(PARTS)}, got {of!r}")
        keep_names(self, model=model, tokenizer=tokenizer)
        self.network, tokenizer = open_network("AutoModelForCausalLM", model, tokenizer)
        self.network.requires_grad_(False)
        self.of, self.batch_size = of, integer(batch_size, "batch_size")
        self.tokens, self.longest = Tokens(tokenizer, special=False), longest_text(self.network, tokenizer)
        self.begin = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]

    def forward(self, texts: Any) -> Tensor:
        texts = texts_of(texts, self)
        rows = self._rows(texts)
        starts = [1] * len(rows)
        if self.of == "continuation":
            prompts = self._rows([parts_of(text)[0] for text in texts])
            starts = [max(1, _shared(row, prompt)) for row, prompt in zip(rows, prompts)]
        sums = log_likelihoods(self.network, rows, starts, self.longest, self.batch_size)
        numbers = torch.tensor([len(row) - start for row, start in zip(rows, starts)], device=sums.device)
        means = torch.where(numbers > 0, sums / numbers.clamp(min=1), -math.inf)
        return means.to(torch.promote_types(torch.get_default_dtype(), self.network.dtype))

    def _rows(self, texts: list[str]) -> list[list[int]]:
        return [[*self.begin, *row] for row in self.tokens(texts)]


def _shared(row: list[int], prompt: list[int]) -> int:
    """How many tokens two rows begin with alike."""
    return next((k for k, (a, b) in enumerate(zip(row, prompt)) if a != b), min(len(row), len(prompt)))
