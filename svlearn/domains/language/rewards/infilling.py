"""What should follow a text: how likely it is to the reference's own model behind what was written."""

from collections.abc import Sequence
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.arguments import expect, integer, integers
from svlearn.domains.language.rewards.likelihood import log_likelihoods
from svlearn.domains.language.rewards.on_texts import distinct
from svlearn.domains.language.rewards.pretrained import Tokens, longest_text
from svlearn.domains.language.texts import expect_texts, prompt_tokens, written_tokens
from svlearn.fingerprint import fingerprint
from svlearn.identity import identity, identity_of_process
from svlearn.modes import evaluating
from svlearn.process import Reference

MARKS = (".", "a", "0")  # what a suffix may stand behind


class Infilling:
    """r(x_T) = log p(suffix | prompt, x_T) of the reference's own model, nats, (B,), of finished states (B,).

    As `targets.likelihood` (alpha = 1) it gives the law of what stands between the prompt and the suffix, and
    log Z = log p(suffix | prompt), over all that may stand between.
    p is that of the model itself, whatever temperature, top_k and top_p the reference draws by. All tokens that are
    written count as text, an end token too: what should follow it is asked of the model.
    reference: a causal language model with `model` and `tokenizer`, of transformers, whose states are TensorDicts of
    "text" (B, T + 1), the last column the number of tokens written, "prompt" (B, P), padded on the left, and "length"
    (B,); it is shared, never copied. suffix: a text as it is written behind the other, with its first space where there
    is one, of which the tokenizer makes tokens without what it puts around a text; or the ids themselves. batch_size:
    texts at once.
    Raises TypeError for another reference and another suffix, ValueError for an empty suffix, ids that are no tokens
    and, at a call, for no token before the suffix and for more tokens than the model's context has.
    Source: twisted SMC (arXiv 2404.17546, section 7).
    """

    reads_one_hot = False

    def __init__(self, reference: Reference, suffix: str | Sequence[int], batch_size: int = 64):
        for name in ("model", "tokenizer"):
            if not hasattr(expect(reference, Reference, "reference"), name):
                raise TypeError(f"reference: expected a causal language model, got {type(reference).__name__}")
        self.reference, self.batch_size = reference, integer(batch_size, "batch_size")
        self.suffix = suffix if isinstance(suffix, str) else integers(suffix, "suffix", 0)
        model: Any = reference.model
        read = Tokens(reference.tokenizer, special=False)
        tokens = _behind(read, self.suffix) if isinstance(self.suffix, str) else self.suffix
        size = model.get_input_embeddings().weight.shape[0]
        if not tokens or max(tokens) >= size:
            came = "none" if not tokens else f"{max(tokens)}"
            raise ValueError(f"suffix: expected tokens of 0 ... {size - 1}, one at least, got {came}")
        self._tokens, self._longest = list(tokens), longest_text(model, reference.tokenizer)

    def __call__(self, x: TensorDict) -> Tensor:
        x = expect_texts(x)
        texts = [tuple(prompt + text) for prompt, text in zip(prompt_tokens(x), written_tokens(x))]
        if not all(texts):
            raise ValueError(f"x: expected a token before the suffix, got none in state {texts.index(())}")
        firsts, places = distinct(texts)
        rows = [[*texts[place], *self._tokens] for place in firsts]
        model: Any = self.reference.model
        with evaluating(self.reference):
            starts = [len(row) - len(self._tokens) for row in rows]
            sums = log_likelihoods(model, rows, starts, self._longest, self.batch_size)
        logs = sums[torch.tensor(places, dtype=torch.long, device="cpu")]
        return logs.to(torch.promote_types(torch.get_default_dtype(), model.dtype))

    @property
    def name(self) -> str:
        """The class, and a digest of the reference and of the suffix's tokens."""
        process = fingerprint(self.reference), identity_of_process(self.reference)
        return f"{type(self).__qualname__} {identity((*process, self._tokens), 'reward')}"

    def __deepcopy__(self, memo: dict[int, Any]) -> "Infilling":
        """With the same reference."""
        return type(self)(memo.get(id(self.reference), self.reference), self.suffix, self.batch_size)


def _behind(tokens: Tokens, suffix: str) -> list[int]:
    """The tokens of a text as it stands behind another: some tokenizers put a space before one that stands alone."""
    for mark in MARKS:
        alone, together = tokens([mark, mark + suffix])
        if together[: len(alone)] == alone:
            return together[len(alone) :]
    return tokens([suffix])[0]
