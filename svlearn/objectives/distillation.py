"""Distillation: a policy learns by maximum likelihood to do in one draw what a sampler does with many candidates."""

import math
from dataclasses import replace
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.arguments import integer
from svlearn.fingerprint import fingerprint
from svlearn.inference import proposals
from svlearn.inference.paths import sample_paths
from svlearn.inference.sampler import Sampler
from svlearn.objectives.behaviour import Replay
from svlearn.objectives.distributional_policy_gradient import weighted_likelihood_loss
from svlearn.objectives.policy_objective import PolicyObjective
from svlearn.objectives.time_sampling import check_num_times, draw_times
from svlearn.policies import Policy
from svlearn.process import Prediction, Reference, draw_initial
from svlearn.state import concatenate
from svlearn.targets import Target, check_scalars

LAWS = ("teacher", "target")
ROLL_INS = ("teacher", "student")


@torch.no_grad()
def chosen_moves(
    reference: Reference,
    policy: Policy,
    sampler: Sampler,
    batch_size: int,
    *,
    generator: torch.Generator,
    condition: Any = None,
) -> TensorDict:
    """Trajectories of the policy, "states" (B, T + 1, ...), and what the sampler would have done along them.

    "choices" (B, T, ...): the x_{t+1} that it chooses at x_t; "log_weights" (B, T), nats, of these: the log-mean of the
    increments of its candidates, 0 at α = 0. One call of the reference a state, and one of the policy; those of the
    sampler's candidates besides. condition: B rows of what they are conditioned on. Raises ValueError for a sampler
    whose particles compete in groups.
    """
    student = proposals.Policy(policy)
    states, choices, log_weights = [draw_initial(policy, batch_size, condition=condition, generator=generator)], [], []
    prediction: Prediction | None = None
    for t in range(reference.num_steps):
        prediction = student.predict(reference, states[-1], t, prediction)
        of_reference = replace(prediction, policy=None)  # the sampler may have a policy of its own
        choice, log_weight = sampler.move(states[-1], t, of_reference, generator=generator)
        states.append(student.transition(states[-1], t, prediction).sample(generator=generator))
        choices.append(choice)
        log_weights.append(log_weight)
    leaves = {"states": states, "choices": choices, "log_weights": log_weights}
    return TensorDict({name: torch.stack(rows, dim=1) for name, rows in leaves.items()}, batch_size=[batch_size])


class Distillation(PolicyObjective):
    """Maximise Σ_i w_i Σ_t log q(x_{t+1}|x_t), nats, over trajectories i of a sampler, the teacher; α = 0 is allowed.

    The loss is -mean_i w_i Σ_t log q/p_ref, equal to it up to a constant. w is never normalised inside a batch, which
    would bias it: its scale, the mean w of the first batch, is kept. So at every batch size the fixed point of a class
    that holds it is q(x_{t+1}|x_t) = that conditional of the law of trajectories that w makes; q keeps p_ref(x_0).

    law: which one. "teacher": w is 1, or the particle's weight inside its group of mean 1 (`smc`): the law of what
    `Samples.draw` gives, for any sampler (greedy `svdd`, `best_of_n`) and whatever its biases. "target": times the
    group's estimate of Z (`smc`, and `svdd` at α > 0): p* exactly, for any value, K and M, at the price of variance.

    roll_in: who visits the x_t. "teacher": whole trajectories of the sampler. "student": those of the policy as it is,
    for the teacher to say what it would do at each x_t (DAgger, arXiv 1011.0686), which shows the student the states
    that its own errors lead to. It needs a sampler of single particles, such as `svdd`. w of a move is then 1 for law
    "teacher", and for "target" the mean of the M increments: at any M the fixed point is then
    ∝ p_ref(x_{t+1}|x_t) exp(v_{t+1}(x_{t+1})/α), p*'s where v is exact.

    A step draws groups of the sampler of batch_size particles in all, or batch_size trajectories of the student.
    replay: from the second batch on it draws only 1 - replay of that, and takes replay · batch_size from the last
    `replay_size` trajectories again. num_times: at how many moves of each trajectory the gradient is taken, as in
    `PolicyGradient`. sampler None: only stored trajectories, given to `fit`. Any that are given to `fit` may have
    "log_weights" (B,), nats, of any scale; they weigh 1 without.

    Validation logs the policy's mean reward, and at α > 0 the ELBO. Raises TypeError and ValueError for bad arguments;
    ValueError, with the step and the index, where q or p_ref cannot make a move of weight above 0; and as
    `PolicyObjective`, but not for alpha = 0.
    """

    needs_temperature = False
    log_scale: Tensor

    def __init__(
        self,
        reference: Reference,
        target: Target,
        policy: Policy,
        sampler: Sampler | None = None,
        *,
        law: str = "teacher",
        roll_in: str = "teacher",
        replay: float = 0.0,
        replay_size: int = 10_000,
        num_times: int | None = None,
        **options: Any,
    ):
        super().__init__(reference, target, policy, **options)
        for name, choice, known in (("law", law, LAWS), ("roll_in", roll_in, ROLL_INS)):
            if choice not in known:
                raise ValueError(f"{name}: expected one of {', '.join(known)}, got {choice!r}")
        if not 0 <= replay < 1:
            raise ValueError(f"replay: expected a share in [0, 1), got {replay}")
        replay_size = integer(replay_size, "replay_size")
        num_times = check_num_times(num_times, reference.num_steps)
        self.sampler, self.law, self.roll_in, self.num_times = sampler, law, roll_in, num_times
        if sampler is not None:
            self._check_sampler(sampler)
        self.share, self.replay = replay, Replay(replay_size) if replay > 0 else None
        self.register_buffer("log_scale", torch.full((), math.nan, dtype=torch.float64))

    def loss(self, trajectories: TensorDict, generator: torch.Generator) -> Tensor:
        """Of "states" (B, T + 1, ...), "log_weights" (B,) or (B, T), and "choices" where they are not the states."""
        size, steps = len(trajectories), self.reference.num_steps
        log_weights = self._scaled(trajectories["log_weights"].double().view(size, -1).expand(size, steps))
        if self.num_times is None:
            t = torch.arange(steps, device=self.device).expand(size, -1)
        else:
            t = draw_times(size, steps, self.num_times, generator)
        weighed = log_weights.gather(1, t) > -math.inf  # what weighs nothing may be a move that q cannot make
        rows, t = weighed.nonzero()[:, 0], t[weighed]
        states, choices = trajectories["states"], trajectories.get("choices", None)
        whole = len(rows) == size * steps  # what weighs nothing is called where one pass calls all, and only there
        if whole or self.looks_along(range(min(weighed.shape[1], steps - 1))):
            mask = torch.zeros_like(log_weights, dtype=torch.bool).index_put((rows, t), torch.ones_like(rows).bool())
            log_ratios = self.log_ratios(states, choices, mask)[rows, t]
        else:
            log_ratios = self.log_ratios_at(states, rows, t, choices)
        check_scalars(log_ratios, len(rows), "log q - log p_ref", t, finite=True)
        mean = weighted_likelihood_loss(log_ratios[:, None], log_weights[rows, t])
        return steps * mean * len(rows) / weighed.numel()

    def validate(self, trajectories: TensorDict, generator: torch.Generator) -> None:
        own = self.roll_out_policy(self.num_validation, generator)
        self.log_samples(own, self.log_ratios(own["states"]).sum(dim=1) if self.target.alpha > 0 else None)

    def frozen_parts(self) -> list[object]:
        return [*super().frozen_parts(), self.sampler]

    def _trajectories(self, batch: Any, size: int, generator: torch.Generator) -> TensorDict:
        if isinstance(batch, TensorDict):
            return batch if "log_weights" in batch else batch.copy().set("log_weights", torch.zeros(len(batch)))
        if self.sampler is None:
            raise ValueError("sampler: expected one to draw from, got None; give one, or fit stored trajectories")
        if self.replay is None or not self.training:
            return self._fresh(self.sampler, size, generator)
        replayed = round(self.share * size) if len(self.replay) else 0
        past = [self.replay.draw(replayed, generator)] if replayed else []
        new = self._fresh(self.sampler, size - replayed, generator)
        self.replay.wait(new, more=self.more_to_come)
        return concatenate([new, *past])

    def _fresh(self, sampler: Sampler, size: int, generator: torch.Generator) -> TensorDict:
        """New trajectories, with "log_weights" towards the law that is wanted."""
        if self.roll_in == "student":
            rows = self.draw_conditions(size, generator)
            moves = chosen_moves(self.reference, self.policy, sampler, size, generator=generator, condition=rows)
            if self.law == "teacher":
                impossible = moves["log_weights"] == -math.inf
                moves["log_weights"] = torch.where(impossible, -math.inf, 0.0).double()
            return moves
        groups = max(1, size // sampler.num_particles)
        paths = sample_paths(sampler, groups, condition=self.draw_conditions(groups, generator), generator=generator)
        if self.law == "target":
            paths["log_weights"] = paths["log_weights"] + paths["log_normalizer"]
        return paths.select("states", "log_weights")

    def _scaled(self, log_weights: Tensor) -> Tensor:
        """The log-weights less the log of the mean weight of the first batch."""
        if bool((log_weights == -math.inf).all()):
            raise ValueError("log_weights: expected some above -inf, got none in a batch; give a larger batch_size")
        if bool(self.log_scale.isnan()):
            first = self.of_all_processes(log_weights).flatten()
            self.log_scale.copy_(first.logsumexp(dim=0) - math.log(len(first)))
        return log_weights - self.log_scale

    def _check_sampler(self, sampler: Sampler) -> None:
        if not isinstance(sampler, Sampler):
            raise TypeError(f"sampler: expected None or a Sampler, got {type(sampler).__name__}")
        other, reference = sampler.reference, self.reference
        if other is not reference and fingerprint(other) == fingerprint(reference):
            sampler.parts.reference = reference  # an equal one, as from a YAML: hold it once
        if other.num_steps != reference.num_steps:
            raise ValueError(f"sampler: expected one of {reference.num_steps} steps, got one of {other.num_steps}")
        if self.roll_in == "student":
            if sampler.reference is not reference:
                raise ValueError("sampler: expected one of this reference to choose at the student's states")
            if sampler.num_particles != 1:
                raise ValueError(
                    "roll_in: expected 'teacher' for a sampler whose particles compete in groups, got 'student'; "
                    "svdd chooses for each particle alone"
                )
        if self.law == "target" and not sampler.estimates_normalizer:
            raise ValueError("law: expected 'teacher' for a sampler that does not estimate log Z, got 'target'")
        if sampler.num_particles > min(self.batch_size, self.num_validation):
            raise ValueError(
                f"batch_size, num_validation: expected at least the {sampler.num_particles} particles of a group, "
                f"got {self.batch_size} and {self.num_validation}"
            )
