"""Search, refinement and bounds against the truth: how near p* and log Z they come, by budget, round and particles.

    python -m benchmarks search    # about a minute on one core

The chain is `FiniteMarkovChain.random(5, 5, seed=1)` at alpha = 0.6, where everything is a sum. Writes
benchmarks/results/search.json, and from it docs/leaderboards/search.md with its figures:

    budgets    tree search and SMC, each blind and with the exact value, by 8, 32 and 128 roll-outs or particles: the
               total variation to p* of the law of one group (mean over groups, with its standard error) and of the
               mean law of all groups, which is the bias; E[Z_hat]/Z with its standard error; reference calls a group
    rounds     refinement from p_ref by SMC of 8 particles without look-ahead, two steps back: the total variation of
               the law to p* after 0 ... 8 rounds, what is drawn replacing the old sample, or by particle Gibbs
    beams      the share of groups in which beam search finds the largest reward, by beam width, and that of best-of-N
               of as many reference calls
    bounds     lower and upper bounds on log Z by 1 ... 64 particles, on the chain and on a linear-Gaussian one, and the
               exact KLs of what is drawn (see bounds.py)
"""

import argparse
import math
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.common.paths import PAGES
from benchmarks.common.results import Results
from benchmarks.search.bounds import RUNS, bounds, gaussian
from benchmarks.search.figures import figures
from benchmarks.search.page import page
from svlearn.domains.analytic import FiniteMarkovChain
from svlearn.evaluation.report.provenance import provenance
from svlearn.inference.refinement import refine
from svlearn.inference.samplers import ancestral, beam_search, smc
from svlearn.inference.samples import Samples
from svlearn.inference.tree_search import tree_search
from svlearn.randomness import seeded
from svlearn.values import Zero

RESULTS, PAGE = Results("search", allow_nan=True), PAGES / "search.md"
ALPHA, BUDGETS, ROUNDS, WIDTHS = 0.6, (8, 32, 128), 8, (1, 2, 4, 8)
GROUPS, DRAWS = 1000, 20_000


class ReversibleChain(FiniteMarkovChain):
    """With the exact reversal: p(x_s | x_t) ∝ p(x_s) p(x_t | x_s)."""

    def noise(self, x: Tensor, t_from: Tensor, t_to: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        joint = torch.diag(self.marginals()[int(t_to[0])])
        for matrix in self.matrices[int(t_to[0]) : int(t_from[0])]:
            joint = joint @ matrix
        return torch.multinomial(joint.T[x[:, 0]], 1, generator=generator)


BASE = FiniteMarkovChain.random(5, 5, seed=1)
CHAIN = ReversibleChain(BASE.initial_probs, BASE.matrices, BASE.reward.table)
TARGET, EXACT, LAW = CHAIN.target(ALPHA), CHAIN.soft_value(ALPHA), CHAIN.optimal(ALPHA).marginals()[-1]


def laws(samples: Samples) -> Tensor:
    """The law of x_T of each group, (B, S)."""
    empty = torch.zeros(len(samples.states), CHAIN.num_states, dtype=torch.float64)
    return empty.scatter_add(1, samples.states[..., 0], samples.log_weights.exp())


def total_variation(law: Tensor) -> Tensor:
    return 0.5 * (law - LAW).abs().sum(dim=-1)


def mean_and_error(values: Tensor) -> list[float]:
    return [float(values.mean()), float(values.std() / math.sqrt(len(values)))]


SAMPLERS = {
    "tree search": lambda budget: tree_search(CHAIN, TARGET, None, budget),
    "tree search, paper's backup": lambda budget: tree_search(CHAIN, TARGET, None, budget, prior_children=0.0),
    "tree search, exact value": lambda budget: tree_search(CHAIN, TARGET, EXACT, budget),
    "smc": lambda budget: smc(CHAIN, TARGET, Zero(), budget),
    "smc, exact value": lambda budget: smc(CHAIN, TARGET, EXACT, budget),
}


def by_budget(kind: str, budget: int) -> dict[str, float | list[float]]:
    samples = SAMPLERS[kind](budget).sample(GROUPS, generator=seeded("cpu", budget))
    estimates = laws(samples)
    return {
        "total_variation": mean_and_error(total_variation(estimates)),
        "total_variation_of_mean": float(total_variation(estimates.mean(dim=0))),
        "normalizer_ratio": mean_and_error((samples.log_normalizer - CHAIN.log_normalizer(ALPHA)).exp()),
        "reference_calls": samples.cost.reference_calls / GROUPS,
    }


def by_round(keep: str) -> list[float]:
    start, sampler = ancestral(CHAIN, TARGET), smc(CHAIN, TARGET, Zero(), 8)
    distances = [float(total_variation(CHAIN.marginals()[-1]))]
    for rounds in range(1, ROUNDS + 1):
        samples = refine(sampler, rounds, 2, keep, start=start).sample(DRAWS, generator=seeded("cpu", rounds))
        distances.append(float(total_variation(laws(samples).mean(dim=0))))
    return distances


def by_width(width: int) -> dict[str, float]:
    """Beam search of 4 candidates to a particle, and best-of-N of as many reference calls, exactly."""
    samples = beam_search(CHAIN, TARGET, CHAIN.mean_value(), width, 4).sample(DRAWS, generator=seeded("cpu", width))
    best = CHAIN.reward.table.max()
    share = (samples.rewards[:, 0] == best).double().mean()
    missed = 1 - CHAIN.marginals()[-1][CHAIN.reward.table == best].sum()
    return {"beam search": float(share), "best-of-N": float(1 - missed**width)}


def measure(options: argparse.Namespace) -> None:
    RESULTS.write(
        {
            "budgets": {kind: {str(budget): by_budget(kind, budget) for budget in BUDGETS} for kind in SAMPLERS},
            "rounds": {keep: by_round(keep) for keep in ("replace", "particle_gibbs")},
            "beams": {str(width): by_width(width) for width in WIDTHS},
            "bounds": bounds({"Markov chain": CHAIN, "linear-Gaussian chain": gaussian()}, ALPHA),
            "settings": {"alpha": ALPHA, "groups": GROUPS, "runs": RUNS},
            "provenance": provenance(),
        }
    )


def pages() -> dict[Path, str]:
    results = RESULTS.read()
    return {PAGE: page(results)} | {PAGE.with_name(name): drawing for name, drawing in figures(results).items()}
