"""A policy for Gaussian processes that moves the mean: the discrete form of a controlled diffusion."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from svlearn.conditions import rows_for
from svlearn.modes import evaluating
from svlearn.placement import at_home
from svlearn.policies.policy import Policy
from svlearn.process import Prediction, Reference, draw_initial
from svlearn.randomness import device_of, seeded
from svlearn.state import State, device_of_state, times
from svlearn.transitions import Transition, coordinates_of, described, gaussian_of


class Controlled(Policy):
    """q(x_{t+1} | x_t) = N(m_t(x_t) + s_t² g_θ(x_t, t), s_t²), with the reference's mean m_t and std s_t.

    network: g_θ(x, t), in nats per unit of x; the optimum tends to ∇v_{t+1}/α (equation 14 of the soft-value tutorial).
    Of states that are tensors it has their shape; of states with leaves it is a TensorDict of the leaves that it moves,
    each of the shape of the state's: the law is a `FieldTransition` of Gaussians, or any that is Gaussian in its
    `coordinates`, and a control is what its `tilt` takes. KL(q || p_ref) of a step is s_t² |g_θ|² / 2. A network that
    is 0 gives p_ref. condition: one row, for a reference that starts from nothing else: its first step is looked at.
    Raises TypeError where the reference's transition is not Gaussian, or that of a leaf is not
    (`Finetuned` takes any), ValueError where the network's output has another shape than the state.
    """

    def __init__(self, reference: Reference, network: nn.Module, *, condition: Any = None):
        super().__init__(reference)
        if not isinstance(network, nn.Module):
            raise TypeError(f"network: expected a torch.nn.Module, got {type(network).__name__}")
        self.network = network
        start = seeded(device_of(reference), 0)
        with torch.no_grad(), evaluating(reference), at_home(reference, generator=start) as generator:
            rows = rows_for(condition, 1, "for the look at its law")
            x = draw_initial(reference, 1, condition=rows, generator=generator)
            law = reference(x, times(0, 1, device_of_state(x))).transition
        if gaussian_of(law) is None:
            raise TypeError(
                f"reference: Controlled moves the mean of a Gaussian transition, got {described(law)}; "
                "policies.Finetuned trains a process of any kind, by PolicyGradient, DistributionalPolicyGradient or "
                "PathConsistency"
            )
        self.coordinates = coordinates_of(law)

    def control(self, x: State, t: Tensor) -> State:
        """g_θ(x, t), checked."""
        return checked(self.network(x, t), x)

    def steer(self, prediction: Prediction, x: State, t: Tensor) -> Transition:
        return prediction.transition.tilt(self.control(x, t))

    def trained(self) -> Iterable[nn.Parameter]:
        return self.network.parameters()


def checked(control: State | Mapping, x: State) -> State:
    """A control of states x (B, ...), of their shape, or a TensorDict of some of their leaves; else an error."""
    if isinstance(x, Tensor):
        if not isinstance(control, Tensor) or control.shape != x.shape:
            actual = tuple(control.shape) if isinstance(control, Tensor) else type(control).__name__
            raise ValueError(f"network: expected shape {tuple(x.shape)}, as the state, got {actual}")
        return control
    if not isinstance(control, (TensorDict, Mapping)):
        raise TypeError(f"network: expected a TensorDict of leaves that it moves, got {type(control).__name__}")
    if not isinstance(control, TensorDict):
        control = TensorDict(dict(control), batch_size=[len(x)])
    leaves = dict(x.items(include_nested=True, leaves_only=True))
    for name, leaf in control.items(include_nested=True, leaves_only=True):
        if name not in leaves:
            raise ValueError(f"network: expected leaves of the state, {', '.join(map(str, leaves))}, got {name!r}")
        if leaf.shape != leaves[name].shape:
            shapes = f"{tuple(leaves[name].shape)}, as the state, got {tuple(leaf.shape)}"
            raise ValueError(f"network: expected {name!r} of shape {shapes}")
    return control
