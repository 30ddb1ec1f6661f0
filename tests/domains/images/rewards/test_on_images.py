"""Rewards on the images of states: what is called with what, what is refused, and what is kept of the inner reward."""

import copy
import math

import pytest
import torch
from latent_toys import Described, Pictures, classifier
from torch import nn

import svlearn as sv
from svlearn.domains.images.rewards import Compressibility, ImageFunction, IsClass, LogProbability, OnImages
from svlearn.domains.images.rewards.checks import check_images
from svlearn.domains.images.rewards.jpeg import jpeg_size
from svlearn.identity import identity
from svlearn.placement import modules_of
from svlearn.reward import is_asynchronous
from svlearn.targets import NonFiniteError
from svlearn.testing import check_reward


def brightness(images):
    return images.mean(dim=(1, 2, 3))


def test_a_reward_is_called_with_the_images_of_the_states(generator):
    reference = Pictures()
    x = reference.initial(3, generator=generator)
    wanted = reference.images(x).mean(dim=(1, 2, 3))
    assert torch.equal(OnImages(reference, brightness)(x), wanted)
    check_reward(OnImages(reference, brightness), reference)


def test_a_dict_is_the_weighted_sum_of_one_decoding(generator):
    reference = Pictures()
    x = reference.initial(3, generator=generator)
    images = reference.images(x)
    reference.calls = 0
    reward = OnImages(reference, {brightness: 2.0, torch.nn.Flatten(0): 0.0, (lambda y: -y.amax((1, 2, 3))): 3.0})
    assert (reward(x) - 2 * images.mean((1, 2, 3)) + 3 * images.amax((1, 2, 3))).abs().max() < 1e-6
    assert reference.calls == 1
    assert OnImages(reference, {brightness: 0.0})(x).tolist() == [0.0] * 3


def test_a_reward_reads_the_leaf_of_its_state(generator):
    reference, network = Described(), classifier()
    classes = torch.tensor([7, 1, 7])
    x = reference.initial(3, condition=classes, generator=generator)
    images = reference.images(x)
    logits = network.eval()(images)
    wanted = torch.stack([logits[row].log_softmax(0)[label] for row, label in enumerate(classes.tolist())])
    assert torch.allclose(OnImages(reference, LogProbability(network))(x), wanted)
    both = OnImages(reference, {LogProbability(network): 1.0, LogProbability(network, 1): 0.5})
    assert torch.allclose(both(x), wanted + 0.5 * logits.log_softmax(1)[:, 1])
    with pytest.raises(ValueError, match="LogProbability reads the class of each state, .* got a tensor without"):
        OnImages(Pictures(), LogProbability(network))(x["sample"])
    with pytest.raises(ValueError, match="got one of sample, prompt; give the reward its own class"):
        OnImages(reference, LogProbability(network))(x.exclude("class"))


def test_a_predicate_of_images_is_a_constraint_of_states(generator):
    reference, network = Pictures(), classifier()
    x = reference.initial(64, generator=generator)
    holds = network.eval()(reference.images(x)).argmax(1) == 3
    target = sv.targets.constraint(OnImages(reference, IsClass(network, 3)))
    assert target(x).tolist() == [0.0 if each else -math.inf for each in holds]


def test_the_gradient_passes_to_the_states_and_to_no_weight(generator):
    reference, network = Pictures(), classifier()
    target = sv.Target(OnImages(reference, LogProbability(network, 2)), 1.0)
    x = reference.initial(2, generator=generator).requires_grad_()
    target(x).sum().backward()
    assert x.grad.abs().sum() > 0
    assert all(each.grad is None for each in [*reference.parameters(), *network.parameters()])
    assert all(each.requires_grad for each in reference.parameters())  # as before
    direct = x.detach().clone().requires_grad_()
    network(reference.images(direct)).log_softmax(1)[:, 2].sum().backward()
    assert torch.allclose(x.grad, direct.grad)


def test_a_reward_with_weights_of_its_own_is_not_trained(generator):
    reference, network = Pictures(), nn.Sequential(nn.Flatten(), nn.Linear(64, 1), nn.Flatten(0))
    x = reference.initial(2, generator=generator).requires_grad_()
    OnImages(reference, network)(x).sum().backward()
    assert x.grad.abs().sum() > 0 and all(each.grad is None for each in network.parameters())


def test_the_reference_is_shared_by_copies():
    reference, network = Pictures(), classifier()
    reward = OnImages(reference, LogProbability(network, 2))
    copied = copy.deepcopy(sv.values.PosteriorMean(sv.Target(reward, 1.0))).target.reward
    assert copied.reference is reference and copied.reward is not reward.reward
    other = copy.deepcopy([reference, reward])
    assert other[1].reference is other[0] is not reference
    assert set(modules_of(sv.Target(reward, 1.0))) >= {reference, network}
    assert list(sv.values.PosteriorMean(sv.Target(reward, 1.0)).parameters()) == []


def test_what_the_inner_reward_says_is_kept(generator):
    reference = Pictures()
    reward = OnImages(reference, {Compressibility(num_workers=1): 1.0, brightness: 1.0})
    assert is_asynchronous(reward) and not is_asynchronous(OnImages(reference, brightness))
    assert sv.values.PosteriorMean(sv.Target(reward, 1.0)).asynchronous
    reward(reference.initial(2, generator=generator))
    (scored, _) = reward.reward
    assert scored.scorer.known == 2
    before = reward.name
    reward.forget()
    scored.scorer.close()
    assert scored.scorer.known == 0 and reward.name == before


def test_its_name_tells_what_scores_otherwise():
    reference, network = Pictures(), classifier()
    rewards = [
        OnImages(reference, LogProbability(network, 2)),
        OnImages(reference, LogProbability(network, 3)),
        OnImages(reference, IsClass(network, 2)),
        OnImages(Pictures(), LogProbability(network, 2)),
        OnImages(reference, {LogProbability(network, 2): 2.0}),
        OnImages(reference, Compressibility()),
        OnImages(reference, ImageFunction(jpeg_size)),
    ]
    names = [each.name for each in rewards]
    assert len(set(names)) == len(names) and len({*map(identity, rewards)}) == len(names)
    reference.images(torch.zeros(1, 2, 4, 4))  # which it counts
    rewards[0](torch.zeros(1, 2, 4, 4))
    assert rewards[0].name == names[0] == OnImages(reference, LogProbability(network, 2)).name
    with open(__file__) as file:
        assert OnImages(reference, lambda images: file).name is None


@pytest.mark.parametrize(
    ("images", "error", "words"),
    [
        (torch.rand(2, 8, 8, 3), ValueError, r"\(B, H, W, C\): images.permute\(0, 3, 1, 2\)"),
        (torch.rand(2, 4, 8, 8), ValueError, "1 or 3 channels, got .*latents: decode"),
        (torch.rand(3, 8, 8), ValueError, r"expects shape \(B, C, H, W\), got \(3, 8, 8\)"),
        (torch.randint(256, (2, 3, 8, 8)).byte(), ValueError, r"got torch.uint8; write images.float\(\) / 255"),
        (torch.rand(2, 3, 8, 8) * 255, ValueError, "got .*; write images / 255"),
        (torch.rand(2, 1, 8, 8) * 2 - 1, ValueError, r"got -.*; write \(images \+ 1\) / 2"),
        (torch.rand(2, 1, 8, 8) * 20 - 10, ValueError, r"write images.clamp\(0, 1\)"),
        (torch.full((2, 1, 8, 8), math.nan), NonFiniteError, "got NaN at index 0; a decoder in float16"),
        ([1.0], TypeError, "expects a tensor .*, got list"),
    ],
)
def test_images_of_another_form_are_refused(images, error, words):
    with pytest.raises(error, match=f"images: Pictures .*{words}"):
        check_images(images, Pictures())


def test_images_are_looked_at_where_a_shape_is_new(generator):
    reference = Pictures()
    reference.images = lambda x: x.mean(1, keepdim=True)
    reward = OnImages(reference, brightness)
    for _ in range(2):  # what was refused is looked at again
        with pytest.raises(ValueError, match="images: OnImages expects numbers in"):
            reward(reference.initial(5, generator=generator))
    fine = reference.initial(5, generator=generator).sigmoid()
    assert reward(fine).shape == (5,) and reward(2 * fine).shape == (5,)  # known by then


@pytest.mark.parametrize("reference", [object(), sv.testing])
def test_a_reference_without_images_is_refused(reference):
    with pytest.raises(TypeError, match="reference: expected a Reference"):
        OnImages(reference, brightness)


def test_what_cannot_be_called_is_refused(walk):
    with pytest.raises(TypeError, match="reference: expected one with images"):
        OnImages(walk, brightness)
    with pytest.raises(TypeError, match="reward: expected callables"):
        OnImages(Pictures(), 1.0)
