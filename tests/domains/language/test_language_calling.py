"""Models whose laws are of more than the tokens before are refused; wrapped ones are called as the model inside."""

import warnings

import pytest
import torch
import transformers
from language_toys import letters_tokenizer, tiny_gpt2
from peft import LoraConfig, PromptTuningConfig, get_peft_model

from svlearn.domains.language import CausalLM
from svlearn.fingerprint import fingerprint

PROMPTS = ["ab", "c", "bca"]
SIZES = {
    "initializer_range": 0.2,
    "vocab_size": 7,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
TOKENS = {"bos_token_id": None, "eos_token_id": 6, "pad_token_id": None}


def random_model(name, config, **options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        settings = getattr(transformers, config)(**{**SIZES, **TOKENS, **options})
        return getattr(transformers, name)(settings).double().eval()


BART = {"d_model": 16, "decoder_layers": 1, "decoder_attention_heads": 4, "decoder_ffn_dim": 24, "pad_token_id": 1}
REFUSED = {
    "an encoder": ("BertLMHeadModel", "BertConfig", {}, "reads tokens that follow"),
    "places that count padding": ("BartForCausalLM", "BartConfig", BART, "beside padding"),
    "places from another number": (
        "RobertaForCausalLM",
        "RobertaConfig",
        {"is_decoder": True, "pad_token_id": 1, "max_position_embeddings": 32},
        "beside padding",
    ),
    "no mask of padding": ("RwkvForCausalLM", "RwkvConfig", {"attention_hidden_size": 16}, "beside padding"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_model_whose_laws_are_of_more_than_the_tokens_before(name):
    model, config, options, reason = REFUSED[name]
    with pytest.raises(ValueError, match=f"model: expected a causal language model .* {reason}"):
        CausalLM(random_model(model, config, **options), letters_tokenizer("abcdef"), 3)


def log_probs(reference, x, t=0):
    return reference(x, torch.full((len(x),), t)).transition.laws["text"].log_probs


def adapted(model):
    options = {"r": 2, "target_modules": ["c_attn"], "init_lora_weights": False, "fan_in_fan_out": True}
    return get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **options)).eval()


@pytest.mark.parametrize(
    "wrap", [adapted, lambda model: torch.compile(model, backend="eager")], ids=["peft", "compiled"]
)
def test_a_wrapped_model_is_called_with_the_places_of_its_tokens(wrap):
    model = wrap(tiny_gpt2(7))
    reference = CausalLM(model, letters_tokenizer("abcdef"), 3)
    together = log_probs(reference, reference.initial(3, condition=PROMPTS))
    for row, prompt in enumerate(PROMPTS):
        tokens = torch.tensor([["abcdef".index(letter) for letter in prompt]])
        own = model(input_ids=tokens).logits[0, -1].log_softmax(dim=0)
        torch.testing.assert_close(together[row], own, rtol=0, atol=1e-12)


def test_what_adapters_do_beside_their_weights_is_in_the_fingerprint():
    prints = []
    for alpha in (2, 8, 8):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            options = {"r": 2, "target_modules": ["c_attn"], "init_lora_weights": False, "fan_in_fan_out": True}
            model = get_peft_model(tiny_gpt2(7), LoraConfig(task_type="CAUSAL_LM", lora_alpha=alpha, **options))
        prints.append(fingerprint(CausalLM(model, letters_tokenizer("abcdef"), 3)))
    assert prints[0] != prints[1] == prints[2]


def test_settings_of_the_model_that_generate_reads_are_said():
    model = tiny_gpt2(7)
    model.generation_config.update(repetition_penalty=1.5, suppress_tokens=[1], min_length=0)
    with pytest.warns(UserWarning, match=r"p_ref does not: repetition_penalty 1.5, suppress_tokens \[1\];"):
        CausalLM(model, letters_tokenizer("abcdef"), 3)
    model.generation_config.update(repetition_penalty=1.0, suppress_tokens=[])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CausalLM(model, letters_tokenizer("abcdef"), 3)


def test_adapters_that_add_tokens():
    model = get_peft_model(tiny_gpt2(7), PromptTuningConfig(num_virtual_tokens=2, task_type="CAUSAL_LM")).eval()
    with pytest.raises(ValueError, match="tokens of its own in front"):
        CausalLM(model, letters_tokenizer("abcdef"), 3)


@pytest.mark.parametrize("name", ["Mamba", "OpenAIGPT"])
def test_a_model_without_a_cache_computes_all_again(name):
    kind = {"Mamba": "MambaForCausalLM", "OpenAIGPT": "OpenAIGPTLMHeadModel"}[name]
    sizes = {"state_size": 4} if name == "Mamba" else {"n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 32}
    reference = CausalLM(random_model(kind, f"{name}Config", **sizes), letters_tokenizer("abcdef"), 3)
    x = reference.initial(3, condition=PROMPTS)
    said = reference(x, torch.zeros(3, dtype=torch.long))
    assert said.cache is None
    for row, prompt in enumerate(PROMPTS):
        alone = log_probs(reference, reference.initial(1, condition=[prompt]))
        torch.testing.assert_close(said.transition.laws["text"].log_probs[row], alone[0], rtol=0, atol=1e-6)


def test_texts_that_pass_the_length_at_which_positions_turn_otherwise():
    factors = {"short_factor": [1.0, 1.0], "long_factor": [2.0, 4.0], "original_max_position_embeddings": 6}
    rotary = {"rope_type": "longrope", "rope_theta": 10000.0, **factors}
    sizes = {"num_key_value_heads": 2, "max_position_embeddings": 32, "original_max_position_embeddings": 6}
    model = random_model("Phi3ForCausalLM", "Phi3Config", rope_parameters=rotary, **sizes)
    reference = CausalLM(model, letters_tokenizer("abcdef"), 3)
    for allowed in (["abc", "a"], ["abcabca", "abcdabcd"]):
        assert len(reference.initial(2, condition=allowed)) == 2
    for refused in (["abc", "abcd"], ["abcabca", "a"]):
        with pytest.raises(ValueError, match="expected texts that stay below 6 tokens, or prompts that are all longer"):
            reference.initial(2, condition=refused)


def test_the_context_of_a_model_that_reads_images_too():
    text = {**SIZES, **TOKENS, "num_key_value_heads": 2, "head_dim": 4, "max_position_embeddings": 12}
    image = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    options = {"text_config": text, "vision_config": {**image, "image_size": 28, "patch_size": 14}}
    model = transformers.Gemma3ForConditionalGeneration(transformers.Gemma3Config(**options)).eval()
    reference = CausalLM(model, letters_tokenizer("abcdef"), 10)
    assert len(reference.initial(1, condition=["ab"])) == 1
    with pytest.raises(ValueError, match="at most 2 tokens, for the model's context is of 12"):
        reference.initial(1, condition=["abc"])
