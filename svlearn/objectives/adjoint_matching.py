"""Adjoint matching: regress a policy's control on adjoints that run back through the reference."""

from typing import Any, cast

import torch
from tensordict import TensorDict
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from svlearn.metering import count
from svlearn.objectives.control import (
    check_controls,
    completed,
    control_of,
    gaussian,
    handed_on,
    prediction_for_control,
)
from svlearn.objectives.memoryless_objective import MemorylessObjective
from svlearn.objectives.state_gradients import pull_back, reward_gradient, through_caches
from svlearn.objectives.stochastic_control import check_own_data, control_cost
from svlearn.placement import at_home
from svlearn.policies import Policy
from svlearn.process import Prediction, Reference, predict
from svlearn.randomness import device_of, seeded
from svlearn.rollouts.roll_out import roll_out
from svlearn.state import State, flattened, times
from svlearn.targets import Target
from svlearn.trajectories import keeps_cache
from svlearn.transitions import Coordinates, TensorCoordinates, coordinates_of


def adjoint_matching_loss(control: Tensor, adjoint: Tensor, std: Tensor) -> Tensor:
    """s_t²|g_θ(x_t, t) - a_{t+1}|²/2 of a step, (B,), nats, float64 (arXiv 2409.08861, section 5).

    control g_θ and adjoint a_{t+1} (B, ...), nats per unit of x; std s_t broadcastable.
    """
    return control_cost(control - adjoint, std)


def lean_adjoints(
    reference: Reference, states: State, target: Target, coordinates: Coordinates | None = None
) -> tuple[Tensor, Tensor]:
    """The lean adjoints a_1 ... a_T, (B, T, ...), and s_0 ... s_{T-1}, of trajectories (B, T + 1, ...).

    a_T = ∇r(x_T)/α, a_t = (∂m_t/∂x)ᵀ a_{t+1} at x_t, with the reference's mean m_t; nats per unit of x. T calls of the
    reference and T - 1 of its gradient. Both are over the coordinates of the step, which of a tensor is itself; states
    with leaves that come without cost one call of the reference more. The stds are (1, T, ...), and (B, T, ...) for
    states with leaves, whose conditions they may depend on.
    A cache that the reference keeps is handed on, forwards, and the gradient runs back through it: T calls and T - 1 of
    the gradient as well, with the activations of all steps held. Of what step t - 1 did not move a_t then lacks the way
    through the cache; s_{t-1} is 0 there, and nothing reads it.
    Raises ValueError where s_t depends on the state, and as `reward_gradient` and `pull_back`.
    """
    if coordinates is None and isinstance(states, Tensor):
        coordinates = TensorCoordinates()
    if coordinates is None:
        with torch.no_grad():
            coordinates = coordinates_of(predict(reference, states[:1, 0], 0).transition)
    last = coordinates.gradient(reward_gradient(target, states[:, -1]), states[:, -1])
    return run_back(reference, states, last / target.alpha, coordinates)


def run_back(reference: Reference, states: State, adjoint: Tensor, coordinates: Coordinates) -> tuple[Tensor, Tensor]:
    """`lean_adjoints` from a given a_T (B, ...), whatever x_T is; of x_0 ... x_t alone from a given a_t."""
    run = through_caches if keeps_cache(reference, states[:1, 0]) else _step_by_step
    adjoints, stds = run(reference, states, adjoint, coordinates)
    first = first_alike(coordinates.conditions(states[:, 0]), adjoint)
    for t in reversed(range(len(stds))):
        std = stds[t]
        if std is None or not bool((std == std[first]).all()):
            raise ValueError(
                f"reference: expected a std that does not depend on the state, as the adjoint's recursion needs, "
                f"{type(reference).__name__} gives several at step {t}; StochasticControl takes these"
            )
        stds[t] = (std[:1] if isinstance(states, Tensor) else std).expand(-1, *adjoint.shape[1:])
    return torch.stack(adjoints, dim=1), torch.stack(cast(list[Tensor], stds), dim=1)


def _step_by_step(
    reference: Reference, states: State, adjoint: Tensor, coordinates: Coordinates
) -> tuple[list[Tensor], list[Tensor | None]]:
    """a_1 ... a_T and s_0 ... s_{T-1}, None where it has a gradient in the state, one step's activations at a time."""
    adjoints: list[Tensor] = []
    stds: list[Tensor | None] = []
    for t in reversed(range(states.shape[1] - 1)):
        adjoints.append(adjoint)
        if t > 0:
            adjoint, std, varies = pull_back(reference, states[:, t], t, adjoint)
        else:
            with torch.no_grad():
                std, varies = gaussian(predict(reference, states[:, 0], 0)).std, False
        stds.append(None if varies else std)
    return adjoints[::-1], stds[::-1]


def first_alike(conditions: list[Tensor], like: Tensor) -> Tensor:
    """The first row with the same conditions, (B,), of each row; 0 where there are none."""
    rows = torch.arange(len(like), device=like.device)
    if not conditions:
        return torch.zeros_like(rows)
    held = torch.cat([flattened(each).double() for each in conditions], dim=1)
    groups = held.unique(dim=0, return_inverse=True)[1]
    return torch.full_like(rows, len(rows)).scatter_reduce(0, groups, rows, "amin")[groups]


class AdjointMatching(MemorylessObjective):
    """Minimise Σ_t s_t²|g_θ(x_t, t) - a_{t+1}|²/2, nats, along trajectories of the current policy q, held fixed.

    The lean adjoint a_{t+1} runs back through the reference alone (`lean_adjoints`), so neither the rollout nor the
    policy's network is differentiated in x: one gradient of the reference a step, and a regression.

    Its fixed point g(x_t, t) = E_q[a_{t+1} | x_t] is that of `StochasticControl`, exactly, at any number of steps. Let
    W_T = r/α, W_t(x) = max_g E[W_{t+1}(m_t(x) + s_t² g + s_t ε)] - s_t²|g|²/2. A stationary g is E_q[∇W_{t+1}(x_{t+1})
    | x_t]; then ∇W_t = (∂m_t/∂x)ᵀ g (envelope theorem), as s_t does not depend on x, so backwards from T
    E_q[a_t | x_t] = ∇W_t. With linear m_t and W_{t+1} = -x'Px/2 + q'x it is the linear-quadratic feedback
    g = (I + P s_t²)^-1 (q - P m_t(x)), and no other. A network that cannot hold the optimum ends elsewhere than by
    `StochasticControl`. The continuous-time form is arXiv 2409.08861, section 5.

    log Z is reached only where the reference is memoryless, else `fit` warns (`check_memory`, see
    `MemorylessObjective`).
    policy: as for `StochasticControl`, states with leaves too, whose s_t may depend on what they are conditioned on;
    g_θ of one that is no `Controlled` costs one more call of the reference a state.
    Raises as `StochasticControl`, and ValueError for a std that depends on the state.
    """

    def __init__(self, reference: Reference, target: Target, policy: Policy, **options: Any):
        super().__init__(reference, target, policy, **options)
        generator = seeded(device_of(reference), 0)
        states = roll_out(reference, 2, condition=self.draw_conditions(2, generator), generator=generator)["states"]
        with at_home(reference, target, policy):
            self.coordinates = check_controls(policy, states)
            self.adjoints(states, generator)

    def adjoints(self, states: State, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """What the control is regressed on, (B, T, ...), and s_t, of own trajectories (B, T + 1, ...)."""
        return lean_adjoints(self.reference, states, self.target, self.coordinates)

    def loss(self, trajectories: TensorDict, generator: torch.Generator) -> Tensor:
        """The mean over trajectories of the sum over t; the activations of one step are held at a time."""
        states = trajectories["states"]
        adjoints, stds = self.adjoints(states, generator)
        total = torch.zeros(len(states), dtype=torch.float64, device=adjoints.device)
        before: Prediction | None = None
        for t in range(self.reference.num_steps):
            told = prediction_for_control(self.policy, states[:, t], t, before)
            given = (states[:, t], adjoints[:, t], stds[:, t], t, told, before)
            cost, before = checkpoint(self._step, *given, use_reentrant=False)
            total = total + cost
        return total.mean()

    def _step(
        self, x: State, adjoint: Tensor, std: Tensor, t: int, told: Prediction | None, before: Prediction | None
    ) -> tuple[Tensor, Prediction | None]:
        """The loss of the step, and what the next one may reuse."""
        moments = times(t, len(x), adjoint.device)
        count("policy_calls", len(x))
        told = completed(self.policy, x, moments, told, before)
        control = control_of(self.policy, x, moments, told)
        return adjoint_matching_loss(control, adjoint, std), handed_on(told)

    def _trajectories(self, batch: Any, size: int, generator: torch.Generator) -> TensorDict:
        check_own_data(batch, self)
        rows = self.draw_conditions(size, generator)
        return roll_out(self.policy, size, generator=generator, kind="policy_calls", condition=rows)
