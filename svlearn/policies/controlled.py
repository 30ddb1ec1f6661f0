"""A policy for Gaussian processes that moves the mean: the discrete form of a controlled diffusion."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from svlearn.modes import evaluating
from svlearn.placement import at_home
from svlearn.policies.policy import Policy
from svlearn.process import Prediction, Reference
from svlearn.randomness import device_of, seeded
from svlearn.state import State, device_of_state, times
from svlearn.transitions import GaussianTransition, Transition


class Controlled(Policy):
    """q(x_{t+1} | x_t) = N(m_t(x_t) + s_t² g_θ(x_t, t), s_t²), with the reference's mean m_t and std s_t.

    network: g_θ(x, t), the shape of x, in nats per unit of x; the optimum tends to ∇v_{t+1}/α (equation 14 of the
    soft-value tutorial). KL(q || p_ref) of a step is s_t² |g_θ|² / 2. A network that is 0 gives p_ref.
    Raises TypeError where the reference's transition is not Gaussian (`Finetuned` takes any), ValueError where the
    network's output has another shape than the state.
    """

    def __init__(self, reference: Reference, network: nn.Module):
        super().__init__(reference)
        if not isinstance(network, nn.Module):
            raise TypeError(f"network: expected a torch.nn.Module, got {type(network).__name__}")
        self.network = network
        with (
            torch.no_grad(),
            evaluating(reference),
            at_home(reference, generator=seeded(device_of(reference), 0)) as generator,
        ):
            x = reference.initial(1, generator=generator)
            law = reference(x, times(0, 1, device_of_state(x))).transition
        if not isinstance(law, GaussianTransition):
            raise TypeError(
                f"reference: Controlled moves the mean of a Gaussian transition, got {type(law).__name__}; "
                "policies.Finetuned trains a process of any kind, by PolicyGradient, DistributionalPolicyGradient or "
                "PathConsistency"
            )

    def control(self, x: Tensor, t: Tensor) -> Tensor:
        """g_θ(x, t), checked."""
        control = self.network(x, t)
        if control.shape != x.shape:
            raise ValueError(f"network: expected shape {tuple(x.shape)}, as the state, got {tuple(control.shape)}")
        return control

    def steer(self, prediction: Prediction, x: State, t: Tensor) -> Transition:
        return prediction.transition.tilt(self.control(x, t))

    def trained(self) -> Iterable[nn.Parameter]:
        return self.network.parameters()
