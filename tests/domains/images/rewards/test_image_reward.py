"""ImageReward from weights in its authors' layout: the numbers of their own computation."""

import pytest
import torch
from latent_toys import prompts_of
from plain_blip import image_reward_weights, score

from svlearn.domains.images.rewards import ImageReward
from svlearn.domains.images.rewards.preprocessing import cropped, normalised
from svlearn.identity import identity

pytest.importorskip("transformers")

from clip_toys import bert_tokenizer_files

PROMPTS = ["a cat", "a dog cat a", "seven"]


@pytest.fixture(scope="module")
def weights():
    return image_reward_weights()


@pytest.fixture
def made(tmp_path, weights):
    torch.save(weights, tmp_path / "ImageReward.pt")
    return ImageReward(tmp_path / "ImageReward.pt", str(bert_tokenizer_files(tmp_path / "tokenizer")))


def tokens_of(texts):
    """[CLS], the words, [SEP], padded to 35."""
    known = {"a": 5, "cat": 6, "dog": 7, "seven": 8}
    rows = [[2, *(known[word] for word in text.split()), 3] for text in texts]
    tokens = torch.tensor([row + [0] * (35 - len(row)) for row in rows])
    return tokens, (tokens != 0).long()


def test_scores_are_those_of_the_authors(made, weights, generator):
    images = torch.rand(3, 3, 48, 40, generator=generator).requires_grad_()
    wanted = score(weights, normalised(cropped(images, 32)), *tokens_of(PROMPTS))
    assert wanted.std() > 0.01
    rewards = made(images, prompts_of(PROMPTS))
    assert torch.allclose(rewards.double(), wanted, rtol=1e-4, atol=1e-4)
    rewards.sum().backward()
    assert images.grad.abs().sum() > 0 and all(each.grad is None for each in made.parameters())


def test_one_prompt_for_all_and_its_identity(made, generator):
    images = torch.rand(2, 1, 32, 32, generator=generator)
    before, single = identity(made), ImageReward(made.network, made.tokens.tokenizer, prompt="a cat")
    assert torch.equal(single(images), made(images, ["a cat", "a cat"]))
    assert identity(made) == before != identity(single) and single.leaf is None


def test_small_numbers_are_normalised_as_the_authors_do(tmp_path, made, weights, generator):
    """An epsilon of 1e-6 in the image's norms, of 1e-12 in the text's: seen where a variance is as small."""
    small = {name: each.clone() for name, each in weights.items()}
    for name in ("cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"):
        small[f"blip.visual_encoder.{name}"] *= 3e-3
    for name in ("word", "position"):
        small[f"blip.text_encoder.embeddings.{name}_embeddings.weight"] *= 1e-5
    torch.save(small, tmp_path / "small.pt")
    images = torch.rand(3, 3, 32, 32, generator=generator)
    wanted = score(small, normalised(images), *tokens_of(PROMPTS))
    reward = ImageReward(tmp_path / "small.pt", made.tokens.tokenizer)
    assert torch.allclose(reward(images, PROMPTS).double(), wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"blip.visual_encoder.norm.bias": None}, "Missing key.*post_layernorm.bias"),
        ({"blip.text_encoder.pooler.dense.weight": torch.zeros(2)}, "Unexpected key.*pooler"),
        ({"blip.decoder.weight": torch.zeros(2)}, "weights of another part: blip.decoder.weight"),
        ({"mlp.layers.7.weight": torch.zeros(2, 16)}, "size mismatch for 7.weight"),
        ({"blip.visual_encoder.pos_embed": None}, "'pos_embed'"),
    ],
)
def test_other_weights_are_refused(tmp_path, weights, change, words):
    changed = {name: each for name, each in {**weights, **change}.items() if each is not None}
    torch.save(changed, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=f"(?s)other.pt: expected the weights of ImageReward, got others.*{words}"):
        ImageReward(tmp_path / "other.pt", None)


def test_what_cannot_be_fetched_is_an_error_with_what_to_do(monkeypatch, tmp_path):
    constants = pytest.importorskip("huggingface_hub").constants
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(OSError, match=r"model: expected .* got 'THUDM/ImageReward/ImageReward.pt' .*without a network"):
        ImageReward()
    with pytest.raises(FileNotFoundError, match=r"nowhere.pt: no such file; expected the weights of ImageReward"):
        ImageReward(tmp_path / "nowhere.pt")
    with pytest.raises(TypeError, match="model: expected a BlipScore, got Linear"):
        ImageReward(torch.nn.Linear(2, 2))
