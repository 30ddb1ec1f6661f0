"""A reward of states, by the texts that they are to a reference: r(x_T) = r'(text of x_T)."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.arguments import expect
from svlearn.domains.language.rewards.checks import numbers_of, parts_of
from svlearn.process import Reference, has
from svlearn.reference_reward import ReferenceReward
from svlearn.state import State, take

PARTS = ("text", "continuation")


class OnTexts(ReferenceReward):
    """r(x_T) = r'(text of x_T), (B,), of finished states (B, ...), in the units of r'.

    reference: decodes finished states to texts (strs); it is shared, never copied. States that are alike are decoded
    once, and texts that are alike scored once.
    reward: r', a callable of a list of texts, or a dict {r': weight} or `WeightedSum` of such, of which one of weight 0
    is not called. It returns a number for each text, as a tensor or a list; or truth values, for `targets.constraint`.
    of: "text", the whole one, which knows its prompt and its continuation; "continuation", what follows the prompt.
    It is asynchronous where one of them is, and forgets what they remember.
    Raises TypeError for a reference without `decode`, for what is not callable, and at a call where what is decoded is
    no text, or has no continuation, and where a reward returns something else than numbers; ValueError for an unknown
    `of` and another number of numbers than of texts.
    """

    def __init__(self, reference: Reference, reward: Callable | Mapping[Callable, float], of: str = "text"):
        if not has(expect(reference, Reference, "reference"), "decode"):
            raise TypeError(f"reference: expected one with decode(x) -> texts, got {type(reference).__name__} without")
        if of not in PARTS:
            raise ValueError(f"of: expected one of {', '.join(PARTS)}, got {of!r}")
        super().__init__(reference, reward, of=of)
        self.of = of

    @torch.no_grad()
    def __call__(self, x: State) -> Tensor:
        texts, places = self._texts(x)
        if self.single is not None:
            return take(self._scores(self.single, texts), places)
        total = torch.zeros(len(texts))
        for weight, reward in self._sum.terms:
            if weight != 0:
                scores = self._scores(reward, texts)
                total = total.to(scores.device) + weight * scores
        return take(total, places)

    def _scores(self, reward: Callable, texts: list[str]) -> Tensor:
        return numbers_of(reward(texts), len(texts), reward)

    def _texts(self, x: State) -> tuple[list[str], Tensor]:
        """The different texts of states (B, ...), and the place of each state's among them, (B,)."""
        rows, states = distinct(_keys(x))
        decoded = self.reference.decode(take(x, torch.tensor(rows, device="cpu"))) if rows else []
        if len(decoded) != len(rows):
            raise ValueError(
                f"reference: expected decode to give {len(rows)} texts, one for each state, got {len(decoded)}"
            )
        read = [self._part(text) for text in decoded]
        firsts, texts = distinct([(str(text), *parts_of(text)) for text in read])
        places = torch.tensor([texts[place] for place in states], dtype=torch.long, device="cpu")
        return [read[place] for place in firsts], places

    def _part(self, text: Any) -> str:
        if not isinstance(text, str):
            raise TypeError(f"reference: expected decode to give texts (strs), got {type(text).__name__}")
        if self.of == "text":
            return text
        if not hasattr(text, "continuation"):
            raise TypeError(
                "of: expected 'text', for the texts of the reference know no continuation, got 'continuation'"
            )
        return text.continuation


def distinct(keys: Sequence[Hashable]) -> tuple[list[int], list[int]]:
    """Where each different key comes first, and the place of each key among the different ones."""
    firsts: dict[Hashable, int] = {}
    for row, key in enumerate(keys):
        firsts.setdefault(key, row)
    places = {key: place for place, key in enumerate(firsts)}
    return list(firsts.values()), [places[key] for key in keys]


def _keys(x: State) -> list[bytes]:
    """The bytes of each state."""
    leaves: Any = x.values(True, True) if isinstance(x, TensorDict) else [x]
    rows = [leaf.detach().reshape(len(leaf), -1).contiguous().view(torch.uint8) for leaf in leaves]
    return [row.tobytes() for row in torch.cat(rows, dim=1).cpu().numpy()]
