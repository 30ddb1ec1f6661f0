"""Digits: a class drawn from an unconditional diffusion, by every method, at three alphas, judged by another network.

    python -m benchmarks digits                        # what is not measured yet
    python -m benchmarks digits --rows DPS --alphas 1  # these alone
    python -m benchmarks digits --quote                # write the page from the results that are there

8 images of each of the ten classes a row and alpha (2 of TDS at K = 64), in 25 steps. The reward is the log-probability
of the class by one public classifier, the judge is another. A row is kept in benchmarks/results/digits.json as soon as
it is there. docs/leaderboards/digits.md and its figures are written from the results.
"""

import argparse
import base64
from functools import partial
from pathlib import Path

import torch

from benchmarks.common.clock import clock, since
from benchmarks.common.command import add_choice
from benchmarks.common.paths import PAGES
from benchmarks.common.results import Results
from benchmarks.digits.figures import figures
from benchmarks.digits.page import page
from benchmarks.digits.problem import ALPHAS, CLASSES, classes, judging, process, rewarding
from benchmarks.digits.rows import ROWS
from benchmarks.digits.trained import training
from svlearn.domains.images.digits.data import part
from svlearn.domains.images.digits.metrics import diversity
from svlearn.evaluation.report.provenance import provenance
from svlearn.metering import KINDS
from svlearn.policies import Policy
from svlearn.randomness import seeded
from svlearn.rollouts.roll_out import roll_out

RESULTS = Results("digits", {"cells": {}, "training": {}, "data": {}})
PAGE = PAGES / "digits.md"
SEED = 1


def arguments(parser: argparse.ArgumentParser) -> None:
    add_choice(parser, "--rows", ROWS)
    parser.add_argument("--alphas", nargs="+", type=float, default=list(ALPHAS), metavar="ALPHA")


def measure(options: argparse.Namespace) -> None:
    RESULTS.finish(of_data, "data", "held out")
    for name in options.rows:
        row = ROWS[name]
        for alpha in [ALPHAS[0]] if row.fixed else options.alphas:
            RESULTS.finish(partial(draw, name, alpha), "cells", f"{name}/{alpha:g}", complete=add_training)
            print(f"{name}, alpha = {alpha:g}: done", flush=True)


def draw(name: str, alpha: float) -> dict:
    """One row at one alpha: rewards, the judge's verdicts, effective sample size, calls and seconds an image."""
    row = ROWS[name]
    labels = classes(row.number)
    sampler, generator = row.make(alpha), seeded("cpu", SEED)
    start = clock()
    samples = sampler.sample(len(labels), condition=labels, generator=generator, max_batch=256)
    spent = since(start)
    states, rewards = samples.draw_with_rewards(generator=generator)
    images = process().images(states)
    with torch.no_grad():
        said, features = judging()(images), judging().features(images)
    weights = samples.log_weights.double().softmax(dim=1)
    first = [int((labels == each).nonzero()[0]) for each in range(CLASSES)]
    pixels = (images[first, 0] * 255).round().to(torch.uint8)
    return {
        "rewards": [round(each, 4) for each in rewards.tolist()],
        "hits": (said.argmax(dim=1) == labels).tolist(),
        "diversity": [diversity(features[labels == each]) for each in range(CLASSES)],
        "ess": (1 / weights.square().sum(dim=1)).mean().item(),
        "particles": weights.shape[1],
        "per_image": {kind: getattr(samples.cost, kind) / len(labels) for kind in KINDS}
        | {each: amount / len(labels) for each, amount in spent.items()},
        **({"kl": divergence(sampler)} if isinstance(sampler.reference, Policy) else {}),
        "first": base64.b64encode(pixels.numpy().tobytes()).decode(),
        "provenance": provenance(),
    }


def divergence(sampler: sv.Sampler) -> tuple[float, float]:
    """KL(q || p_ref) of a policy's trajectories, nats, and its standard error, over the ten classes."""
    drawn = roll_out(process(), 80, generator=seeded("cpu", SEED + 1), condition=classes(8), proposal=sampler.reference)
    totals = -drawn["log_ratios"].sum(dim=1)
    return totals.mean().item(), (totals.std() / len(totals) ** 0.5).item()


def of_data() -> dict:
    """The same figures of real digits: 8 of each class."""
    images, labels = part("test")
    rows = torch.cat([(labels == each).nonzero().flatten()[:8] for each in range(CLASSES)])
    shown, own = images[rows] / 2 + 0.5, labels[rows]
    with torch.no_grad():
        features = judging().features(shown)
        return {
            "hits": (judging()(shown).argmax(dim=1) == own).tolist(),
            "rewards": rewarding()(shown).gather(1, own[:, None]).squeeze(1).tolist(),
            "diversity": [diversity(features[own == each]) for each in range(CLASSES)],
        }


def add_training(held: dict) -> None:
    held["training"] |= training()


def pages() -> dict[Path, str]:
    held = RESULTS.read()
    return {PAGE: page(held)} | {PAGE.with_name(name): drawing for name, drawing in figures(held).items()}
