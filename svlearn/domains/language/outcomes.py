"""Which token each listed outcome of a step writes."""

from tensordict import TensorDict
from torch import Tensor

from svlearn.domains.language.texts import TEXT
from svlearn.transitions import ListedTransition


def outcome_tokens(x: TensorDict, outcomes: ListedTransition) -> Tensor:
    """The tokens (B, N) that the outcomes of a step from texts x (B,) write; of a finished text, which writes none, what
    stands in the place of the next, or in the last."""
    places = x[TEXT][:, -1:].clamp(max=x[TEXT].shape[1] - 2)
    written = outcomes.states[TEXT]
    return written.gather(2, places[:, None].expand(-1, written.shape[1], 1))[:, :, 0]
