"""Small random models of real classes, with tokenizers made on the spot, for the tests of language."""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from svlearn.domains.language import CausalLM, NextToken
from svlearn.domains.language.values import TokenTwists

LETTERS = "abc"
END = 3  # the token after those of the letters


def letters_tokenizer(letters=LETTERS, **special):
    """One token a letter, and the end </s>; `special` as a tokenizer of transformers takes it."""
    vocabulary = {letter: place for place, letter in enumerate(letters)} | {"</s>": len(letters)}
    backend = Tokenizer(models.BPE(vocabulary, []))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    backend.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=backend, **{"eos_token": "</s>", **special})


def tiny_llama(vocabulary=4, seed=0, dtype=torch.float64, spread=1.0, length=32):
    """Two layers of width 16; its logits have a standard deviation of about `spread`."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=length,
            bos_token_id=None,
            eos_token_id=vocabulary - 1,
            pad_token_id=None,
            tie_word_embeddings=False,
        )
        model = LlamaForCausalLM(config).to(dtype).eval()
    with torch.no_grad():
        model.lm_head.weight.mul_(spread / 4 / model.lm_head.weight.std())
    return model


def tiny_gpt2(vocabulary=4, seed=0, dtype=torch.float64, length=32):
    """Two layers with learned places, of transformers' Conv1D."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        ends = {"bos_token_id": None, "eos_token_id": vocabulary - 1}
        config = GPT2Config(vocab_size=vocabulary, n_embd=16, n_layer=2, n_head=2, n_positions=length, **ends)
        return GPT2LMHeadModel(config).to(dtype).eval()


def tiny_reference(max_new_tokens=4, model=None, **options):
    """A process of letters with an end; every prompt must have a letter, for there is no token to begin with."""
    reference = CausalLM(tiny_llama() if model is None else model, letters_tokenizer(), max_new_tokens, **options)
    return reference.requires_grad_(False)


PROMPTS = ["ab", "c", "bca", "a"]


def wave_of_tokens(x):
    """A number for each text (B,), of which tokens are written where."""
    text = x["text"]
    places = torch.arange(1, text.shape[1], dtype=torch.float64)
    written = torch.arange(text.shape[1] - 1) < text[:, -1:]
    return torch.where(written, torch.sin(places * (text[:, :-1] + 1)), 0.0).sum(dim=1)


def random_twists(seed=0, vocabulary=4, num_steps=4, std=0.15):
    """A head of next tokens that has learned nothing."""
    network = TokenTwists(16, vocabulary, num_steps).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * std)
    return NextToken(network)
