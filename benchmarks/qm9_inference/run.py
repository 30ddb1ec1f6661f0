"""Which way to spend a network call on QM9? Every sampler of svlearn.inference on one reward, at equal calls.

    python -m benchmarks qm9_inference [--methods TDS "SVDD-PM"] [--seeds 1 2]

QED of molecules from the shipped reference, 128 samples a method, alpha and seed (64 in the ablation over M), at about
450 calls of the reference a sample, or at the 45 that a method needs. A seed has its own learned value: Monte Carlo
regression, trained as `make demo` does where runs/ has none yet. What is in benchmarks/results/qm9_inference.json
stays, the others are run (stop and start at will, or give --again): about forty minutes of one core for all.
docs/leaderboards/qm9_inference.md and its figures are written from the results, which also hold what the trajectories
of the reference, those that the values learned from, say of p* by their importance weights.
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

import svlearn as sv
from benchmarks.common.clock import clock, since
from benchmarks.common.command import add_again, add_choice, add_seeds
from benchmarks.common.paths import PAGES
from benchmarks.common.results import Results
from benchmarks.qm9.training import RUNS, learned_value, rollouts, store, train, untrained
from benchmarks.qm9_inference.figures import figures
from benchmarks.qm9_inference.page import page
from svlearn.domains.molecules.rewards import QED
from svlearn.evaluation.report.provenance import provenance
from svlearn.evaluation.summary import cost_figures, gather_groups, group_figures, log_mean_exp, reward_figures
from svlearn.inference.proposals import Exact, Guided
from svlearn.inference.tempering import Schedule
from svlearn.randomness import seeded
from svlearn.rollouts import Rollouts

RESULTS, PAGE = Results("qm9_inference", {"entries": {}, "truth": {}}), PAGES / "qm9_inference.md"
FAMILY = "monte_carlo"
SOFT, GREEDY = (0.1, 0.03, 0.01), (0.0,)
NUM_SAMPLES, NUM_FEW, MAX_BATCH = 128, 64, 256
CANDIDATES = (1, 2, 5, 10, 20, 50)
M = K = 10
T = 45
DAS = Schedule.das(T, 2 ** (1 / T) - 1)  # the paper's growth, spread over our steps: 1 is reached at T


@dataclass(frozen=True)
class Method:
    """A sampler, made of (reference, target, its posterior-mean value, the learned value), and where it is run.

    runs: so many samples are drawn for each that is kept, the one of the largest reward.
    """

    make: Callable[[sv.Reference, sv.Target, sv.Value, sv.Value], sv.Sampler]
    alphas: tuple[float, ...]
    runs: int = 1
    num_samples: int = NUM_SAMPLES


def candidates(number: int, learned: bool) -> Method:
    """SVDD of M candidates, for the ablation."""
    return Method(lambda p, r, pm, v: sv.svdd(p, r, v if learned else pm, number), GREEDY, num_samples=NUM_FEW)


METHODS = {
    "pretrained": Method(lambda p, r, pm, v: sv.ancestral(p, r), GREEDY),
    "best-of-10": Method(lambda p, r, pm, v: sv.best_of_n(p, r, K), GREEDY),
    "beam, PM": Method(lambda p, r, pm, v: sv.beam_search(p, r, pm, 2, 5), GREEDY),
    "beam, learned": Method(lambda p, r, pm, v: sv.beam_search(p, r, v, K, M), GREEDY),
    "SVDD-PM": Method(lambda p, r, pm, v: sv.svdd(p, r, pm, M), (*GREEDY, *SOFT)),
    "SVDD-R": Method(lambda p, r, pm, v: sv.refine(sv.svdd(p, r, pm, 5), 4), (*GREEDY, *SOFT)),
    "SVDD-MC": Method(lambda p, r, pm, v: sv.svdd(p, r, v, M), (*GREEDY, *SOFT)),
    "SVDD-MC, best of 10": Method(lambda p, r, pm, v: sv.svdd(p, r, v, M), GREEDY, runs=10),
    "SVDD-MC in SMC": Method(lambda p, r, pm, v: sv.smc(p, r, v, K, num_candidates=M), SOFT),
    "SVDD-MC, all candidates": Method(lambda p, r, pm, v: sv.svdd(p, r, v, 1, Exact(v)), SOFT),
    "guidance": Method(lambda p, r, pm, v: sv.guidance(p, r, v), SOFT),
    "TDS": Method(lambda p, r, pm, v: sv.smc(p, r, v, K, proposal=Guided(v)), SOFT),
    "SMC, learned": Method(lambda p, r, pm, v: sv.smc(p, r, v, K), SOFT),
    "SMC-PM": Method(lambda p, r, pm, v: sv.smc(p, r, pm, K), SOFT),
    "SMC-PM, DAS": Method(lambda p, r, pm, v: sv.smc(p, r, pm, K, tempering=DAS), SOFT),
    "tree, PM": Method(lambda p, r, pm, v: sv.tree_search(p, r, pm, K, widening_factor=1.0), SOFT),
    "tree, learned": Method(lambda p, r, pm, v: sv.tree_search(p, r, v, K, widening_factor=1.0), SOFT),
} | {
    f"SVDD-{'MC' if learned else 'PM'}, M = {number}": candidates(number, learned)
    for learned in (False, True)
    for number in CANDIDATES
}


def arguments(parser: argparse.ArgumentParser) -> None:
    add_choice(parser, "--methods", METHODS)
    add_seeds(parser, [1, 2], "the learned value and of sampling")
    add_again(parser)


def measure(options: argparse.Namespace) -> None:
    runs = [(name, a, seed) for seed in options.seeds for name in options.methods for a in METHODS[name].alphas]
    for name, alpha, seed in tqdm(runs):
        judge = partial(judged, METHODS[name], alpha, seed)
        RESULTS.finish(judge, "entries", key(name, alpha, seed), again=options.again, complete=add_truth)


def pages() -> dict[Path, str]:
    held = RESULTS.read()
    return {PAGE: page(held)} | {PAGE.with_name(name): drawing for name, drawing in figures(held).items()}


def add_truth(held: dict) -> None:
    """What the trajectories of the seeds that were measured say of p*."""
    held["truth"] = truth(sorted({int(each.split("/")[2]) for each in held["entries"]}))


def key(name: str, alpha: float, seed: int) -> str:
    return f"{name}/{alpha:g}/{seed}"


@cache
def taught(seed: int) -> tuple[sv.Reference, sv.Value]:
    """The reference, and the value of a seed: that of runs/, which is trained where there is none."""
    rollouts(seed)
    folder = RUNS / FAMILY / str(seed)
    if untrained(FAMILY, seed, folder, []):
        train(FAMILY, seed, folder, [])
    reference = sv.load("qm9").eval()
    return reference, learned_value(folder, reference)


def judged(method: Method, alpha: float, seed: int) -> dict:
    """The figures of a method with the value of a seed."""
    return drawn(method, alpha, seed, *taught(seed))


def drawn(method: Method, alpha: float, seed: int, reference: sv.Reference, value: sv.Value) -> dict:
    """The figures of a method's samples, null for NaN; seconds are the processors', without those of the figures."""
    target = sv.Target(QED(num_workers=1), alpha)
    sampler = method.make(reference, target, sv.values.PosteriorMean(target), value)
    generator, size = seeded("cpu", seed), method.num_samples
    start = clock()
    samples = sampler.sample(size * method.runs, generator=generator, max_batch=MAX_BATCH)
    states, rewards = samples.draw_with_rewards(generator=generator)
    target.reward.scorer.close()  # whose seconds count once it has ended
    spent = since(start)
    best = rewards.view(size, method.runs).argmax(dim=1) + torch.arange(size) * method.runs
    figures = {
        **reward_figures(rewards[best].double().numpy()[None], np.random.default_rng(seed)),
        **group_figures(gather_groups([samples])),
        **reference.describe(reference.decode(states[best])),
        **cost_figures(samples.cost, size),
        "cpu_seconds_per_sample": spent["cpu_seconds"] / size,
        "num_samples": size,
    }
    if samples.log_normalizer is not None:
        figures["mean_log_normalizer_nats"] = float(samples.log_normalizer.mean())
        figures["mean_log_normalizer_standard_error_nats"] = float(samples.log_normalizer.std() / math.sqrt(size))
    kept = {name: None if math.isnan(figure) else figure for name, figure in figures.items()}
    return {"figures": kept, "provenance": provenance()}


def truth(seeds: list[int]) -> dict[str, dict[str, float]]:
    """What the reference's own trajectories say of p*, by alpha."""
    rewards = np.concatenate([Rollouts.open(store(seed)).rewards.double().numpy() for seed in seeds])
    return {f"{alpha:g}": weighed(rewards, alpha) for alpha in SOFT}


def weighed(rewards: np.ndarray, alpha: float) -> dict[str, float]:
    """log Z, E_p*[r] and KL(p* || p_ref) by the weights exp(r/alpha) of rewards (N,) under p_ref, with standard errors
    (delta method), and the ESS; nats, reward units, trajectories."""
    log_normalizer, error = log_mean_exp(rewards / alpha)
    weights = np.exp(rewards / alpha - log_normalizer) / len(rewards)
    mean = float((weights * rewards).sum())
    return {
        "log_normalizer_nats": log_normalizer,
        "log_normalizer_standard_error_nats": error,
        "mean_reward": mean,
        "mean_reward_standard_error": float(np.sqrt((weights**2 * (rewards - mean) ** 2).sum())),
        "kl_nats": mean / alpha - log_normalizer,
        "ess": float(1 / (weights**2).sum()),
        "num_trajectories": len(rewards),
    }
