"""Path consistency: along a trajectory, value and policy must tell the same story."""

import math
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from svlearn.objectives.behaviour import Behaviour, check_constant, check_shared
from svlearn.objectives.path_losses import VARIANTS, log_variance_loss, log_weights, pair_weights, path_loss
from svlearn.objectives.path_terms import ROWS, path_terms
from svlearn.objectives.policy_objective import PolicyObjective
from svlearn.objectives.trust_region import TrustRegion, annealed
from svlearn.placement import at_home
from svlearn.policies import Policy
from svlearn.process import Prediction, Reference, draw_initial
from svlearn.randomness import device_of, seeded
from svlearn.rollouts.roll_out import roll_out
from svlearn.state import State
from svlearn.targets import Target
from svlearn.transitions import Transition
from svlearn.values.value import Value

ENDS = ("trajectory", "log_variance")  # these read v at 0 alone


class Unchanged(Policy):
    """q = p_ref, for learning a value alone."""

    def steer(self, prediction: Prediction, x: State, t: Tensor) -> Transition:
        return prediction.transition

    def trained(self) -> list[nn.Parameter]:
        return []


class PathConsistency(PolicyObjective):
    """Make δ = (v_s(x_s) - v_u(x_u))/α + log q(x_{s+1:u}|x_s) - log p_ref(x_{s+1:u}|x_s) vanish, v_T = r; alpha > 0.

    Zero on every trajectory exactly at the soft v and q = p*; then any law of trajectories with full support will do
    for training. variant: which s < u, see `pair_weights`, or "log_variance": the variance of δ between 0 and T.

    policy: q; None holds q = p_ref, and v then tends to the *mean* value v'_t = E[r | x_t], not to the soft one: with
    nothing to absorb the noise of a move, δ² averages it. The later value of a pair is held fixed in that case.
    value: v; "trajectory" and "log_variance" train v_0 alone ("log_variance" up to a constant), the others v_0 ...
    v_{T-1} and cannot do without. Without a value, "trajectory" learns a scalar log Z, which needs a constant x_0;
    "log_variance" needs either a constant x_0, or trajectories of the policy alone, or groups that share x_0: in all
    else its minimiser is not p*, for v_0(x_0) varies and nothing holds it.
    num_steps: c of "steps". sub_lambda: λ of "subtrajectory", > 0.
    exploration, exploration_noise, replay, replay_size, shared_start: who draws the trajectories, see `Behaviour`;
    shared_start > 1 is for "log_variance". Stored trajectories of any law may be given to `fit`; those that share x_0
    must be consecutive.

    trust_region: a bound ε, nats, for "log_variance" (arXiv 2508.12511): every `inner_steps` steps, `replay_size`
    trajectories of the policy q_i as it is are drawn and kept. The law nearest to the target within KL(q || q_i) <= ε
    is ∝ q_i w^β, log w = r/α - log q_i/p_ref; β is estimated from them, and batches of them then train log q/q_i
    towards β (log w - v_0/α), up to a constant. β = 1 once the target is inside. As off-policy, it needs a constant
    x_0, or groups that share x_0 (the KL is then that given x_0; few to a group show too little of it), or a value
    (the KL then counts x_0 too, so that given x_0 it is smaller). Logs `train/beta`, `train/kl` and `train/ess`.

    Where the class of q cannot hold p*, what is found depends on the trajectories. On those of the policy itself, and
    there alone, "trajectory" and "log_variance" have twice the gradient of -ELBO, so they find the best ELBO of the
    class; v_0 of "trajectory" is then α times the ELBO that can be reached from x_0. The other variants fit v and q
    to each other's errors and may stay short of it.

    A reward of -inf counts as the target's `floor`: q learns p* of that reward, which leaves the forbidden a share of
    exp(floor/α), relative to the rest. Without a policy it raises ValueError, for the mean does not exist.
    Raises TypeError and ValueError for bad arguments; ValueError, with the step and the index, where q or p_ref cannot
    make a move of a trajectory; and as `PolicyObjective`.
    """

    pairs: Tensor

    def __init__(
        self,
        reference: Reference,
        target: Target,
        value: Value | None = None,
        policy: Policy | None = None,
        variant: str = "trajectory",
        *,
        num_steps: int = 1,
        sub_lambda: float = 0.9,
        exploration: float = 0.0,
        exploration_noise: float = 0.0,
        replay: float = 0.0,
        replay_size: int = 10_000,
        shared_start: int = 1,
        trust_region: float | None = None,
        inner_steps: int = 100,
        **options: Any,
    ):
        super().__init__(reference, target, Unchanged(reference) if policy is None else policy, **options)
        if variant not in VARIANTS:
            raise ValueError(f"variant: expected one of {', '.join(VARIANTS)}, got {variant!r}")
        if value is not None and not isinstance(value, Value):
            raise TypeError(f"value: expected None or a Value, got {type(value).__name__}")
        if not 1 <= num_steps <= reference.num_steps:
            raise ValueError(f"num_steps: expected an integer from 1 to {reference.num_steps}, got {num_steps}")
        if not sub_lambda > 0:
            raise ValueError(f"sub_lambda: expected a number above 0, got {sub_lambda}")
        self.value, self.variant, self.has_policy = value, variant, policy is not None
        self.behaviour = Behaviour(exploration, replay, replay_size, shared_start, exploration_noise)
        self.region: TrustRegion | None = None
        if trust_region is not None:
            self.region = TrustRegion(trust_region, replay_size, inner_steps, shared_start)
        self.log_normalizer: nn.Parameter | None = None
        self._check_parts()
        if variant == "trajectory" and value is None:
            # NaN: not yet estimated; the first batch does it, for Adam would take thousands of steps to a far one
            self.log_normalizer = nn.Parameter(torch.full((), math.nan, dtype=torch.float64))
        if variant != "log_variance":
            pairs = pair_weights(variant, reference.num_steps + 1, num_steps, sub_lambda)
            self.register_buffer("pairs", pairs, persistent=False)

    def trained(self) -> nn.Module:
        own = [] if self.log_normalizer is None else [self.log_normalizer]
        values = [] if self.value is None else list(self.value.parameters())
        return nn.ParameterList([*self.policy.trained(), *values, *own])

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage == "fit" and self.region is not None:  # a checkpoint, where there is one, is read after this
            self.region.leave()

    def loss(self, trajectories: TensorDict, generator: torch.Generator) -> Tensor:
        values, log_ratios = self.gather(trajectories, generator)
        if self.region is not None and "log_ratio" in trajectories:
            values = annealed(values, trajectories["log_ratio"], self.region.beta)
        weights = log_weights(values, log_ratios)
        if self.variant == "log_variance":
            shared = self.behaviour.shared_start
            return log_variance_loss(self.of_all_processes(weights), None if shared == 1 else shared)
        if self.log_normalizer is not None:
            if bool(self.log_normalizer.isnan()):  # the minimiser for q as it is
                self.log_normalizer.data.copy_(self.of_all_processes(weights[:, -1].detach()).mean())
            weights = torch.cat([self.log_normalizer.expand(len(weights), 1), weights[:, 1:]], dim=1)
        return path_loss(weights, self.pairs, hold_later=not self.has_policy).mean()

    def gather(self, trajectories: TensorDict, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """v_t(x_t)/α, (B, T + 1), 0 at the times that the variant does not read; log q/p_ref, (B, T); nats, float64."""
        rewards = self._rewards(trajectories["rewards"])
        policy = self.policy if self.has_policy else None
        read = range(1 if self.variant in ENDS else self.reference.num_steps)
        values, log_ratios = path_terms(trajectories["states"], self.reference, policy, self.value, read, generator)
        return torch.cat([values, rewards[None]]).T / self.target.alpha, log_ratios.T

    def _rewards(self, rewards: Tensor) -> Tensor:
        """Finite, float64."""
        rewards = rewards.double()
        dead = rewards == -math.inf
        if not bool(dead.any()):
            return rewards
        if not self.has_policy:
            raise ValueError("policy: the mean of a reward that is -inf does not exist; give a policy to learn with")
        floor = float(self.target.floor)  # type: ignore[arg-type]
        floored = torch.where(dead, floor, rewards)
        if bool((floored < floor).any()):
            raise ValueError(
                f"floor: expected one below every finite reward, to stand for -inf, got {floor} "
                f"and a reward of {float(floored.min())}; give the target a lower one"
            )
        return floored

    def _trajectories(self, batch: Any, size: int, generator: torch.Generator) -> TensorDict:
        if isinstance(batch, TensorDict):
            if self.region is not None:
                raise ValueError("data: a trust region is about trajectories of the policy itself, got stored ones")
            if not self.has_policy and "log_ratios" in batch:
                raise ValueError(
                    "data: without a policy the mean over the law of the trajectories is learned, so expected those of "
                    "the reference, got a proposal's; MonteCarloRegression and SoftQIteration weigh them"
                )
            start, shared = batch["states"][:, 0], self.behaviour.shared_start
            if shared > 1:
                check_shared(start, shared)
            elif self.value is None:
                check_constant(start, "of the stored trajectories")
            return batch
        if self.region is not None and self.training:
            shared = self.behaviour.shared_start
            piece = max(size, ROWS // shared * shared)  # trajectories that are drawn at once
            place: dict[str, Any] = dict(step=self.global_step, gather=self.of_all_processes)
            drawn = self.region.batch(
                lambda number: self._of_the_policy(number, generator), piece, size, generator, **place
            )
            self.log_dict({f"train/{name}": getattr(self.region, name) for name in ("beta", "kl", "ess")})
            return drawn
        if not self.has_policy:
            rows = self.draw_conditions(size, generator)
            return roll_out(self.reference, size, target=self.target, generator=generator, condition=rows)
        arguments = (self.policy, self.reference, self.target, size, generator, self.conditions)
        if not self.training:
            return self.behaviour.fresh(*arguments)
        return self.behaviour.batch(*arguments, more=self.more_to_come)

    @torch.no_grad()
    def _of_the_policy(self, size: int, generator: torch.Generator) -> TensorDict:
        """Trajectories of the policy with log q/p_ref and log w - v_0/α of each path, as `TrustRegion` needs them."""
        drawn = self.behaviour.fresh(self.policy, self.reference, self.target, size, generator, self.conditions)
        values, log_ratios = self.gather(drawn, generator)
        weights = log_weights(values, log_ratios)
        drawn["log_ratio"], drawn["log_weight"] = log_ratios.sum(dim=1), weights[:, -1] - weights[:, 0]
        return drawn

    def _check_parts(self) -> None:
        shared, variant = self.behaviour.shared_start, self.variant
        if not self.has_policy and self.value is None:
            raise ValueError("policy, value: expected at least one to train, got neither")
        if not self.has_policy and not self.behaviour.on_policy:
            raise ValueError(
                "exploration, exploration_noise, replay: expected 0 without a policy, which they stand in for"
            )
        if not any(parameter.requires_grad for parameter in self.trained().parameters()):
            raise ValueError("policy, value: expected trainable parameters, got none")
        if self.value is None and variant not in ENDS:
            raise ValueError(f"value: variant {variant!r} reads v_t at every t, got None")
        if variant == "log_variance" and min(self.batch_size, self.num_validation) < 2:
            raise ValueError("batch_size, num_validation: expected at least 2 to take a variance, got 1")
        alone = self.has_policy and self.behaviour.on_policy
        if self.region is not None and not (variant == "log_variance" and alone):
            raise ValueError(
                "trust_region: expected variant 'log_variance', a policy, and no exploration or replay beside the "
                f"region's own, got {variant!r}"
            )
        on_policy = self.behaviour.on_policy and self.region is None
        if shared > 1:
            self._check_shared_start(shared)
        elif self.value is None and not (variant == "log_variance" and on_policy):
            generator = seeded(device_of(self.reference), 0)
            rows = self.draw_conditions(16, generator)
            with at_home(self.reference, generator=generator):
                start = draw_initial(self.reference, 16, condition=rows, generator=generator)
            check_constant(start, "of this reference")

    def _check_shared_start(self, shared: int) -> None:
        if self.variant != "log_variance":
            raise ValueError(f"shared_start: variant {self.variant!r} has no use for it, got {shared}")
        if self.value is not None:
            raise ValueError("value: v_0 cancels among trajectories that share x_0; leave it out, or shared_start")
        for name, size in (("batch_size", self.batch_size), ("num_validation", self.num_validation)):
            if size % shared:
                raise ValueError(f"{name}: expected a multiple of shared_start = {shared}, got {size}")
