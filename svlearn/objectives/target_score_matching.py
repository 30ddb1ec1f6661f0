"""Target score matching: regress a policy's control on what the score of p* at x_T says of the next state."""

from collections.abc import Callable
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from svlearn.objectives.adjoint_matching import adjoint_matching_loss
from svlearn.objectives.control import check_controls, completed, control_of, gaussian
from svlearn.objectives.distributional_policy_gradient import DistributionalPolicyGradient
from svlearn.objectives.memoryless_objective import MemorylessObjective
from svlearn.objectives.state_gradients import density_gradient, reward_gradient
from svlearn.placement import at_home
from svlearn.policies import Policy
from svlearn.process import Prediction, Reference, predict, step_by_step
from svlearn.randomness import device_of, randn, seeded
from svlearn.rollouts.roll_out import roll_out
from svlearn.schedules import NoiseLevels, gaussian_steps
from svlearn.state import State, times
from svlearn.targets import Target
from svlearn.transitions import GaussianTransition


def posterior_mean(x: Tensor, finished: Tensor, score: Tensor, scale: float, std: float, variance: float) -> Tensor:
    """(σ²(x_T + c ∇log p*(x_T)) + c a x_t)/(σ² + a² c), (B, ...): of expectation E[x_T | x_t] for any c = variance.

    x_t | x_T ~ N(a x_T, σ²), a = scale, σ = std; score (B, ...) is ∇log p*(x_T). Two estimates are mixed: x_T itself
    (c = 0: denoising) and (x_t + σ² ∇log p*(x_T)/a)/a (c = ∞), whose expectation is E[x_T | x_t] by the target score
    identity E[∇log p*(x_T) | x_t] = a ∇log p*(x_t) (arXiv 2402.08667) and Tweedie's formula. Either explodes at an
    end of time as a control; the mixture does not. For p*(x_T) = N(m, c) it has no variance.
    """
    if scale == 0:  # x_t tells nothing of x_T
        return finished + variance * score
    noise = std**2
    return (noise * (finished + variance * score) + variance * scale * x) / (noise + scale**2 * variance)


def target_control(law: GaussianTransition, x: Tensor, clean: Tensor, kept: float, added: float) -> Tensor:
    """(kept x_t + added x̂ - m_t)/s_t², (B, ...), nats per unit of x: the control that moves the mean m_t there.

    m_t and s_t are of `law`; x̂ = clean (B, ...) stands for E[x_T | x_t]; kept and added are those of
    `schedules.gaussian_steps` at eta = 1.
    """
    return (kept * x + added * clean - law.mean) / law.std**2


class TargetScoreMatching(MemorylessObjective, DistributionalPolicyGradient):
    """Minimise E[Σ_t s_t²|g_θ(x_t, t) - y_t|²/2], nats, x_T ~ p* by importance weights, x_t | x_T ~ N(a_t x_T, σ_t²).

    y_t is `target_control` of `posterior_mean`: E[y_t | x_t] = (E[x_{t+1} | x_t] - m_t(x_t))/s_t² under p̃, p* at T
    noised by `levels` step by step. As -log q(x_{t+1} | x_t) = s_t²|g - (x_{t+1} - m_t)/s_t²|²/2 + const, the minimiser
    is that of KL(p̃ || q) over the steps of q, exactly, at any number of steps. Where p_ref is the exact reversal of
    its noising, p̃ is p* (the tilt is at T alone), and with Gaussian steps (a linear-Gaussian reference)

        g*(x_t, t) = E_p*[x_{t+1} - m_t | x_t]/s_t² = E_p*[∇v_{t+1}(x_{t+1})/α | x_t]

    by Gaussian integration by parts. For others (DDPM steps of a network) the reversal is exact to O(1/T) only. The
    policy then goes the DDPM steps of p* itself, whatever p_ref's own error is, and its x_T is p*'s to O(1/T); its ELBO
    is below the class's best, that of `AdjointMatching`: by 0.012, 0.0036 and 0.0010 nats at T = 10, 20 and 40 on
    the mixture of the tests.

    x_T is drawn by the policy as it is, and weighs exp(r/α - log q/p_ref - c) as in the base class; a stored one is
    taken as the reference's. x_t is noised afresh at every t, not read from the trajectory.

    levels: of the reference's noising, T steps. log_reference: log p_ref(x_T), (B,), up to a constant, for the score
    ∇log p* = ∇log p_ref + ∇r/α (with `targets.unnormalized_density` their sum is ∇log π̃). variance: about that of
    one coordinate of x_T under p*; any number above 0 leaves the minimiser as it is, and sets the noise of y_t. A
    policy keeps p_0, so its x_T is p*'s only where the reference is memoryless, else `fit` warns.
    policy: as for `StochasticControl`; one call of the reference a state serves y_t and g_θ.
    Raises as `StochasticControl` for the policy; ValueError for a reward or log_reference without a gradient, a reward
    that is -inf, levels of another number of steps, and a step without noise, where no control acts.
    """

    def __init__(
        self,
        reference: Reference,
        target: Target,
        policy: Policy,
        *,
        levels: NoiseLevels,
        log_reference: Callable[[State], Tensor],
        variance: float = 1.0,
        **options: Any,
    ):
        super().__init__(reference, target, policy, **options)
        if not isinstance(levels, NoiseLevels):
            raise TypeError(f"levels: expected a schedules.NoiseLevels, got {type(levels).__name__}")
        if levels.num_steps != reference.num_steps:
            raise ValueError(f"levels: expected {reference.num_steps} steps, as the reference, got {levels.num_steps}")
        if not callable(log_reference):
            raise TypeError(f"log_reference: expected a callable of states, got {type(log_reference).__name__}")
        if not 0 < variance < float("inf"):
            raise ValueError(f"variance: expected a finite number above 0, got {variance}")
        self.levels, self.steps, self.variance = levels, gaussian_steps(levels), float(variance)
        self.log_reference = log_reference
        generator = seeded(device_of(reference), 0)
        states = roll_out(reference, 2, condition=self.draw_conditions(2, generator), generator=generator)["states"]
        with at_home(reference, target, policy):
            self.coordinates = check_controls(policy, states)
            score = self.score(states[:, -1])
            with torch.no_grad():
                for t, prediction in enumerate(step_by_step(reference, states)):
                    self.wanted(states[:, t], self.coordinates.of(states[:, -1]), score, t, prediction)

    def score(self, finished: State) -> Tensor:
        """∇log p*(x_T) = ∇log p_ref(x_T) + ∇r(x_T)/α over the coordinates, (B, ...), nats per unit of x."""
        of_reward, of_reference = (
            self.coordinates.gradient(each, finished)
            for each in (
                reward_gradient(self.target, finished),
                density_gradient(self.log_reference, finished, "log_reference"),
            )
        )
        return of_reward / self.target.alpha + of_reference.to(of_reward.dtype)

    def loss(self, trajectories: TensorDict, generator: torch.Generator) -> Tensor:
        """The mean over x_T of its weight times the sum over t; the activations of one step are held at a time."""
        with torch.no_grad():
            log_weights = self.log_weights(trajectories, self.log_ratios(trajectories["states"]))
        states = trajectories["states"][:, -1]
        score, finished = self.score(states), self.coordinates.of(states)
        total = torch.zeros_like(log_weights)
        for t in range(self.reference.num_steps):
            noise = randn(finished.shape, generator, finished.device, finished.dtype)
            noised = float(self.levels.scales[t]) * finished + float(self.levels.stds[t]) * noise
            x = self.coordinates.state(noised, states)
            with torch.no_grad():  # x_t is no state that followed another: there is no cache to hand on
                prediction = predict(self.reference, x, t)
            wanted, std = self.wanted(x, finished, score, t, prediction)
            total = total + checkpoint(self._step, x, wanted, std, t, prediction, use_reentrant=False)
        return (log_weights.exp() * total).mean()

    @torch.no_grad()
    def wanted(
        self, x: State, finished: Tensor, score: Tensor, t: int, prediction: Prediction | None = None
    ) -> tuple[Tensor, Tensor]:
        """y_t (B, ...) and s_t at noised states x_t (B, ...) of the coordinates of x_T and their scores, (B, ...), from
        the reference's prediction of x_t (None: it is called)."""
        law = gaussian(predict(self.reference, x, t) if prediction is None else prediction)
        if not bool((law.std > 0).all()):
            raise ValueError(f"reference: expected noise at every step, got a std of 0 at step {t}; use eta=1, 'large'")
        level = (float(self.levels.scales[t]), float(self.levels.stds[t]))
        point = self.coordinates.of(x)
        clean = posterior_mean(point, finished, score, *level, self.variance)
        return target_control(law, point, clean, float(self.steps.kept[t]), float(self.steps.added[t])), law.std

    def _step(self, x: State, wanted: Tensor, std: Tensor, t: int, prediction: Prediction) -> Tensor:
        moments = times(t, len(x), wanted.device)
        control = control_of(self.policy, x, moments, completed(self.policy, x, moments, prediction, None))
        return adjoint_matching_loss(control, wanted, std)
