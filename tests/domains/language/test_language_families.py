"""Caches of every kind that models keep, recurrent states among them: gathered, cut and joined as without a cache."""

import pytest
import torch
from language_toys import letters_tokenizer
from test_language_calling import random_model

from svlearn.domains.language import CausalLM
from svlearn.process import Prediction, predict
from svlearn.state import take

GROUPED = {"num_key_value_heads": 2}
EXPERTS = {"num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 8, "shared_expert_intermediate_size": 8}
STATES = {"mamba_d_state": 4, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_chunk_size": 4}
LINEAR = {f"linear_{name}": 2 for name in ("num_value_heads", "num_key_heads")}
LINEAR |= {f"linear_{name}_head_dim": 8 for name in ("key", "value")}
CACHED = {
    "Mistral": {**GROUPED, "head_dim": 4, "sliding_window": 3},  # windows
    "Jamba": {  # Mamba and attention
        **GROUPED,
        "use_mamba_kernels": False,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "expert_layer_period": 4,
        "expert_layer_offset": 3,
        "num_experts": 2,
        "mamba_d_state": 4,
    },
    "Bamba": {**GROUPED, **STATES, "attn_layer_indices": [1], "mamba_n_groups": 1},  # Mamba-2 and attention
    "FalconH1": {**GROUPED, **STATES, "head_dim": 4, "mamba_d_ssm": 32, "mamba_n_groups": 1},  # both in one layer
    "Lfm2": {**GROUPED, "layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False},  # convolutions
    "Qwen3Next": {  # a gated delta rule
        **GROUPED,
        **EXPERTS,
        **LINEAR,
        "head_dim": 8,
        "layer_types": ["linear_attention", "full_attention"],
    },
    "GPTBigCode": {"n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 32},  # one head of keys
}
IN_FLOAT32 = {"Qwen3Next"}  # experts multiply in no other
RECOMPUTED = {
    "Mamba": {"state_size": 4},
    "Mamba2": {"state_size": 4, "num_heads": 4, "head_dim": 8, "n_groups": 1, "chunk_size": 4},
}
REFUSED = {  # recurrent states that padding moves
    "RecurrentGemma": {"num_hidden_layers": 3, "lru_width": 16, "num_key_value_heads": 1, "attention_window_size": 8},
    "xLSTM": {"num_heads": 2, "num_blocks": 2},
}
UNEQUAL, ALIKE = ["ab", "c", "bca", "a"] * 2, ["abc"] * 8
PARENTS = torch.tensor([3, 0, 0, 5, 7, 2, 6, 1])


def reference(family, options):
    model = random_model(f"{family}ForCausalLM", f"{family}Config", **options)
    model = model.float() if family in IN_FLOAT32 else model
    return CausalLM(model, letters_tokenizer("abcdef"), 4, end_tokens=[]).requires_grad_(False)


def log_probs(prediction):
    return prediction.transition.laws["text"].log_probs


@pytest.mark.parametrize("prompts", [UNEQUAL, ALIKE], ids=["unequal", "alike"])
@pytest.mark.parametrize("family", CACHED)
def test_a_cache_that_follows_particles_says_what_a_call_without_says(family, prompts):
    process, generator = reference(family, CACHED[family]), torch.Generator().manual_seed(0)
    x, previous = process.initial(8, condition=prompts), None
    for t in range(4):
        said = predict(process, x, t, previous, parents=None if previous is None else PARENTS)
        plain = process(x, torch.full((8,), t))
        torch.testing.assert_close(log_probs(said), log_probs(plain), rtol=0, atol=2e-5)
        assert said.cache is not None
        previous = Prediction.cat([said[torch.arange(3)], said[torch.arange(3, 8)]])
        x = take(said.transition.sample(generator=generator), PARENTS)
    assert float((log_probs(plain) - log_probs(plain)[PARENTS]).abs().max()) > 1e-2  # whose cache it is matters


@pytest.mark.parametrize("family", RECOMPUTED)
def test_a_model_whose_states_are_no_cache_of_keys_is_computed_anew(family):
    process = reference(family, RECOMPUTED[family])
    said = process(process.initial(3, condition=["ab", "c", "bca"]), torch.zeros(3, dtype=torch.long))
    assert said.cache is None
    for row, prompt in enumerate(["ab", "c", "bca"]):
        tokens = torch.tensor([["abcdef".index(letter) for letter in prompt]])
        own = process.model(input_ids=tokens, use_cache=False).logits[0, -1].log_softmax(dim=0)
        torch.testing.assert_close(log_probs(said)[row], own, rtol=0, atol=2e-5)


@pytest.mark.parametrize("family", REFUSED)
def test_recurrent_states_that_padding_moves_are_refused(family):
    with pytest.raises(ValueError, match="padded on the left, got one that says of a text beside padding"):
        reference(family, REFUSED[family])


def test_a_model_that_says_nan_is_refused():
    model = random_model("GPTBigCodeForCausalLM", "GPTBigCodeConfig", **CACHED["GPTBigCode"])
    with torch.no_grad():
        model.transformer.wpe.weight[0, 0] = torch.nan
    with pytest.raises(ValueError, match="got one that says NaN"):
        CausalLM(model, letters_tokenizer("abcdef"), 4)
