"""Policies as plain peft and transformers read them: logits to the bit."""

import pytest
import torch
from language_toys import tiny_gpt2, tiny_llama, tiny_reference
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from svlearn.domains.language.adapters import save_adapter, save_model
from svlearn.policies import Finetuned

TOKENS = torch.tensor([[0, 1, 2, 0, 3]])


def moved(policy):
    """The policy with random adapters, or weights."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for each in policy.trained():
            each.add_(0.1 * torch.randn(each.shape, generator=generator, dtype=each.dtype))
    return policy


@pytest.mark.parametrize("make", [tiny_llama, tiny_gpt2])
def test_adapters_make_the_same_logits_in_plain_peft(make, tmp_path):
    model = make()
    reference = tiny_reference(model=model)
    policy = moved(Finetuned(reference, 2, condition=reference.prompts(["ab"])))
    save_adapter(policy, tmp_path)
    plain = PeftModel.from_pretrained(make(), tmp_path)
    with torch.no_grad():
        own, theirs = policy.copy.model(input_ids=TOKENS).logits, plain(input_ids=TOKENS).logits
    assert torch.equal(own, theirs)
    assert not torch.allclose(own, model(input_ids=TOKENS).logits)
    assert len(AutoTokenizer.from_pretrained(tmp_path)) == 4
    save_adapter(policy, tmp_path)  # in the place of what is there


def test_a_whole_policy_is_a_model_of_transformers(tmp_path):
    reference = tiny_reference()
    policy = moved(Finetuned(reference, condition=reference.prompts(["ab"])))
    save_model(policy, tmp_path)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(policy.copy.model(input_ids=TOKENS).logits, plain(input_ids=TOKENS).logits)


def test_what_cannot_be_saved_so(tmp_path):
    reference = tiny_reference()
    row = reference.prompts(["ab"])
    with pytest.raises(ValueError, match="see save_model"):
        save_adapter(Finetuned(reference, condition=row), tmp_path)
    with pytest.raises(ValueError, match="see save_adapter"):
        save_model(Finetuned(reference, 2, condition=row), tmp_path)
    with pytest.raises(TypeError, match="policy"):
        save_adapter(reference, tmp_path)
