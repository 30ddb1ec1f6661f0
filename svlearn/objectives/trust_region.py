"""A trust region in path space: near the target by steps of bounded KL, each learned from stored trajectories."""

import math
from collections.abc import Callable

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from svlearn.arguments import integer
from svlearn.inference.resampling import ess
from svlearn.objectives.behaviour import Replay
from svlearn.state import concatenate

HALVINGS = 60
ALONE = nn.Identity()  # where one process trains


def tilted_kl(log_weights: Tensor, beta: float) -> Tensor:
    """KL(q w^β/E_q[w^β] || q), (...), nats, float64, of log w (..., N) of N draws of q.

    Σ_n W_n log W_n + log N with W ∝ w^β, normalised over the draws: at most log N, and it grows with β, for
    its derivative is β Var_W[log w]. Draws of w = 0 are left out, whatever β, and N is the number of the others: q is
    then what it is on the support of w; 0 where there are none.
    """
    possible = log_weights > -math.inf
    scaled = torch.where(possible, beta * log_weights.double(), -math.inf)
    shares = torch.where(possible, scaled.softmax(dim=-1), 0.0)
    return possible.sum(dim=-1).clamp(min=1).double().log() - torch.special.entr(shares).sum(dim=-1)


def largest_beta(log_weights: Tensor, bound: float) -> float:
    """The largest β in (0, 1] of which `tilted_kl`, averaged over groups, is at most `bound`, nats; by bisection.

    log_weights (G, N): G groups of N draws each. 1 where the whole target is inside the region.
    """
    if tilted_kl(log_weights, 1.0).mean() <= bound:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        inside = bool(tilted_kl(log_weights, middle).mean() <= bound)
        low, high = (middle, high) if inside else (low, middle)
    return low


def annealed(values: Tensor, spent: Tensor, beta: float) -> Tensor:
    """Values (B, T + 1), nats, the last r/α, on the way from q_i to the target: those of q_i w^β; float64.

    β v_0/α and β r/α + (1 - β) log q_i/p_ref, with the whole path's `spent` = log q_i/p_ref (B,), nats. δ between
    0 and T is then log q/q_i - β (log w - v_0/α), log w = r/α - log q_i/p_ref.
    """
    scaled = beta * values.double()
    return torch.cat([scaled[:, :-1], scaled[:, -1:] + (1 - beta) * spent.double()[:, None]], dim=1)


class TrustRegion(nn.Module):
    """The outer iterations of trust-region path consistency (arXiv 2508.12511), and the trajectories of the current.

    Each draws `size` trajectories of the policy as it is, q_i, for `inner_steps` gradient steps, and takes the largest
    β with KL(q_i w^β || q_i) <= bound. A checkpoint holds the trajectories, so a resumed run goes on amid an iteration.
    An iteration is one of optimiser steps, whatever number of micro-batches they take. group: so many consecutive
    trajectories share x_0, and the KL is the mean over the groups: that of the laws given x_0. `beta`, `kl` (nats) and
    `ess`, the share of the trajectories that the weights w towards the whole target leave (mean over groups), are those
    of the current iteration.
    Raises ValueError for numbers out of range, and for a bound that the estimate, at most log(group size), never meets.
    """

    of_one_process = begins_together = True

    def __init__(self, bound: float, size: int, inner_steps: int, group: int = 1):
        super().__init__()
        self.replay = Replay(size, group)
        self.bound, self.inner_steps = bound, integer(inner_steps, "inner_steps")
        self.group, members = group, self.replay.size if group == 1 else group
        limit = math.log(members)
        if not 0 < bound < limit:
            raise ValueError(
                f"trust_region: expected a bound above 0 and below {limit:.3g} nats, the most that "
                f"{members} trajectories can show, got {bound}"
            )
        self.iteration, self.beta, self.kl, self.ess = -1, math.nan, math.nan, math.nan

    def batch(
        self,
        draw: Callable[[int], TensorDict],
        piece: int,
        number: int,
        generator: torch.Generator,
        *,
        step: int,
        gather: Callable[[Tensor], Tensor] = ALONE,
    ) -> TensorDict:
        """`number` trajectories of the iteration that an optimiser step, counted from 0, belongs to; the first step of
        an iteration has new ones drawn.

        draw(n): n trajectories of the policy with "log_ratio", log q_i/p_ref, and "log_weight", log w - v_0/α, both
        (n,), nats; asked for `piece` at a time. gather: of this process' log-weights those of all that train together,
        so that β is the same in each.
        """
        if step // self.inner_steps != self.iteration:
            self.iteration = step // self.inner_steps
            starts = range(0, self.replay.size, piece)
            self._begin(concatenate([draw(min(piece, self.replay.size - start)) for start in starts]), gather)
        return self.replay.draw(number, generator)

    def leave(self) -> None:
        """End the current iteration: the next batch begins another, of the policy as it is then."""
        self.iteration = -1

    def begin_again(self, step: int) -> None:
        """Of a step that is begun again and begins an iteration, that one begins again."""
        if step % self.inner_steps == 0:
            self.leave()

    def _begin(self, trajectories: TensorDict, gather: Callable[[Tensor], Tensor]) -> None:
        self.replay.add(trajectories)
        log_weights = gather(trajectories["log_weight"])
        log_weights = log_weights[None] if self.group == 1 else log_weights.view(-1, self.group)
        self.beta = largest_beta(log_weights, self.bound)
        self.kl = float(tilted_kl(log_weights, self.beta).mean())
        self.ess = float(ess(log_weights.log_softmax(dim=1)).mean()) / log_weights.shape[1]

    def get_extra_state(self) -> dict:
        return {"iteration": self.iteration, "beta": self.beta, "kl": self.kl, "ess": self.ess}

    def set_extra_state(self, state: dict) -> None:
        self.iteration, self.beta, self.kl, self.ess = (state[name] for name in ("iteration", "beta", "kl", "ess"))
