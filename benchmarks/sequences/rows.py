"""The samplers of the study of sequences, row by row."""

from collections.abc import Callable
from dataclasses import dataclass

import svlearn as sv
from benchmarks.sequences.policies import policy
from benchmarks.sequences.problems import Problem, process
from benchmarks.sequences.trained import learned
from svlearn.values import PosteriorMean, Value, Zero

N = 10
STRENGTHS = (5.0, 15.0, 50.0)  # of DPS, nats per spread of the reward
SWEPT = (2, 5, 20, 50)
PRETRAINED, BEST, DPS, PPO = "pretrained", f"best-of-{N}", "DPS", "policy, PPO"
SMC, TDS, MC, PM = "SMC", "TDS", "SVDD-MC", "SVDD-PM"
TWIST, AUTHORS, BALANCE = "SVDD, contrastive twist", "SVDD-MC, the authors' training", "policy, path consistency"


@dataclass(frozen=True)
class Row:
    """A sampler, made of a problem. strengths: `make` takes one of them as well, that of the largest mean reward of
    sequences of its own. stored: the best of each ten stored trajectories. number: how many sequences, None: all."""

    make: Callable[..., sv.Sampler]
    strengths: tuple[float, ...] = ()
    stored: bool = False
    number: int | None = None


def candidates(problem: Problem, number: int) -> list[int]:
    """All start at the one x_0, which needs no candidates."""
    return [1, *[number] * process(problem.reference).num_steps]


def svdd(problem: Problem, value: Value, target: sv.Target, number: int) -> sv.Sampler:
    return sv.svdd(process(problem.reference), target, value, candidates(problem, number))


def free(number: int) -> Callable[[Problem], sv.Sampler]:
    def make(problem: Problem) -> sv.Sampler:
        target = problem.target()
        return svdd(problem, PosteriorMean(target), target, number)

    return make


def by(family: str, number: int = N) -> Callable[[Problem], sv.Sampler]:
    return lambda problem: svdd(problem, learned(problem.name, family), problem.target(), number)


def of_gradient(problem: Problem, target: sv.Target) -> Value:
    """The value whose gradient guides: r(x̂_T), or a learned one where the reward has no gradient."""
    return PosteriorMean(target) if problem.differentiable else learned(problem.name, "monte_carlo")


def posterior_sampling(problem: Problem, strength: float) -> sv.Sampler:
    """DPS on tokens: the gradient of the value in the one-hots of x_t; single samples."""
    target = problem.target(problem.spread / strength)
    proposal = sv.proposals.Guided(of_gradient(problem, target), at="mean")
    return sv.smc(process(problem.reference), target, Zero(), 1, proposal=proposal)


def monte_carlo(problem: Problem, guided: bool = False) -> sv.Sampler:
    """SMC, and TDS: guided by the gradient of what weighs it."""
    target = problem.target(problem.alpha)
    value: Value = PosteriorMean(target)
    if guided:
        value = of_gradient(problem, target)
    proposal = sv.proposals.Guided(value, at="mean") if guided else None
    return sv.smc(process(problem.reference), target, value, N, proposal=proposal)


def by_policy(family: str) -> Callable[[Problem], sv.Sampler]:
    return lambda problem: sv.ancestral(policy(problem.name, family), problem.target())


def plain(problem: Problem) -> sv.Sampler:
    return sv.ancestral(process(problem.reference), problem.target())


ROWS = {
    PRETRAINED: Row(plain),
    BEST: Row(plain, stored=True),
    PM: Row(free(N)),
    MC: Row(by("monte_carlo")),
    TWIST: Row(by("contrastive_twist")),
    SMC: Row(monte_carlo),
    DPS: Row(posterior_sampling, strengths=STRENGTHS),
    AUTHORS: Row(by("authors")),
    PPO: Row(by_policy("ppo")),
    TDS: Row(lambda problem: monte_carlo(problem, guided=True)),
    BALANCE: Row(by_policy("path_consistency")),
    **{f"{MC}, M = {number}": Row(by("monte_carlo", number), number=64) for number in SWEPT},
    **{f"{PM}, M = {number}": Row(free(number), number=64) for number in SWEPT},
}
