"""Tiny models over letters whose bytes llguidance can read."""

import itertools

import torch
from language_toys import letters_tokenizer, tiny_llama
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from svlearn.domains.language import CausalLM
from svlearn.domains.language.texts import with_continuations


def byte_tokenizer(letters="abc", end=True, merged=()):
    """One token a letter, as those of GPT-2 write them, the end, if there is one, and tokens of two letters."""
    tokenizer = letters_tokenizer(letters)
    if merged or not end:
        names = [*letters, *(["</s>"] if end else []), *merged]
        backend = Tokenizer(
            models.BPE({name: place for place, name in enumerate(names)}, [tuple(two) for two in merged])
        )
        backend.pre_tokenizer = tokenizer.backend_tokenizer.pre_tokenizer
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>" if end else None)
    tokenizer.backend_tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def letters_reference(letters="abc", max_new_tokens=4, seed=0, spread=1.0, **options):
    """A real model of random weights over the letters and an end, which is the last token."""
    model = tiny_llama(len(letters) + 1, seed=seed, spread=spread)
    return CausalLM(model, byte_tokenizer(letters), max_new_tokens, **options).requires_grad_(False)


def strings(letters, most):
    """All strings of at most so many letters."""
    return ["".join(each) for size in range(most + 1) for each in itertools.product(letters, repeat=size)]


def tokens_of(string, letters):
    return [letters.index(letter) for letter in string]


def texts(reference, prompt, rows):
    """States under one prompt in whose buffers these tokens are written."""
    return with_continuations(reference.initial(len(rows), condition=[prompt] * len(rows)), rows)


def every_text(reference, prompt):
    """All finished texts: the tokens of each, and log p_ref (N,), by teacher forcing, in float64."""
    size, length = reference.vocabulary, reference.num_steps
    end = size - 1
    rows = [
        list(each)
        for count in range(1, length + 1)
        for each in itertools.product(range(size), repeat=count)
        if end not in each[:-1] and (count == length or each[-1] == end)
    ]
    ids = reference.tokenizer(prompt)["input_ids"]
    total = []
    for row in rows:
        with torch.no_grad():
            logits = reference.model(torch.tensor([ids + row])).logits[0].double().log_softmax(dim=1)
        total.append(sum(float(logits[len(ids) - 1 + place, token]) for place, token in enumerate(row)))
    return rows, torch.tensor(total, dtype=torch.float64)
