"""The objective families of the leaderboard and of its tests: what each learns, and how it is built on a problem."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.oracles.judges import Truth
from benchmarks.oracles.problems import Markov, Problem, Toy, Tree
from svlearn.inference.samplers import smc
from svlearn.objectives import (
    AdjointMatching,
    ContrastiveEnergy,
    ContrastiveTwist,
    DistributionalPolicyGradient,
    ForwardProcessPolicy,
    GroupRelativePolicyGradient,
    IteratedTwist,
    MonteCarloRegression,
    Objective,
    PathConsistency,
    PolicyGradient,
    SoftQIteration,
    StochasticControl,
)
from svlearn.objectives.derivative_free_adjoint import DerivativeFreeAdjointMatching
from svlearn.objectives.distillation import Distillation
from svlearn.objectives.proximal_policy_gradient import ProximalPolicyGradient
from svlearn.objectives.target_score_matching import TargetScoreMatching
from svlearn.schedules import NoiseLevels
from svlearn.values import Zero

SOFT, MEAN, UP_TO_CONSTANT, POLICY = "soft value", "mean value", "soft value, up to c(t)", "policy"


def always(problem: Problem) -> bool:
    return True


def gaussian(problem: Problem) -> bool:
    """Whether it has Gaussian steps and a reward with a gradient."""
    return problem.gaussian


def noised(problem: Problem) -> bool:
    """Whether its reference reverses a known noising, with a known density at the end."""
    return isinstance(problem, Toy)


def told(problem: Problem) -> bool:
    """Whether a policy's own steps say what it expects of x_T, as those of a text do: what is denoised is trained."""
    return isinstance(problem, Tree)


def nothing(problem: Problem) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Family:
    """A family and its options; `more` gives those that depend on the problem.

    learns: one of the constants above. with_value: a policy's family that trains a value beside it.
    epochs: how often each trajectory is looked at, so that as many are drawn in `epochs` times the steps.
    """

    name: str
    objective: type[Objective]
    learns: str
    options: dict[str, Any] = field(default_factory=dict)
    with_value: bool = False
    epochs: int = 1
    applies: Callable[[Problem], bool] = always
    more: Callable[[Problem], dict[str, Any]] = nothing

    @property
    def has_policy(self) -> bool:
        return self.learns == POLICY

    def truth(self, problem: Problem) -> Truth:
        """What a family of values is held against."""
        oracle = problem.oracle
        exact = oracle.mean_value() if self.learns == MEAN else oracle.soft_value(problem.alpha)
        alpha = problem.alpha if isinstance(problem, Toy) else None
        return Truth(problem.reference, exact, up_to_constant=self.learns == UP_TO_CONSTANT, alpha=alpha)

    def build(self, problem: Problem, **options: Any) -> Objective:
        """The objective with new networks, at the problem's learning rate and batch size."""
        parts = {"policy": problem.policy()} if self.has_policy else {"value": problem.value()}
        if self.with_value:
            parts["value"] = problem.value()
        reference = problem.controlled if self.has_policy else problem.reference
        common = {"learning_rate": problem.rates[self.has_policy], "batch_size": problem.batch_size}
        settings = common | self.options | self.more(problem) | options
        return self.objective(reference, problem.target, **parts, **settings)


def path_consistency(variant: str, **options: Any) -> Family:
    label = {"trajectory": "trajectory balance", "log_variance": "log-variance", "steps": "three steps"}
    name = f"Path consistency, {label.get(variant, variant)}"
    return Family(name, PathConsistency, POLICY, {"variant": variant, **options}, with_value=True)


def noising(problem: Problem) -> dict[str, Any]:
    """What target score matching must know of the reference."""
    mixture = problem.oracle.mixture
    spread = float(problem.oracle.optimal_law(problem.alpha).moments()[1].diagonal().mean())
    levels = NoiseLevels.from_alpha_bars(problem.oracle.alpha_bars)
    return {"levels": levels, "log_reference": mixture.log_prob, "variance": spread}


def teacher(problem: Problem) -> dict[str, Any]:
    """SMC of the reference without any look-ahead, one group a batch."""
    return {"sampler": smc(problem.controlled, problem.target, Zero(), problem.batch_size), "law": "target"}


def outcomes(problem: Problem) -> dict[str, Any]:
    """Whether all outcomes of a step stand for it, where they are few, or candidates of p_ref."""
    return {"limit": 5 if isinstance(problem, Markov) else 4 if isinstance(problem, Tree) else 0}


FAMILIES = [
    Family("Monte Carlo regression", MonteCarloRegression, SOFT, {"estimand": "soft"}),
    Family("Soft-Q iteration", SoftQIteration, SOFT, {"estimand": "soft"}),
    Family("Contrastive twist", ContrastiveTwist, UP_TO_CONSTANT),
    Family("Contrastive energy", ContrastiveEnergy, UP_TO_CONSTANT),
    Family(
        "Iterated twist",
        IteratedTwist,
        UP_TO_CONSTANT,
        {"num_candidates": 4, "round_size": 4096, "inner_steps": 16},  # 256 trajectories a step
        more=outcomes,
    ),
    Family("Monte Carlo regression, mean", MonteCarloRegression, MEAN, {"estimand": "mean"}),
    Family("Soft-Q iteration, mean", SoftQIteration, MEAN, {"estimand": "mean"}),
    Family("Path consistency, value only", PathConsistency, MEAN, {"variant": "subtrajectory"}),
    path_consistency("trajectory"),
    path_consistency("log_variance"),
    path_consistency("subtrajectory"),
    path_consistency("steps", num_steps=3),
    path_consistency("detailed"),
    Family(
        "Path consistency, trust region",
        PathConsistency,
        POLICY,
        {"variant": "log_variance", "trust_region": 0.1, "inner_steps": 50, "replay_size": 12_800},
        with_value=True,
    ),
    Family("Policy gradient", PolicyGradient, POLICY),
    Family("Proximal policy gradient", ProximalPolicyGradient, POLICY, {"num_epochs": 2}, epochs=2),
    Family(
        "Group-relative policy gradient",
        GroupRelativePolicyGradient,
        POLICY,
        {"num_minibatches": 1, "num_epochs": 1, "group_size": 16},
    ),
    Family("Distributional policy gradient", DistributionalPolicyGradient, POLICY),
    Family("Reward-weighted denoising", ForwardProcessPolicy, POLICY, {"num_times": None}, applies=told),
    Family(
        "DiffusionNFT, tilted",
        ForwardProcessPolicy,
        POLICY,
        {"variant": "nft", "optimality": "tilted", "num_times": None},
        applies=told,
    ),
    Family("Distillation", Distillation, POLICY, more=teacher),
    Family("Stochastic control", StochasticControl, POLICY, applies=gaussian),
    Family("Adjoint matching", AdjointMatching, POLICY, applies=gaussian),
    Family("Derivative-free adjoint matching", DerivativeFreeAdjointMatching, POLICY, applies=gaussian),
    Family("Target score matching", TargetScoreMatching, POLICY, applies=noised, more=noising),
]


def families_of(problem: Problem) -> list[Family]:
    """Those that can be asked of it."""
    return [family for family in FAMILIES if family.applies(problem)]
