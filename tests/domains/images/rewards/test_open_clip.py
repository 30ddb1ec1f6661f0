"""HPSv2 from weights in open_clip's layout: the numbers of open_clip's own computation."""

import pytest
import torch
from plain_clip import image_features, open_clip_weights, text_features
from safetensors.torch import save_file

from svlearn.domains.images.rewards import HPSv2
from svlearn.domains.images.rewards.open_clip import read_open_clip
from svlearn.domains.images.rewards.preprocessing import normalised, padded

pytest.importorskip("transformers")

from clip_toys import clip_tokenizer

PROMPTS = ["a cat", "seven dogs", "a dog"]


@pytest.fixture
def tokenizer(tmp_path):
    return clip_tokenizer(tmp_path / "tokenizer")


def test_scores_are_those_of_open_clip(tmp_path, tokenizer, generator):
    weights = open_clip_weights()
    torch.save({"epoch": 3, "name": "hps", "state_dict": weights}, tmp_path / "weights.pt")
    images = torch.rand(3, 3, 40, 24, generator=generator)
    reward = HPSv2(read_open_clip(tmp_path / "weights.pt", heads=2), tokenizer)
    tokens = tokenizer(PROMPTS, padding="max_length", max_length=16, return_tensors="pt")
    padding = tokens["attention_mask"] == 0
    wanted = image_features(weights, normalised(padded(images, 32)), 2)
    wanted = (wanted * text_features(weights, tokens["input_ids"].masked_fill(padding, 0), 2)).sum(dim=1)
    assert wanted.std() > 0.05
    assert torch.allclose(reward(images, PROMPTS).double(), wanted, atol=1e-5)


def test_a_file_of_either_kind_is_read_as_vit_h(tmp_path, tokenizer, generator):
    """With the 16 heads of ViT-H-14, in half precision as the authors' files."""
    weights = {name: each.half() for name, each in open_clip_weights(text_width=48, width=64).items()}
    images = torch.rand(2, 3, 32, 32, generator=generator)
    torch.save({"state_dict": weights}, tmp_path / "weights.pt")
    save_file({name: each.contiguous() for name, each in weights.items()}, tmp_path / "weights.safetensors")
    rewards = HPSv2(tmp_path / "weights.pt", tokenizer, "a cat")(images)
    assert torch.equal(HPSv2(str(tmp_path / "weights.safetensors"), tokenizer, "a cat")(images), rewards)
    tokens = tokenizer(["a cat"], padding="max_length", max_length=16, return_tensors="pt")["input_ids"]
    wanted = image_features(weights, normalised(images), 16) @ text_features(weights, tokens, 16)[0]
    assert torch.allclose(rewards.double(), wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"visual.trunk.weight": torch.zeros(2)}, "a weight 'visual.trunk.weight'"),
        ({"transformer.resblocks.0.ls_1.gamma": torch.zeros(24)}, "a weight 'transformer.resblocks.0.ls_1.gamma'"),
        ({"text_projection": torch.zeros(24, 5)}, "size mismatch for text_projection.weight"),
        ({"ln_final.bias": None}, "Missing key.*final_layer_norm.bias"),
        ({"visual.proj": None}, "'visual.proj'"),
    ],
)
def test_other_weights_are_refused(tmp_path, change, words):
    weights = {**open_clip_weights(), **change}
    torch.save({name: each for name, each in weights.items() if each is not None}, tmp_path / "weights.pt")
    with pytest.raises(ValueError, match=f"(?s)weights.pt: expected weights of a CLIP of open_clip.*{words}"):
        read_open_clip(tmp_path / "weights.pt", heads=2)
