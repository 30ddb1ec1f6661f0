"""Prompts as leaves of a state: token ids, padded on the left, and how many of them are real."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.arguments import integer
from svlearn.domains.language.texts import LENGTH, PROMPT

WANTED = "a list of texts or of chats, token ids (B, P), or {'prompt': (B, P), 'length': (B,)}"


class Prompts:
    """Turns what prompts are given as into the leaves "prompt" (B, P) and "length" (B,), P that of the longest.

    tokenizer: of transformers; pad: what is written where no token is; ends: tokens that end a text: such a one that a
    tokenizer puts behind every text is not part of a prompt; size: of the vocabulary.
    """

    def __init__(self, tokenizer: Any, pad: int, ends: Sequence[int], size: int):
        self.tokenizer, self.pad, self.ends, self.size = tokenizer, pad, set(ends), size

    def leaves(self, prompts: Any, batch_size: int, name: str = "condition") -> dict[str, Tensor]:
        """Of None, the empty prompt for each of `batch_size` samples.

        Raises TypeError for what are no prompts, ValueError for another number of them, for ids that are no tokens, and
        for an empty prompt of a tokenizer without a token to begin with."""
        if prompts is None:
            prompts = [""] * batch_size
        if isinstance(prompts, str):
            raise TypeError(f"{name}: expected {batch_size} prompts in a list, one for each sample, got one str")
        if isinstance(prompts, (Mapping, TensorDict)):
            leaves = self._checked(prompts, name)
        elif isinstance(prompts, Tensor):
            leaves = self._checked({PROMPT: prompts}, name)
        elif isinstance(prompts, Sequence):
            leaves = self._padded([self._tokens(each, f"{name}[{k}]") for k, each in enumerate(prompts)], name)
        else:
            raise TypeError(f"{name}: expected {WANTED}, got {type(prompts).__name__}")
        if len(leaves[PROMPT]) != batch_size:
            raise ValueError(f"{name}: expected {batch_size} prompts, one for each sample, got {len(leaves[PROMPT])}")
        return leaves

    def _tokens(self, prompt: Any, name: str) -> list[int]:
        if isinstance(prompt, str):
            tokens = self._without_added_end(prompt)
        elif isinstance(prompt, Sequence) and prompt and all(isinstance(each, Mapping) for each in prompt):
            if getattr(self.tokenizer, "chat_template", None) is None:
                raise ValueError(f"{name}: expected a text, for the tokenizer has no chat template, got a chat")
            text = self.tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=False)
            tokens = list(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        elif isinstance(prompt, (Sequence, Tensor)):
            tokens = [integer(each, name, 0, self.size - 1) for each in prompt]
        else:
            raise TypeError(f"{name}: expected a text, a chat (a list of messages) or ids, got {type(prompt).__name__}")
        if not tokens:
            begin = self.tokenizer.bos_token_id
            if begin is None:
                raise ValueError(
                    f"{name}: expected a prompt of at least one token, for the tokenizer has none to begin a text with "
                    f"(no bos_token), got {prompt!r}"
                )
            tokens = [begin]
        return tokens

    def _without_added_end(self, text: str) -> list[int]:
        """The tokens of a text, without an end token that the tokenizer puts behind every text."""
        tokens = list(self.tokenizer(text)["input_ids"])
        return tokens[:-1] if tokens and tokens[-1] in self.ends and self._adds_end() else tokens

    def _adds_end(self) -> bool:
        tokens = list(self.tokenizer("a")["input_ids"])
        own = list(self.tokenizer("a", add_special_tokens=False)["input_ids"])
        added = tokens[-1:] != own[-1:] or (not own and tokens != [self.tokenizer.bos_token_id])
        return added and tokens[-1:] != [] and tokens[-1] in self.ends

    def _padded(self, rows: list[list[int]], name: str) -> dict[str, Tensor]:
        if not rows:
            raise ValueError(f"{name}: expected at least one prompt, got none")
        width = max(map(len, rows))
        prompt = torch.tensor([[self.pad] * (width - len(each)) + each for each in rows])
        return {PROMPT: prompt, LENGTH: torch.tensor([len(each) for each in rows])}

    def _checked(self, leaves: Any, name: str) -> dict[str, Tensor]:
        named = set(leaves.keys())
        if PROMPT not in named or named - {PROMPT, LENGTH}:
            raise ValueError(f"{name}: expected {WANTED}, got the names {', '.join(sorted(map(str, named)))}")
        prompt = leaves[PROMPT]
        if not isinstance(prompt, Tensor):
            length = leaves[LENGTH] if LENGTH in named else None
            if length is not None:
                raise TypeError(f"{name}['prompt']: expected token ids (B, P), got {type(prompt).__name__}")
            return self.leaves(prompt, len(prompt), f"{name}['prompt']")
        if prompt.dtype != torch.long or prompt.dim() != 2 or not prompt.shape[1]:
            came = f"{tuple(prompt.shape)} of {prompt.dtype}"
            raise ValueError(f"{name}: expected token ids (B, P), long, of a token at least, got {came}")
        length = leaves[LENGTH] if LENGTH in named else torch.full((len(prompt),), prompt.shape[1])
        if length.shape != prompt.shape[:1] or bool((length < 1).any()) or bool((length > prompt.shape[1]).any()):
            raise ValueError(f"{name}['length']: expected (B,) of 1 to {prompt.shape[1]}, got {length.tolist()}")
        if bool((prompt < 0).any()) or bool((prompt >= self.size).any()):
            raise ValueError(f"{name}: expected ids of 0 to {self.size - 1}, the vocabulary's, got others")
        return {PROMPT: prompt, LENGTH: length.to(prompt.device)}
