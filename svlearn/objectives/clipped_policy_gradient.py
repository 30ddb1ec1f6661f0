"""What the policy gradients have in common that take several clipped steps on each batch of trajectories."""

from abc import abstractmethod
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.arguments import integer
from svlearn.objectives.iteration import Iteration
from svlearn.objectives.policy_gradient import PolicyGradient
from svlearn.policies import Policy
from svlearn.process import Reference
from svlearn.state import concatenate
from svlearn.targets import Target

LARGEST = 20.0  # nats, of the logarithm of a ratio: its square is far from overflow in float32


def bounded_ratios(log_ratios: Tensor) -> Tensor:
    """exp(log_ratios), at most e^20 = 5e8, without gradient beyond: a loss of these is finite, and so is its slope."""
    return log_ratios.clamp(max=LARGEST).exp()


def clipped_surrogate_loss(log_ratios: Tensor, old_log_ratios: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """-min(ρ A, clip(ρ, 1 - ε, 1 + ε) A) of each step, of the shape of the advantages (1707.06347, equation 7).

    ρ = q/q_old = exp(log_ratios - old_log_ratios), see `bounded_ratios`: log q/p_ref of the policy, with gradient, and
    of the one that drew the step. At q = q_old its gradient is -A ∇ log q.
    """
    ratios = bounded_ratios(log_ratios - old_log_ratios)
    return -torch.minimum(ratios * advantages, ratios.clamp(1 - clip, 1 + clip) * advantages)


class ClippedPolicyGradient(PolicyGradient):
    """Climb the ELBO by iterations of several optimiser steps each, down `clipped_surrogate_loss`.

    Each iteration draws num_minibatches · batch_size trajectories of the policy as it is, q_old, and keeps them with
    log q_old/p_ref and what `judged` adds, "advantages" (B, T). Then come num_epochs passes over them in minibatches of
    `batch_size`, one optimiser step each (n times as many of both where n micro-batches make up a step). So a step
    costs batch_size/num_epochs fresh trajectories; "train/trajectories" counts those drawn so far. Of the ρ that a step
    meets "train/clip_fraction" is the share beyond the clipping, "train/overflow_fraction" that beyond e^20, which
    count as e^20. A checkpoint holds the trajectories.
    """

    def __init__(
        self,
        reference: Reference,
        target: Target,
        policy: Policy,
        *,
        num_minibatches: int = 4,
        num_epochs: int = 2,
        clip: float = 0.2,
        **options: Any,
    ):
        super().__init__(reference, target, policy, **options)
        if not 0 < clip < 1:
            raise ValueError(f"clip: expected a number in (0, 1), got {clip}")
        self.num_minibatches = integer(num_minibatches, "num_minibatches")
        self.num_epochs = integer(num_epochs, "num_epochs")
        self.clip = clip
        self.iteration = Iteration()

    @property
    def steps_per_iteration(self) -> int:
        return self.num_epochs * self.num_minibatches

    @abstractmethod
    def judged(self, trajectories: TensorDict) -> TensorDict:
        """Fresh trajectories, as from `drawn`, with their "advantages" (B, T)."""

    def loss(self, trajectories: TensorDict, generator: torch.Generator) -> Tensor:
        """T · mean of the clipped surrogate over the steps that are looked at, of trajectories as from `judged`."""
        t, log_ratios = self.some_log_ratios(trajectories["states"], generator)
        return self.reference.num_steps * self.surrogate(trajectories, t, log_ratios).mean()

    def surrogate(self, trajectories: TensorDict, t: Tensor, log_ratios: Tensor) -> Tensor:
        """The clipped surrogate of the moves at t (B, n), (B, n), of their log q/p_ref (B, n), with gradient."""
        old, advantages = -trajectories["log_ratios"].gather(1, t), trajectories["advantages"].gather(1, t)
        if self.training:
            gaps = log_ratios.detach() - old
            self.log("train/clip_fraction", ((gaps.exp() - 1).abs() > self.clip).double().mean())
            self.log("train/overflow_fraction", (gaps > LARGEST).double().mean())
        return clipped_surrogate_loss(log_ratios, old, advantages, self.clip)

    def training_step(self, batch: int | TensorDict, batch_index: int) -> Tensor:
        loss = super().training_step(batch, batch_index)
        iterations = self.global_step // self.steps_per_iteration + 1
        at_once = self.num_minibatches * self.num_micro_batches * self.batch_size
        self.log("train/trajectories", float(iterations * at_once * getattr(self._trainer, "world_size", 1)))
        return loss

    def _trajectories(self, batch: Any, size: int, generator: torch.Generator) -> TensorDict:
        if not self.training:
            return self.judged(self.drawn(size, generator))
        step, together = self.global_step % self.steps_per_iteration, self.num_micro_batches
        parts = self.num_minibatches * together
        begins = step == 0 and self.micro_batch == 0
        if begins or self.iteration.size != parts * size:  # none is held, or one for steps of another number of parts
            drawn = concatenate([self.drawn(size, generator) for _ in range(parts)])
            self.iteration.start(self.judged(drawn), self.num_epochs, generator)
        return self.iteration.minibatch(step * together + self.micro_batch, size).to(self.device)
