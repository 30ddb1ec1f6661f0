"""A landscape whose every variant has a score: soft values, p*, log Z, KL and the best policy, exactly."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from svlearn.arguments import expect, real
from svlearn.domains.sequences.state_graph import StateGraph
from svlearn.policies import Policy
from svlearn.process import Prediction, Reference
from svlearn.randomness import resolve_generator
from svlearn.targets import Target
from svlearn.transitions import ListedTransition, Transition
from svlearn.values.value import Value


class Landscape:
    """The exact answers of p*(x_T) ∝ p_ref(x_T) exp(r(x_T)/α), by dynamic programming over all states x_t.

    reference: over tokens (B, L), from one x_0, with few outcomes a step: a masked diffusion of a few places, in any
    order or a fixed one; of four amino acids there are 21^4 masked states, and it takes seconds. reward: of finished
    states. Numbers are 0-dim float64 tensors, in nats; alpha must be > 0, else ValueError. Laws of moves are T tensors
    of log-probabilities, in the order of `graph.moves`, and laws of x_T are in the order of `variants`.
    """

    def __init__(self, reference: Reference, reward: Callable[[Tensor], Tensor], limit: int = 1024):
        self.reference, self.reward = expect(reference, Reference, "reference"), reward
        self.graph, self.limit = StateGraph(reference, limit), limit
        self.rewards = Target(reward, 1.0)(self.variants).double()

    @property
    def variants(self) -> Tensor:
        """All finished states, (N, L), long."""
        return self.graph.levels[-1]

    def target(self, alpha: float) -> Target:
        """The target of this landscape's reward."""
        return Target(self.reward, alpha)

    def soft_value(self, alpha: float) -> "LandscapeValue":
        """v_t(x) = α log E[exp(r(x_T)/α) | x_t = x], reward units; at t < T raised to the floor of `target(alpha)`."""
        tables = [_positive(alpha) * each for each in self._log_twists(alpha)]
        floor = self.target(alpha).floor
        return LandscapeValue(self.graph, [*(each.clamp(min=floor) for each in tables[:-1]), tables[-1]])

    def mean_value(self) -> "LandscapeValue":
        """v'_t(x) = E[r(x_T) | x_t = x], reward units. Raises ValueError for a reward of -inf, which has none."""
        if bool((self.rewards == -torch.inf).any()):
            raise ValueError("reward: the mean of a reward that is -inf does not exist; use soft_value")
        return LandscapeValue(self.graph, self.graph.means(self.rewards))

    def log_normalizer(self, alpha: float) -> Tensor:
        """log Z = log E_ref[exp(r(x_T)/α)]."""
        return self._log_twists(alpha)[0].squeeze(0)

    def law(self, alpha: float | None = None) -> Tensor:
        """log p*(x_T), (N,), nats; None: log p_ref(x_T)."""
        marginal = self.graph.marginals()[-1].log()
        return marginal if alpha is None else marginal + self.rewards / _positive(alpha) - self._existing(alpha)[0]

    def optimal_moves(self, alpha: float) -> list[Tensor]:
        """log p*(x_{t+1} | x_t) of all moves; from a state that p* never visits it is p_ref's. Raises ValueError where
        Z = 0, as all that asks for p*."""
        found, twists = [], self._existing(alpha)
        for t, moves in enumerate(self.graph.moves):
            before, after = twists[t][moves.sources], twists[t + 1][moves.targets]
            tilted = moves.log_probs + after - torch.where(before == -torch.inf, 0.0, before)
            found.append(torch.where(before == -torch.inf, moves.log_probs, tilted))
        return found

    def moves_of(self, process: Reference) -> list[Tensor]:
        """log q(x_{t+1} | x_t) of all moves of another process over these states, as a policy of the reference."""
        return self.graph.laws_of(process)

    def law_of(self, moves: Sequence[Tensor]) -> Tensor:
        """log q(x_T), (N,), nats, of a law of moves."""
        return self.graph.marginals(moves)[-1].log()

    def optimal_kl(self, alpha: float) -> Tensor:
        """KL(p* || p_ref) = E_p*[r/α] - log Z, of x_T and of whole trajectories alike."""
        law = self.law(alpha).exp()
        return torch.where(law > 0, law * self.rewards / alpha, 0.0).sum() - self.log_normalizer(alpha)

    def best_elbo(self, alpha: float) -> Tensor:
        """max over policies q of E_q[r(x_T)/α] - KL(q || p_ref): log Z, for there is one x_0."""
        return self.log_normalizer(alpha)

    def mutual_information(self) -> Tensor:
        """I(x_0; x_T): 0, for there is one x_0."""
        return torch.zeros((), dtype=torch.float64)

    def path_kl(self, one: Sequence[Tensor], other: Sequence[Tensor]) -> Tensor:
        """KL of the laws of whole trajectories, of two laws of moves: at least that of x_T."""
        total = torch.zeros((), dtype=torch.float64)
        for moves, marginal, own, others in zip(self.graph.moves, self.graph.marginals(one), one, other, strict=False):
            joint = marginal[moves.sources] * own.exp()
            total = total + torch.where(joint > 0, joint * (own - others), 0.0).sum()
        return total

    def optimal_trajectories(
        self, batch_size: int, alpha: float, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Exact draws of p*(x_0, ..., x_T), (B, T + 1, L), long."""
        generator = resolve_generator(generator, torch.device("cpu"))
        return self.graph.draw(batch_size, self.optimal_moves(alpha), generator)

    def best_policy(self, alpha: float) -> "LandscapePolicy":
        """p* as a process: q(x_{t+1} | x_t) = p*(x_{t+1} | x_t)."""
        return LandscapePolicy(self.reference, self.soft_value(alpha), alpha, self.limit)

    def _existing(self, alpha: float) -> list[Tensor]:
        """The log-twists of a p* that exists."""
        twists = self._log_twists(alpha)
        if bool(twists[0] == -torch.inf):
            raise ValueError("reward: p* does not exist, no state of a finite reward can be reached (Z = 0)")
        return twists

    def _log_twists(self, alpha: float) -> list[Tensor]:
        return self.graph.backward(self.rewards / _positive(alpha))


class LandscapeValue(Value):
    """v_t(x_t), (B,), float64, reward units, of the states (B, L) of a graph by tables, T + 1 tensors (N_t,).

    0 for a state that the reference cannot reach by t, which has no weight whatever its value is.
    """

    table: Tensor

    def __init__(self, graph: StateGraph, tables: Sequence[Tensor]):
        super().__init__()
        self.graph = graph
        self.register_buffer("table", torch.cat([*tables]))

    def forward(
        self, x: Tensor, t: Tensor, prediction: Prediction | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        places, reached = self.graph.find(x, t)
        return torch.where(reached, self.table[places], 0.0)


class LandscapePolicy(Policy):
    """q(x_{t+1} | x_t) ∝ p_ref(x_{t+1} | x_t) exp(v_{t+1}(x_{t+1})/α), of an exact value of a landscape."""

    def __init__(self, reference: Reference, value: LandscapeValue, alpha: float, limit: int = 1024):
        super().__init__(reference)
        self.value, self.alpha, self.limit = value, _positive(alpha), limit

    def steer(self, prediction: Prediction, x: Tensor, t: Tensor) -> Transition:
        states, log_probs = prediction.transition.outcomes(self.limit)
        number, possible = log_probs.shape[1], log_probs > -torch.inf
        later = (t + 1).repeat_interleave(number).view_as(log_probs)
        twists = torch.zeros_like(log_probs)
        twists[possible] = self.value(states[possible], later[possible]) / self.alpha
        tilted = log_probs + twists
        alive = (tilted > -torch.inf).any(dim=1, keepdim=True)
        return ListedTransition(states, torch.where(alive, tilted, log_probs))

    def trained(self) -> list[torch.nn.Parameter]:
        return []


def _positive(alpha: float) -> float:
    return real(alpha, "alpha", above=0)
