"""The problem of the study of a rare event: an 8 of little ink, from a diffusion that draws any digit."""

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import svlearn as sv
from svlearn.arguments import real
from svlearn.domains.images import DiffusersReference
from svlearn.domains.images.digits.classifier import classifier
from svlearn.domains.images.digits.pretrained import digits
from svlearn.domains.images.rewards import LogProbability, OnImages

NUM_STEPS = 10
PLAIN = 100_000  # samples of the reference
CALLS = 1_024 * NUM_STEPS  # of a row; a gradient counts as two
DIGIT = 8
INK, WIDTH = 0.09, 0.005  # of the mean pixel of an image in [0, 1]; half of the 8s of the reference have 0.155 or more


class LittleInk(nn.Module):
    """r(x) = log p(digit | x) + log σ((ink - mean pixel of x)/width), nats, (B,), of images (B, C, H, W) in [0, 1].

    exp(r) is in (0, 1]: the probability that the classifier, drawing, says `digit`, and that a threshold with logistic
    noise of that width finds less ink than `ink`. So E_ref[exp(r)] is the probability of this event. Differentiable.
    """

    def __init__(self, network: nn.Module, digit: int, ink: float, width: float):
        super().__init__()
        self.log_probability = LogProbability(network, digit)
        self.ink, self.width = real(ink, "ink", 0, 1), real(width, "width", above=0)

    def forward(self, images: Tensor) -> Tensor:
        excess = (images.flatten(1).mean(dim=1) - self.ink) / self.width
        return self.log_probability(images) + F.logsigmoid(-excess)


@cache
def process() -> DiffusersReference:
    """The shipped digits in 10 steps, without a class: p_ref draws any digit."""
    return digits(num_steps=NUM_STEPS, reads_class=False).to(memory_format=torch.channels_last)


@cache
def target() -> sv.Target:
    """alpha = 1, so that Z = E_ref[exp(r)] is the probability of the event."""
    return sv.Target(OnImages(process(), LittleInk(classifier("a"), DIGIT, INK, WIDTH)), 1.0)


def any_digit(number: int) -> Tensor:
    """The leaf "class" of states, which neither the process nor the reward reads here."""
    return torch.zeros(number, dtype=torch.long)
