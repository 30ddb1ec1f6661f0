"""How much better than its group a trajectory is: the advantages of GRPO, in the forms that are in use."""

from collections.abc import Sequence

import torch
from torch import Tensor

from svlearn.objectives.policy_gradient import leave_one_out
from svlearn.reward import WeightedSum
from svlearn.state import State, device_of_state

FORMS = ("leave_one_out", "centered", "standardized", "standardized_each")
ROUNDING = 8  # in units of the last place


def in_groups(rows: Tensor, group_size: int) -> Tensor:
    """(B, ...) as (K, G, ...): the K members of each of the G groups, which are K consecutive rows, in the first."""
    return rows.unflatten(0, (-1, group_size)).transpose(0, 1)


def in_rows(groups: Tensor) -> Tensor:
    """(K, G, ...) as (B, ...) again."""
    return groups.transpose(0, 1).flatten(0, 1)


def constant_groups(rewards: Tensor, group_size: int) -> Tensor:
    """Whether the reward is the same in the group of each trajectory, (B,) bool, of rewards (B,): but for rounding, for
    a spread of that would make a difference of nothing."""
    groups = in_groups(rewards, group_size)
    low, high = groups.aminmax(dim=0)
    rounding = ROUNDING * torch.finfo(rewards.dtype).eps * torch.maximum(low.abs(), high.abs())
    return (high - low <= rounding).repeat_interleave(group_size)


def relative_rewards(rewards: Tensor, group_size: int, form: str, constant: Tensor | None = None) -> Tensor:
    """Rewards (B,) relative to those of the group, (B,), float64; 0 where they are the same in all of it.

    "leave_one_out": r less the mean of the others', reward units: a baseline that a trajectory cannot move.
    "centered": r less the mean of all K, (K - 1)/K of that (2503.20783). "standardized": that divided by the group's
    standard deviation, of K - 1 degrees of freedom (GRPO, 2402.03300): of no unit.
    constant: whether they are the same, (B,) bool (None: by `constant_groups`).
    """
    groups = in_groups(rewards.double(), group_size)
    relative = leave_one_out(groups) if form == "leave_one_out" else groups - groups.mean(dim=0)
    constant = constant_groups(rewards, group_size) if constant is None else constant
    if form == "standardized":
        spread = torch.where(constant[::group_size], 1.0, groups.std(dim=0))
        relative = relative / spread
    return torch.where(constant, 0.0, in_rows(relative))


def relative_sum(terms: Tensor, weights: Sequence[float], group_size: int) -> Tensor:
    """Σ_i w_i times the standardized r_i, (B,), of several rewards (B, N): each has the say of its weight, whatever its
    scale (2601.05242)."""
    each = []
    for weight, term in zip(weights, terms.unbind(dim=1), strict=True):
        constant = constant_groups(term.float(), group_size)  # most rewards are of float32, whatever their sum is of
        each.append(weight * relative_rewards(term, group_size, "standardized", constant))
    return torch.stack(each).sum(dim=0)


def group_advantages(relative: Tensor, costs_to_go: Tensor, alpha: float, group_size: int) -> Tensor:
    """A_t = relative/α less what costs to go have more than the mean of the others of the group, (B, T), nats, float64.

    relative (B,), see `relative_rewards`; costs_to_go (B, T): what is still to be paid in KL by step t's choice.
    """
    costs = in_rows(leave_one_out(in_groups(costs_to_go.double(), group_size)))
    return (relative / alpha)[:, None] - costs


class KeptTerms:
    """A weighted sum of rewards that keeps what each said of the states that it was called with; one of weight 0 is
    not called, and counts as 0."""

    def __init__(self, total: WeightedSum):
        self.total = total
        self.kept: list[Tensor] = []

    def __call__(self, x: State) -> Tensor:
        nothing = torch.zeros(len(x), dtype=torch.float64, device=device_of_state(x))
        each = [reward(x).detach().to(nothing) if weight != 0 else nothing for weight, reward in self.total.terms]
        terms = torch.stack(each, dim=1)
        self.kept.append(terms)
        return terms @ terms.new_tensor([weight for weight, _ in self.total.terms])

    def terms(self) -> Tensor:
        """(B, N), reward units, of all calls so far, one after the other."""
        return torch.cat(self.kept)
