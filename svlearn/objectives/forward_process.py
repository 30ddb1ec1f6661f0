"""Policies on the forward process: denoise samples by what they are worth, without a path, a likelihood or a solver."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.arguments import integer, real
from svlearn.objectives.checks import check_trained
from svlearn.objectives.denoiser_checks import check_denoiser, has_elbo
from svlearn.objectives.forward_losses import effective_share, optimality_of, pulled_loss
from svlearn.objectives.group_relative import constant_groups
from svlearn.objectives.policy_objective import PolicyObjective
from svlearn.objectives.slow_policy import Decay, follow, own_names, slow_copy
from svlearn.objectives.time_sampling import check_num_times, draw_times
from svlearn.policies import Policy
from svlearn.process import Reference, add_noise, predict
from svlearn.rollouts.roll_out import roll_out
from svlearn.state import repeat
from svlearn.targets import Target, check_scalars

VARIANTS = ("reward_weighted", "nft")
OPTIMALITIES = ("batch", "group", "tilted")
DECAY = (0.001, 0.5)


class ForwardProcessPolicy(PolicyObjective):
    """Train a policy's prediction of x_T on noised samples; only samples x_T and their rewards are needed.

    x_T is drawn, x_t ~ `Reference.noise` of it at num_times uniform t (None: at all), and ℓ = `denoising_loss` of the
    policy's prediction for x_t is weighed by what x_T is worth (`forward_losses.pulled_loss`). What is learned is the
    law, or mean, of x_T given x_t of a target law under the forward process. The policy, which samples by it, reaches
    that law where the reference is the reversal of its forward process: many small steps (or one place a step of a
    masked diffusion) and an x_0 that tells nothing of x_T, as the policy keeps p_ref(x_0).

    variant "reward_weighted": ℓ(x_T) · w, w = exp(r/α)/c (reward-weighted denoising, arXiv 2302.12192, 2305.16381).
        x_T ~ p_ref: at x_t the minimiser has E[w x_T | x_t]/E[w | x_t], that of p*, exactly. r = -inf is legal.
    variant "nft": w' ℓ(x_T) + (s - w') ℓ(slow), DiffusionNFT's positive and negative branch (arXiv 2509.16117), where
        ℓ(slow) is against the prediction of a slow copy of the policy, which also draws the x_T.
        optimality "batch", "group": o in [0, 1] of the reward against the batch, or against its group of group_size
        samples of one condition (`forward_losses.optimality_of`, with clip); w' = (2o - 1)/β, s = 1. One round, the
        slow copy held, ends at m_slow + (2/β) Δ, Δ = Cov(o, x_T | x_t). Of a cross-entropy this is a law where β >= 2.
        α does not enter. As the slow copy follows there is no end but where o does not depend on x_T given x_t: it
        climbs towards the highest rewards, and p* is no fixed point (unless r is constant). Small steps follow the
        tilts p_ref exp(λ o), λ growing by 2/β a round: stop by steps, or by a judge.
        optimality "tilted": w' = w - 1, s = w. With x_T ~ p_ref and m_slow = m_ref = E_ref[x_T | x_t] the minimiser is
        m_ref + E[(w - 1)(x_T - m_ref) | x_t]/E[w | x_t] = E[w x_T | x_t]/E[w | x_t], as E[x_T - m_ref | x_t] = 0: that
        of p*, exactly, whatever c is. The gradient of "reward_weighted" less a baseline that vanishes in expectation:
        where rewards are alike it is without noise, but for a reference that is not its samples' denoiser it is biased.

    num_rounds N, steps_per_round: of "reward_weighted" and "tilted". w = exp(r/(N α))/c; the first round samples p_ref,
    each later one a copy of the policy as the round before has left it. Rounds that end at their minimiser make p_ref
    exp(k r/(N α)), k = 1 ... N, so the last, in which training stays, makes p* with weights of an N-th of the spread.
    (Endless tempered rounds would end at the highest rewards.)
    decay: of the slow copy of "batch" and "group", after each step slow ← decay · slow + (1 - decay) · policy: a
    number, or (rate, most) for min(rate · step, most), as in the paper; 1: it stays p_ref, which draws the x_T.
    Stored trajectories are taken as of p_ref, and only where nothing else is asked for: one round, decay 1.

    c is the mean weight of the first batch of the round, kept, so that no batch normalises itself. "train/weight_share"
    is (Σw)²/(B Σw²); "train/alike" the share of groups whose rewards are all alike, which say nothing.
    Validation logs the policy's mean reward, and the ELBO where log q - log p_ref is to be had and α > 0.

    The autoregressive case: `noise` keeps a beginning, ℓ is the next token's cross-entropy, and what is said of x_T
    given x_t holds of the next token, exactly: a text's beginnings are memoryless and one token a step.
    Raises TypeError for a reference without `noise` or `denoising_loss`, and a policy whose own prediction of x_T is
    not trained (`Controlled`); ValueError for an unknown variant or optimality, options of another one, α = 0 where w
    is asked for, -inf where o is, numbers out of range, and as `PolicyObjective`.
    """

    needs_temperature = False
    log_scale: Tensor
    updates: Tensor

    def __init__(
        self,
        reference: Reference,
        target: Target,
        policy: Policy,
        *,
        variant: str = "reward_weighted",
        optimality: str | None = None,
        beta: float | None = None,
        clip: float | None = None,
        group_size: int | None = None,
        decay: float | Sequence[float] | None = None,
        num_rounds: int | None = None,
        steps_per_round: int | None = None,
        num_times: int | None = 1,
        **options: Any,
    ):
        super().__init__(reference, target, policy, **options)
        self.variant, self.optimality = _variant_of(variant, optimality)
        of_nft: dict[str, Any] = dict(beta=beta, clip=clip, group_size=group_size, decay=decay)
        of_weights: dict[str, Any] = dict(num_rounds=num_rounds, steps_per_round=steps_per_round)
        unused = of_nft if self.is_weighted else of_weights
        if self.optimality != "group":
            unused = {**unused, "group_size": group_size}
        for name, option in unused.items():
            if option is not None:
                raise ValueError(f"{name}: expected None for {self._named}, which does not read it, got {option!r}")
        if self.is_weighted and target.alpha == 0:
            raise ValueError(f"alpha: {self._named} needs alpha > 0, got 0; 'nft' with 'batch' or 'group' reads none")
        self.beta = real(1.0 if beta is None else beta, "beta", above=0)
        self.clip = real(1.0 if clip is None else clip, "clip", above=0)
        self.group_size = self._checked_group_size(group_size)
        self.decay = Decay.of(DECAY if decay is None else decay)
        self.num_rounds = 1 if num_rounds is None else integer(num_rounds, "num_rounds")
        if self.num_rounds > 1 and steps_per_round is None:
            raise ValueError(f"steps_per_round: expected an integer, for there are {num_rounds} rounds, got None")
        self.steps_per_round = integer(1 if steps_per_round is None else steps_per_round, "steps_per_round")
        self.num_times = check_num_times(num_times, reference.num_steps)
        check_denoiser(reference, policy, self.conditions, slow=variant == "nft")
        check_trained(policy, self.conditions)
        self.logs_elbo = target.alpha > 0 and has_elbo(reference, policy, self.conditions)
        moves = self.num_rounds > 1 if self.is_weighted else not self.decay.holds
        self.slow = slow_copy(policy) if moves else None
        self.register_buffer("log_scale", torch.full((), math.nan, dtype=torch.float64))
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))

    @property
    def is_weighted(self) -> bool:
        """Whether samples are weighed by exp(r/α)."""
        return self.variant == "reward_weighted" or self.optimality == "tilted"

    @property
    def source(self) -> Reference:
        """The process that draws x_T, and against whose prediction "nft" holds the policy's."""
        in_first_round = self.is_weighted and int(self.updates) < self.steps_per_round
        return self.reference if self.slow is None or in_first_round else self.slow

    def needs_log_prob(self) -> bool:
        return False

    def loss(self, trajectories: TensorDict, generator: torch.Generator) -> Tensor:
        states, size, steps = trajectories["states"], len(trajectories), self.reference.num_steps
        pulls, totals = self.pulls(trajectories["rewards"])
        if self.num_times is None:
            t = torch.arange(steps, device=pulls.device).expand(size, -1)
        else:
            t = draw_times(size, steps, self.num_times, generator)
        asked = (pulls != 0) | (totals != 0)  # what weighs nothing is not called
        number, rows = t.shape[1], asked.nonzero().expand(-1, t.shape[1]).flatten()
        t = t[asked].flatten()
        x_T: Any = states[rows, steps]
        x = add_noise(self.reference, x_T, torch.full_like(t, steps), t, lambda: states[rows, 0], generator)
        own = predict(self.policy, x, t, kind="policy_calls")
        losses = self._checked(self.reference.denoising_loss(x_T, x, t, own), t)
        if self.variant == "nft":
            source = self.source
            with torch.no_grad():
                kind = "reference_calls" if source is self.reference else "policy_calls"
                slow = predict(source, x, t, kind=kind)
            slow_losses = self._checked(self.reference.denoising_loss(slow, x, t, own), t)
            losses = pulled_loss(losses, slow_losses, pulls[rows], totals[rows])
        else:
            losses = pulls[rows] * losses
        return self.watch("denoising loss", losses).sum() / (size * number)

    def pulls(self, rewards: Tensor) -> tuple[Tensor, Tensor]:
        """h and s of `forward_losses.pulled_loss`, (B,) each, float64, of the samples' rewards (B,)."""
        if not self.is_weighted:
            if bool((rewards == -math.inf).any()):
                raise ValueError(f"reward: {self._named} takes no -inf; 'reward_weighted' and 'tilted' do")
            self._log_alike(rewards)
            every = optimality_of(self.of_all_processes(rewards), self.clip, self.group_size)
            probabilities = self.own_of(every, len(rewards))
            return (2 * probabilities - 1) / self.beta, torch.ones_like(probabilities)
        log_weights = rewards.double() / (self.num_rounds * self.target.alpha)
        if bool((log_weights == -math.inf).all()):
            raise ValueError("reward: every sample of a batch is -inf; give a larger batch_size")
        if bool(self.log_scale.isnan()):
            first = self.of_all_processes(log_weights)
            self.log_scale.copy_(first.logsumexp(dim=0) - math.log(len(first)))
        weights = (log_weights - self.log_scale).exp()
        if self.training:
            self.log("train/weight_share", effective_share(weights))
        return (weights, weights) if self.variant == "reward_weighted" else (weights - 1, weights)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self.advance()

    def advance(self) -> None:
        """Count a step of the policy, and let the slow copy follow where it is its turn."""
        self.updates += 1
        if self.slow is None:
            return
        step = int(self.updates)
        if not self.is_weighted:
            follow(self.slow, self.policy, self.decay.at(step - 1))
        elif step % self.steps_per_round == 0 and step // self.steps_per_round < self.num_rounds:
            follow(self.slow, self.policy, 0.0)
            self.log_scale.fill_(math.nan)

    def validate(self, trajectories: TensorDict, generator: torch.Generator) -> None:
        own = self.roll_out_policy(self.num_validation, generator)
        self.log_samples(own, self.log_ratios(own["states"]).sum(dim=1) if self.logs_elbo else None)

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        super().on_save_checkpoint(checkpoint)
        if self.slow is not None:
            own = {f"slow.{name}" for name in own_names(self.slow, self.policy)}
            state = checkpoint["state_dict"]
            checkpoint["state_dict"] = {
                name: x for name, x in state.items() if not name.startswith("slow.") or name in own
            }

    def _trajectories(self, batch: Any, size: int, generator: torch.Generator) -> TensorDict:
        if isinstance(batch, TensorDict):
            if self.slow is not None:
                raise ValueError(f"data: {self._named} learns from its slow copy's samples, got stored ones")
            if len(batch) % self._group:
                raise ValueError(f"data: expected batches of groups of {self._group}, got one of {len(batch)} rows")
            return batch
        source, rows = self.source, self.draw_conditions(size // self._group, generator)
        drawing: dict[str, Any] = {"condition": None if rows is None else repeat(rows, self._group)}
        kind = "reference_calls" if source is self.reference else "policy_calls"
        return roll_out(source, size, target=self.target, generator=generator, kind=kind, **drawing)

    @property
    def _named(self) -> str:
        return self.variant if self.optimality is None else f"{self.variant} with {self.optimality!r}"

    @property
    def _group(self) -> int:
        return 1 if self.group_size is None else self.group_size

    def _checked(self, losses: Any, t: Tensor) -> Tensor:
        name = f"{type(self.reference).__name__}.denoising_loss"
        check_scalars(losses, len(t), name, t, finite=True)
        return losses.double()

    def _checked_group_size(self, group_size: int | None) -> int | None:
        if self.optimality != "group":
            return None
        if group_size is None:
            raise ValueError("group_size: expected an integer of at least 2 for 'group', got None")
        size = integer(group_size, "group_size", 2)
        for name in ("batch_size", "num_validation"):
            if getattr(self, name) % size:
                raise ValueError(f"{name}: expected a multiple of the group_size {size}, got {getattr(self, name)}")
        return size

    def _log_alike(self, rewards: Tensor) -> None:
        if self.training:
            size = len(rewards) if self.group_size is None else self.group_size
            self.log("train/alike", constant_groups(rewards, size).double().mean())


def _variant_of(variant: str, optimality: str | None) -> tuple[str, str | None]:
    if variant not in VARIANTS:
        raise ValueError(f"variant: expected one of {', '.join(VARIANTS)}, got {variant!r}")
    if variant == "reward_weighted":
        if optimality is not None:
            raise ValueError(f"optimality: expected None for 'reward_weighted', got {optimality!r}")
        return variant, None
    optimality = OPTIMALITIES[0] if optimality is None else optimality
    if optimality not in OPTIMALITIES:
        raise ValueError(f"optimality: expected one of {', '.join(OPTIMALITIES)}, got {optimality!r}")
    return variant, optimality
