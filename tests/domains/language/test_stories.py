"""TinyStories 260K read from llama2.c's files: its logits, its tokens, its published greedy text."""

import os
import struct

import numpy as np
import pytest
import torch

import svlearn
from svlearn.assets import fetch
from svlearn.domains.language import stories
from svlearn.inference.samplers import ancestral

needs_assets = pytest.mark.skipif(not os.environ.get("SVLEARN_ASSETS"), reason="needs the public files of stories260k")
# the expected output of llama2.c's own tests, of 200 greedy tokens (karpathy/llama2.c, test_all.py; MIT)
PUBLISHED = (
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a "
    "big, red ball. She wanted to play with it, but it was too high.\nLily's mom said, \"Lily, let's go to the park.\" "
    "Lily was sad and didn't know what to do. She said, \"I want to play with your ball, but I can't find it.\"\nLily "
    "was sad and didn't know what to do. She said, \"I'm sorry, Lily. I didn't know what to do.\"\nLily didn't want to "
    "help her mom, so she"
)


def direct(tokens):
    """Logits (L, V), float64, by the checkpoint's own layout: rotary positions of neighbours, four heads of keys."""
    content = fetch(stories.MODEL).read_bytes()
    dim, hidden, layers, heads, kv_heads, vocabulary, _ = struct.unpack("<7i", content[:28])
    weights, place = np.frombuffer(content[28:], dtype="<f4").astype(np.float64), 0

    def next_of(*shape):
        nonlocal place
        place += int(np.prod(shape))
        return weights[place - int(np.prod(shape)) : place].reshape(shape)

    size = dim // heads
    embedding, before = next_of(vocabulary, dim), next_of(layers, dim)
    q, k, v = next_of(layers, dim, dim), next_of(layers, kv_heads * size, dim), next_of(layers, kv_heads * size, dim)
    out, between = next_of(layers, dim, dim), next_of(layers, dim)
    gate, down, up, last = (
        next_of(layers, hidden, dim),
        next_of(layers, dim, hidden),
        next_of(layers, hidden, dim),
        next_of(dim),
    )

    def normed(x, weight):
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * weight

    angles = np.arange(len(tokens))[:, None] / 10000 ** (np.arange(0, size, 2) / size)
    turn = np.exp(1j * angles)[:, None]

    def rotated(x):
        turned = (x[..., 0::2] + 1j * x[..., 1::2]) * turn
        return np.stack([turned.real, turned.imag], -1).reshape(x.shape)

    x = embedding[tokens]
    for layer in range(layers):
        y = normed(x, before[layer])
        queries = rotated((y @ q[layer].T).reshape(len(tokens), heads, size))
        keys = rotated((y @ k[layer].T).reshape(len(tokens), kv_heads, size)).repeat(heads // kv_heads, axis=1)
        values = (y @ v[layer].T).reshape(len(tokens), kv_heads, size).repeat(heads // kv_heads, axis=1)
        scores = np.einsum("ihd,jhd->hij", queries, keys) / size**0.5
        scores[:, np.triu(np.ones((len(tokens), len(tokens)), dtype=bool), 1)] = -np.inf
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        read = np.einsum("hij,jhd->ihd", shares / shares.sum(-1, keepdims=True), values)
        x = x + read.reshape(len(tokens), dim) @ out[layer].T
        y = normed(x, between[layer])
        gated = y @ gate[layer].T
        x = x + (gated / (1 + np.exp(-gated)) * (y @ up[layer].T)) @ down[layer].T
    return normed(x, last) @ embedding.T


@needs_assets
def test_logits_are_those_of_a_direct_forward_pass():
    reference = svlearn.load("stories260k")
    tokens = reference.tokenizer("Once upon a time, there was a little girl named Lily.")["input_ids"]
    assert tokens[:5] == [1, 403, 407, 261, 378]
    logits = reference.model(input_ids=torch.tensor([tokens])).logits[0]
    torch.testing.assert_close(logits.double(), torch.tensor(direct(tokens)), rtol=0, atol=2e-5)


@needs_assets
def test_the_greedy_text_is_the_published_one():
    reference = stories.load(max_new_tokens=200, top_k=1)
    (text,) = reference.decode(ancestral(reference).sample(1, generator=torch.Generator().manual_seed(0)).states[:, 0])
    assert text == PUBLISHED


@needs_assets
@pytest.mark.parametrize("text", ['Lily said, "Hello!"', "a  b", "日 é\nx", "Ünderdog 12"])
def test_any_text_comes_back_from_its_tokens(text):
    tokenizer = stories.read_tokenizer(fetch(stories.TOKENIZER))
    assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text


@needs_assets
def test_a_story_ends_where_the_next_begins():
    reference = svlearn.load("stories260k")
    assert reference.ends.tolist() == [1, 2]


def test_files_of_another_layout(tmp_path):
    model, tokenizer = tmp_path / "model.bin", tmp_path / "tok512.bin"
    for content, reason in [
        (b"abc", "got 3 bytes"),
        (struct.pack("<7i", 8, 8, 1, 3, 3, 5, 4), "another header"),
        (struct.pack("<7i", 8, 8, 1, 2, 2, 5, 4), "expected .* weights by its header, got 0"),
    ]:
        model.write_bytes(content)
        with pytest.raises(ValueError, match=reason):
            stories.read_model(model)
    for content, reason in [(struct.pack("<ifi", 3, 0.0, 9), "a token is cut"), (struct.pack("<i", 3), "got 0 tokens")]:
        tokenizer.write_bytes(content)
        with pytest.raises(ValueError, match=reason):
            stories.read_tokenizer(tokenizer)
    with pytest.raises(FileNotFoundError):
        stories.load(tmp_path / "none.bin")
