"""What should follow a text: how likely it is to the reference's own model behind what was written."""

from collections.abc import Mapping, Sequence
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
Suffix = str | Sequence[int]


class Infilling:
    """r(x_T) = log p(suffix | prompt, x_T) of the reference's own model, nats, (B,), of finished states (B,).

    As `targets.likelihood` (alpha = 1) it gives the law of what stands between the prompt and the suffix, and
    log Z = log p(suffix | prompt), over all that may stand between.
    p is that of the model itself, whatever temperature, top_k and top_p the reference draws by. All tokens that are
    written count as text, an end token too: what should follow it is asked of the model.
    reference: a causal language model with `model` and `tokenizer`, of transformers, whose states are TensorDicts of
    "text" (B, T + 1), the last column the number of tokens written, "prompt" (B, P), padded on the left, and "length"
    (B,); it is shared, never copied. suffix: a text as it is written behind the other, with its first space where there
    is one, of which the tokenizer makes tokens without what it puts around a text; or the ids themselves; or such a
    one for each prompt, {prompt: suffix}, a prompt as the reference's `initial` takes it (a str, or a tuple of ids):
    every text then has that of its own prompt, and log Z is one for each. batch_size: texts at once.
    Raises TypeError for another reference and another suffix, ValueError for an empty suffix, ids that are no tokens,
    prompts of the same tokens and, at a call, for a prompt without a suffix, for no token before the suffix and for
    more tokens than the model's context has.
    Source: twisted SMC (arXiv 2404.17546, section 7).
    """

    reads_one_hot = False

    def __init__(self, reference: Reference, suffix: Suffix | Mapping[Any, Suffix], batch_size: int = 64):
        for name in ("model", "tokenizer"):
            if not hasattr(expect(reference, Reference, "reference"), name):
                raise TypeError(f"reference: expected a causal language model, got {type(reference).__name__}")
        self.reference, self.batch_size = reference, integer(batch_size, "batch_size")
        self._longest = longest_text(reference.model, reference.tokenizer)
        self._of_all: tuple[int, ...] | None = None
        self._by_prompt: dict[tuple[int, ...], tuple[int, ...]] = {}
        if not isinstance(suffix, Mapping):
            self.suffix: Any = suffix if isinstance(suffix, str) else integers(suffix, "suffix", 0)
            self._of_all = self._tokens_of(self.suffix, "suffix")
            return
        if not suffix:
            raise ValueError("suffix: expected that of a prompt at least, got none")
        self.suffix = {
            prompt: each if isinstance(each, str) else integers(each, f"suffix[{prompt!r}]", 0)
            for prompt, each in suffix.items()
        }
        for prompt, each in self.suffix.items():
            x = expect_texts(reference.initial(1, condition=[prompt if isinstance(prompt, str) else list(prompt)]))
            own = tuple(prompt_tokens(x)[0])
            if own in self._by_prompt:
                raise ValueError(f"suffix: expected different prompts, got one whose tokens are another's: {prompt!r}")
            self._by_prompt[own] = self._tokens_of(each, f"suffix[{prompt!r}]")

    def __call__(self, x: TensorDict) -> Tensor:
        x = expect_texts(x)
        prompts = [tuple(prompt) for prompt in prompt_tokens(x)]
        suffixes = {prompt: self._suffix_of(prompt) for prompt in dict.fromkeys(prompts)}
        texts = [(*prompt, *text) for prompt, text in zip(prompts, written_tokens(x))]
        if not all(texts):
            raise ValueError(f"x: expected a token before the suffix, got none in state {texts.index(())}")
        keys = [(text, suffixes[prompt]) for text, prompt in zip(texts, prompts)]
        firsts, places = distinct(keys)
        rows = [[*keys[place][0], *keys[place][1]] for place in firsts]
        starts = [len(keys[place][0]) for place in firsts]
        model: Any = self.reference.model
        with evaluating(self.reference):
            sums = log_likelihoods(model, rows, starts, self._longest, self.batch_size)
        logs = sums[torch.tensor(places, dtype=torch.long, device="cpu")]
        return logs.to(torch.promote_types(torch.get_default_dtype(), model.dtype))

    def _suffix_of(self, prompt: tuple[int, ...]) -> tuple[int, ...]:
        suffix = self._of_all if self._of_all is not None else self._by_prompt.get(prompt)
        if suffix is None:
            text = self.reference.tokenizer.decode(list(prompt))  # type: ignore[union-attr, operator]
            raise ValueError(f"suffix: expected one for each prompt, got none for {text!r}")
        return suffix

    def _tokens_of(self, suffix: Suffix, name: str) -> tuple[int, ...]:
        model: Any = self.reference.model
        read = Tokens(self.reference.tokenizer, special=False)
        tokens = _behind(read, suffix) if isinstance(suffix, str) else suffix
        size = model.get_input_embeddings().weight.shape[0]
        if not tokens or max(tokens) >= size:
            came = "none" if not tokens else f"{max(tokens)}"
            raise ValueError(f"{name}: expected tokens of 0 ... {size - 1}, one at least, got {came}")
        return tuple(tokens)

    @property
    def name(self) -> str:
        """The class, and a digest of the reference and of the suffix's tokens, or those of each prompt."""
        process = fingerprint(self.reference), identity_of_process(self.reference)
        tokens = sorted(self._by_prompt.items()) if self._of_all is None else list(self._of_all)
        return f"{type(self).__qualname__} {identity((*process, tokens), 'reward')}"

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
