"""Rewards by CLIP: transformers' own numbers, prompts of states, and what is kept and refused."""

import copy
import math

import pytest
import torch
from latent_toys import Described, prompts_of

import svlearn as sv
from svlearn.domains.images.rewards import CLIP, CLIPScore, HPSv2, OnImages, PickScore, PromptSimilarity
from svlearn.domains.images.rewards.preprocessing import normalised
from svlearn.identity import identity
from svlearn.targets import NonFiniteError

pytest.importorskip("transformers")

from clip_toys import bert_tokenizer_files, clip_model, clip_tokenizer, clip_tokenizer_files

PROMPTS = ["a cat", "seven dogs and a cat", "a cat"]


@pytest.fixture
def tokenizer(tmp_path):
    return clip_tokenizer(tmp_path / "tokenizer")


@pytest.fixture
def images(generator):
    return torch.rand(3, 3, 32, 32, generator=generator)


def logits_of(model, tokenizer, images, prompts):
    """By CLIPModel's own forward: exp(logit scale) · cos of every image with every prompt."""
    tokens = tokenizer(prompts, padding=True, return_tensors="pt")
    inputs = {name: tokens[name] for name in ("input_ids", "attention_mask")}
    return model(pixel_values=normalised(images), **inputs).logits_per_image.diagonal()


def test_scores_are_those_of_transformers(tokenizer, images):
    model = clip_model()
    wanted = logits_of(model, tokenizer, images, PROMPTS)
    cosines = wanted / model.logit_scale.exp()
    assert cosines.abs().min() > 0.01 and cosines.std() > 0.05 and cosines.min() < 0
    assert torch.allclose(PickScore(model, tokenizer)(images, PROMPTS), wanted, rtol=1e-4, atol=1e-4)
    assert torch.allclose(HPSv2(model, tokenizer)(images, PROMPTS), cosines, atol=1e-5)
    assert torch.allclose(CLIPScore(model, tokenizer)(images, PROMPTS), 100 * cosines.clamp(min=0), atol=1e-3)
    one = PromptSimilarity(model, tokenizer, prompt=PROMPTS[1])(images)
    assert torch.allclose(one[1], cosines[1], atol=1e-5)


def test_prompts_are_a_leaf_of_the_state(tokenizer, generator):
    reference, model = Described(), clip_model()
    x = reference.initial(3, condition=torch.tensor([7, 1, 7]), generator=generator)
    reward = PickScore(model, tokenizer)
    wanted = reward(reference.images(x), ["a 7", "a 1", "a 7"])
    assert torch.equal(sv.Target(OnImages(reference, reward), 1.0)(x), wanted)
    assert list(reward.clip.remembered.entries) == ["a 7", "a 1"]
    reward.forget()
    assert not reward.clip.remembered.entries


def test_prompts_are_read_as_utf8(tokenizer, images):
    reward = CLIPScore(clip_model(), tokenizer)
    texts = ["ein Käse", "猫", "a cat"]
    assert torch.equal(reward(images, prompts_of(texts)), reward(images, texts))
    assert list(reward.clip.remembered.entries) == texts


def test_a_long_prompt_is_cut(tokenizer, images):
    reward = PickScore(clip_model(), tokenizer)
    assert torch.equal(reward(images, ["cat " * 14] * 3), reward(images, ["cat " * 14 + "dog"] * 3))


def test_the_gradient_passes_to_the_images(tokenizer, images):
    model = clip_model()
    reward = PickScore(model, tokenizer)
    with torch.inference_mode():
        reward(images, PROMPTS)  # whose texts are remembered
    images = images.clone().requires_grad_()
    reward(images, PROMPTS).sum().backward()
    assert images.grad.abs().sum() > 0 and all(each.grad is None for each in model.parameters())
    direct = images.detach().clone().requires_grad_()
    logits_of(model, tokenizer, direct, PROMPTS).sum().backward()
    assert torch.allclose(images.grad, direct.grad, atol=1e-4 * float(direct.grad.abs().max()))


def test_half_precision_is_computed_in_it(tokenizer, images):
    model = clip_model()
    exact = PickScore(model, tokenizer)(images, PROMPTS)
    rewards = PickScore(copy.deepcopy(model).bfloat16(), tokenizer)(images, PROMPTS)
    assert rewards.dtype == torch.float32 and not torch.equal(rewards, exact)
    assert torch.allclose(rewards, exact, atol=0.02 * math.exp(model.logit_scale))


def test_its_identity_does_not_change_as_it_scores(tokenizer, images):
    model = clip_model()
    reward = CLIPScore(model, tokenizer)
    before = identity(reward)
    reward(images, PROMPTS)
    assert identity(reward) == before == identity(CLIPScore(model, tokenizer)) == identity(copy.deepcopy(reward))
    others = [CLIPScore(model, tokenizer, "a cat"), PickScore(model, tokenizer), HPSv2(model, tokenizer)]
    assert len({before, *map(identity, others)}) == 4


def test_a_folder_is_read_from_safetensors(tmp_path, tokenizer, images):
    model = clip_model()
    model.save_pretrained(tmp_path / "model")
    clip_tokenizer_files(tmp_path / "model")
    named, given = PickScore(tmp_path / "model", None), PickScore(model, tokenizer)
    assert torch.equal(named(images, PROMPTS), given(images, PROMPTS))
    alone = CLIP(str(tmp_path / "model"), texts=False)
    assert torch.equal(alone.of_images(images), given.clip.of_images(images)) and alone.tokens is None
    with pytest.raises(ValueError, match="tokenizer: expected that of a CLIPModel, .* got none"):
        alone.of_texts(["a cat"])
    torch.save(model.state_dict(), tmp_path / "model" / "pytorch_model.bin")
    (tmp_path / "model" / "model.safetensors").unlink()
    with pytest.raises(OSError, match="model: expected a folder in transformers' format"):
        CLIPScore(tmp_path / "model", tokenizer)


def test_a_network_that_cannot_be_fetched_is_an_error_with_what_to_do(monkeypatch, tmp_path, tokenizer):
    constants = pytest.importorskip("huggingface_hub").constants
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    advice = "without a network, copy the files into a folder and name that"
    with pytest.raises(OSError, match=f"model: expected .* got 'yuvalkirstain/PickScore_v1' .*{advice}"):
        PickScore(tokenizer=tokenizer)
    with pytest.raises(OSError, match=f"model: expected .* got 'xswu/HPSv2/HPS_v2.1_compressed.pt' .*{advice}"):
        HPSv2(tokenizer=tokenizer)
    with pytest.raises(OSError, match=f"tokenizer: expected .* got 'laion/CLIP-ViT-H-14-.*{advice}"):
        PickScore(clip_model())
    with pytest.raises(OSError, match=r"model: expected .* got .*nowhere.*"):
        CLIPScore(tmp_path / "nowhere", tokenizer)


def test_what_does_not_fit_is_refused(tmp_path, tokenizer, images):
    model = clip_model()
    with pytest.raises(ValueError, match="prompt: CLIPScore expected one, or prompts beside the images, got none"):
        CLIPScore(model, tokenizer)(images)
    with pytest.raises(ValueError, match="prompts: expected one of each of 3 images, got 2"):
        CLIPScore(model, tokenizer)(images, PROMPTS[:2])
    with pytest.raises(ValueError, match=r"prompts: expected texts in UTF-8, .* uint8, got \(3, 4\) of torch.int64"):
        CLIPScore(model, tokenizer)(images, torch.zeros(3, 4, dtype=torch.long))
    with pytest.raises(ValueError, match="prompts: expected texts in UTF-8, .* got other bytes"):
        CLIPScore(model, tokenizer)(images, torch.full((3, 2), 255, dtype=torch.uint8))
    with pytest.raises(TypeError, match="prompts: expected a list of names, got str"):
        CLIPScore(model, tokenizer)(images, "a cat")
    with pytest.raises(ValueError, match="images: PickScore expects numbers in"):
        PickScore(model, tokenizer, "a cat")(2 * images - 1)
    with pytest.raises(NonFiniteError, match="images: PickScore expects .* NaN at index 1"):
        PickScore(model, tokenizer, "a cat")(torch.where(torch.arange(3).view(3, 1, 1, 1) == 1, math.nan, images))
    with pytest.raises(TypeError, match="model: expected a CLIPModel of transformers, or its name, got Linear"):
        CLIPScore(torch.nn.Linear(2, 2), tokenizer)
    with pytest.raises(TypeError, match="tokenizer: expected one of transformers, or its name, got int"):
        CLIPScore(model, 7)
    with pytest.raises(ValueError, match="fit: expected one of crop, pad, got 'stretch'"):
        CLIP(model, fit="stretch")
    folder = bert_tokenizer_files(tmp_path / "bert")
    (folder / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(TypeError, match="model: expected a CLIP model at .*bert', got one of type 'bert'"):
        CLIPScore(folder)
