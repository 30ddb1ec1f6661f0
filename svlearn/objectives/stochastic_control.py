"""Stochastic control: train a policy by back-propagation through its own rollouts."""

from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from svlearn.arguments import integer
from svlearn.metering import count
from svlearn.objectives.control import check_controls, completed, control_of, gaussian, handed_on
from svlearn.objectives.memoryless_objective import MemorylessObjective
from svlearn.objectives.policy_objective import PolicyObjective
from svlearn.objectives.state_gradients import frozen, pull_back, reward_gradient
from svlearn.placement import at_home
from svlearn.policies import Policy
from svlearn.process import Prediction, Reference, draw_initial, predict
from svlearn.randomness import device_of, randn, seeded
from svlearn.rollouts.roll_out import roll_out
from svlearn.state import State, flattened, times
from svlearn.targets import Target, check_scalars
from svlearn.trajectories import prediction_before


def control_cost(control: Tensor, std: Tensor) -> Tensor:
    """s²|g|²/2 of a step, (B,), nats, float64: KL(N(m + s² g, s²) || N(m, s²)). control (B, ...), std broadcastable."""
    return 0.5 * flattened(std * control).square().sum(dim=1, dtype=torch.float64)


def stochastic_control_loss(rewards: Tensor, costs: Tensor, alpha: float) -> Tensor:
    """-r(x_T)/α + Σ_t s_t²|g_t|²/2, (B,), nats, float64, of rewards (B,) and the costs of whole paths (B,).

    Its mean under the policy is -ELBO (path integral sampler, arXiv 2111.15141).
    """
    return costs.double() - rewards.double() / alpha


class StochasticControl(MemorylessObjective):
    """Minimise E_q[-r(x_T)/α + Σ_t s_t²|g_θ(x_t, t)|²/2] = -ELBO, nats (path integral sampler, arXiv 2111.15141).

    A path is a function of x_0 and of its noise ε: x_{t+1} = m_t(x_t) + s_t² g_θ(x_t, t) + s_t ε_t. Its gradient goes
    back through all of it, the reference and the reward included. Every step is checkpointed: it costs a second call
    of both networks, and memory then holds x_t and ε_t of every step, and the activations of one. The std s_t may
    depend on the state. Learns the policy of the largest ELBO that the network can hold; log Z is reached only where
    the reference is memoryless, else `fit` warns (`check_memory`, see `MemorylessObjective`).
    truncation: the gradient goes back through the states of the last so many steps (as in AlignProp, arXiv 2310.03739,
    and DRaFT-K, 2309.17400); None: of all. The reward does not teach the steps before, and their cost draws them to
    p_ref, a bias towards it; backwards they cost the policy's network, and neither the reference nor the reward.
    policy: a `Controlled`, or any whose steps are Gaussian with the reference's std, as a `Finetuned` of most diffusion
    models: then g_θ = (m_θ - m)/s_t². Of states with leaves the Gaussian ones are controlled, over their `coordinates`.
    Raises TypeError for a policy without such a control, ValueError where it trains the std or moves a step without
    noise; ValueError for a reward or a reference's mean without a gradient, a reward that is -inf, a truncation that
    is not in 1 ... T, and stored trajectories, which another policy has drawn.
    """

    def __init__(
        self, reference: Reference, target: Target, policy: Policy, *, truncation: int | None = None, **options: Any
    ):
        super().__init__(reference, target, policy, **options)
        steps = reference.num_steps
        self.truncation = steps if truncation is None else integer(truncation, "truncation", 1, steps)
        generator = seeded(device_of(reference), 0)
        states = roll_out(reference, 2, condition=self.draw_conditions(2, generator), generator=generator)["states"]
        with at_home(reference, target, policy):
            self.coordinates = check_controls(policy, states)
            reward_gradient(target, states[:, -1])
            if reference.num_steps > 1:  # else no gradient passes through the mean
                nothing = torch.zeros_like(self.coordinates.of(states[:, -1]))
                last = reference.num_steps - 1
                pull_back(reference, states[:, last], last, nothing, prediction_before(reference, states, last))

    def loss(self, trajectories: TensorDict, generator: torch.Generator) -> Tensor:
        """The mean of -r/α + Σ_t s_t²|g_t|²/2 over paths: "initial" x_0 (B, ...), "noise" ε (B, T, ...) of the
        coordinates."""
        x, noise = trajectories["initial"], trajectories["noise"]
        costs = torch.zeros(len(x), dtype=torch.float64, device=noise.device)
        previous: Prediction | None = None
        for t in range(self.reference.num_steps):
            x, cost, previous = checkpoint(self._step, x, noise[:, t], t, previous, use_reentrant=False)
            costs = costs + cost
            if t < self.reference.num_steps - self.truncation:
                x = x.detach()
        with frozen(self.target.reward):
            rewards = self.target(x)
        check_scalars(rewards, len(x), "reward", "T", finite=True)
        return stochastic_control_loss(rewards, costs, self.target.alpha).mean()

    def _step(
        self, x: State, noise: Tensor, t: int, previous: Prediction | None
    ) -> tuple[State, Tensor, Prediction | None]:
        """x_{t+1}, the cost of the step, and what the next one may reuse."""
        moments = times(t, len(x), noise.device)
        with frozen(self.reference):
            prediction = predict(self.reference, x, t, previous)
        law = gaussian(prediction)
        count("policy_calls", len(x))
        told = completed(self.policy, x, moments, prediction, previous)
        control = control_of(self.policy, x, moments, told)
        after = law.tilt(control).mean + law.std * noise
        return self.coordinates.state(after, x), control_cost(control, law.std), handed_on(told)

    def _trajectories(self, batch: Any, size: int, generator: torch.Generator) -> TensorDict:
        check_own_data(batch, self)
        rows = self.draw_conditions(size, generator)
        x = draw_initial(self.policy, size, condition=rows, generator=generator)
        like = self.coordinates.of(x)
        shape = (size, self.reference.num_steps, *like.shape[1:])
        noise = randn(shape, generator, like.device, like.dtype)
        return TensorDict({"initial": x, "noise": noise}, batch_size=[size])


def check_own_data(batch: Any, objective: PolicyObjective) -> None:
    """Raise ValueError for a batch of stored trajectories."""
    if isinstance(batch, TensorDict):
        raise ValueError(
            f"data: {type(objective).__name__} learns from fresh trajectories of its own policy, got stored ones; "
            "PathConsistency learns from those"
        )
