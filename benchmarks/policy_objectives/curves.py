"""What a policy is while it is trained, by what its training has taken until then."""

from collections.abc import Callable, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from benchmarks.common.clock import clock, since
from benchmarks.policy_objectives.families import objective
from benchmarks.policy_objectives.tasks import TASKS, condition, judge, policy, reference, target
from svlearn.evaluation.report.provenance import provenance
from svlearn.metering import Meter, metered
from svlearn.objectives.fit import fit
from svlearn.objectives.group_relative_policy_gradient import divergence
from svlearn.objectives.held_out import mean_with_error
from svlearn.policies import Policy
from svlearn.randomness import seeded
from svlearn.rollouts.roll_out import roll_out
from svlearn.state import State

MOST_STEPS = 20_000  # far more than any training takes: so the learning rate stays where it is
KINDS = ("reference_calls", "policy_calls")
COMPARED = 64  # samples of which the diversity is told, for it may depend on their number
EVALUATION = 7  # a stream of randomness of its own


class Curve(pl.Callback):
    """Judge what is trained at the end of the step at which its calls first reach each mark, and stop at the last.

    meter: of the frame in which it is trained; kinds: what of it counts. marks: calls, rising. points: "calls",
    "cpu_seconds" and "steps" so far, without what judging takes, with the figures that `judged` returns.
    """

    def __init__(
        self, meter: Meter, marks: Sequence[float], judged: Callable[[], dict[str, Any]], kinds: Sequence[str] = KINDS
    ):
        super().__init__()
        self.meter, self.marks, self.judged, self.kinds = meter, list(marks), judged, kinds
        self.points: list[dict[str, Any]] = []
        self.spent, self.own_calls, self.start = 0.0, 0, clock()

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.start = clock()

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *batch: Any) -> None:
        calls = network_calls(self.meter, self.kinds) - self.own_calls
        if not self.marks or calls < self.marks[0]:
            return
        self.marks = [mark for mark in self.marks if mark > calls]
        self.spent += since(self.start)["cpu_seconds"]
        now = {"calls": calls, "cpu_seconds": self.spent, "steps": trainer.global_step}
        self.points.append(now | self.judged())
        self.own_calls, self.start = network_calls(self.meter, self.kinds) - calls, clock()
        trainer.should_stop = not self.marks


def network_calls(meter: Meter, kinds: Sequence[str] = KINDS) -> int:
    """Of the reference and of policies, a state each; a call that a gradient is taken of is one, too."""
    return sum(meter.calls[kind] for kind in kinds)


def trained(name: str, family: str, seed: int, rate: float, marks: Sequence[float] | None = None) -> dict[str, Any]:
    """The curve of a training of a family on a task, until the last mark, a share of its calls; None: the task's."""
    task, own = TASKS[name], policy(name)
    marks = task.marks if marks is None else marks
    learning = objective(name, family, own, rate)
    with metered() as meter:
        calls = [share * task.calls for share in marks]
        kinds = (
            KINDS[:1] if task.corrects is not None else KINDS
        )  # what corrects asks the reference, and has no network
        curve = Curve(meter, calls, lambda: figures_of(name, own, seed), kinds)
        fit(learning, max_steps=MOST_STEPS, seed=seed, callbacks=[curve], enable_progress_bar=False)
    return {"points": curve.points, "rate": learning.learning_rate, "provenance": provenance()}


def figures_of(name: str, own: Policy, seed: int) -> dict[str, Any]:
    """Of fresh samples of a policy: reward and judge with their standard errors, KL(q || p_ref) of paths, nats,
    diversity."""
    task = TASKS[name]
    drawn = roll_out(
        reference(name),
        task.number,
        target=target(name),
        condition=condition(name, task.number),
        generator=seeded("cpu", seed, EVALUATION),
        proposal=own,
        measures={"kl": divergence},
    )
    return scores_of(name, drawn["states"][:, -1], drawn["rewards"]) | {"kl": float(drawn["kl"].sum(dim=1).mean())}


@torch.no_grad()
def scores_of(name: str, x: State, rewards: Tensor) -> dict[str, Any]:
    """Reward and judge of finished samples (B, ...), each with its standard error, and their diversity."""
    return {
        "reward": list(mean_with_error(rewards)),
        "judge": list(mean_with_error(judge(name)(x))),
        "diversity": TASKS[name].diversity(reference(name).decode(x[:COMPARED])),
    }
