"""The leaderboard: every objective family on every oracle, at equal numbers of trajectories.

    python -m benchmarks objectives                                         # what is not measured yet
    python -m benchmarks objectives --oracle markov tree --seeds 0          # two oracles, one seed
    python -m benchmarks objectives --family "soft-q" --again               # measure these once more

Each (oracle, family, seed) is trained by `fit` with the oracle's own steps, learning rate and batch size, judged
against the exact answer, and written to benchmarks/results/objectives.json at once, so a run that was stopped goes on
where it was. docs/leaderboards/objectives.md is made from that file. Seconds are CPU seconds of one thread, which
other work on the machine disturbs little.

oracles: gaussian3 (networks that hold the answer), gaussian10 (a plain MLP; gaussian10-long four times as many steps,
for the families that need them), markov, tree, mixture (the RTB toy)
"""

import argparse
import math
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import ot
import torch
from torch import Tensor
from tqdm.auto import tqdm

from benchmarks.common.command import add_again, add_choice, add_seeds
from benchmarks.common.paths import PAGES
from benchmarks.common.results import Results
from benchmarks.objectives.figures import figures
from benchmarks.objectives.page import page
from benchmarks.oracles.families import MEAN, Family, families_of
from benchmarks.oracles.judges import worst_r2
from benchmarks.oracles.problems import Problem, Toy, problems
from svlearn.evaluation.report.provenance import provenance
from svlearn.inference import proposals
from svlearn.inference.sampler import Sampler
from svlearn.inference.samplers import ancestral, smc
from svlearn.metering import metered
from svlearn.objectives import Objective
from svlearn.objectives.fit import fit
from svlearn.process import Reference
from svlearn.randomness import seeded
from svlearn.values import Value, Zero

RESULTS = Results("objectives", {"entries": {}, "yardsticks": {}}, allow_nan=True)
OVERHEAD, PAGE = Results("training_overhead", allow_nan=True), PAGES / "objectives.md"
GROUPS, PARTICLES = 50, 100  # of the SMC that log Z and the ESS are read from
POINTS, FEW, REPEATS, BLUR = 1000, 3, 3, 1.0  # samples, particles to a sample, repeats and entropic blur of Sinkhorn


def learn(family: Family, problem: Problem, seed: int) -> tuple[Objective, dict[str, Any]]:
    """Train a family, and say what that cost."""
    torch.manual_seed(seed)  # of the networks' first weights
    objective = family.build(problem)
    drawn = count_trajectories(objective.reference)
    steps = problem.max_steps * family.epochs
    cpu = time.process_time()
    with metered() as meter:
        fit(objective, max_steps=steps, seed=seed, enable_progress_bar=False)
    cpu = time.process_time() - cpu
    return objective, {
        "steps": steps,
        "trajectories": drawn[0],
        "cpu_seconds": cpu,
        "wall_seconds": meter.cost.seconds,
        "steps_per_cpu_second": steps / cpu,
        "peak_memory_bytes": meter.cost.peak_memory_bytes,
    }


def count_trajectories(reference: Reference) -> list[int]:
    """Count from here on, in the one number of the list, how many x_0 the reference, or a policy of it, draws."""
    drawn, initial = [0], type(reference).initial

    def counted(batch_size: int, **options: Any) -> Tensor:
        drawn[0] += batch_size
        return initial(reference, batch_size, **options)

    reference.initial = counted  # type: ignore[method-assign]
    return drawn


def steered(problem: Problem, family: Family, objective: Objective, particles: int) -> Sampler:
    """SMC with what was learned: a value is the twist, a policy the proposal, without a twist and resampling."""
    if family.has_policy:
        proposal = proposals.Policy(objective.policy)
        return smc(problem.controlled, problem.target, Zero(), particles, ess_threshold=0.0, proposal=proposal)
    return twisted(problem.reference, problem, objective.value, particles)


def twisted(reference: Reference, problem: Problem, value: Value, particles: int) -> Sampler:
    """SMC that resamples at every step, so that all depends on the value."""
    return smc(reference, problem.target, value, particles, ess_threshold=1.0)


def smc_figures(sampler: Sampler, log_z: float) -> dict[str, float]:
    """The mean of |log Ẑ - log Z| of a group, nats, and the ESS as a share, mean over groups.

    The ESS is the least over t where the sampler resamples at every step, else that of the finished particles.
    """
    samples = sampler.sample(GROUPS, generator=seeded("cpu", 98))
    spread = samples.history.ess
    kept = spread.min(dim=1).values if bool(samples.history.resampled.any()) else spread[:, -1]
    error = (samples.log_normalizer - log_z).abs().mean()
    return {"log_z_error": float(error), "ess": float(kept.mean()) / PARTICLES}


def sinkhorn(x: Tensor, y: Tensor) -> float:
    """√ of the squared distance that the entropic plan moves between two sets of points (N, d) (arXiv 1306.0895)."""
    return math.sqrt(ot.sinkhorn2([], [], ot.dist(x.numpy(), y.numpy()), BLUR, numItermax=2000))


def distances(problem: Toy, draw: Callable[[torch.Generator], Tensor]) -> list[float]:
    """Sinkhorn distances of samples to fresh exact ones."""
    law, divergences = problem.oracle.optimal_law(problem.alpha), []
    for repeat in range(REPEATS):
        exact = law.sample(POINTS, generator=seeded("cpu", 97, repeat))
        divergences.append(sinkhorn(draw(seeded("cpu", 96, repeat)), exact))
    return divergences


def one_each(sampler: Sampler) -> Callable[[torch.Generator], Tensor]:
    """One sample of each of independent groups."""
    return lambda generator: sampler.sample(POINTS, generator=generator).draw(generator=generator)


def judged(family: Family, problem: Problem, seed: int) -> dict[str, Any]:
    """All figures of an entry."""
    objective, entry = learn(family, problem, seed)
    if family.has_policy:
        entry |= vars(problem.judge(objective.policy))
    elif not (family.learns == MEAN and isinstance(problem, Toy)):  # of which no mean value is known
        entry["worst_r2"] = worst_r2(objective.value, family.truth(problem))
    log_z = problem.log_normalizer() if family.has_policy else float(problem.oracle.log_normalizer(problem.alpha))
    entry |= smc_figures(steered(problem, family, objective, PARTICLES), log_z)
    if isinstance(problem, Toy):
        entry["sinkhorn_smc"] = distances(problem, one_each(steered(problem, family, objective, FEW)))
        if family.has_policy:
            entry["sinkhorn_alone"] = distances(problem, one_each(ancestral(objective.policy)))
    return entry | {"provenance": provenance()}


def yardsticks(problem: Problem) -> dict[str, dict[str, Any]]:
    """What SMC does with the exact value and with none, and how far exact samples are from exact samples."""
    exact, reference = problem.oracle.soft_value(problem.alpha), problem.reference
    log_z = float(problem.oracle.log_normalizer(problem.alpha))
    figures = {
        "Exact soft value": smc_figures(twisted(reference, problem, exact, PARTICLES), log_z),
        "No value": smc_figures(twisted(reference, problem, Zero(), PARTICLES), log_z),
        "The reference as policy": vars(problem.judge(problem.policy())),  # a new policy is the reference
    }
    if isinstance(problem, Toy):
        ddpm, law = problem.controlled, problem.oracle.optimal_law(problem.alpha)
        figures["Exact soft value"]["sinkhorn_smc"] = distances(
            problem, one_each(twisted(reference, problem, exact, FEW))
        )
        figures["No value"]["sinkhorn_smc"] = distances(problem, one_each(twisted(reference, problem, Zero(), FEW)))
        figures["The reference as policy"]["sinkhorn_alone"] = distances(problem, one_each(ancestral(ddpm)))
        figures["Exact soft value, on the DDPM"] = {
            **smc_figures(twisted(ddpm, problem, exact, PARTICLES), problem.log_normalizer()),
            "sinkhorn_smc": distances(problem, one_each(twisted(ddpm, problem, exact, FEW))),
        }
        figures["Two sets of exact samples"] = {
            "sinkhorn_alone": distances(problem, lambda generator: law.sample(POINTS, generator=generator))
        }
    return figures


def arguments(parser: argparse.ArgumentParser) -> None:
    add_choice(parser, "--oracle", [problem.name for problem in problems()])
    parser.add_argument("--family", default="", help="only those with this in their name, upper or lower case")
    add_seeds(parser, [0, 1], "networks and training")
    add_again(parser)


def measure(options: argparse.Namespace) -> None:
    warnings.filterwarnings("ignore", message="reference: not memoryless")  # three of these oracles are not, on purpose
    chosen = [problem for problem in problems() if problem.name in options.oracle]
    for problem in chosen:
        RESULTS.finish(partial(yardsticks, problem), "yardsticks", problem.name)
    work = [
        (f"{problem.name}/{family.name}/{seed}", partial(judged, family, problem, seed))
        for problem in chosen
        for family in families_of(problem)
        for seed in options.seeds
        if options.family.lower() in family.name.lower()
    ]
    for name, entry in tqdm(work, desc="leaderboard"):
        tqdm.write(name)
        RESULTS.finish(entry, "entries", name, again=options.again)


def pages() -> dict[Path, str]:
    results = RESULTS.read()
    drawn = {PAGE.with_name(name): drawing for name, drawing in figures(results).items()}
    return {PAGE: page(results, OVERHEAD.read(), problems(), families_of)} | drawn
