"""What the twists are learned on: four oracles, GB1 and two tokens of stories, each with its exact soft value."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from benchmarks.gb1 import laws
from benchmarks.gb1 import problem as gb1
from benchmarks.gb1.values import r2 as r2_of_levels
from benchmarks.oracles import problems as oracles
from benchmarks.stories_truth import learned
from benchmarks.stories_truth import problem as stories
from svlearn.domains.language import NextToken, TokenTwists
from svlearn.domains.sequences.gb1.network import SiteValue
from svlearn.inference.samplers import smc
from svlearn.modes import evaluating
from svlearn.process import Reference
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.targets import Target
from svlearn.values import Learned, Value, Zero

GROUPS, PARTICLES, CANDIDATES = 64, 16, 8  # of the SMC that log Z is read from
NUM_PATHS = 2_000  # on which R² is judged, where states are not all looked at
P_REF, P_STAR = "p_ref", "p*"  # of x_t in R²


class Problem(ABC):
    """A reference and a target whose soft value is known. rate: the learning rate; seeds: how many trainings; options:
    of `IteratedTwist`, where they are not those of all problems."""

    reference: Reference
    target: Target
    conditions: Tensor | None = None

    def __init__(self, title: str, rate: float, seeds: int, **options: Any):
        self.title, self.rate, self.seeds, self.options = title, rate, seeds, options

    @abstractmethod
    def value(self) -> Value:
        """A new one to train, 0 at first."""

    @abstractmethod
    def exact(self) -> Value:
        """The soft value."""

    @abstractmethod
    def log_normalizer(self) -> float: ...

    @abstractmethod
    def r2(self, value: Value) -> dict[str, float]:
        """1 - Σ_t E[(v_t - exact)²]/Σ_t Var[exact], less a constant c(t), of x_t under p_ref and under p*."""

    def condition(self, number: int) -> Any:
        """What so many groups are drawn under."""
        return None

    def log_z_error(self, value: Value) -> float:
        """Mean |log Ẑ - log Z|, nats, over groups of SMC whose particles choose among candidates by the value."""
        sampler = smc(self.reference, self.target, value, PARTICLES, num_candidates=CANDIDATES)
        samples = sampler.sample(GROUPS, condition=self.condition(GROUPS), generator=seeded("cpu", 98))
        return float((samples.log_normalizer - self.log_normalizer()).abs().mean())

    @torch.no_grad()
    def judged(self, value: Value) -> dict[str, Any]:
        with evaluating(value):
            return {"r2": self.r2(value), "log_z_error": self.log_z_error(value)}

    def yardsticks(self) -> dict[str, float]:
        """That error without a twist, and with the exact one."""
        return {"none": self.log_z_error(Zero()), "exact": self.log_z_error(self.exact())}


class OnOracle(Problem):
    """An oracle of the leaderboard, with its networks, at an alpha that is low enough for rounds to matter."""

    def __init__(self, name: str, title: str, alpha: float, seeds: int = 5, **options: Any):
        problem = next(each for each in oracles.problems() if each.name == name)
        super().__init__(f"{title}, α = {alpha:g}", problem.rates[0], seeds, **options)
        problem.alpha = alpha
        self.problem, self.reference, self.target = problem, problem.reference, problem.target

    def value(self) -> Value:
        return self.problem.value()

    def exact(self) -> Value:
        return self.problem.oracle.soft_value(self.problem.alpha)

    def log_normalizer(self) -> float:
        return float(self.problem.oracle.log_normalizer(self.problem.alpha))

    def r2(self, value: Value) -> dict[str, float]:
        """On the mixture that under p_ref is of exp(v/α), for v goes down to -80 between the modes."""
        alpha = self.problem.alpha if isinstance(self.problem, oracles.Toy) else None
        return {law: r2_along(value, *known, alpha if law == P_REF else None) for law, known in self.paths().items()}

    @cache  # noqa: B019 - there are four of them, and they live as long as the study
    def paths(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Trajectories (N, T + 1, ...) of both laws, and the soft value along them, (T, N)."""
        oracle, exact = self.problem.oracle, self.exact()
        laws = {
            P_REF: roll_out(oracle, NUM_PATHS, generator=seeded("cpu", 99))["states"],
            P_STAR: oracle.optimal_trajectories(NUM_PATHS, self.problem.alpha, generator=seeded("cpu", 97)),
        }
        return {law: (states, values_along(exact, states)) for law, states in laws.items()}


class OnGB1(Problem):
    """The landscape of the study of GB1, all states of which are looked at."""

    def __init__(self) -> None:
        super().__init__(f"GB1, α = {gb1.ALPHA:g}", 5e-3, 3)
        self.reference, self.target = gb1.landscape().reference, gb1.target()

    def value(self) -> Value:
        return Learned(SiteValue())

    def exact(self) -> Value:
        return gb1.landscape().soft_value(gb1.ALPHA)

    def log_normalizer(self) -> float:
        return float(gb1.landscape().log_normalizer(gb1.ALPHA))

    def r2(self, value: Value) -> dict[str, float]:
        levels = laws.tables(gb1.landscape(), value)
        return {
            name: r2_of_levels(levels, self.levels(), weights, up_to_constant=True)
            for name, weights in self.weights().items()
        }

    @cache  # noqa: B019
    def levels(self) -> list[Tensor]:
        land = gb1.landscape()
        return [gb1.ALPHA * each for each in land.graph.backward(land.rewards / gb1.ALPHA)]

    @cache  # noqa: B019
    def weights(self) -> dict[str, list[Tensor]]:
        graph = gb1.landscape().graph
        return {P_REF: graph.marginals(), P_STAR: graph.marginals(gb1.landscape().optimal_moves(gb1.ALPHA))}


class OnStories(Problem):
    """The sentiment of the study of two tokens, whose texts are all enumerated."""

    NAME = "sentiment"

    def __init__(self) -> None:
        super().__init__(f"stories, two tokens, α = {stories.ALPHA:g}", 3e-3, 3)
        self.reference, self.target = stories.reference(), stories.target(self.NAME)
        self.conditions = stories.conditions(self.NAME)

    def value(self) -> Value:
        size, vocabulary = stories.reference().model.config.hidden_size, stories.reference().vocabulary
        return NextToken(TokenTwists(size, vocabulary, stories.TOKENS, learned.WIDTH))

    def exact(self) -> Value:
        return stories.texts(self.NAME).value()

    def log_normalizer(self) -> float:
        return stories.texts(self.NAME).log_normalizer

    def r2(self, value: Value) -> dict[str, float]:
        """Of v_1, for v_0 is of one text."""
        return {name: float("nan") if found is None else found for name, found in learned.r2(self.NAME, value).items()}

    def condition(self, number: int) -> list[str]:
        return stories.condition(self.NAME, number)


def values_along(value: Value, states: Tensor) -> Tensor:
    """Of trajectories (N, T + 1, ...), (T, N), float64, reward units."""
    size, steps = len(states), states.shape[1] - 1
    return torch.stack([value(states[:, t], torch.full((size,), t)).double() for t in range(steps)])


def r2_along(value: Value, states: Tensor, exact: Tensor, alpha: float | None) -> float:
    """`Problem.r2` on trajectories (N, T + 1, ...) of exact values (T, N), weighed alike; alpha: where given, of
    exp(v/α), up to a factor."""
    guess = values_along(value, states)
    if alpha is None:
        guess = guess - (guess - exact).mean(dim=1, keepdim=True)
    else:
        exact, guess = (exact / alpha).exp(), (guess / alpha).exp()
        guess = guess * exact.mean(dim=1, keepdim=True) / guess.mean(dim=1, keepdim=True)
    errors, variances = (guess - exact).square().mean(dim=1), exact.var(dim=1, correction=0)
    return float(1 - errors.sum() / variances.sum())


ORACLES: dict[str, Callable[[], Problem]] = {
    "mixture": lambda: OnOracle("mixture", "Gaussian mixture", 1.0, seeds=3, num_times=2),
    "tree": lambda: OnOracle("tree", "token tree", 0.3, limit=4),
    "gaussian": lambda: OnOracle("gaussian3", "linear-Gaussian chain", 0.2),
    "markov": lambda: OnOracle("markov", "Markov chain", 0.1, limit=5),
}
DATA: dict[str, Callable[[], Problem]] = {"gb1": OnGB1, "stories": OnStories}
PROBLEMS = ORACLES | DATA


@cache
def problem(name: str) -> Problem:
    return PROBLEMS[name]()
