"""A twist that is a model of its own: a trainable copy of the language model with a head of all next tokens."""

from typing import Any, cast

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from svlearn.arguments import expect
from svlearn.compiled import plain
from svlearn.domains.language.causal_lm import CausalLM
from svlearn.domains.language.outcomes import outcome_tokens
from svlearn.domains.language.texts import LENGTH, PROMPT, TEXT, expect_texts
from svlearn.domains.language.values import last_token, taken, texts_that_ended
from svlearn.policies import Finetuned
from svlearn.process import Prediction
from svlearn.state import State
from svlearn.values.value import Value


class ModelTwist(Value):
    """v_{t+1}(x_t, token) = network(h'_t, t + 1)[token], reward units, h'_t the last hidden state of the copy's own.

    As `NextToken`, but the hidden states are of a copy of the model that is trained with the head: more can be learned
    (arXiv 2404.17546, section 3.1, has both), at one call of the copy for each look, which is a value call, over the
    whole text, for a value keeps no cache. It reads no prediction of the reference.

    reference: the `CausalLM`; network: (features (B, D), t (B,)) -> (B, V), as `TokenTwists`. lora_rank, condition: as
    `policies.Finetuned` takes them: None trains the whole copy, a rank its adapters; a prompt to look at it with, where
    the tokenizer has no token to begin with. Raises TypeError for what are none of these.
    """

    def __init__(
        self, reference: CausalLM, network: nn.Module, lora_rank: int | None = None, condition: Any | None = None
    ):
        super().__init__()
        if not isinstance(plain(reference), CausalLM):
            raise TypeError(f"reference: expected a CausalLM, got {type(plain(reference)).__name__}")
        self.network = expect(network, nn.Module, "network")
        self.reference, self.lora_rank, self.condition = reference, lora_rank, condition
        self.copy = Finetuned(reference, lora_rank, condition=condition)

    def forward(
        self, x: State, t: Tensor, prediction: Prediction | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        x = expect_texts(x)
        features, written = self._features_before(x), x[TEXT][:, -1]
        return taken(self.network(features, written), last_token(x)[:, None])[:, 0]

    def of_outcomes(self, x: State, t: Tensor, prediction: Prediction) -> Tensor:
        x, outcomes = expect_texts(x), prediction.transition
        ended, written = texts_that_ended(outcomes, x), x[TEXT][:, -1]
        before = _without_last(x)
        looked = cast(TensorDict, torch.where(ended, before, x))
        tokens = torch.where(ended[:, None], last_token(x)[:, None], outcome_tokens(x, outcomes))
        return taken(self.network(self._features(looked), written + (~ended).long()), tokens)

    def _features_before(self, x: TensorDict) -> Tensor:
        """The last hidden states (B, D) at the token before the last; 0 where there is none."""
        empty = (x[TEXT][:, -1] == 0) & (x[LENGTH] == 1)
        return torch.where(empty[:, None], 0.0, self._features(_without_last(x)))

    def _features(self, x: TensorDict) -> Tensor:
        return cast(Tensor, self.copy(x, x[TEXT][:, -1]).features)


def _without_last(x: TensorDict) -> TensorDict:
    """Texts (B,) without their last token; of one that has a prompt alone the prompt's, if it has another."""
    text, written = x[TEXT].clone(), x[TEXT][:, -1]
    text[:, -1] = (written - 1).clamp(min=0)
    shorter = ((written == 0) & (x[LENGTH] > 1))[:, None]
    prompt = torch.where(shorter, x[PROMPT].roll(1, dims=1), x[PROMPT])
    return x.copy().update({TEXT: text, PROMPT: prompt, LENGTH: x[LENGTH] - shorter[:, 0].long()})
