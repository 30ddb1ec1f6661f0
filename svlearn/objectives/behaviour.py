"""Where the trajectories of an off-policy objective come from: the policy, the reference, and the past."""

from typing import Any

import torch
from tensordict import TensorDict
from torch import nn

from svlearn.arguments import integer
from svlearn.conditions import Conditions, draw_rows
from svlearn.objectives.exploration import EpsilonMixture
from svlearn.policies import Policy
from svlearn.process import Prediction, Reference, has
from svlearn.randomness import device_of, resolve_generator
from svlearn.rollouts.roll_out import roll_out
from svlearn.state import State, concatenate, device_of_state, number_of_rows, repeat, take, trajectories_of
from svlearn.targets import Target


class StartedElsewhere(Reference):
    """A process that moves as another does, from an x_0 of its own."""

    def __init__(self, process: Reference):
        super().__init__()
        self.process, self.num_steps = process, process.num_steps

    def forward(self, x: State, t: torch.Tensor, previous: Prediction | None = None) -> Prediction:
        return self.process(x, t) if previous is None else self.process(x, t, previous)

    def finished(self, x: State) -> torch.Tensor:
        return self.process.finished(x)

    def defines(self, method: str) -> bool:
        return has(self.process, method) if method == "finished" else super().defines(method)


class SharedStart(StartedElsewhere):
    """A process of which every `copies` consecutive trajectories start at the same x_0."""

    def __init__(self, process: Reference, copies: int):
        super().__init__(process)
        self.copies = copies

    def initial(self, batch_size: int, *, condition: Any = None, generator: torch.Generator | None = None) -> State:
        firsts = torch.arange(0, batch_size, self.copies)  # those of one x_0 have one condition
        options = {} if condition is None else {"condition": take(condition, firsts)}
        return repeat(self.process.initial(batch_size // self.copies, generator=generator, **options), self.copies)


class DrawnConditions(StartedElsewhere):
    """A process of which each x_0 is drawn with a condition of its own: that of both, p(c) p_ref(x_0 | c)."""

    def __init__(self, process: Reference, conditions: Conditions):
        super().__init__(process)
        self.conditions = conditions

    def initial(self, batch_size: int, *, condition: Any = None, generator: torch.Generator | None = None) -> State:
        rows = self.conditions.draw(batch_size, resolve_generator(generator, device_of(self.process)))
        return self.process.initial(batch_size, condition=rows, generator=generator)


class Replay(nn.Module):
    """The last `size` trajectories, in memory where they were drawn; a checkpoint holds them.

    Rows come and go in groups of `group` consecutive ones, so that those of one x_0 stay together. What a step draws
    waits for the last of its micro-batches: all of them look at the same past.
    """

    of_one_process = True

    def __init__(self, size: int, group: int = 1):
        super().__init__()
        self.size, self.group = size - size % group, group
        self.written = 0
        self.held: TensorDict | None = None
        self.waiting: list[TensorDict] = []

    def __len__(self) -> int:
        return min(self.written, self.size)

    def add(self, trajectories: TensorDict) -> None:
        """Keep them; the oldest go."""
        trajectories = trajectories[-self.size :]
        if self.held is None:
            self.held = trajectories[:1].expand(self.size).clone()
        rows = (self.written + torch.arange(len(trajectories))) % self.size
        self.held[rows.to(device_of_state(self.held))] = trajectories
        self.written += len(trajectories)

    def wait(self, trajectories: TensorDict, more: bool) -> None:
        """Keep them once the step is over: at once, unless more of its micro-batches follow."""
        self.waiting.append(trajectories)
        if not more:
            for each in self.waiting:
                self.add(each)
            self.waiting.clear()

    def begin_again(self, step: int) -> None:
        """Forget what waits: its micro-batches are drawn again."""
        self.waiting.clear()

    def draw(self, number: int, generator: torch.Generator) -> TensorDict:
        """`number` of them, by groups, uniformly with repetition."""
        if self.held is None:
            raise ValueError("replay: nothing is held yet")
        groups = torch.randint(
            len(self) // self.group, (number // self.group,), generator=generator, device=generator.device
        )
        rows = groups[:, None] * self.group + torch.arange(self.group, device=generator.device)
        return self.held[rows.flatten().to(device_of_state(self.held))].to(generator.device)

    def get_extra_state(self) -> dict:
        held = None if self.held is None else self.held.to_dict()
        return {"written": self.written, "held": held, "waiting": [each.to_dict() for each in self.waiting]}

    def set_extra_state(self, state: dict) -> None:
        self.written = state["written"]
        self.held = None if state["held"] is None else trajectories_of(state["held"], self.size)
        self.waiting = [trajectories_of(each, number_of_rows(each)) for each in state["waiting"]]


class Behaviour(nn.Module):
    """What draws the trajectories that are learned from.

    exploration: the share of the fresh ones that the reference draws, not the policy; exploration_noise: the share of
    moves at which the policy, in those it draws, lets the reference move (see `EpsilonMixture`); replay: the share of a
    batch that is drawn again from the last `replay_size` ones, from the second batch on; shared_start: how many
    consecutive trajectories start at the same x_0. The shares of trajectories are of whole groups. Raises ValueError
    for numbers out of range.
    """

    def __init__(
        self,
        exploration: float = 0.0,
        replay: float = 0.0,
        replay_size: int = 10_000,
        shared_start: int = 1,
        exploration_noise: float = 0.0,
    ):
        super().__init__()
        shares = {"exploration": exploration, "exploration_noise": exploration_noise, "replay": replay}
        for name, share in shares.items():
            if not 0 <= share < 1:
                raise ValueError(f"{name}: expected a share in [0, 1), got {share}")
        shared_start = integer(shared_start, "shared_start")
        replay_size = integer(replay_size, "replay_size", shared_start)
        self.exploration, self.share, self.shared_start = exploration, replay, shared_start
        self.noise = exploration_noise
        self.replay = Replay(replay_size, shared_start) if replay > 0 else None

    @property
    def on_policy(self) -> bool:
        """Whether all trajectories are fresh ones of the policy."""
        return self.exploration == 0 and self.noise == 0 and self.replay is None

    def fresh(
        self,
        policy: Policy,
        reference: Reference,
        target: Target,
        size: int,
        generator: torch.Generator,
        conditions: Conditions | None = None,
    ) -> TensorDict:
        """`size` new trajectories, "states" (B, T + 1, ...) and "rewards" (B,), the policy's first; each x_0 is drawn
        with one of the conditions, which those that share it have in common."""
        explored = self._groups(self.exploration, size)
        own = policy if self.noise == 0 else EpsilonMixture(policy, self.noise)
        parts = []
        for process, kind, number in (
            (own, "policy_calls", size - explored),
            (reference, "reference_calls", explored),
        ):
            if number > 0:
                start = process if self.shared_start == 1 else SharedStart(process, self.shared_start)
                rows = draw_rows(conditions, number // self.shared_start, generator)
                rows = None if rows is None else repeat(rows, self.shared_start)
                parts.append(roll_out(start, number, target=target, generator=generator, kind=kind, condition=rows))
        return concatenate(parts)

    def batch(
        self,
        policy: Policy,
        reference: Reference,
        target: Target,
        size: int,
        generator: torch.Generator,
        conditions: Conditions | None = None,
        *,
        more: bool = False,
    ) -> TensorDict:
        """Fresh trajectories and replayed ones; the fresh ones are kept for later steps. more: whether others of the
        step's micro-batches follow."""
        if self.replay is None:
            return self.fresh(policy, reference, target, size, generator, conditions)
        replayed = self._groups(self.share, size) if len(self.replay) else 0
        past = [self.replay.draw(replayed, generator)] if replayed else []
        new = self.fresh(policy, reference, target, size - replayed, generator, conditions)
        self.replay.wait(new, more)
        return concatenate([new, *past])

    def _groups(self, share: float, size: int) -> int:
        return round(share * size / self.shared_start) * self.shared_start


def check_shared(start: State, shared: int) -> None:
    """Raise ValueError unless x_0 (B, ...) of stored trajectories comes in groups of so many equal ones."""
    if len(start) % shared or not _equal(start, repeat(start[::shared], shared)):
        raise ValueError(f"shared_start: expected stored trajectories in rows of {shared} that share x_0, got others")


def check_constant(start: State, whose: str) -> None:
    """Raise ValueError where x_0 (B, ...) varies, so that one log Z does not serve all."""
    if not _equal(start, repeat(start[:1], len(start))):
        raise ValueError(
            f"value: expected one, as x_0 {whose} varies and one log Z does not serve all; give "
            "value= (v_0 is trained along), or variant='log_variance' with shared_start=2 or more"
        )


def _equal(one: State, other: State) -> bool:
    return bool((one == other).all())
