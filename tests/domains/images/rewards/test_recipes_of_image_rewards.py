"""Rewards of images have recipes, in plain data: what is built of one scores the same."""

import json

import pytest
import torch
from latent_toys import Pictures

from svlearn.description import describe
from svlearn.domains.images.rewards import (
    AestheticScore,
    Blur,
    CLIPScore,
    GaussianObservation,
    HPSv2,
    ImageFunction,
    Incompressibility,
    Inpainting,
    OnImages,
    PickScore,
    SuperResolution,
)
from svlearn.domains.images.rewards.jpeg import jpeg_size
from svlearn.recipes import Context, build
from svlearn.reward import WeightedSum

pytest.importorskip("transformers")

from clip_toys import clip_model, clip_tokenizer_files

MASK = torch.rand(8, 8, generator=torch.Generator().manual_seed(0)) < 0.5


def built_again(reward, reference):
    recipe = json.loads(json.dumps(describe(reward, reference, "reward")))
    return build(recipe, Context(defaults={"reference": reference}), "reward")


@pytest.mark.parametrize(
    "reward",
    [
        lambda: GaussianObservation(torch.rand(1, 4, 4), SuperResolution(2), 0.2),
        lambda: GaussianObservation(torch.rand(int(MASK.sum())), Inpainting(MASK), 0.2),
        lambda: GaussianObservation(torch.rand(1, 8, 8), Blur(0.8, radius=2), 0.2),
        lambda: Incompressibility(num_workers=1),
        lambda: ImageFunction(jpeg_size, num_workers=1, failure_score=-1.0),
        lambda: WeightedSum({Incompressibility(num_workers=1): 0.5}),
    ],
)
def test_a_reward_on_states_is_built_again(reward, generator):
    reference = Pictures()
    x = reference.initial(3, generator=generator)
    first = OnImages(reference, reward())
    again = built_again(first, reference)
    assert again.reference is reference and type(again.reward) is type(first.reward)
    assert torch.equal(again(x), first(x)) and again.name == first.name


def test_a_dict_of_rewards_is_built_again(generator):
    reference = Pictures()
    x = reference.initial(3, generator=generator)
    first = OnImages(reference, {Incompressibility(num_workers=1): 0.5, ImageFunction(jpeg_size, num_workers=1): -2.0})
    again = built_again(first, reference)
    assert torch.equal(again(x), first(x)) and again.name == first.name


@pytest.mark.parametrize("kind", [CLIPScore, PickScore, HPSv2])
def test_a_network_that_was_named_is_named_in_the_recipe(kind, tmp_path, generator):
    clip_model().save_pretrained(tmp_path)
    clip_tokenizer_files(tmp_path)
    images = torch.rand(2, 3, 32, 32, generator=generator)
    reward = kind(tmp_path, str(tmp_path), "a cat")
    again = built_again(reward, Pictures())
    assert torch.equal(again(images), reward(images)) and again.prompt == "a cat"


def test_a_network_that_was_not_named_has_no_recipe(tmp_path):
    clip_model(projection=768).save_pretrained(tmp_path)
    head = {"0.weight": (1024, 768), "2.weight": (128, 1024), "4.weight": (64, 128), "6.weight": (16, 64)}
    shapes = {**head, "7.weight": (1, 16)}
    biases = {name.replace("weight", "bias"): shape[:1] for name, shape in shapes.items()}
    torch.save(
        {f"layers.{name}": torch.ones(shape) for name, shape in {**shapes, **biases}.items()}, tmp_path / "a.pth"
    )
    recipe = describe(AestheticScore(tmp_path, tmp_path / "a.pth"), Pictures(), "reward")
    assert recipe["init_args"] == {"model": str(tmp_path), "head": str(tmp_path / "a.pth")}
    reward = AestheticScore(clip_model(projection=768), tmp_path / "a.pth")
    with pytest.raises(ValueError, match="reward: expected a AestheticScore that keeps its argument 'model'"):
        describe(reward, Pictures(), "reward")
