"""The samplers of the study at each budget, and what a text that they draw is and costs."""

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor

import svlearn as sv
from benchmarks.common.clock import clock, since
from benchmarks.stories.texts import condition
from benchmarks.stories_budget.learned import positions_of
from benchmarks.stories_budget.tasks import TASKS, TOKENS, reference, target
from svlearn.domains.language.metrics import describe
from svlearn.domains.language.rewards import MeanLogLikelihood
from svlearn.inference import proposals
from svlearn.process import Reference
from svlearn.randomness import seeded
from svlearn.values import AtSteps, MonteCarlo, Zero

BUDGETS = (4, 16, 64)  # in token positions of so many plain texts
LOOKS = {4: (25,), 16: (10, 20, 30), 64: (10, 20, 30)}  # the steps at which SMC rolls out
LINEAGE_LOOKS = (10, 20, 30)  # those at which a lineage of SVDD has candidates, beside the last
PARTICLES = {4: 3, 16: 6, 64: 26}  # what the roll-outs of a particle leave of a budget
CANDIDATES = {4: 2, 16: 10, 64: 41}
NUMBER, AT_ONCE = 64, 4_096

Sampler = Callable[[str, int], sv.Sampler]  # of a task, at a budget


def _best(task: str, budget: int) -> sv.Sampler:
    return sv.best_of_n(reference(), target(task), budget)


def _smc(task: str, budget: int) -> sv.Sampler:
    return sv.smc(reference(), target(task), _roll_outs(task, LOOKS[budget]), PARTICLES[budget])


def _svdd(task: str, budget: int) -> sv.Sampler:
    number = CANDIDATES[budget]
    candidates = [number if t in (*LINEAGE_LOOKS, TOKENS) else 1 for t in range(TOKENS + 1)]
    return sv.svdd(reference(), target(task), _roll_outs(task, LINEAGE_LOOKS), candidates)


def _roll_outs(task: str, steps: tuple[int, ...]) -> AtSteps:
    return AtSteps(MonteCarlo(reference(), target(task), 1, from_prediction=True), steps)


FREE: dict[str, Sampler] = {"best-of-N": _best, "SMC, roll-outs": _smc, "SVDD, roll-outs": _svdd}
TRAINED = ("twisted SMC", "policy")


def with_twist(value: sv.values.Value) -> Sampler:
    """Twisted SMC, by the proposal that the twist induces."""
    proposal = proposals.Exact(value, last="value")
    return lambda task, budget: sv.smc(reference(), target(task), value, budget, proposal=proposal)


def with_policy(policy: Reference) -> Sampler:
    """Importance sampling by the policy: each of its tokens costs a position of the reference, too."""
    proposal = proposals.Policy(policy)
    return lambda task, budget: sv.smc(
        reference(), target(task), Zero(), budget // 2, ess_threshold=0.0, proposal=proposal
    )


def drawn(task: str, sampler: sv.Sampler, *others: Reference) -> dict[str, Any]:
    """One text of each of 64 groups: its figure of the reward, log Z, how different the texts are, how likely they are
    to the reference, and what each costs. others: processes beside the reference, whose positions count too."""
    before, start = positions_of(reference(), *others), clock()
    options = {"condition": condition(NUMBER), "generator": seeded("cpu", 3), "max_batch": AT_ONCE}
    samples = sampler.sample(NUMBER, **options)
    spent, positions = since(start), positions_of(reference(), *others) - before
    states, rewards = samples.draw_with_rewards(generator=seeded("cpu", 4))
    texts, figures = reference().decode(states), TASKS[task].judge(rewards)
    likelihood = MeanLogLikelihood(reference().model, reference().tokenizer, of="continuation")
    held = {
        "figure": [float(figures.mean()), float(figures.std()) / NUMBER**0.5],
        "perplexity": math.exp(-float(likelihood(texts).double().mean())),
        "positions": positions / NUMBER,
        "cpu_seconds": spent["cpu_seconds"] / NUMBER,
        "number": NUMBER,
        **{name: each for name, each in describe(texts).items() if name in ("self_bleu", "distinct_2")},
    }
    return held | ({} if samples.log_normalizer is None else log_normalizer(samples.log_normalizer.double()))


def log_normalizer(estimates: Tensor) -> dict[str, Any]:
    """Of log Ẑ (B,) of groups: the bound E[log Ẑ] <= log Z, None where a group died, and log E[Ẑ], each with its
    standard error (of the latter by the delta method), None where all died; and the share of groups that died."""
    number, alive = len(estimates), estimates[estimates > -math.inf]
    held: dict[str, Any] = {"dead": 1 - len(alive) / number, "bound": None, "log_normalizer": None}
    if len(alive) == number:
        held["bound"] = [float(estimates.mean()), float(estimates.std()) / number**0.5]
    if len(alive):
        ratios = (estimates - estimates.max()).exp()
        mean = float(ratios.mean())
        held["log_normalizer"] = [
            float(estimates.max()) + math.log(mean),
            float(ratios.std()) / mean / number**0.5,
        ]
    return held
