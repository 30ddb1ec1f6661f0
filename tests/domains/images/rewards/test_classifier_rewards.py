"""Log-probabilities of a class by hand, the event that it is the likeliest, and "a 7 that is small as JPEG"."""

import math
from types import SimpleNamespace

import pytest
import torch
from latent_toys import Pictures, classifier
from torch import nn

import svlearn as sv
from svlearn.domains.images.rewards import Compressibility, IsClass, LogProbability, OnImages


class Fixed(nn.Module):
    """Logits that do not depend on the image."""

    def __init__(self, logits, wrapped=False):
        super().__init__()
        self.values, self.wrapped = torch.tensor(logits), wrapped

    def forward(self, images):
        logits = self.values.expand(len(images), *self.values.shape)
        return SimpleNamespace(logits=logits) if self.wrapped else logits


IMAGES = torch.full((2, 1, 8, 8), 0.5)


@pytest.mark.parametrize("wrapped", [False, True])
def test_log_probabilities_by_hand(wrapped):
    """Logits (0, log 2, log 5) are the probabilities 1/8, 2/8, 5/8."""
    network = Fixed([0.0, math.log(2), math.log(5)], wrapped)
    assert LogProbability(network, 1)(IMAGES).tolist() == pytest.approx([math.log(1 / 4)] * 2)
    own = LogProbability(network)(IMAGES, torch.tensor([2, 0]))
    assert own.tolist() == pytest.approx([math.log(5 / 8), math.log(1 / 8)])
    assert IsClass(network, 2)(IMAGES).tolist() == [True, True]
    assert IsClass(network)(IMAGES, torch.tensor([2, 0])).tolist() == [True, False]


def test_the_network_is_in_evaluation_mode_and_frozen():
    network = classifier().train()
    reward = LogProbability(network, 7)
    assert not network[3].training and not any(each.requires_grad for each in network.parameters())
    images = IMAGES.clone().requires_grad_()
    reward(images).sum().backward()
    assert images.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("network", "label", "labels", "words"),
    [
        (Fixed([0.0, 1.0]), 2, None, r"label: expected one of 0 ... 1, got 2"),
        (Fixed([0.0, 1.0]), None, None, "label: expected a class of each of 2 images, long, got none"),
        (Fixed([0.0, 1.0]), None, torch.zeros(2), "got shape .* of torch.float32"),
        (Fixed([0.0, 1.0]), None, torch.tensor([0]), r"got shape \(1,\)"),
        (Fixed([[0.0, 1.0]]), 0, None, r"network: expected logits \(2, K\), got shape \(2, 1, 2\)"),
    ],
)
def test_what_does_not_fit_is_refused(network, label, labels, words):
    with pytest.raises(ValueError, match=words):
        LogProbability(network, label)(IMAGES, labels)


def test_a_7_that_is_small_as_jpeg(generator):
    """Two rewards of one decoding: SVDD raises the weighted sum above that of plain samples."""
    reference, network = Pictures(), classifier()
    size, seven = Compressibility(num_workers=1), LogProbability(network, 7)
    target = sv.Target(OnImages(reference, {seven: 1.0, size: 10.0}), alpha=0.003)
    plain = sv.ancestral(reference, target).sample(128, generator=generator)
    images = reference.images(plain.states[:, 0])
    assert torch.allclose(plain.rewards[:, 0], seven(images) + 10 * size(images), atol=1e-5)
    value = sv.values.PosteriorMean(target)
    guided = sv.svdd(reference, target, value, num_candidates=8).sample(128, generator=generator)
    size.scorer.close()
    error = math.sqrt(float(plain.rewards.var() + guided.rewards.var()) / 128)
    assert float(guided.rewards.mean() - plain.rewards.mean()) > 4 * error
