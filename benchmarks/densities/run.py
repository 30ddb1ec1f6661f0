"""The sampler benchmarks: densities of a known log Z, and how well a learned policy samples them.

    python -m benchmarks densities                                   # all that is not in the results yet
    python -m benchmarks densities --densities many-well-50 --methods trust-region --seeds 0 1

A policy N(m + s² g, s²) of T steps starts at the point 0 and learns towards p*(x_T) = π. For each (density, method,
seed) the script trains one, draws trajectories of it, and writes to benchmarks/results/densities.json:

    log Z by the importance weights of the trajectories, with its standard error, and |Δ log Z| to the known one
    log Z - ELBO = KL(q || p*), and EUBO - log Z = KL(p* || q) on exact trajectories of p*: a mode that is lost shows
    in the second alone
    the ESS as a share of the trajectories; log Z by SMC with the policy as proposal
    seconds of training, CPU seconds, steps per second

An entry that is there is not measured again (delete it, or give --again). docs/leaderboards/densities.md is written
from the results. A run takes minutes on one core: the many-well in 200 dimensions about twenty.
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.common.clock import clock, since
from benchmarks.common.command import add_again, add_choice, add_seeds
from benchmarks.common.pages import write_pages
from benchmarks.common.paths import PAGES
from benchmarks.common.results import Results
from benchmarks.densities.page import figures, page
from svlearn.domains.analytic import Density, Funnel, GaussianReference, double_well, gmm40, many_well
from svlearn.domains.analytic.networks import LangevinControl
from svlearn.evaluation.report.numbers import with_error
from svlearn.evaluation.report.provenance import provenance
from svlearn.inference.proposals import Policy
from svlearn.inference.samplers import smc
from svlearn.objectives import AdjointMatching, Objective, PathConsistency, StochasticControl
from svlearn.objectives.fit import fit
from svlearn.policies import Controlled
from svlearn.randomness import seeded
from svlearn.rollouts import roll_back, roll_out
from svlearn.values import PosteriorMean

RESULTS, PAGE = Results("densities", allow_nan=True), PAGES / "densities.md"
PIECE = 2000  # trajectories at a time in evaluation
TRAINING, DRAWING, EXACT, PARTICLES = range(4)  # streams of randomness


@dataclass(frozen=True)
class Case:
    """A density and what is learned on it: x_T of the reference has std `spread`, the steps resolve `detail`."""

    density: Callable[[], Density]
    spread: float
    detail: float
    num_steps: int
    hidden: int = 64
    batch_size: int = 64
    steps: int = 2000
    learning_rate: float = 2e-3
    num_samples: int = 40_000


@dataclass(frozen=True)
class Method:
    """An objective, made of (reference, target, policy, options), and its share of the case's gradient steps."""

    make: Callable[..., Objective]
    share: float = 1.0


def log_variance(reference, target, policy, **options) -> Objective:
    return PathConsistency(reference, target, None, policy, "log_variance", **options)


def trust_region(reference, target, policy, **options) -> Objective:
    return log_variance(reference, target, policy, trust_region=4.0, inner_steps=30, replay_size=2000, **options)


CASES = {
    "many-well-2": Case(lambda: many_well(2), 0.8, 0.2, 64, steps=1500, learning_rate=5e-3, num_samples=100_000),
    "many-well-50": Case(lambda: many_well(50), 0.8, 0.2, 64, steps=1800),
    "many-well-100": Case(lambda: many_well(100), 0.8, 0.2, 64, learning_rate=1e-3),
    "many-well-200": Case(lambda: many_well(200), 0.8, 0.2, 64, learning_rate=1e-3),
    "funnel-10": Case(lambda: Funnel(10), 3.0, 0.2, 64),
    "gmm40": Case(gmm40, 30.0, 1.0, 64, learning_rate=5e-3, num_samples=100_000),
    "double-well-5": Case(lambda: double_well(5, 4.0, 5), 0.8, 0.2, 64, learning_rate=5e-3),
    "double-well-50": Case(lambda: double_well(5, 2.0, 50), 0.8, 0.25, 64),
}
METHODS = {
    "log-variance": Method(log_variance, share=0.2),
    "trust-region": Method(trust_region),
    "adjoint-matching": Method(AdjointMatching, share=0.1),
    "stochastic-control": Method(StochasticControl, share=0.1),
}


class Progress(pl.Callback):
    """A bar of the gradient steps; where the output is a file, ten lines."""

    def __init__(self, name: str, steps: int):
        self.name, self.steps = name, steps
        self.bar = tqdm(total=steps, desc=name, leave=False, disable=None)

    def on_train_batch_end(self, trainer, objective, outputs, batch, batch_index) -> None:
        self.bar.update()
        if trainer.global_step % max(1, self.steps // 10) == 0:
            metrics = {key.removeprefix("train/"): f"{float(x):.3g}" for key, x in trainer.callback_metrics.items()}
            self.bar.set_postfix(metrics)
            if self.bar.disable:
                print(f"{self.name}: step {trainer.global_step} of {self.steps}, {metrics}", flush=True)


def annealed_reference(case: Case, dim: int) -> GaussianReference:
    """Brownian motion from 0 of variances s_t² ∝ R_t + detail², R_t what is left until x_T ~ N(0, spread²).

    Where x_T is π of local std `detail`, this schedule costs the fixed std of a step the least: each the same
    KL(N(·, s_t²) || p*'s), about (s_t²/(R_t + detail²))²/4 a dimension.
    """
    share = torch.arange(case.num_steps + 1, dtype=torch.float64) / case.num_steps
    whole, least = case.spread**2 + case.detail**2, case.detail**2
    left = whole * (least / whole) ** share - least
    return GaussianReference(dim, torch.ones(case.num_steps), (left[:-1] - left[1:]).sqrt())


def log_weights(objective: Objective, states: Tensor, rewards: Tensor) -> Tensor:
    """r - log q/p_ref of whole trajectories, (B,), nats."""
    return rewards.double() - objective.log_ratios(states).sum(dim=1)


def learn(case: Case, method: Method, seed: int, name: str) -> dict:
    """Train and judge; plain numbers, nats and seconds."""
    density = case.density()
    truth = float(density.log_normalizer)
    exact = density.sample(min(case.num_samples, 20_000), generator=seeded("cpu", seed, EXACT)).float()
    density, reference = density.float(), annealed_reference(case, density.dim).float()
    target = density.target(reference)
    torch.manual_seed(seed)  # the networks' initial weights
    network = LangevinControl(reference, density.log_density, detail=case.detail, hidden=case.hidden)
    policy = Controlled(reference, network)
    options = dict(learning_rate=case.learning_rate, batch_size=case.batch_size)
    objective = method.make(reference, target, policy, **options)
    steps = round(method.share * case.steps)
    start = clock()
    fit(objective, max_steps=steps, seed=seed, callbacks=[Progress(name, steps)], enable_progress_bar=False)
    figures = {"log_z": truth, "steps": steps, **since(start)}
    figures["steps_per_second"] = steps / figures["seconds"]
    return figures | judge(objective, case, truth, exact, seed)


@torch.no_grad()
def judge(objective: Objective, case: Case, truth: float, exact: Tensor, seed: int) -> dict:
    """How far the policy's law of trajectories is from p*, both ways."""
    parts = []
    for piece in range(case.num_samples // PIECE):
        drawn = roll_out(
            objective.policy, PIECE, target=objective.target, generator=seeded("cpu", seed, DRAWING, piece)
        )
        parts.append(log_weights(objective, drawn["states"], drawn["rewards"]))
    own, number = torch.cat(parts), case.num_samples
    log_mean = float(own.logsumexp(0)) - math.log(number)
    ess = float((2 * own.logsumexp(0) - (2 * own).logsumexp(0)).exp()) / number
    parts = []
    for piece, ends in enumerate(exact.split(PIECE)):
        back = roll_back(
            objective.reference, ends, target=objective.target, generator=seeded("cpu", seed, EXACT, piece)
        )
        parts.append(log_weights(objective, back["states"], back["rewards"]))
    others = torch.cat(parts)
    return {
        "num_samples": number,
        "delta_log_z": log_mean - truth,
        "delta_log_z_error": math.sqrt((1 / ess - 1) / number),
        "reverse_kl": truth - float(own.mean()),
        "reverse_kl_error": float(own.std()) / math.sqrt(number),
        "forward_kl": float(others.mean()) - truth,
        "forward_kl_error": float(others.std()) / math.sqrt(len(others)),
        "ess": ess,
    } | particles(objective, truth, seed)


def particles(objective: Objective, truth: float, seed: int, groups: int = 10, number: int = 1000) -> dict:
    """log Z by SMC: groups of particles that the policy moves, twisted by r of the reference's x̂_T."""
    value = PosteriorMean(objective.target)
    sampler = smc(objective.reference, objective.target, value, number, proposal=Policy(objective.policy))
    log_normalizer = sampler.sample(groups, generator=seeded("cpu", seed, PARTICLES)).log_normalizer
    shares = (log_normalizer - log_normalizer.max()).exp()
    return {
        "smc_particles": groups * number,
        "smc_delta_log_z": float(log_normalizer.logsumexp(0)) - math.log(groups) - truth,
        "smc_delta_log_z_error": float(shares.std() / shares.mean()) / math.sqrt(groups),
    }


def arguments(parser: argparse.ArgumentParser) -> None:
    add_choice(parser, "--densities", CASES)
    add_choice(parser, "--methods", METHODS)
    add_seeds(parser, [0], "weights, training and evaluation")
    parser.add_argument("--steps", type=int, help="gradient steps in the place of a density's own, times the share")
    add_again(parser)


def measure(options: argparse.Namespace) -> None:
    runs = [(d, m, s) for s in options.seeds for d in options.densities for m in options.methods]
    for density, method, seed in tqdm(runs, desc="runs", disable=None):
        name = f"{density}/{method}/{seed}"
        case = CASES[density] if options.steps is None else replace(CASES[density], steps=options.steps)
        if RESULTS.finish(partial(entry, case, METHODS[method], seed, name), name, again=options.again):
            write_pages(pages())
            result = RESULTS.read()[name]
            tqdm.write(f"{name}: {result.get('failed') or summary(result)}")


def pages() -> dict[Path, str]:
    results = RESULTS.read()
    return {PAGE: page(results)} | {PAGE.with_name(name): drawing for name, drawing in figures(results).items()}


def entry(case: Case, method: Method, seed: int, name: str) -> dict:
    """What is found, or why nothing is: a loss, a reward or a control that is not finite any more."""
    settings = {key: value for key, value in asdict(case).items() if key != "density"}
    made = {"provenance": provenance(), "case": settings}
    try:
        return made | learn(case, method, seed, name)
    except ValueError as error:
        return made | {"failed": str(error)}


def summary(entry: dict) -> str:
    """A line of what was found."""
    distance = with_error(entry["delta_log_z"], entry["delta_log_z_error"], sign=True)
    return f"Δ log Z {distance}, ESS share {entry['ess']:.2g}, {entry['seconds']:.0f} s"
