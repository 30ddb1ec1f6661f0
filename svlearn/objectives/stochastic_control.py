"""Stochastic control: train a policy by back-propagation through its own rollouts."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from svlearn.metering import count
from svlearn.objectives.memoryless_objective import MemorylessObjective
from svlearn.objectives.policy_objective import PolicyObjective
from svlearn.policies import Controlled
from svlearn.process import Prediction, Reference, predict
from svlearn.randomness import device_of, seeded
from svlearn.rollouts.roll_out import roll_out
from svlearn.state import times
from svlearn.targets import Target, check_scalars
from svlearn.transitions import GaussianTransition


def control_cost(control: Tensor, std: Tensor) -> Tensor:
    """s²|g|²/2 of a step, (B,), nats, float64: KL(N(m + s² g, s²) || N(m, s²)). control (B, ...), std broadcastable."""
    return 0.5 * (std * control).flatten(1).square().sum(dim=1, dtype=torch.float64)


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
    Raises TypeError for a policy that is not `Controlled`; ValueError for a reward or a reference's mean without a
    gradient, a reward that is -inf, and stored trajectories, which another policy has drawn.
    """

    policy: Controlled

    def __init__(self, reference: Reference, target: Target, policy: Controlled, **options: Any):
        super().__init__(reference, target, policy, **options)
        check_controlled(policy)
        states = roll_out(reference, 2, generator=seeded(device_of(reference), 0))["states"]
        reward_gradient(target, states[:, -1])
        if reference.num_steps > 1:  # else no gradient passes through the mean
            pull_back(reference, states[:, -2], reference.num_steps - 1, torch.zeros_like(states[:, -1]))

    def loss(self, trajectories: TensorDict, generator: torch.Generator) -> Tensor:
        """The mean of -r/α + Σ_t s_t²|g_t|²/2 over paths: "initial" x_0 (B, ...), "noise" ε (B, T, ...)."""
        x, noise = trajectories["initial"], trajectories["noise"]
        costs = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        for t in range(self.reference.num_steps):
            x, cost = checkpoint(self._step, x, noise[:, t], t, use_reentrant=False)
            costs = costs + cost
        rewards = self.target(x)
        check_scalars(rewards, len(x), "reward", "T", finite=True)
        return stochastic_control_loss(rewards, costs, self.target.alpha).mean()

    def _step(self, x: Tensor, noise: Tensor, t: int) -> tuple[Tensor, Tensor]:
        """x_{t+1} and the cost of the step."""
        with frozen(self.reference):
            law = gaussian(predict(self.reference, x, t))
        count("policy_calls", len(x))
        control = self.policy.control(x, times(t, len(x), x.device))
        steered = law.tilt(control)
        return steered.mean + steered.std * noise, control_cost(control, law.std)

    def _trajectories(self, batch: Any, size: int, generator: torch.Generator) -> TensorDict:
        check_own_data(batch, self)
        x = self.policy.initial(size, generator=generator)
        shape = (size, self.reference.num_steps, *x.shape[1:])
        noise = torch.randn(shape, generator=generator, dtype=x.dtype, device=x.device)
        return TensorDict({"initial": x, "noise": noise}, batch_size=[size])


def reward_gradient(target: Target, x: Tensor) -> Tensor:
    """∇r(x_T), (B, ...), reward units per unit of x, of finished states (B, ...).

    Raises ValueError where the reward gives no gradient, and where r or its gradient is not finite (with the index).
    """
    refusal = (
        "reward: expected one that torch can differentiate in the state, got one without a gradient; "
        "DerivativeFreeAdjointMatching, PathConsistency and MonteCarloRegression learn from any reward"
    )
    with torch.inference_mode(False), torch.enable_grad():
        x = x.clone().detach().requires_grad_()
        try:
            rewards = target(x)
        except RuntimeError as error:  # as of x.numpy(), which a tensor with a gradient refuses
            raise ValueError(f"{refusal} ({error})") from error
        check_scalars(rewards, len(x), "reward", "T", finite=True)
        gradient = torch.autograd.grad(rewards.sum(), x, allow_unused=True)[0] if rewards.requires_grad else None
    if gradient is None:
        raise ValueError(refusal)
    bad = ~gradient.flatten(1).isfinite().all(dim=1)
    if bool(bad.any()):
        raise ValueError(f"reward: expected a finite gradient at step T, got another at index {int(bad.nonzero()[0])}")
    return gradient


def pull_back(reference: Reference, x: Tensor, t: int, adjoint: Tensor) -> tuple[Tensor, Tensor]:
    """(∂m_t/∂x)ᵀ a, (B, ...), of an adjoint a (B, ...) at the states x_t (B, ...), and the std s_t, broadcastable.

    Raises ValueError where the mean has no gradient in x, TypeError where the transition is not Gaussian.
    """
    with torch.inference_mode(False), torch.enable_grad(), frozen(reference):
        x = x.clone().detach().requires_grad_()
        law = gaussian(predict(reference, x, t))
        if not law.mean.requires_grad:
            raise ValueError(
                f"reference: expected a mean that torch can differentiate in the state, {type(reference).__name__} "
                "gives one without a gradient (is its forward under torch.no_grad?)"
            )
        count("gradient_calls", len(x))
        (pulled,) = torch.autograd.grad(law.mean, x, adjoint.clone().to(law.mean.dtype))
    return pulled, law.std.detach()


def gaussian(prediction: Prediction) -> GaussianTransition:
    """The transition, or TypeError where it is not Gaussian."""
    if not isinstance(prediction.transition, GaussianTransition):
        raise TypeError(f"reference: expected a Gaussian transition, got {type(prediction.transition).__name__}")
    return prediction.transition


def check_controlled(policy: Any) -> None:
    """Raise TypeError unless the policy is a `Controlled`."""
    if not isinstance(policy, Controlled):
        raise TypeError(
            f"policy: expected a policies.Controlled, got {type(policy).__name__}; PolicyGradient, "
            "DistributionalPolicyGradient and PathConsistency train a policy of any kind"
        )


def check_own_data(batch: Any, objective: PolicyObjective) -> None:
    """Raise ValueError for a batch of stored trajectories."""
    if isinstance(batch, TensorDict):
        raise ValueError(
            f"data: {type(objective).__name__} learns from fresh trajectories of its own policy, got stored ones; "
            "PathConsistency learns from those"
        )


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Record no gradient of a module's parameters inside; that of its inputs still passes."""
    free = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in free:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in free:
            parameter.requires_grad_(True)
