"""Which token each listed outcome of a step writes."""

from typing import cast

from tensordict import TensorDict
from torch import Tensor

from svlearn.domains.language.texts import TEXT, expect_texts
from svlearn.transitions import ListedLeaf, ListedTokens, ListedTransition, Transition


def outcome_tokens(x: TensorDict, outcomes: Transition) -> Tensor:
    """The tokens (B, N) that the outcomes of a step from texts x (B,) write; for a finished text, which writes none,
    they are of no meaning."""
    if isinstance(outcomes, ListedLeaf) and isinstance(outcomes.law, ListedTokens):
        return outcomes.law.tokens.expand(len(x), -1)
    places = x[TEXT][:, -1:].clamp(max=x[TEXT].shape[1] - 2)
    written = expect_texts(cast(ListedTransition, outcomes).states)[TEXT]
    return written.gather(2, places[:, None].expand(-1, written.shape[1], 1))[:, :, 0]
