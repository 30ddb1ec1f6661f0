"""The aesthetic score: the public head on embeddings, of a random CLIP of the right width."""

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from svlearn.domains.images.rewards import AestheticScore
from svlearn.domains.images.rewards.aesthetic import HEAD, read_head

pytest.importorskip("transformers")

from clip_toys import clip_model

LAYERS = (0, 2, 4, 6, 7)


def plain_weights():
    """In the authors' layout, of random numbers."""
    widths, generator = (768, 1024, 128, 64, 16, 1), torch.Generator().manual_seed(0)
    weights = {}
    for layer, width, wider in zip(LAYERS, widths, widths[1:]):
        weights[f"layers.{layer}.weight"] = torch.randn(wider, width, generator=generator) / width**0.5
        weights[f"layers.{layer}.bias"] = torch.randn(wider, generator=generator)
    return weights


def scored(weights, embeddings):
    """Five matrix products in float64, nothing between."""
    for layer in LAYERS:
        weight, bias = (weights[f"layers.{layer}.{kind}"].double() for kind in ("weight", "bias"))
        embeddings = embeddings @ weight.T + bias
    return embeddings.squeeze(1)


def test_scores_by_hand(tmp_path, generator):
    weights, model = plain_weights(), clip_model(projection=768)
    torch.save(weights, tmp_path / "head.pth")
    save_file(weights, tmp_path / "head.safetensors")
    images = torch.rand(3, 3, 32, 32, generator=generator).requires_grad_()
    reward = AestheticScore(model, tmp_path / "head.pth")
    embeddings = F.normalize(reward.clip.of_images(images).double(), dim=1)
    assert torch.allclose(embeddings.norm(dim=1), torch.ones(3, dtype=torch.float64))
    rewards = reward(images)
    assert torch.allclose(rewards.double(), scored(weights, embeddings), atol=1e-5)
    assert torch.equal(AestheticScore(model, tmp_path / "head.safetensors")(images), rewards)
    rewards.sum().backward()
    assert images.grad.abs().sum() > 0 and all(each.grad is None for each in reward.parameters())
    assert not reward.training or not any(each.training for each in (*reward.clip.model.modules(), *reward.layers))


def test_the_public_head(assets, generator):
    """Of unit vectors it says ratings: those of the public weights, multiplied out in float64."""
    path = assets(HEAD)
    head = read_head(path)
    product = torch.eye(768, dtype=torch.float64)
    for layer in (each for each in head if isinstance(each, torch.nn.Linear)):
        product = product @ layer.weight.double().T
    embeddings = F.normalize(torch.randn(64, 768, generator=generator), dim=1)
    zero = head(torch.zeros(1, 768)).double()
    assert torch.allclose(head(embeddings).double(), embeddings.double() @ product + zero, atol=1e-4)
    reward = AestheticScore(clip_model(projection=768), path)
    rewards = reward(torch.rand(4, 3, 40, 40, generator=generator))
    assert rewards.shape == (4,) and rewards.isfinite().all()
    assert torch.allclose(reward.layers(embeddings), head(embeddings))
    assert reward.layers(embeddings).std() > 0.1


def test_what_is_no_head_is_refused(tmp_path):
    model = clip_model(projection=768)
    weights = plain_weights()
    with pytest.raises(ValueError, match="model: expected embeddings of 768 numbers, as of ViT-L/14, got 16"):
        AestheticScore(clip_model())
    with pytest.raises(FileNotFoundError, match="expected the head of the LAION aesthetic predictor"):
        AestheticScore(model, tmp_path / "none.pth")
    torch.save({**weights, "layers.7.weight": torch.zeros(2, 16)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="other.pth: expected the head of .*, got other weights"):
        AestheticScore(model, tmp_path / "other.pth")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "code.pth")
    with pytest.raises(ValueError, match="code.pth: expected the head of .*, got a file that is none .*Linear"):
        AestheticScore(model, tmp_path / "code.pth")
    (tmp_path / "text.safetensors").write_text("no tensors")
    with pytest.raises(ValueError, match="text.safetensors: expected the head of .*, got a file that is none"):
        AestheticScore(model, tmp_path / "text.safetensors")
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="list.pth: expected the head of .*, with tensors by name, got another"):
        AestheticScore(model, tmp_path / "list.pth")
