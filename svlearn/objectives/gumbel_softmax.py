"""Control of tokens by a Gumbel-softmax rollout: back-propagation through soft one-hots in the place of tokens."""

from collections.abc import Sequence
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from svlearn.arguments import integer, one_or_each, real
from svlearn.inference import proposals
from svlearn.objectives.control import handed_on
from svlearn.objectives.policy_objective import PolicyObjective
from svlearn.objectives.state_gradients import frozen, reward_gradient
from svlearn.objectives.stochastic_control import check_own_data, stochastic_control_loss
from svlearn.placement import at_home
from svlearn.policies import Policy
from svlearn.process import Prediction, Reference, draw_initial, predict
from svlearn.randomness import device_of, seeded
from svlearn.reward import reads_one_hot
from svlearn.rollouts.roll_out import roll_out
from svlearn.state import State
from svlearn.targets import Target, check_scalars
from svlearn.transitions import Transition, described

ESTIMATORS = ("straight_through", "soft")
OTHERS = "PolicyGradient, DistributionalPolicyGradient and PathConsistency need no gradient in the state"


def straight_through(soft: Tensor) -> Tensor:
    """The one-hot (..., V) of the largest share, with the gradient of the shares (arXiv 1611.01144, section 2.2)."""
    hard = nn.functional.one_hot(soft.argmax(dim=-1), soft.shape[-1]).to(soft.dtype)
    return hard + (soft - soft.detach())


def annealed(first: float, last: float, share: float) -> float:
    """The temperature when this share of the steps is done: geometric from the first to the last."""
    return first * (last / first) ** min(1.0, share)


class GumbelSoftmaxControl(PolicyObjective):
    """Minimise E_q[-r(x_T)/α + Σ_t KL(q(· | x_t) || p_ref(· | x_t))] = -ELBO, nats, through rollouts of soft one-hots
    (DRAKES, arXiv 2410.13643).

    A token is drawn as softmax((log q + G)/τ), a function of the logits and of Gumbel noise G, so that the gradient
    of the reward, and of the KL of later steps, goes back through the networks and the reward. The KL of a step is
    exact, given x_t, and α alone weighs it. Which places a masked diffusion unmasks depends on nothing that is trained:
    they are drawn, not relaxed.

    estimator: "straight_through": networks and reward see the most probable tokens. Paths then have the law of q and
    the loss is -ELBO without bias; its gradient is biased, as if networks and reward were linear between tokens, and
    by τ. "soft": they see the shares, which are of no sequence that they know. The gradient is that of the loss without
    bias, and the loss is biased; it tends to -ELBO as τ -> 0, where the variance of the gradient grows with 1/τ.
    Both make the reward's part of the gradient shorter, so that the policy stops short of p*.
    temperature: τ; or (first, last), annealed geometrically over the steps of a fit.
    truncation: the gradient goes back through the states of the last so many steps; None: of all. The steps before
    them are exact draws: the reward does not teach what they decide, and the KL draws them to p_ref, a further bias.

    Every step is checkpointed: it costs a second call of both networks, and memory holds the laws of all steps and the
    activations of one. `PolicyGradient` climbs the same ELBO without bias, for any reward, and with more variance.
    The networks and the reward must take soft one-hots for tokens, of the form of the law's `expansion_point`, (B, L,
    V), or (B, L, V + 1) with the mask, with a gradient in them, as `MaskedDiffusion` with its networks does.
    Raises TypeError for laws that cannot be relaxed, and networks and rewards that read tokens alone; ValueError for
    a reward without a gradient or that is -inf, arguments out of range, and stored trajectories.
    """

    def __init__(
        self,
        reference: Reference,
        target: Target,
        policy: Policy,
        *,
        temperature: float | Sequence[float] = 1.0,
        estimator: str = "straight_through",
        truncation: int | None = None,
        **options: Any,
    ):
        super().__init__(reference, target, policy, **options)
        ends = [real(each, "temperature", above=0) for each in one_or_each(temperature, 2)]
        if len(ends) != 2:
            raise ValueError(f"temperature: expected a number or (first, last), got {len(ends)} numbers")
        if estimator not in ESTIMATORS:
            raise ValueError(f"estimator: expected one of {', '.join(ESTIMATORS)}, got {estimator!r}")
        steps = reference.num_steps
        self.temperatures, self.estimator = ends, estimator
        self.truncation = steps if truncation is None else integer(truncation, "truncation", 1, steps)
        self._check_relaxed()

    @property
    def temperature(self) -> float:
        """τ of the present step."""
        first, last = self.temperatures
        if first == last or self._trainer is None:
            return first
        return annealed(first, last, self.global_step / max(1, int(self.trainer.estimated_stepping_batches) - 1))

    def loss(self, trajectories: TensorDict, generator: torch.Generator) -> Tensor:
        """The mean of -r/α + Σ_t KL over paths from "initial" x_0 (B, ...)."""
        x, temperature, steps = trajectories["initial"], self.temperature, self.reference.num_steps
        costs = torch.zeros(len(x), dtype=torch.float64, device=self.device)
        previous: Prediction | None = None
        for t in range(steps):
            law, own, previous = checkpoint(self._laws, x, t, previous, use_reentrant=False)
            costs = costs + law.kl(own)
            if t < steps - self.truncation:
                x = law.sample(generator=generator)
            else:
                x = self._relaxed(law, x, temperature, generator)
        with frozen(self.target.reward):
            rewards = self.target(x)
        check_scalars(rewards, len(x), "reward", "T", finite=True)
        self.watch("KL(q || p_ref)", costs)
        return stochastic_control_loss(rewards, costs, self.target.alpha).mean()

    def _laws(self, x: State, t: int, previous: Prediction | None) -> tuple[Transition, Transition, Prediction | None]:
        """q(· | x_t) and p_ref(· | x_t), of tokens or soft one-hots, and what the next step may reuse."""
        student = proposals.Policy(self.policy)
        with frozen(self.reference):
            prediction = predict(self.reference, x, t, previous)
        prediction = student.complete(prediction, x, t, previous)
        return student.transition(x, t, prediction), prediction.transition, handed_on(prediction)

    def _relaxed(self, law: Transition, x: State, temperature: float, generator: torch.Generator) -> State:
        """x_{t+1} as one-hots, soft or with a soft gradient, of x_t as tokens or as one-hots."""
        point = x if isinstance(x, Tensor) and x.is_floating_point() else law.expansion_point(x)
        soft = law.rsample_relaxed(point, temperature, generator=generator)
        return soft if self.estimator == "soft" else straight_through(soft)

    def _trajectories(self, batch: Any, size: int, generator: torch.Generator) -> TensorDict:
        check_own_data(batch, self)
        rows = self.draw_conditions(size, generator)
        x = draw_initial(self.policy, size, condition=rows, generator=generator)
        return TensorDict({"initial": x}, batch_size=[size])

    def _check_relaxed(self) -> None:
        """Raise unless the last two states of a trajectory can be relaxed, and all that reads them reads one-hots."""
        if not reads_one_hot(self.target.reward):
            raise TypeError(
                "reward: expected one that reads soft one-hots in the place of tokens and says `reads_one_hot = True`, "
                f"got {type(self.target.reward).__name__}; {OTHERS}"
            )
        generator, last = seeded(device_of(self.reference), 0), self.reference.num_steps - 1
        conditions = self.draw_conditions(2, generator)
        x = roll_out(self.reference, 2, condition=conditions, generator=generator)["states"][:, last]
        with torch.no_grad(), at_home(self.reference, self.target, self.policy):
            law, own, _ = self._laws(x, last, None)
            for name, each in (("policy", law), ("reference", own)):
                if type(each).rsample_relaxed is Transition.rsample_relaxed:
                    raise TypeError(
                        f"{name}: expected laws of tokens that can be relaxed to soft one-hots, got {described(each)}; "
                        f"StochasticControl and AdjointMatching train Gaussian ones; {OTHERS}"
                    )
            point = law.expansion_point(x)
            try:
                law, own, _ = self._laws(point, last, None)
                law.kl(own)
            except (RuntimeError, TypeError, IndexError, ValueError) as error:
                raise TypeError(
                    f"reference: expected one whose networks also read soft one-hots {tuple(point.shape)} in the place "
                    f"of tokens, and {type(self.reference).__name__} does not ({type(error).__name__}: {error}); "
                    f"{OTHERS}"
                ) from error
            finished = self._relaxed(law, point, self.temperatures[0], generator)
            reward_gradient(self.target, finished)
