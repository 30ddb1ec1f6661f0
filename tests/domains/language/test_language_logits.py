"""Logits that are no law raise with step and index, and those of -inf for a token that cannot come do not."""

import pytest
import torch
from language_toys import tiny_llama, tiny_reference, wave_of_tokens

from svlearn.domains.language.texts import with_continuations
from svlearn.inference.proposals import Policy
from svlearn.inference.samplers import ancestral, smc
from svlearn.policies import Finetuned
from svlearn.targets import NonFiniteError, Target
from svlearn.values import Zero

STEPS = 4


def log_probs(prediction):
    return prediction.transition.laws["text"].log_probs


@pytest.mark.parametrize(("dtype", "advice"), [(torch.float32, ""), (torch.float16, "; run it in torch.bfloat16")])
def test_logits_that_are_no_law_are_told_with_step_and_index(dtype, advice):
    """Of the reference or of a policy, by the cache and along trajectories: a model that knows no c."""
    sane, target = tiny_reference(STEPS, tiny_llama(dtype=dtype), end_tokens=[]), Target(wave_of_tokens, 1.0)
    policy = Finetuned(sane, condition=["ab"]).requires_grad_(False)
    broken = tiny_reference(STEPS, tiny_llama(dtype=dtype), end_tokens=[])
    for process in (broken, policy.copy):
        process.model.model.embed_tokens.weight[2] = torch.nan
    drawn = smc(sane, target, Zero(), 2, proposal=Policy(policy))
    x = with_continuations(sane.initial(3, condition=["ab"] * 3), [[0, 1, 0, 0], [1, 0, 2, 0], [2, 0, 0, 0]])
    trajectory = torch.stack([sane.noise(x, torch.full((3,), STEPS), torch.full((3,), t)) for t in range(STEPS + 1)], 1)
    said = rf"the model's logits at index {{}} at step {{}} are not finite in {dtype}{advice}"
    for call, index, step in [
        (lambda: ancestral(broken).sample(2, condition=["ab", "ca"]), 1, 0),
        (lambda: drawn.sample(2, condition=["ab", "ca"]), 2, 0),
        (lambda: list(broken.along(trajectory)), 1, 0),  # masked places weigh NaN by 0, which is NaN
        (lambda: list(policy.along(trajectory[1:])), 0, 0),
        (lambda: broken(trajectory[:2, 3], torch.full((2,), 3)), 1, 3),
    ]:
        with pytest.raises(NonFiniteError, match=said.format(index, step)):
            call()


def test_a_token_that_a_model_excludes_is_legal():
    reference = tiny_reference(3)
    t, x = torch.zeros(1, dtype=torch.long), reference.initial(1, condition=["ab"])
    reference.model.lm_head = Excluding(reference.model.lm_head)
    assert log_probs(reference(x, t))[0].exp().sum() == pytest.approx(1.0)
    assert log_probs(reference(x, t))[0, 1] == -torch.inf
    reference.model.lm_head.last = 4
    with pytest.raises(NonFiniteError, match="at index 0 at step 0 are not finite in torch.float64"):
        reference(x, t)


class Excluding(torch.nn.Module):
    """Logits of -inf for the tokens 1 ... last - 1, and where last is 4 for all."""

    def __init__(self, head):
        super().__init__()
        self.head, self.last = head, 2

    def forward(self, hidden):
        logits = self.head(hidden)
        logits[..., 1 if self.last < 4 else 0 : self.last] = -torch.inf
        return logits
