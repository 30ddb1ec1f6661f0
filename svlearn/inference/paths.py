"""Whole trajectories of weighted particles: the sampling loop on states that remember where they came from."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.inference.resampling import scheme
from svlearn.inference.sampler import Sampler
from svlearn.inference.selection import Global
from svlearn.process import Prediction, Reference
from svlearn.state import State, concatenate
from svlearn.targets import Target
from svlearn.transitions import Transition
from svlearn.values.value import Value


def smc_paths(
    reference: Reference,
    target: Target,
    value: Value,
    num_particles: int,
    *,
    ess_threshold: float = 0.5,
    generator: torch.Generator | None = None,
) -> tuple[State, Tensor]:
    """x_0 ... x_T (K, T + 1, ...) of the particles of one SMC group, and their log-weights (K,), nats, normalised.

    They target p*(x_0, ..., x_T), and so p*(x_t) at each t; survivors share their early states. -inf throughout
    where all particles died. target.alpha must be > 0. Otherwise as `samplers.smc`.
    """
    last = reference.num_steps
    target_of_path = Target(lambda state: target.reward(state["path"][:, last]), target.alpha, target.floor)
    selection = Global(scheme("systematic"), ess_threshold)
    sampler = Sampler(
        _Remembering(reference), target_of_path, _ValueOfLast(value), selection, num_particles=num_particles
    )
    samples = sampler.sample(1, generator=generator)
    return cast(TensorDict, samples.states)["path"][0], samples.log_weights[0]


class _Remembering(Reference):
    """A reference whose state is its whole path: "path" (B, T + 1, ...), of which x_0 ... x_t are written."""

    def __init__(self, reference: Reference):
        super().__init__()
        self.reference, self.num_steps = reference, reference.num_steps

    def initial(self, batch_size: int, *, condition: Any = None, generator: torch.Generator | None = None) -> State:
        x = self.reference.initial(batch_size, generator=generator)
        return TensorDict({"path": torch.stack([x] * (self.num_steps + 1), dim=1)}, batch_size=[batch_size])

    def forward(self, x: TensorDict, t: Tensor, previous: Prediction | None = None) -> Prediction:
        given = {} if previous is None else {"previous": previous}
        told = self.reference(_now(x, t), t, **given)
        law = _Extension(told.transition, x["path"], t)
        return Prediction(law, told.clean, told.clean_law, told.features, told.cache)


class _Extension(Transition):
    """The law of a path that is one state longer."""

    def __init__(self, law: Transition, path: State, t: Tensor):
        self.law, self.path, self.t = law, path, t

    def sample(self, *, generator: torch.Generator | None = None) -> TensorDict:
        path = self.path.clone()
        path[torch.arange(len(self.t), device=self.t.device), self.t + 1] = self.law.sample(generator=generator)
        return TensorDict({"path": path}, batch_size=[len(self.t)])

    def log_prob(self, x_next: TensorDict) -> Tensor:
        return self.law.log_prob(_now(x_next, self.t + 1))

    def __getitem__(self, index: Any) -> "_Extension":
        return _Extension(self.law[index], self.path[index], self.t[index])

    @classmethod
    def cat(cls, parts: Sequence["_Extension"]) -> "_Extension":
        return cls(*(concatenate([getattr(part, name) for part in parts]) for name in ("law", "path", "t")))


class _ValueOfLast(Value):
    """v_t of the last state of a path."""

    def __init__(self, value: Value):
        super().__init__()
        self.value = value
        self.needs_prediction, self.needs_generator = value.needs_prediction, value.needs_generator

    def forward(self, x: TensorDict, t: Tensor, prediction: Prediction | None = None, **given: Any) -> Tensor:
        if prediction is not None:
            given["prediction"] = prediction
        return self.value(_now(x, t), t, **given)


def _now(x: TensorDict, t: Tensor) -> State:
    return x["path"][torch.arange(len(t), device=t.device), t]
