"""The values of all next tokens from one look at a text: log-twists of a language model."""

from typing import cast

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from svlearn.arguments import expect, integer
from svlearn.domains.language.outcomes import outcome_tokens
from svlearn.domains.language.texts import PROMPT, TEXT, expect_texts
from svlearn.process import Prediction
from svlearn.state import State
from svlearn.transitions import ListedLeaf, ListedTokens, ListedTransition, Transition
from svlearn.values.value import Value


class NextToken(Value):
    """v_{t+1}(x_t, token) = network(h_t, t + 1)[token], reward units, h_t the last hidden state of x_t; for all tokens.

    The twist ψ_t = exp(v_t/α) of Zhao et al. (arXiv 2404.17546, section 3), whose network reads s_{1:t-1} and says a
    number for each s_t. So of a text x_t, v_t(x_t) reads the hidden state before its last token; of a text that has
    ended, at any later t too, the number written counts as t.
    `of_outcomes` says all of a step, and `proposals.Exact(value)` is then the twist-induced proposal at no further call
    of anything, for `smc` and for `svdd`; Exact(value, last="value") makes it so at the last step too.

    network: (features (B, D), t (B,)) -> (B, V). Raises TypeError for what is no module, ValueError for predictions of
    a reference without `features_before`, and for another vocabulary than the model's.
    """

    needs_prediction = True

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = expect(network, nn.Module, "network")

    def forward(
        self, x: State, t: Tensor, prediction: Prediction | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        if prediction is None or prediction.features_before is None:
            raise ValueError(
                "prediction.features_before: NextToken reads the hidden state before the last token, and the reference "
                "predicts none; take a CausalLM, or values.Head, which reads the state itself"
            )
        written = expect_texts(x)[TEXT][:, -1]
        return taken(self.network(prediction.features_before, written), last_token(x)[:, None])[:, 0]

    def of_outcomes(self, x: State, t: Tensor, prediction: Prediction) -> Tensor:
        x, outcomes = expect_texts(x), prediction.transition
        features, before, written = prediction.features, prediction.features_before, x[TEXT][:, -1]
        if features is None or before is None:
            raise ValueError(
                "prediction.features: NextToken reads the last hidden states, and the reference predicts none"
            )
        ended = texts_that_ended(outcomes, x)
        tokens = torch.where(ended[:, None], last_token(x)[:, None], outcome_tokens(x, outcomes))
        values = self.network(torch.where(ended[:, None], before, features), written + (~ended).long())
        return taken(values, tokens)


def taken(values: Tensor, tokens: Tensor) -> Tensor:
    """Of values (B, V) of all tokens those of some (B, N). ValueError for other shapes, and a token that has none."""
    if values.dim() != 2 or len(values) != len(tokens):
        raise ValueError(f"network: expected values (B, V), got {tuple(values.shape)} for {len(tokens)} texts")
    try:
        return values.gather(1, tokens)
    except (RuntimeError, IndexError) as error:
        most = int(tokens.max())
        if most < values.shape[1]:
            raise
        raise ValueError(
            f"network: expected values of all tokens of the model, got {values.shape[1]} and the token {most}"
        ) from error


class TokenTwists(nn.Module):
    """The head of a `NextToken`: (features (B, D), t (B,)) -> (B, V), two layers and an embedding of t, 0 at first.

    features: D, `reference.model.config.hidden_size`; vocabulary: V, `reference.vocabulary`; num_steps: T; width: of
    the layer between.
    """

    def __init__(self, features: int, vocabulary: int, num_steps: int, width: int = 128):
        super().__init__()
        features, vocabulary = integer(features, "features"), integer(vocabulary, "vocabulary")
        num_steps, width = integer(num_steps, "num_steps"), integer(width, "width")
        self.hyperparameters = {"features": features, "vocabulary": vocabulary, "num_steps": num_steps, "width": width}
        self.entry, self.times = nn.Linear(features, width), nn.Embedding(num_steps + 1, width)
        self.out = nn.Linear(width, vocabulary)
        nn.init.zeros_(self.times.weight)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, features: Tensor, t: Tensor) -> Tensor:
        hidden = self.entry(features.to(self.entry.weight.dtype)) + self.times(t)
        return self.out(nn.functional.silu(hidden))


def last_token(x: State) -> Tensor:
    """The last token (B,) of each text: of the prompt where none is written."""
    x = expect_texts(x)
    text = x[TEXT]
    written = text[:, -1:]
    new = text.gather(1, (written - 1).clamp(min=0))
    return torch.where(written > 0, new, x[PROMPT][:, -1:])[:, 0]


def texts_that_ended(outcomes: Transition, x: TensorDict) -> Tensor:
    """Which texts (B,) have ended, by the listed outcomes of a step: all are themselves."""
    if isinstance(outcomes, ListedLeaf) and isinstance(outcomes.law, ListedTokens):
        return outcomes.law.finished
    states = expect_texts(cast(ListedTransition, outcomes).states)
    return states[TEXT][:, 0, -1] == x[TEXT][:, -1]
