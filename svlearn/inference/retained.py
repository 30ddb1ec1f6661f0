"""Given trajectories that a run retains among its particles, and what they must be."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from svlearn.deferred_checks import check_finite, is_deferring
from svlearn.state import State, device_of_state, flattened, take
from svlearn.transitions import Transition


def check_shape(trajectories: State, batch_size: int | None, num_steps: int, name: str) -> None:
    """Raise ValueError unless they are x_0 ... x_T of every group, (B, T + 1, ...); None: of any number of groups."""
    shape = tuple(trajectories.shape)
    if len(shape) < 2 or shape[1] != num_steps + 1 or batch_size not in (None, shape[0]):
        expected = f"({'B' if batch_size is None else batch_size}, {num_steps + 1}, ...)"
        raise ValueError(f"{name}: expected shape {expected}, got {shape}")


def check_start(retained: State, x: State, t: int) -> None:
    """Raise ValueError unless the trajectories (B, T + 1, ...) are at x_t (B, ...), where the others of a group are."""
    here: Any = retained[:, t]
    if here.shape != x.shape:
        raise ValueError(f"retained: expected states of shape {tuple(x.shape)}, as x, got {tuple(here.shape)}")
    leaves: list[Any] = (
        [(here, x)] if isinstance(x, Tensor) else [(here[name], leaf) for name, leaf in x.items(True, True)]
    )
    same = torch.stack([flattened(one == other).all(dim=1) for one, other in leaves]).all(dim=0)
    if not bool(same.all()):
        group = int((~same).nonzero()[0])
        raise ValueError(
            f"retained: expected trajectories that are at x at t = {t}, got one elsewhere in group {group}"
        )


@dataclass(frozen=True)
class Retained:
    """Trajectories (B, T + 1, ...) that the first particle of each group follows, by its first candidate."""

    trajectories: State
    num_particles: int

    def put(self, x: State, t: int, rows: Tensor | None, copies: int) -> State:
        """The candidates (n · M, ...) for x_t, M of each of these rows (n,) of the particles (None: all), with the
        trajectory in the place of the first of every group."""
        places, groups = self._places(rows)
        x = x.clone()  # a law may have drawn what is already held elsewhere, as of a state that stays
        x[places * copies] = self.trajectories[:, t][groups]
        return x

    def check_moves(
        self, law: Transition, x: State, log_ratio: Tensor, t: int, rows: Tensor | None, copies: int
    ) -> None:
        """Raise ValueError where the proposal cannot move as the trajectory does, to its x_t.

        law: q for these rows (n,) of the particles; x (n · M, ...) and log_ratio (n · M,), log p_ref - log q, of their
        candidates. Where log q = -inf the weight p_ref/q of the trajectory would be infinite.
        """
        places, groups = self._places(rows)
        first = places * copies
        total = log_ratio[first].sum()
        if is_deferring() or not math.isfinite(total.item()):  # nothing is copied of what is seen to be right
            check_finite(total, partial(_refuse_move, law[places], take(x, first), groups, t))

    def _places(self, rows: Tensor | None) -> tuple[Tensor, Tensor]:
        """Where in these rows (n,) of the particles the first of a group stands, and of which group it is."""
        if rows is None:
            groups = torch.arange(len(self.trajectories), device=device_of_state(self.trajectories))
            return groups * self.num_particles, groups
        places = (rows % self.num_particles == 0).nonzero().squeeze(1)
        return places, rows[places] // self.num_particles


def _refuse_move(law: Transition, x: State, groups: Tensor, t: int) -> None:
    """Raise ValueError for the first of the groups (n,) whose trajectory's move to x (n, ...) has log q = -inf."""
    impossible = law.log_prob(x) == -math.inf
    if bool(impossible.any()):
        group = int(groups[impossible.nonzero()[0, 0]])
        raise ValueError(
            f"retained: expected trajectories that the proposal can follow, got one in group {group} whose move to "
            f"t = {t} it cannot make (log q = -inf); take a proposal that covers p*"
        )
