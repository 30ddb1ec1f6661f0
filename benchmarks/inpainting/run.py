"""Inpainting with the exact posterior known: errors of its mean and covariance by method, beside the Monte Carlo floor.

    python -m benchmarks inpainting           # what is not measured yet
    python -m benchmarks inpainting --quote   # write the page from the results that are there

The prior is a Gaussian mixture on images of 8 x 8, its diffusion's network is exact, the left half is seen with noise.
2,000 samples a method; beside them as many exact draws of the posterior, ten times: the floor.
docs/leaderboards/inpainting.md is written from benchmarks/results/inpainting.json.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import fmean, stdev

import torch
from torch import Tensor

import svlearn as sv
from benchmarks.common.clock import clock, since
from benchmarks.common.command import add_choice
from benchmarks.common.paths import PAGES
from benchmarks.common.results import Results
from benchmarks.inpainting.page import figures, page
from benchmarks.inpainting.problem import posterior, process, target
from svlearn.evaluation.report.provenance import provenance
from svlearn.metering import KINDS
from svlearn.randomness import seeded
from svlearn.values import PosteriorMean, Zero

RESULTS, PAGE = Results("inpainting", {"rows": {}, "floor": {}}), PAGES / "inpainting.md"
NUMBER, REPEATS, SEED = 2_000, 10, 1


def posterior_sampling(scale: float) -> sv.Sampler:
    proposal = sv.proposals.Guided(PosteriorMean(target()), scale=scale)
    return sv.smc(process(), target(), Zero(), 1, proposal=proposal)


def particles(number: int, guided: bool) -> sv.Sampler:
    value = PosteriorMean(target())
    proposal = sv.proposals.Guided(value) if guided else None
    return sv.smc(process(), target(), value, number, proposal=proposal)


ROWS: dict[str, Callable[[], sv.Sampler]] = {
    "prior": lambda: sv.ancestral(process(), target()),
    "DPS": lambda: posterior_sampling(1.0),
    "DPS, scale 0.3": lambda: posterior_sampling(0.3),
    "SVDD-PM, M = 10": lambda: sv.svdd(process(), target(), PosteriorMean(target()), 10),
    "SVDD-PM, M = 50": lambda: sv.svdd(process(), target(), PosteriorMean(target()), 50),
    "SMC, K = 16": lambda: particles(16, False),
    "SMC, K = 64": lambda: particles(64, False),
    "TDS, K = 4": lambda: particles(4, True),
    "TDS, K = 16": lambda: particles(16, True),
    "TDS, K = 64": lambda: particles(64, True),
    "best-of-64": lambda: sv.best_of_n(process(), target(), 64),
}


def arguments(parser: argparse.ArgumentParser) -> None:
    add_choice(parser, "--rows", ROWS)


def measure(options: argparse.Namespace) -> None:
    RESULTS.finish(floor, "floor", "exact draws")
    for name in options.rows:
        RESULTS.finish(partial(draw, name), "rows", name)
        print(f"{name}: done", flush=True)


def draw(name: str) -> dict:
    """One sample of each of 2,000 groups: its errors, log Z where there is one, calls and seconds a sample."""
    sampler, generator = ROWS[name](), seeded("cpu", SEED)
    start = clock()
    samples = sampler.sample(NUMBER, generator=generator, max_batch=4_000)
    spent = since(start)
    states, _ = samples.draw_with_rewards(generator=generator)
    estimates = samples.log_normalizer
    log_normalizer = None
    if estimates is not None and bool(estimates.isfinite().any()):
        log_normalizer = (estimates.double().logsumexp(0) - torch.tensor(float(NUMBER)).log()).item()
    return {
        **errors(states.flatten(1).double()),
        "log_normalizer": log_normalizer,
        "per_sample": {kind: getattr(samples.cost, kind) / NUMBER for kind in KINDS}
        | {each: amount / NUMBER for each, amount in spent.items()},
        "provenance": provenance(),
    }


def errors(x: Tensor) -> dict[str, float]:
    """Of samples (N, 64): the root mean squared error of the mean over pixels, the Frobenius error of the covariance
    relative to the exact one, and the total variation of which component a sample is nearest to."""
    law, _ = posterior()
    mean, covariance = law.moments()
    own = torch.cov(x.T)
    shares = law.log_responsibilities(x).exp().mean(dim=0)
    return {
        "mean": (x.mean(dim=0) - mean).square().mean().sqrt().item(),
        "covariance": ((own - covariance).norm() / covariance.norm()).item(),
        "components": (0.5 * (shares - law.log_weights.exp()).abs().sum()).item(),
    }


def floor() -> dict:
    """What as many exact draws of the posterior show, ten times; the exact log Z; how far the prior's moments are."""
    law, log_normalizer = posterior()
    drawn = [errors(law.sample(NUMBER, generator=seeded("cpu", SEED, repeat))) for repeat in range(REPEATS)]
    names = drawn[0]
    return {
        **{name: [fmean(each[name] for each in drawn), stdev(each[name] for each in drawn)] for name in names},
        "log_normalizer": log_normalizer,
        "components_of_posterior": law.log_weights.exp().square().sum().reciprocal().item(),
        "number": NUMBER,
    }


def pages() -> dict[Path, str]:
    held = RESULTS.read()
    return {PAGE: page(held)} | {PAGE.with_name(name): drawing for name, drawing in figures(held).items()}
