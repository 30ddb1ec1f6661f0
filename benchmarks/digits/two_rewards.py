"""Two rewards at once: a 7 that is small as a JPEG file, a black box beside a classifier with a gradient."""

from collections.abc import Callable

import torch

import svlearn as sv
from benchmarks.digits.measured import measured
from benchmarks.digits.problem import channels_last
from svlearn.domains.images.digits.data import part
from svlearn.domains.images.digits.rewards import WrittenDigit
from svlearn.domains.images.rewards import Incompressibility
from svlearn.values import PosteriorMean

DIGIT, ALPHA, NUMBER, SEED, TOGETHER = 7, 0.5, 40, 2, 64
WEIGHTS = (0.0, 50.0, 5.0)  # nats a kB, the ends first; files of the real digit differ by 0.064 kB (standard deviation)
M, K = 8, 4


def target(weight: float) -> sv.Target:
    """r(x_T) = log p(7 | x_T) - weight · kB, nats."""
    return sv.Target(WrittenDigit(DIGIT, weight=weight), ALPHA)


def free(weight: float) -> sv.Sampler:
    return sv.svdd(channels_last(), target(weight), PosteriorMean(target(weight)), M)


def twisted(weight: float) -> sv.Sampler:
    """TDS: moved by the gradient of the classifier's part alone, a file has none; weighed by the whole r(x̂_T)."""
    proposal = sv.proposals.Guided(PosteriorMean(target(0.0)))
    return sv.smc(channels_last(), target(weight), PosteriorMean(target(weight)), K, proposal=proposal)


SAMPLERS: dict[str, Callable[[float], sv.Sampler]] = {f"SVDD-PM, M = {M}": free, f"TDS, K = {K}": twisted}


def sizes() -> Incompressibility:
    return Incompressibility(num_workers=1)


def draw(name: str, weight: float) -> dict:
    """One sampler at one weight; "kilobytes" of each image beside its reward."""
    labels = torch.full((NUMBER,), DIGIT)
    return measured(SAMPLERS[name](weight), channels_last(), labels, SEED, TOGETHER, {"kilobytes": sizes()})


def of_real() -> list[float]:
    """kB of the real 7s that are held out."""
    images, labels = part("test")
    return sizes()(images[labels == DIGIT] / 2 + 0.5).tolist()
