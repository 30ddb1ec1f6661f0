"""An oracle under conditions: several oracles in one process, and a leaf of the state says which of them it is."""

from collections.abc import Sequence
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from svlearn.conditions import rows_for
from svlearn.domains.analytic.oracle import Oracle
from svlearn.process import Prediction, Reference, has
from svlearn.state import concatenate
from svlearn.targets import Target
from svlearn.transitions import FieldTransition, Transition
from svlearn.values.value import Value

X, CONDITION = "x", "condition"


class ConditionalOracle(Reference):
    """States {"x": that of an oracle, "condition": c (B,), long}; x moves as oracle c does, and c stays.

    Start, steps and reward may all depend on c, so v_t(x, c), Z_c and p*(x | c) are those of oracle c. `initial` asks
    for a condition: B numbers 0 ... C - 1. Numbers per condition are tensors (C,), float64, in nats.
    Raises TypeError for what is no `Oracle`, ValueError for none and for oracles of different numbers of steps.
    """

    oracles: Any  # Oracles in an nn.ModuleList, of whose elements type checkers know less

    def __init__(self, oracles: Sequence[Oracle]):
        super().__init__()
        for place, oracle in enumerate(oracles):
            if not isinstance(oracle, Oracle):
                raise TypeError(f"oracles[{place}]: expected an Oracle, got {type(oracle).__name__}")
        steps = sorted({oracle.num_steps for oracle in oracles})
        if len(steps) != 1:
            raise ValueError(f"oracles: expected some of one number of steps, got {steps}")
        self.oracles, self.num_steps = nn.ModuleList(oracles), steps[0]
        self.reward = ByCondition([oracle.reward for oracle in oracles])

    def initial(
        self, batch_size: int, *, condition: Any = None, generator: torch.Generator | None = None
    ) -> TensorDict:
        if condition is None:
            raise ValueError(f"condition: expected {batch_size} numbers 0 ... {len(self.oracles) - 1}, got None")
        rows = torch.as_tensor(rows_for(condition, batch_size, "a sample"), dtype=torch.long)
        starts = [oracle.initial(batch_size, generator=generator) for oracle in self.oracles]
        x = torch.stack(starts)[rows, torch.arange(batch_size)]
        return TensorDict({X: x, CONDITION: rows}, batch_size=[batch_size])

    def forward(self, x: TensorDict, t: Tensor, previous: Prediction | None = None) -> Prediction:
        """The transition, and clean = the oracle's with the condition, exactly."""
        order, parts, cleans = [], [], []
        for number, oracle in enumerate(self.oracles):
            rows = (x[CONDITION] == number).nonzero()[:, 0]
            if len(rows):
                prediction = oracle(x[X][rows], t[rows])
                order.append(rows)
                parts.append(prediction.transition)
                cleans.append(prediction.clean)
        back = torch.cat(order).argsort()
        law: Transition = concatenate(parts)[back]
        clean = TensorDict({X: torch.cat(cleans)[back], CONDITION: x[CONDITION]}, batch_size=[len(x)])
        return Prediction(FieldTransition({X: law}, x), clean=clean)

    def finished(self, x: TensorDict) -> Tensor:
        """Whether a state is finished by its own oracle, (B,) bool."""
        each = torch.stack([oracle.finished(x[X]) for oracle in self.oracles])
        return each[x[CONDITION], torch.arange(len(x), device=each.device)]

    def defines(self, method: str) -> bool:
        if method != "finished":
            return super().defines(method)
        return any(has(oracle, method) for oracle in self.oracles)

    def target(self, alpha: float) -> Target:
        return Target(self.reward, alpha)

    def soft_value(self, alpha: float) -> "ValueByCondition":
        """v_t(x, c) = α log E[exp(r(x_T, c)/α) | x_t = x, c], reward units."""
        return ValueByCondition([oracle.soft_value(alpha) for oracle in self.oracles])

    def mean_value(self) -> "ValueByCondition":
        """E[r(x_T, c) | x_t = x, c], reward units."""
        return ValueByCondition([oracle.mean_value() for oracle in self.oracles])

    def log_normalizers(self, alpha: float) -> Tensor:
        """log Z_c, (C,)."""
        return torch.stack([oracle.log_normalizer(alpha) for oracle in self.oracles])

    def best_elbos(self, alpha: float) -> Tensor:
        """max over policies that keep p_0(x_0 | c) of the ELBO given c, (C,)."""
        return torch.stack([oracle.best_elbo(alpha) for oracle in self.oracles])

    def optimal_trajectories(
        self, condition: Tensor, alpha: float, *, generator: torch.Generator | None = None
    ) -> TensorDict:
        """Exact draws of p*(x_0, ..., x_T | c), (B, T + 1), of conditions (B,)."""
        size = len(condition)
        paths = [oracle.optimal_trajectories(size, alpha, generator=generator) for oracle in self.oracles]
        x = torch.stack(paths)[condition, torch.arange(size)]
        held = condition[:, None].expand(-1, self.num_steps + 1)
        return TensorDict({X: x, CONDITION: held}, batch_size=[size, self.num_steps + 1])


class ByCondition(nn.Module):
    """Functions of x, one a condition: f_c(x, *others), (B,), of states {"x", "condition"}."""

    def __init__(self, functions: Sequence[Any]):
        super().__init__()
        self.functions = nn.ModuleList(functions)

    def forward(self, x: TensorDict, *others: Any) -> Tensor:
        found = torch.stack([function(x[X], *others) for function in self.functions])
        return found.gather(0, x[CONDITION][None])[0]


class ValueByCondition(Value):
    """v_t(x, c) = v_c,t(x), (B,), reward units, of one value a condition."""

    def __init__(self, values: Sequence[Value]):
        super().__init__()
        self.by_condition = ByCondition(values)

    def forward(
        self,
        x: TensorDict,
        t: Tensor,
        prediction: Prediction | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        return self.by_condition(x, t)
