"""Models by their folder in half precision and by a device map, on the CPU: their laws are those of transformers."""

import sys

import pytest
import torch
from language_toys import letters_tokenizer, random_twists, tiny_llama, wave_of_tokens
from transformers import AutoModelForCausalLM

import svlearn as sv
from svlearn.domains.language import CausalLM
from svlearn.policies import Finetuned

HALVES = (torch.float16, torch.bfloat16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    tiny_llama(dtype=torch.float32).save_pretrained(path)
    letters_tokenizer().save_pretrained(path)
    return path


def log_probs(process, x):
    return process(x, torch.zeros(len(x), dtype=torch.long)).transition.laws["text"].log_probs


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("device_map", [None, "cpu", "auto", {"": "cpu"}])
def test_the_law_is_that_of_the_model_as_transformers_reads_it(folder, dtype, device_map):
    reference = CausalLM(folder, max_new_tokens=4, dtype=dtype, device_map=device_map)
    assert reference.model.dtype == dtype and reference.device.type == "cpu"
    own = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
    logits = own(input_ids=torch.tensor([[0, 1]])).logits[0, -1].float()
    law = log_probs(reference, reference.initial(1, condition=["ab"]))[0]
    assert law.dtype == torch.float32
    torch.testing.assert_close(law, logits.log_softmax(dim=0), rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", HALVES)
def test_what_draws_and_learns_takes_a_model_in_half_precision(folder, dtype):
    reference = CausalLM(folder, max_new_tokens=4, dtype=dtype, device_map="auto").requires_grad_(False)
    target, twists = sv.Target(wave_of_tokens, 0.7), random_twists().float()
    options = {"condition": ["ab", "c"] * 4, "generator": torch.Generator().manual_seed(0)}
    sampler = sv.smc(reference, target, twists, 4, proposal=sv.proposals.Exact(twists, last="value"))
    assert bool(sampler.sample(8, **options).log_normalizer.isfinite().all())
    policy = Finetuned(reference, 2, condition=["ab"])
    x = reference.initial(2, condition=["ab", "c"])
    torch.testing.assert_close(log_probs(policy, x), log_probs(reference, x), rtol=0, atol=1e-6)
    loss = -log_probs(policy, x)[:, 0].sum()
    loss.backward()
    assert any(bool(each.grad.abs().sum() > 0) for each in policy.trained() if each.grad is not None)


def test_a_device_map_without_accelerate(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(ImportError, match="device_map: accelerate is needed for it: pip install accelerate"):
        CausalLM(folder, max_new_tokens=4, device_map="auto")
    assert CausalLM(folder, max_new_tokens=4, dtype="float16").model.dtype == torch.float16


@pytest.mark.parametrize("dtype", ["half-float", "long", torch.int8, 16])
def test_what_is_no_dtype(folder, dtype):
    with pytest.raises(ValueError, match="dtype: expected a float dtype of torch, its name, as 'bfloat16', or 'auto'"):
        CausalLM(folder, max_new_tokens=4, dtype=dtype)
