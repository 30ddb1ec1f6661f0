"""Proximal policy optimisation (PPO): several clipped steps of policy gradient on each batch of trajectories."""

from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from svlearn.arguments import integer
from svlearn.objectives.policy_gradient import PolicyGradient, path_advantages
from svlearn.policies import Policy
from svlearn.process import Reference
from svlearn.state import concatenate
from svlearn.targets import Target


def clipped_surrogate_loss(log_ratios: Tensor, old_log_ratios: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """-min(ρ A, clip(ρ, 1 - ε, 1 + ε) A) of each step, of the shape of the advantages (1707.06347, equation 7).

    ρ = q/q_old = exp(log_ratios - old_log_ratios): log q/p_ref of the policy, with gradient, and of the one that drew
    the step. At q = q_old its gradient is -A ∇ log q.
    """
    ratios = (log_ratios - old_log_ratios).exp()
    return -torch.minimum(ratios * advantages, ratios.clamp(1 - clip, 1 + clip) * advantages)


class ProximalPolicyGradient(PolicyGradient):
    """Climb the ELBO E_q[r(x_T)/α] - KL(q || p_ref) by PPO with one ratio a step (DDPO, arXiv 2305.13301).

    Each iteration draws num_minibatches · batch_size trajectories of the policy as it is, q_old, and keeps them with
    log q_old/p_ref and their advantages. Then come num_epochs passes over them in minibatches of `batch_size`, one
    optimiser step each (n times as many of both where n micro-batches make up a step), down `clipped_surrogate_loss`.
    So a step costs batch_size/num_epochs fresh trajectories; "train/trajectories" counts those drawn so far,
    "train/clip_fraction" is the share of ρ beyond the clipping.

    The advantages A_t = G_t - b_t are those of `PolicyGradient`, the baseline taken over all trajectories of the
    iteration. All that they hold, log q/p_ref of the step itself included, is of q_old: the mean over minibatches of
    the gradient at q = q_old is exactly that of `PolicyGradient` on the whole, unbiased for -∇ ELBO. Where q_old is
    stationary for the ELBO the surrogate is too, in expectation. Later steps of an iteration are biased, the less the
    smaller the learning rate.

    clip: ε of the clipping. num_times: as in `PolicyGradient`, drawn anew at each optimiser step.
    normalize_advantages: divide them by their root mean square over the iteration. It makes the loss independent of
    the scale of r/α, but depends on the same draws, a bias of order 1 over their number, so it is off by default.
    A checkpoint holds the trajectories. Raises ValueError as `PolicyGradient` and for numbers out of range.
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
        normalize_advantages: bool = False,
        **options: Any,
    ):
        super().__init__(reference, target, policy, **options)
        if not 0 < clip < 1:
            raise ValueError(f"clip: expected a number in (0, 1), got {clip}")
        self.num_minibatches = integer(num_minibatches, "num_minibatches")
        self.num_epochs = integer(num_epochs, "num_epochs")
        self.clip, self.normalize_advantages = clip, normalize_advantages
        self.iteration = Iteration()

    @property
    def steps_per_iteration(self) -> int:
        return self.num_epochs * self.num_minibatches

    def loss(self, trajectories: TensorDict, generator: torch.Generator) -> Tensor:
        """T · mean of the clipped surrogate over the steps that are looked at, of trajectories as from `judged`."""
        t, log_ratios = self.some_log_ratios(trajectories["states"], generator)
        old, advantages = -trajectories["log_ratios"].gather(1, t), trajectories["advantages"].gather(1, t)
        if self.training:
            moved = (log_ratios.detach() - old).exp() - 1
            self.log("train/clip_fraction", (moved.abs() > self.clip).double().mean())
        return self.reference.num_steps * clipped_surrogate_loss(log_ratios, old, advantages, self.clip).mean()

    def judged(self, trajectories: TensorDict) -> TensorDict:
        """Fresh trajectories, as from `drawn`, with their "advantages" (B, T)."""
        rewards = self.checked(trajectories["rewards"])
        advantages = path_advantages(-trajectories["log_ratios"], rewards, self.target.alpha)
        if self.normalize_advantages:
            scale = advantages.square().mean().sqrt()
            advantages = advantages / torch.where(scale > 0, scale, 1.0)
        return trajectories.set("advantages", advantages)

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


class Iteration(nn.Module):
    """The trajectories of an iteration and the order in which they are looked at; a checkpoint holds them."""

    of_one_process = True

    def __init__(self) -> None:
        super().__init__()
        self.trajectories: TensorDict | None = None
        self.order: Tensor | None = None

    @property
    def size(self) -> int:
        """How many trajectories are held."""
        return 0 if self.trajectories is None else len(self.trajectories)

    def start(self, trajectories: TensorDict, num_epochs: int, generator: torch.Generator) -> None:
        """Forget the last ones; each epoch has an order of its own."""
        size = len(trajectories)
        orders = [torch.randperm(size, generator=generator, device=generator.device) for _ in range(num_epochs)]
        self.trajectories, self.order = trajectories, torch.cat(orders)

    def minibatch(self, step: int, size: int) -> TensorDict:
        """The trajectories (B, ...) of a micro-batch, counted as `step` from the start of the iteration."""
        if self.trajectories is None or self.order is None:
            raise ValueError("trajectories: nothing is held yet")
        return self.trajectories[self.order[step * size : (step + 1) * size]]

    def get_extra_state(self) -> dict:
        trajectories = self.trajectories
        return {"order": self.order, "trajectories": None if trajectories is None else trajectories.to_dict()}

    def set_extra_state(self, state: dict) -> None:
        self.order = state["order"]
        entries = state["trajectories"]
        self.trajectories = None if entries is None else TensorDict(entries, batch_size=[len(entries["rewards"])])
