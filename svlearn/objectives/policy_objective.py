"""What the objectives that train a policy share: whose trajectories they see, log q - log p_ref, the ELBO."""

from collections.abc import Callable, Iterator, Sequence, Sized
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from svlearn.fingerprint import fingerprint
from svlearn.inference import proposals
from svlearn.objectives.checks import check_log_prob, check_trained, check_unmoved
from svlearn.objectives.held_out import held_out_figures, judge_of
from svlearn.objectives.lightning.gathering import mean_over_processes
from svlearn.objectives.objective import Objective
from svlearn.objectives.path_terms import laws_along, moves_along
from svlearn.policies import Policy
from svlearn.process import Reference, predict
from svlearn.randomness import device_of, seeded
from svlearn.rollouts.roll_out import Measure, roll_out
from svlearn.schedules import check_noise
from svlearn.state import State, concatenate, device_of_state
from svlearn.targets import Target
from svlearn.trajectories import in_one_pass
from svlearn.transitions import Transition

STATES_AT_ONCE = 512  # of all times: enough to fill a network call, and no more than it can hold


class PolicyObjective(Objective):
    """Train a policy q towards p*(x_{0:T}), or as near as its class comes; alpha > 0.

    Its own data are trajectories of the policy as it is at that step (on-policy). Validation logs, of fresh
    trajectories of the policy, "elbo", E_q[r(x_T)/α] - KL(q || p_ref), nats, at most log Z; "kl", that divergence of
    paths; and what shows that a reward is hacked: "reward" and "judge", means in reward units with their
    "_standard_error", and the figures of `Reference.describe`, as diversity (see `held_out.held_out_figures`).

    judge: a reward that is not trained for, of finished states (B, ...), (B,): a classifier of other data, another
    metric. `StopOnJudge` ends a fit where it falls while the reward still rises. None: none.
    Raises TypeError for what is not a policy, and for one without log-probabilities (with the objectives that need
    none); ValueError for a policy of another reference, for alpha = 0, and for a policy that would move x at a last
    (or first) step without noise, which costs log q - log p_ref = -inf.
    """

    needs_temperature = True  # that α > 0

    def __init__(
        self, reference: Reference, target: Target, policy: Policy, *, judge: Callable | None = None, **options: Any
    ):
        super().__init__(reference, target, **options)
        self.judge = judge_of(judge)
        if not isinstance(policy, Policy):
            raise TypeError(f"policy: expected a policies.Policy, got {type(policy).__name__}")
        if policy.reference is not reference:
            if fingerprint(policy.reference) != fingerprint(reference):
                raise ValueError("policy: expected one of this reference, got one of another")
            policy.reference = reference  # an equal one, as from a YAML: hold it once
        if target.alpha == 0 and self.needs_temperature:
            raise ValueError(f"alpha: {type(self).__name__} needs alpha > 0, got 0; its target law would be a point")
        self.policy = policy
        if self.needs_log_prob():
            need = f"{type(self).__name__} weighs log q - log p_ref"
            check_log_prob(reference, proposals.Policy(policy), need, self.conditions)
            generator = seeded(device_of(reference), 0)
            check_noise(reference, "a policy has no move to choose", self.draw_conditions(2, generator))
            check_unmoved(reference, policy, need, self.conditions)
            check_trained(policy, self.conditions)

    def trained(self) -> nn.Module:
        return nn.ParameterList(self.policy.trained())

    def needs_log_prob(self) -> bool:
        """Whether log q is asked for; a policy that trains nothing, q = p_ref, is never asked."""
        return any(True for _ in self.policy.trained())

    def log_ratios(self, states: State, after: State | None = None, mask: Tensor | None = None) -> Tensor:
        """log q(x_{t+1}|x_t) - log p_ref(x_{t+1}|x_t) along trajectories (B, T + 1, ...), (B, T), nats, float64.

        after (B, T, ...): where to each x_t moves, if not along its trajectory. mask (B, T), bool: the moves that are
        asked for, 0 at others (None: all). The gradient is that in the policy's parameters.
        """
        most = max(len(states), STATES_AT_ONCE)
        pieces = moves_along(self.reference, self.policy, states, most, after, mask)
        return self.watch("log q - log p_ref", torch.cat([ratios for _, ratios in pieces]).T)

    def looks_along(self, times: Sized) -> bool:
        """Whether log q/p_ref at some times of each trajectory comes from `log_ratios`, by what both processes predict
        along it (see `trajectories.in_one_pass`), and not from calls at those times alone."""
        return all(in_one_pass(each, times) for each in (self.reference, self.policy))

    def log_ratios_at(self, states: State, rows: Tensor, t: Tensor, after: State | None = None) -> Tensor:
        """The same for the moves x_t -> x_{t+1} of the trajectories `rows` (N,) at t (N,), (N,), by calls at these."""
        after = states[:, 1:] if after is None else after
        parts = [measured([log_ratio], q, p, after[at]) for at, q, p in self._laws_at(states, rows, t)]
        return self.watch("log q - log p_ref", torch.cat([ratios for (ratios,) in parts]))

    def step_terms(self, states: State, t: Tensor, terms: Sequence[Measure]) -> list[Tensor]:
        """What functions (q, p_ref, x_{t+1}) -> (N,) say of the moves at t (B, n) of trajectories (B, T + 1, ...), (B,
        n) each, float64, with the gradient in the policy's parameters: one call of each process a state for all of
        them, and 0 where q is the very law p_ref. n times alike in each row, different ones in a row."""
        size, number = t.shape
        if self.looks_along(range(number)):
            parts = []
            for piece, law in laws_along(self.reference, self.policy, states, max(size, STATES_AT_ONCE)):
                x_next = concatenate([states[:, step + 1] for step in piece.steps])
                figures = measured(terms, law, piece.predictions[0].transition, x_next)
                parts.append([each.view(-1, size) for each in figures])
            return [torch.cat(each).T.gather(1, t) for each in zip(*parts, strict=True)]
        rows = torch.arange(size, device=t.device).repeat_interleave(number)
        after = states[:, 1:]
        parts = [measured(terms, q, p, after[at]) for at, q, p in self._laws_at(states, rows, t.flatten())]
        return [torch.cat(each).view(t.shape) for each in zip(*parts, strict=True)]

    def _laws_at(
        self, states: State, rows: Tensor, t: Tensor
    ) -> Iterator[tuple[tuple[Tensor, Tensor], Transition, Transition]]:
        """q and p_ref at x_t of the trajectories `rows` (N,) at t (N,), with which of these they are."""
        limit = max(len(states), STATES_AT_ONCE)
        steer = proposals.Policy(self.policy).transition
        for row, step in zip(rows.split(limit), t.split(limit), strict=True):
            x = states[row, step]
            with torch.no_grad():
                prediction = predict(self.reference, x, step)
            yield (row, step), steer(x, step, prediction), prediction.transition

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        super().on_save_checkpoint(checkpoint)
        state = checkpoint["state_dict"]  # a policy holds the reference too, by another name
        checkpoint["state_dict"] = {name: x for name, x in state.items() if not name.startswith("policy.reference.")}

    def validate(self, trajectories: TensorDict, generator: torch.Generator) -> None:
        own = self.roll_out_policy(self.num_validation, generator)
        self.log_samples(own, self.log_ratios(own["states"]).sum(dim=1))

    def log_samples(self, own: TensorDict, divergences: Tensor | None) -> None:
        """Log what a validation says of fresh trajectories of the policy, with their log q - log p_ref (B,), nats; None
        where that is not known: without "kl", and without "elbo", as at α = 0."""
        rewards, figures = own["rewards"].double(), {}
        if divergences is not None and self.target.alpha > 0:
            figures["elbo"] = float((rewards / self.target.alpha - divergences).mean())
        if divergences is not None:
            figures["kl"] = float(divergences.mean())
        figures |= held_out_figures(self.reference, own["states"][:, -1], rewards, self.judge)
        if self.num_processes > 1:
            figures = mean_over_processes(figures)
        for name, figure in figures.items():
            shown = name in ("elbo", "reward", "judge")
            self.log(f"validation/{name}", figure, prog_bar=shown, batch_size=len(own))

    def frozen_parts(self) -> list[object]:
        return [*super().frozen_parts(), self.judge]

    def _trajectories(self, batch: Any, size: int, generator: torch.Generator) -> TensorDict:
        if isinstance(batch, TensorDict):
            return batch
        return self.roll_out_policy(size, generator)

    def roll_out_policy(self, size: int, generator: torch.Generator) -> TensorDict:
        """Fresh trajectories of the policy, "states" (B, T + 1, ...) and "rewards" (B,)."""
        drawing: dict[str, Any] = {"condition": self.draw_conditions(size, generator), "generator": generator}
        return roll_out(self.policy, size, target=self.target, kind="policy_calls", **drawing)


def log_ratio(q: Transition, p: Transition, x_next: State) -> Tensor:
    """log q(x_{t+1}|x_t) - log p(x_{t+1}|x_t), (B,), nats."""
    return q.log_ratio(p, x_next)


def measured(terms: Sequence[Measure], q: Transition, p: Transition, x_next: State) -> list[Tensor]:
    """What each of the terms says of the moves to x_{t+1} (B, ...), (B,), float64; 0 where q is the very law p."""
    if q is p:
        nothing = torch.zeros(len(x_next), dtype=torch.float64, device=device_of_state(x_next))
        return [nothing] * len(terms)
    return [term(q, p, x_next).double() for term in terms]
