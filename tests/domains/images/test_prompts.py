"""Prompts as leaves, and their embeddings."""

from copy import deepcopy
from pathlib import Path

import pytest
import tiny_pipelines
import torch
from torch import Tensor

from svlearn.domains.images import DiffusersReference
from svlearn.domains.images.denoisers.embeddings import EmbeddingCache, Encoded
from svlearn.domains.images.prompts import leaf_of, to_bytes, to_texts


@pytest.fixture
def reference(tmp_path: Path) -> DiffusersReference:
    return DiffusersReference(tiny_pipelines.stable_diffusion(tmp_path), 3)


def test_a_leaf_gives_back_its_prompts() -> None:
    prompts = ["", "a cat", "ein Bär, 熊", "x" * 512]
    leaf = to_bytes(prompts)
    assert leaf.shape == (4, 512) and leaf.dtype == torch.uint8
    assert leaf[2, 5:7].tolist() == [0xC3, 0xA4]  # ä in UTF-8
    assert to_texts(leaf) == prompts


def test_what_is_no_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match=r"condition\[1\]: expected at most 512 bytes of UTF-8, got 514"):
        to_bytes(["a", "ä" * 257])
    with pytest.raises(ValueError, match=r"condition\[0\]: expected a prompt without NUL"):
        to_bytes(["a\0b"])
    with pytest.raises(TypeError, match=r"condition\[0\]: expected a prompt \(a str\), got int 3"):
        to_bytes([3])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="expected a list of 2 prompts, one for each sample, got one str"):
        leaf_of("a cat", 2, "condition")
    with pytest.raises(TypeError, match=r"or \(B, 512\) of torch.uint8, got a tensor \(2,\) of torch.int64"):
        leaf_of(torch.tensor([1, 2]), 2, "condition")
    with pytest.raises(ValueError, match="condition: expected UTF-8 with zeros after the end, got other bytes"):
        leaf_of(torch.full((1, 512), 0xFF, dtype=torch.uint8), 1, "condition")


def test_prompts_and_batch_sizes_agree(reference: DiffusersReference) -> None:
    with pytest.raises(ValueError, match="condition: expected 3 prompts, one for each sample, got 2"):
        reference.initial(3, condition=["a", "b"])
    with pytest.raises(ValueError, match=r"condition\['negative_prompt'\]: expected 2 prompts.*got 1"):
        reference.initial(2, condition={"prompt": ["a", "b"], "negative_prompt": ["c"]})
    with pytest.raises(ValueError, match="condition: expected keys of prompt, negative_prompt, got 'class'"):
        reference.initial(2, condition={"class": [1, 2]})
    with pytest.raises(TypeError, match=r"condition\[0\]: expected a prompt \(a str\), got int 1"):
        reference.initial(2, condition=[1, 2])


def test_without_a_condition_the_prompts_are_empty(reference: DiffusersReference) -> None:
    x = reference.initial(2)
    assert to_texts(x["prompt"]) == to_texts(x["negative_prompt"]) == ["", ""]
    again = reference.initial(2, condition={"prompt": x["prompt"]})  # a leaf is a condition too
    assert torch.equal(again["prompt"], x["prompt"])


def test_without_guidance_a_negative_prompt_is_refused(tmp_path: Path) -> None:
    reference = DiffusersReference(tiny_pipelines.stable_diffusion(tmp_path), 3, guidance_scale=1.0)
    assert set(reference.initial(2).keys()) == {"sample", "prompt"}
    with pytest.raises(ValueError, match="expected no negative_prompt without guidance, whose scale is 1"):
        reference.initial(1, condition={"prompt": ["a"], "negative_prompt": ["b"]})


def test_each_pair_is_encoded_once_and_alone(reference: DiffusersReference) -> None:
    sizes: list[int] = []
    encoder = reference.denoiser.text_encoders["text_encoder"]
    encoder.register_forward_hook(lambda module, inputs, output: sizes.append(len(inputs[0])))
    x = reference.initial(5, condition=["cat", "dog", "cat", "cat", "dog"])
    with torch.no_grad():
        for t in (0, 1):
            reference(x, torch.full((5,), t))
    assert sizes == [1] * 4  # two prompts, each with its negative one
    encoded = reference.denoiser.embed({"prompt": x["prompt"], "negative_prompt": x["negative_prompt"]})
    single = reference.denoiser.embed(reference.denoiser.leaves(1, ["dog"]))
    assert torch.equal(encoded.conditions["embeds"][4:], single.conditions["embeds"])
    assert torch.equal(encoded.conditions["embeds"][0], encoded.conditions["embeds"][2])
    assert not torch.equal(encoded.conditions["embeds"][0], encoded.conditions["embeds"][1])
    assert not encoded.conditions["embeds"].requires_grad


def test_embeddings_made_while_sampling_serve_a_training(reference: DiffusersReference) -> None:
    leaves = reference.denoiser.leaves(2, ["cat", "cat"])
    with torch.inference_mode():
        reference.denoiser.embed(leaves)
    weight = torch.ones(16, requires_grad=True)
    (reference.denoiser.embed(leaves).conditions["embeds"] * weight).sum().backward()
    assert weight.grad is not None


def test_the_cache_keeps_what_was_read_last() -> None:
    asked: list[str] = []

    def encode(prompt: str, negative: str) -> Encoded:
        asked.append(prompt)
        return Encoded({"embeds": torch.tensor([[float(ord(prompt))]])})

    cache = EmbeddingCache(2)

    def gather(prompts: str) -> Tensor:
        return cache.gather([(each, "") for each in prompts], encode).conditions["embeds"].flatten()

    assert gather("abcab").tolist() == [97, 98, 99, 97, 98]  # more than it keeps
    assert len(cache) == 2 and asked == ["a", "b", "c"]
    gather("bc")  # are kept
    gather("a")  # b goes, the one that was read longest ago
    gather("c")
    assert asked == ["a", "b", "c", "a"]
    assert len(deepcopy(cache)) == 0 and deepcopy(cache).most == 2


def test_in_another_dtype_the_embeddings_are_others(reference: DiffusersReference) -> None:
    leaves = reference.denoiser.leaves(1, ["cat"])
    before = reference.denoiser.embed(leaves).conditions["embeds"]
    reference.double()
    after = reference.denoiser.embed(leaves).conditions["embeds"]
    assert (before.dtype, after.dtype) == (torch.float32, torch.float64)
