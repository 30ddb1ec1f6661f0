"""The problem of the study of policies on digits: that of `benchmarks.digits`, in fewer steps."""

from functools import cache

import torch

import svlearn as sv
from benchmarks.digits.problem import rewarding
from svlearn.domains.images import DiffusersReference
from svlearn.domains.images.digits.pretrained import digits
from svlearn.domains.images.rewards import LogProbability, OnImages

NUM_STEPS = 20


@cache
def process() -> DiffusersReference:
    """The shipped digits in 20 steps: it draws any digit, and the class of its states is of rewards and policies."""
    return digits(num_steps=NUM_STEPS, reads_class=False).to(memory_format=torch.channels_last)


@cache
def target(alpha: float) -> sv.Target:
    """r(x_T) = log p(the state's own class | x_T) by classifier a, nats."""
    return sv.Target(OnImages(process(), LogProbability(rewarding())), alpha)
