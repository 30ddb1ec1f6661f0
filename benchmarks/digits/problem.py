"""The problem of the study of digits: an unconditional diffusion, the log-probability of a class, and a judge."""

import copy
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

import svlearn as sv
from svlearn.domains.images import DiffusersReference
from svlearn.domains.images.digits.classifier import DigitClassifier, classifier
from svlearn.domains.images.digits.pretrained import digits, digits_flow
from svlearn.domains.images.rewards import LogProbability, OnImages

NUM_STEPS = 25
CLASSES = 10
ALPHAS = (1.0, 0.5, 0.25)  # nats: at 1 the target is p_ref(x_T) p(class | x_T), the posterior of the class


@cache
def process(reads_class: bool = False, guidance_scale: float = 1.0) -> DiffusersReference:
    """The shipped digits in 25 steps. By default it draws any digit, and the class of its states is of the reward
    alone; with reads_class it is the class-conditional model."""
    options = {"guidance_scale": guidance_scale} if reads_class else {"reads_class": False}
    return digits(num_steps=NUM_STEPS, **options)


@cache
def channels_last() -> DiffusersReference:
    """`process` with its weights laid out channels last: the same to rounding, and faster on a processor."""
    return copy.deepcopy(process()).to(memory_format=torch.channels_last)


@cache
def flow() -> DiffusersReference:
    """Its twin by flow matching in as many steps, by the sampler that forgets its start; channels last."""
    return digits_flow(num_steps=NUM_STEPS, reads_class=False).to(memory_format=torch.channels_last)


@cache
def rewarding() -> DigitClassifier:
    return classifier("a")


@cache
def judging() -> DigitClassifier:
    return classifier("b")


@cache
def target(alpha: float, of: Callable[[], DiffusersReference] = process) -> sv.Target:
    """r(x_T) = log p(the state's own class | x_T) by classifier a, nats."""
    return sv.Target(OnImages(of(), LogProbability(rewarding())), alpha)


def classes(number: int) -> Tensor:
    """Each of the ten, `number` times."""
    return torch.arange(CLASSES).repeat_interleave(number)
