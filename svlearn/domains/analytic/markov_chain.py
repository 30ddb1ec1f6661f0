"""The finite Markov chain with a table of rewards: everything is a sum, by dynamic programming."""

import torch
from torch import Tensor, nn

from svlearn.domains.analytic.oracle import Oracle, double, positive, unconditional
from svlearn.process import Prediction
from svlearn.randomness import CPU, multinomial, rand, randn, seeded
from svlearn.transitions import CategoricalTransition
from svlearn.values.value import Value


class TableReward(nn.Module):
    """r(x) = table[x], (B,), of states (B, 1) of token ids; table (S,) float64, -inf is legal, NaN and +inf raise.

    Of one-hots (B, 1, S), floats, the same, linear in between: so it has a gradient.
    """

    table: Tensor
    reads_one_hot = True

    def __init__(self, table: Tensor):
        super().__init__()
        table = torch.as_tensor(table, dtype=torch.float64)
        if table.dim() != 1:
            raise ValueError(f"table: expected shape (S,), got {tuple(table.shape)}")
        if bool((table.isnan() | (table == torch.inf)).any()):
            raise ValueError(f"table: expected numbers or -inf, got {table.tolist()}")
        self.register_buffer("table", table.clone())

    def forward(self, x: Tensor) -> Tensor:
        return _read(self.table.expand(len(x), -1), x)


class FiniteMarkovChain(Oracle):
    """x_0 ~ initial_probs (S,); x_{t+1} ~ matrices[t, x_t], (T, S, S), t = 0 ... T - 1; reward r(x_T) by a table (S,).

    States are tokens (B, 1), long, so that a transition is a `CategoricalTransition` at one place. Zeros are legal in
    the probabilities, and -inf among the rewards. Raises ValueError for wrong shapes, negative probabilities, and
    rows that do not sum to 1.
    """

    reward: TableReward
    initial_probs: Tensor
    matrices: Tensor
    clean_probs: Tensor

    def __init__(self, initial_probs: Tensor, matrices: Tensor, rewards: Tensor):
        super().__init__()
        self.reward = TableReward(rewards)
        states = len(self.reward.table)
        self.num_steps, self.num_states = len(matrices), states
        if self.num_steps < 1:
            raise ValueError("matrices: expected at least one step, got none")
        initial_probs = double(initial_probs, (states,), "initial_probs")
        matrices = double(matrices, (self.num_steps, states, states), "matrices")
        for name, probs in (("initial_probs", initial_probs), ("matrices", matrices)):
            if not bool((probs >= 0).all()) or not torch.allclose(probs.sum(-1), torch.ones_like(probs.sum(-1))):
                raise ValueError(f"{name}: expected rows of probabilities that sum to 1, got {probs.tolist()}")
        self.register_buffer("initial_probs", initial_probs)
        self.register_buffer("matrices", matrices)
        to_the_end = [torch.eye(states).to(matrices)]
        for matrix in reversed(matrices):
            to_the_end.append(matrix @ to_the_end[-1])
        self.register_buffer("clean_probs", torch.stack(to_the_end[::-1]))

    @classmethod
    def random(cls, num_states: int, num_steps: int, seed: int, zeros: float = 0.0) -> "FiniteMarkovChain":
        """Stays with probability 0.8, else moves by softmax(2 N(0, 1)), a tenth of it uniform; rewards ~ N(0, 1).

        Staying is what lets early states tell something of x_T: I(x_0; x_T) is about 0.15 nats at S = T = 5.
        zeros: the share of transitions that are then forbidden, in [0, 1); the likeliest of a row is always kept.
        """
        if not 0 <= zeros < 1:
            raise ValueError(f"zeros: expected a share in [0, 1), got {zeros}")
        generator = seeded("cpu", num_states, num_steps, seed)
        logits = randn((1 + num_steps * num_states, num_states), generator, CPU, torch.float64)
        rows = 0.9 * (2 * logits).softmax(dim=1) + 0.1 / num_states
        stay = torch.eye(num_states, dtype=torch.float64, device=CPU).repeat(num_steps, 1)
        rows[1:] = 0.2 * rows[1:] + 0.8 * stay
        forbidden = rand(rows.shape, generator, CPU, torch.float64) < zeros
        forbidden[0] = False
        rows = torch.where(forbidden & (rows < rows.amax(dim=1, keepdim=True)), 0.0, rows)
        rows = rows / rows.sum(dim=1, keepdim=True)
        rewards = randn((num_states,), generator, CPU, torch.float64)
        return cls(rows[0], rows[1:].view(num_steps, num_states, num_states), rewards)

    def with_rewards(self, rewards: Tensor) -> "FiniteMarkovChain":
        """The same process towards other rewards (S,)."""
        return FiniteMarkovChain(self.initial_probs, self.matrices, rewards)

    def initial(self, batch_size: int, *, condition: None = None, generator: torch.Generator | None = None) -> Tensor:
        unconditional(condition, self)
        return multinomial(self.initial_probs, batch_size, generator)[:, None]

    def forward(self, x: Tensor, t: Tensor, previous: Prediction | None = None) -> Prediction:
        """The transition, the law of x_T given x_t, and its most probable token (B, 1), exactly."""
        rows = t * self.num_states + x[:, 0]
        law, clean_law = (_laws(probs[: self.num_steps])[rows] for probs in (self.matrices, self.clean_probs))
        return Prediction(law, clean=clean_law.log_probs.argmax(dim=2), clean_law=clean_law)

    def marginals(self) -> Tensor:
        """Probabilities (T + 1, S) of x_0 ... x_T."""
        laws = [self.initial_probs]
        for matrix in self.matrices:
            laws.append(laws[-1] @ matrix)
        return torch.stack(laws)

    def soft_table(self, alpha: float) -> Tensor:
        """v_t(x), (T + 1, S), reward units; -inf where no finite reward can be reached."""
        return alpha * self._log_twists(positive(alpha))

    def mean_table(self) -> Tensor:
        """v'_t(x), (T + 1, S), reward units; -inf where a reward of -inf can be reached."""
        forbidden = self.reward.table == -torch.inf
        finite = torch.where(forbidden, 0.0, self.reward.table)
        lost = self.clean_probs[..., forbidden].sum(dim=-1) > 0
        return torch.where(lost, -torch.inf, self.clean_probs @ finite)

    def soft_value(self, alpha: float) -> "TableValue":
        """The soft table; at t < T raised to the floor of `target(alpha)`, so that it is finite."""
        table = self.soft_table(alpha)
        return TableValue(torch.cat([table[:-1].clamp(min=self.target(alpha).floor), table[-1:]]))

    def mean_value(self) -> "TableValue":
        if bool((self.reward.table == -torch.inf).any()):
            raise ValueError("reward: the mean of a reward that is -inf does not exist; use soft_value")
        return TableValue(self.mean_table())

    def log_normalizer(self, alpha: float) -> Tensor:
        return (self.initial_probs.log() + self._log_twists(positive(alpha))[0]).logsumexp(dim=0)

    def optimal(self, alpha: float) -> "FiniteMarkovChain":
        """p* as a chain: initial_probs p*(x_0), matrices p*(x_{t+1} | x_t), `marginals()[-1]` is p*(x_T).

        From a state that p* never visits it moves as p_ref does. Raises ValueError where Z = 0.
        """
        twists = self._log_twists(positive(alpha))
        start = self.initial_probs.log() + twists[0]
        if bool((start == -torch.inf).all()):
            raise ValueError("reward: p* does not exist, no state of a finite reward can be reached (Z = 0)")
        moves = self.matrices.log() + twists[1:, None, :]
        moves = torch.where((twists[:-1] == -torch.inf)[..., None], self.matrices.log(), moves)
        return FiniteMarkovChain(start.softmax(dim=0), moves.softmax(dim=-1), self.reward.table)

    def optimal_trajectories(
        self, batch_size: int, alpha: float, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Exact draws of p*(x_0, ..., x_T), (B, T + 1, 1), long."""
        return self.optimal(alpha).trajectories(batch_size, generator=generator)

    def trajectories(self, batch_size: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draws of x_0, ..., x_T, (B, T + 1, 1), long."""
        path = [self.initial(batch_size, generator=generator)]
        for matrix in self.matrices:
            path.append(multinomial(matrix[path[-1][:, 0]], 1, generator))
        return torch.stack(path, dim=1)

    def optimal_kl(self, alpha: float) -> Tensor:
        law = self.optimal(alpha).marginals()[-1]
        gain = torch.where(law > 0, law * self.reward.table / alpha, 0.0)
        return gain.sum() - self.log_normalizer(alpha)

    def best_elbo(self, alpha: float) -> Tensor:
        """E_p0[v_0(x_0)/α], (), nats: p*'s transitions are allowed, only its initial law is not."""
        twists = self._log_twists(positive(alpha))[0]
        return torch.where(self.initial_probs > 0, self.initial_probs * twists, 0.0).sum()

    def mutual_information(self) -> Tensor:
        joint = self.initial_probs[:, None] * self.clean_probs[0]
        ratio = self.clean_probs[0] / self.marginals()[-1]
        return torch.where(joint > 0, joint * ratio.log(), 0.0).sum()

    def _log_twists(self, alpha: float) -> Tensor:
        twists = [self.reward.table / alpha]
        for matrix in reversed(self.matrices):
            twists.append((matrix.log() + twists[-1]).logsumexp(dim=1))
        return torch.stack(twists[::-1])


class TableValue(Value):
    """v_t(x) = table[t, x], (B,), reward units, of tokens (B, 1) or their one-hots; table (T + 1, S) or (T, S)."""

    table: Tensor

    def __init__(self, table: Tensor):
        super().__init__()
        if table.dim() != 2:
            raise ValueError(f"table: expected shape (T + 1, S), got {tuple(table.shape)}")
        self.register_buffer("table", table)

    def forward(
        self, x: Tensor, t: Tensor, prediction: Prediction | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        return _read(self.table[t], x)


def _read(rows: Tensor, x: Tensor) -> Tensor:
    """The entry of each row (B, S) at a token (B, 1), or, of a one-hot (B, 1, S), its mean."""
    if x.is_floating_point():
        return (x[:, 0] * rows).sum(dim=1)
    return rows.gather(1, x)[:, 0]


def _laws(matrices: Tensor) -> CategoricalTransition:
    """Every row of (T, S, S) as a law; row t · S + x is that of state x at t."""
    return CategoricalTransition(matrices.log().flatten(0, 1)[:, None])
