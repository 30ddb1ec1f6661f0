"""Group-relative policy optimisation (GRPO, Flow-GRPO, MixGRPO): clipped policy gradient relative to a group."""

from dataclasses import replace
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.arguments import integer
from svlearn.inference import proposals
from svlearn.objectives.behaviour import SharedStart
from svlearn.objectives.checks import check_divergence
from svlearn.objectives.clipped_policy_gradient import ClippedPolicyGradient, bounded_ratios
from svlearn.objectives.group_relative import (
    FORMS,
    KeptTerms,
    constant_groups,
    group_advantages,
    relative_rewards,
    relative_sum,
)
from svlearn.objectives.policy_objective import log_ratio
from svlearn.objectives.windows import Window
from svlearn.policies import Policy
from svlearn.process import Reference
from svlearn.reward import WeightedSum
from svlearn.rollouts.roll_out import Measure, roll_out
from svlearn.state import State, repeat
from svlearn.targets import Target
from svlearn.transitions import Transition

KLS = ("exact", "sampled", "direct", "k3")


def divergence(q: Transition, p: Transition, x_next: State) -> Tensor:
    """KL(q(·|x_t) || p(·|x_t)), (B,), nats."""
    return q.kl(p)


def k3(q: Transition, p: Transition, x_next: State) -> Tensor:
    """p/q - 1 + log q/p at x_{t+1}, (B,), nats: of mean KL(q || p) under q, never below 0 (2402.03300, equation 4)."""
    ratio = q.log_ratio(p, x_next)
    return bounded_ratios(-ratio) - 1 + ratio


class GroupRelativePolicyGradient(ClippedPolicyGradient):
    """Climb the ELBO E_q[r(x_T)/α] - KL(q || p_ref) relative to groups of trajectories under one condition.

    GRPO (arXiv 2402.03300), for flows and diffusion Flow-GRPO (2505.05470): β of these papers is α. Each `group_size`
    consecutive trajectories have one condition, and with shared_start one x_0; without conditions a group is a part of
    the batch. What an iteration draws and how often it learns from it: see `ClippedPolicyGradient`. With exact KL and
    the advantages by leave-one-out

        KL_t = KL(q(·|x_t) || p_ref(·|x_t)),
        A_t = (r - mean of the others' r)/α - (Σ_{s>t} KL_s - mean of the others'),
        loss = E Σ_t [-min(ρ_t A_t, clip(ρ_t, 1 - ε, 1 + ε) A_t) + KL_t],

    whose gradient at q = q_old is unbiased for -∇ ELBO: that of a path's KL is that of each KL_t at the states visited,
    and a score-function term of the KL still to come. Later steps of an iteration are biased, the less the smaller the
    learning rate.

    advantages: "leave_one_out"; or forms of the papers. "centered", r less the mean of all K (Dr. GRPO, 2503.20783):
    the reward's part is (K - 1)/K of the right one. "standardized", that divided by the group's standard deviation
    (GRPO): each group then has an α of its own, α times its spread, so the fixed point is not p*; no unit of r matters.
    "standardized_each": the same of each reward of a weighted sum, then summed by the weights (2601.05242).
    A group whose reward is constant teaches nothing but the KL, in each form; "train/constant_groups" is their share.
    kl: "exact"; "sampled": log q/p_ref of the moves that were drawn, from step t on, in its place in A_t, unbiased too,
    for laws without a closed form, of more variance; "direct": KL_t alone, without the score-function term, and "k3":
    a sampled form of it for any law (GRPO's: its gradient is that of KL(p_ref || q) in expectation). The last two are
    the papers', and biased: they see what a step costs, not where it leads.
    num_times: as in `PolicyGradient`. window: learn at so many consecutive steps alone, drawn as all others are, of
    which the network is called with gradient (MixGRPO, 2507.21802); it wraps around at T. window_moves: "progressive":
    by one step every `window_every` iterations, from x_0 on; "random": to a uniform place at each optimiser step, which
    is unbiased; "frozen": the first steps, always.
    Outside the window MixGRPO follows the ordinary differential equation of the same marginals, so that less noise
    reaches the reward. Here all steps have their noise: where a policy moves one that has none, log q/p_ref of the path
    is infinite, so there is neither an ELBO to climb nor a p*. The advantages are of the reward alone, as those of the
    paper, with kl="direct" or "k3", which then count the steps of the window.
    Fewer steps in training than in use: train on the same process of fewer steps, see `Finetuned.on`.
    Raises ValueError as `PolicyGradient` (r = -inf included, whatever the form), for a group of one, a batch_size that
    is no multiple of it and unknown names; TypeError for laws whose KL is not known where it is asked for.
    """

    def __init__(
        self,
        reference: Reference,
        target: Target,
        policy: Policy,
        *,
        group_size: int = 8,
        advantages: str = "leave_one_out",
        kl: str = "exact",
        shared_start: bool = False,
        window: int | None = None,
        window_moves: str = "progressive",
        window_every: int = 1,
        **options: Any,
    ):
        super().__init__(reference, target, policy, **options)
        self.group_size = integer(group_size, "group_size", 2)
        if self.batch_size % self.group_size:
            raise ValueError(f"batch_size: expected a multiple of group_size {group_size}, got {self.batch_size}")
        for name, choice, known in (("advantages", advantages, FORMS), ("kl", kl, KLS)):
            if choice not in known:
                raise ValueError(f"{name}: expected one of {', '.join(known)}, got {choice!r}")
        total = target.reward if isinstance(target.reward, WeightedSum) else None
        if advantages == "standardized_each" and total is None:
            raise ValueError(
                "advantages: 'standardized_each' needs several rewards, as Target({reward: weight, ...}, alpha), got "
                f"{type(target.reward).__name__}; 'standardized' takes one"
            )
        self.total = total if advantages == "standardized_each" else None  # of which each reward is kept
        if window is not None and self.num_times is not None:
            raise ValueError("num_times, window: expected one of them at most, got both")
        self.advantages, self.kl, self.shared_start = advantages, kl, shared_start
        self.window = None if window is None else Window(window, reference.num_steps, window_moves, window_every)
        if kl in ("exact", "direct") and self.needs_log_prob():
            check_divergence(reference, proposals.Policy(policy), f"kl={kl!r}", self.conditions)

    def loss(self, trajectories: TensorDict, generator: torch.Generator) -> Tensor:
        """T · mean of surrogate and KL over the steps that are looked at, of trajectories as from `judged`."""
        costs: dict[str, list[Measure]] = {"exact": [divergence], "direct": [divergence], "k3": [k3], "sampled": []}
        t, (log_ratios, *terms) = self.some_terms(trajectories["states"], [log_ratio, *costs[self.kl]], generator)
        losses = self.surrogate(trajectories, t, log_ratios)
        for term in terms:
            losses = losses + self.watch("KL(q || p_ref)", term)
        if self.training:
            self.log("train/constant_groups", trajectories["constant"].double().mean())
        return self.reference.num_steps * losses.mean()

    def chosen_times(self, size: int, generator: torch.Generator) -> Tensor:
        if self.window is None:
            return super().chosen_times(size, generator)
        return self.window.times(self.global_step // self.steps_per_iteration, generator).expand(size, -1)

    def drawn(self, size: int, generator: torch.Generator) -> TensorDict:
        """Fresh trajectories in groups, with "log_ratios" (B, T), log p_ref - log q, "kl" (B, T) where it is exact, and
        "terms" (B, N), what each reward says, where each is standardized."""
        rows = self.draw_conditions(size // self.group_size, generator)
        process = SharedStart(self.reference, self.group_size) if self.shared_start else self.reference
        kept = None if self.total is None else KeptTerms(self.total)
        drawn = roll_out(
            process,
            size,
            target=self.target if kept is None else replace(self.target, reward=kept),
            proposal=self.policy,
            condition=None if rows is None else repeat(rows, self.group_size),
            generator=generator,
            measures={"kl": divergence} if self.kl == "exact" else None,
        )
        return drawn if kept is None else drawn.set("terms", kept.terms())

    def judged(self, trajectories: TensorDict) -> TensorDict:
        """As from `drawn`, with "advantages" (B, T) and whether the reward is "constant" in the group, (B,)."""
        rewards, size = self.checked(trajectories["rewards"]), self.group_size
        if self.total is not None:
            relative = relative_sum(trajectories["terms"], [weight for weight, _ in self.total.terms], size)
        else:
            relative = relative_rewards(rewards, size, self.advantages)
        trajectories.set("constant", constant_groups(rewards if self.total is None else rewards.float(), size))
        return trajectories.set(
            "advantages", group_advantages(relative, self.to_go(trajectories), self.target.alpha, size)
        )

    def to_go(self, trajectories: TensorDict) -> Tensor:
        """What of the path's KL is still to come after each choice, (B, T), nats; that of its own step where it is told
        by the move that was drawn."""
        if self.kl == "exact":
            costs = trajectories["kl"]
            return _from_here(costs) - costs
        costs = -trajectories["log_ratios"]
        return _from_here(costs) if self.kl == "sampled" else torch.zeros_like(costs)

    def _trajectories(self, batch: Any, size: int, generator: torch.Generator) -> TensorDict:
        whole = size + -size % self.group_size  # of a validation of any size
        return super()._trajectories(batch, whole, generator)


def _from_here(costs: Tensor) -> Tensor:
    """Σ_{s >= t} of (B, T), (B, T)."""
    return costs.flip(1).cumsum(1).flip(1)
