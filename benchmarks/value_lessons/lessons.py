"""The ways of learning a value that are compared, each from the same number of calls."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from tensordict import TensorDict
from torch import Tensor, nn

import svlearn as sv
from benchmarks.common.clock import clock, since
from benchmarks.value_lessons import draws
from benchmarks.value_lessons.problems import CANDIDATES, PROBLEMS, reference, svdd, target, training_free
from svlearn.metering import metered
from svlearn.objectives import MonteCarloRegression, TemporalDifference
from svlearn.objectives.fit import fit
from svlearn.randomness import randint, seeded
from svlearn.rollouts import InMemoryData
from svlearn.state import State
from svlearn.values import Learned, LinearizedPosteriorMean, LowerBound, Residual, Value

BATCH, TIMES = 128, 8  # states in a batch; of a trajectory, where it is one of these that are served
MEMBERS, TRACE = 3, 0.9
MEASURED = 8  # trajectories that a sensitivity is measured along
TOKENS = "a step of tokens has no noise that x̂_T would follow"


class Standardised(nn.Module):
    """location + spread · network(x, t), (B,), as the labels have them."""

    def __init__(self, network: nn.Module, labels: Tensor):
        super().__init__()
        self.network = network
        self.location, self.spread = float(labels.mean()), float(labels.std())

    def forward(self, x: State, t: Tensor) -> Tensor:
        return self.location + self.spread * self.network(x, t)


@dataclass(frozen=True)
class Learnt:
    """A value; calls of the reference and the reward, and seconds of processors, that it took."""

    value: Value
    calls: int
    cpu_seconds: float


def monte_carlo(name: str, seed: int) -> Learnt:
    data = draws.plain(name, seed, PROBLEMS[name].calls)
    rows = draws.labelled(data.rows)
    return fitted(name, seed, network(name, seed, rows), [data], rows)


def losers(name: str, seed: int) -> Learnt:
    """The candidates of the training-free SVDD, which it judged by r(x̂_T)."""
    data = draws.losers(name, seed, PROBLEMS[name].calls, svdd(name, training_free(name)))
    return fitted(name, seed, network(name, seed, data.rows), [data], data.rows)


def survivors(name: str, seed: int) -> Learnt:
    """Half of the calls plain; what was learned from these guides the others, whose losers label the survivors."""
    return in_two(name, seed, draws.survivors)


def rolled_on(name: str, seed: int) -> Learnt:
    """Half of the calls plain; what was learned from these leads the others to where the reference goes on."""
    return in_two(name, seed, draws.followed)


def residual(name: str, seed: int) -> Learnt:
    data = draws.residuals(name, seed, PROBLEMS[name].calls)
    correction = fitted(name, seed, network(name, seed, data.rows), [data], data.rows)
    return Learnt(Residual(training_free(name), correction.value), correction.calls, correction.cpu_seconds)


def temporal_difference(name: str, seed: int) -> Learnt:
    data = draws.plain(name, seed, PROBLEMS[name].calls)
    value = Learned(network(name, seed, data.rows))
    times = min(TIMES, reference(name).num_steps)
    options = {"trace": TRACE, "num_times": times, "learning_rate": PROBLEMS[name].rate}
    objective = TemporalDifference(reference(name), target(name), value, "mean", **options)
    start = clock()
    trajectories = InMemoryData(data.rows, batch_size=BATCH // times, seed=seed)
    fit(objective, max_steps=PROBLEMS[name].steps, seed=seed, data=trajectories, enable_progress_bar=False)
    return Learnt(value, data.calls, data.cpu_seconds + since(start)["cpu_seconds"])


def lower_bound(name: str, seed: int) -> Learnt:
    """Networks that each learn from a bootstrap of the same trajectories."""
    data, members = draws.plain(name, seed, PROBLEMS[name].calls), []
    for member in range(MEMBERS):
        generator, number = seeded("cpu", seed, 3, member), len(data.rows)
        rows = draws.labelled(data.rows[randint(number, (number,), generator, torch.device("cpu"))])
        members.append(fitted(name, seed * 100 + member, network(name, seed * 100 + member, rows), [], rows))
    spent = data.cpu_seconds + math.fsum(each.cpu_seconds for each in members)
    return Learnt(LowerBound([each.value for each in members]), data.calls, spent)


def linearized(name: str, seed: int) -> Learnt:
    """No training: a sensitivity that is measured along a few trajectories."""
    start = clock()
    with metered() as meter:
        states = draws.trajectories(name, MEASURED, seeded("cpu", seed, draws.OWN))["states"]
        value = LinearizedPosteriorMean.measured(target(name), reference(name), states)
    return Learnt(value, draws.calls_of(meter), since(start)["cpu_seconds"])


@dataclass(frozen=True)
class Lesson:
    """make: of a problem's name and a seed. reads: whether it needs an x̂_T; gaussian: whether Gaussian steps."""

    make: Callable[[str, int], Learnt]
    what: str
    reads: bool = False
    gaussian: bool = False

    def absent(self, name: str) -> str | None:
        """Why it does not apply to a problem; None where it does."""
        problem = PROBLEMS[name]
        if self.reads and problem.no_prediction is not None:
            return problem.no_prediction
        return TOKENS if self.gaussian and not problem.gaussian else None


PLAIN, LINEARIZED = "Monte Carlo regression", "linearised PM"
LESSONS = {
    PLAIN: Lesson(monte_carlo, "states of plain trajectories, labelled by r"),
    "losers of SVDD-PM": Lesson(losers, "all candidates of SVDD-PM, labelled by r(x̂_T), of texts by a roll-out"),
    "losers label survivors": Lesson(
        survivors,
        "half of the calls plain; then states that the first value chose, labelled by the mean over their candidates",
    ),
    "trained where used": Lesson(
        rolled_on,
        "half of the calls plain; then the first value leads to a random time, and the reference on (`roll_on`)",
    ),
    "TD(0.9)": Lesson(temporal_difference, "the same trajectories, labelled by the λ-return of a slow copy"),
    "lower bound of three": Lesson(lower_bound, "three networks, each of a bootstrap of the same trajectories; β = 1"),
    "residual of PM": Lesson(
        residual, "states of plain trajectories, labelled by r - r(x̂_T); the sampler asks for r(x̂_T) too", reads=True
    ),
    LINEARIZED: Lesson(
        linearized,
        "no training: r of the parent's moved x̂_T, J measured along 8 trajectories",
        reads=True,
        gaussian=True,
    ),
}


def network(name: str, seed: int, rows: TensorDict) -> nn.Module:
    """An untrained one, in the unit of the labels."""
    torch.manual_seed(seed)  # of its first weights
    return Standardised(PROBLEMS[name].network(reference(name).num_steps), rows["rewards"])


def in_two(name: str, seed: int, second: Callable[..., draws.Data]) -> Learnt:
    """Half of the calls and of the steps on plain trajectories, the others on these and what the value drew then."""
    problem = PROBLEMS[name]
    data = draws.plain(name, seed, problem.calls / 2)
    rows = draws.labelled(data.rows)
    first = fitted(name, seed, network(name, seed, rows), [data], rows, problem.steps // 2)
    own = second(name, seed, problem.calls - data.calls, svdd_of_all_steps(name, first.value))
    both = draws.joined(rows, own.rows)
    last = fitted(name, seed, first.value.network, [data, own], both, problem.steps - problem.steps // 2)  # type: ignore
    return Learnt(last.value, last.calls, last.cpu_seconds + first.cpu_seconds - data.cpu_seconds)


def svdd_of_all_steps(name: str, value: Value) -> sv.Sampler:
    """Also where the training-free value would look at some steps alone: a network costs little."""
    return sv.svdd(reference(name), target(name), value, CANDIDATES)


def fitted(
    name: str, seed: int, own: nn.Module, data: list[draws.Data], rows: TensorDict, steps: int | None = None
) -> Learnt:
    """The network after so many steps on labelled states, and what the data and the steps took."""
    problem, value = PROBLEMS[name], Learned(own)
    objective = MonteCarloRegression(reference(name), target(name), value, "mean", learning_rate=problem.rate)
    start = clock()
    served = InMemoryData(rows, batch_size=BATCH, seed=seed)
    fit(
        objective,
        max_steps=problem.steps if steps is None else steps,
        seed=seed,
        data=served,
        enable_progress_bar=False,
    )
    spent = since(start)["cpu_seconds"] + math.fsum(each.cpu_seconds for each in data)
    return Learnt(value, sum(each.calls for each in data), spent)
