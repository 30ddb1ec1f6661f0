"""All states that a small sequence process can reach, and its moves between them, for dynamic programming."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from svlearn.modes import evaluating
from svlearn.process import Reference, call
from svlearn.randomness import uniform
from svlearn.state import times

PIECE = 4096  # states in one call
ROUNDING = 1e-3  # of the total of a law of float32, nats


@dataclass(frozen=True)
class Moves:
    """The E moves that are possible at a time: from state `sources` (E,), in order, to `targets` (E,) of the next
    level, with log_probs (E,), nats, float64."""

    sources: Tensor
    targets: Tensor
    log_probs: Tensor

    def logsumexp(self, terms: Tensor, size: int) -> Tensor:
        """log Σ exp(terms), (size,), of terms (E,) over the moves of each source; -inf where there are none."""
        highest = torch.full((size,), -torch.inf, dtype=terms.dtype).scatter_reduce(0, self.sources, terms, "amax")
        highest = torch.where(highest == -torch.inf, 0.0, highest)
        total = torch.zeros_like(highest).index_add(0, self.sources, (terms - highest[self.sources]).exp())
        return total.log() + highest


class StateGraph:
    """The states x_t that a process can reach from its one x_0, t = 0 ... T, and its moves, by its own `outcomes`; on
    the CPU, as the process must be.

    levels: T + 1 tensors (N_t, L) of token ids, in lexical order; moves: T `Moves`. A state of a masked diffusion in
    any order stands at one t only, one of a process that unmasks several places a step may stand at several.
    limit: the most outcomes of a step; most: the most states of all levels. Raises TypeError for states that are no
    tokens (B, L), and ValueError for an x_0 that is random, and for more outcomes or states than that.
    """

    def __init__(self, reference: Reference, limit: int = 1024, most: int = 2_000_000):
        start = reference.initial(2)
        if start.dim() != 2 or start.dtype != torch.long:
            raise TypeError(f"reference: expected states of token ids (B, L), long, got {start.dtype} {start.shape}")
        if not bool((start[0] == start[1]).all()):
            raise ValueError("reference: expected one x_0, as all masks, got several")
        self.num_steps, self.base = reference.num_steps, 1 + int(start.max())
        self.length = start.shape[1]
        if self.base**self.length * (self.num_steps + 1) >= 2**63:
            raise ValueError(
                f"reference: expected short sequences, got {self.base - 1} letters at {self.length} places"
            )
        self.levels, self.moves = [start[:1]], list[Moves]()
        for t in range(self.num_steps):
            found = list(_outcomes(reference, self.levels[t], t, limit))
            sources, states, log_probs = (torch.cat(parts) for parts in zip(*found, strict=True))
            codes, targets = self.codes(states).unique(return_inverse=True)
            moves = Moves(sources, targets, log_probs)
            self.moves.append(replace(moves, log_probs=_normalized(moves, log_probs, self.levels[t], t)))
            self.levels.append(self._tokens(codes))
            if sum(map(len, self.levels)) > most:
                raise ValueError(f"reference: expected at most {most} states, got more by t = {t + 1}")
        spans = [self.codes(level) + t * self.base**self.length for t, level in enumerate(self.levels)]
        self.keys = torch.cat(spans)

    def codes(self, x: Tensor) -> Tensor:
        """A number (B,) for each state (B, L): its tokens as digits, the first the highest."""
        if bool(((x < 0) | (x >= self.base)).any()):
            raise ValueError(f"x: expected token ids of 0 ... {self.base - 1}, got {int(x.min())} to {int(x.max())}")
        found = torch.zeros_like(x[:, 0])
        for place in range(self.length):
            found = found * self.base + x[:, place]
        return found

    def find(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """The places (B,) of states (B, L) at t (B,) among those of all levels, one level after the other, and which
        of them are there (B,), bool: the place of another says nothing."""
        keys = self.codes(x) + t * self.base**self.length
        places = torch.searchsorted(self.keys, keys).clamp(max=len(self.keys) - 1)
        return places, self.keys[places] == keys

    def backward(self, last: Tensor, laws: Sequence[Tensor] | None = None) -> list[Tensor]:
        """f_t(x_t) = log Σ p(x_{t+1} | x_t) exp(f_{t+1}(x_{t+1})), t = 0 ... T, each (N_t,), from f_T = last (N_T,).

        laws: log p of the moves, T tensors (E_t,); None: the reference's.
        """
        found = [last]
        for t in reversed(range(self.num_steps)):
            moves = self.moves[t]
            log_probs = moves.log_probs if laws is None else laws[t]
            found.append(moves.logsumexp(log_probs + found[-1][moves.targets], len(self.levels[t])))
        return found[::-1]

    def means(self, last: Tensor) -> list[Tensor]:
        """E[f(x_T) | x_t], t = 0 ... T, each (N_t,), under the reference, of finite f (N_T,)."""
        found = [last]
        for moves, level in zip(reversed(self.moves), reversed(self.levels[:-1]), strict=True):
            terms = moves.log_probs.exp() * found[-1][moves.targets]
            found.append(torch.zeros(len(level), dtype=last.dtype).index_add(0, moves.sources, terms))
        return found[::-1]

    def marginals(self, laws: Sequence[Tensor] | None = None) -> list[Tensor]:
        """The probabilities of x_t, t = 0 ... T, each (N_t,), under laws of the moves, as of `backward`."""
        found = [torch.ones(1, dtype=torch.float64)]
        for t, moves in enumerate(self.moves):
            log_probs = moves.log_probs if laws is None else laws[t]
            terms = found[-1][moves.sources] * log_probs.exp()
            found.append(torch.zeros(len(self.levels[t + 1]), dtype=torch.float64).index_add(0, moves.targets, terms))
        return found

    @torch.no_grad()
    def laws_of(self, process: Reference) -> list[Tensor]:
        """log q of the moves, T tensors (E_t,), nats, of a process over the same states, as a policy of the reference.

        Raises ValueError where q leaves these moves: its probabilities of a step then sum to less than 1.
        """
        found = []
        for t, (moves, level) in enumerate(zip(self.moves, self.levels, strict=False)):
            parts = []
            for start in range(0, len(level), PIECE):
                x = level[start : start + PIECE]
                first, last = torch.searchsorted(moves.sources, torch.tensor([start, start + len(x)])).tolist()
                with evaluating(process):
                    law = call(process, x, times(t, len(x), x.device)).transition
                after = self.levels[t + 1][moves.targets[first:last]]
                parts.append(law[moves.sources[first:last] - start].log_prob(after).double())
            found.append(_normalized(moves, torch.cat(parts), level, t))
        return found

    def draw(self, number: int, laws: Sequence[Tensor], generator: torch.Generator) -> Tensor:
        """Trajectories x_0 ... x_T, (number, T + 1, L), by log-probabilities of the moves."""
        places = torch.zeros(number, dtype=torch.long)
        path = [self.levels[0][places]]
        for t, (moves, log_probs) in enumerate(zip(self.moves, laws, strict=True)):
            cumulative = log_probs.exp().cumsum(0)
            every = torch.arange(len(self.levels[t]))
            starts, ends = (torch.searchsorted(moves.sources, every, right=right) for right in (False, True))
            before = torch.where(starts > 0, cumulative[(starts - 1).clamp(min=0)], 0.0)
            total = cumulative[ends - 1] - before
            points = uniform((number,), generator, places.device).double()
            chosen = torch.searchsorted(cumulative, before[places] + points * total[places], right=True)
            chosen = torch.minimum(torch.maximum(chosen, starts[places]), ends[places] - 1)
            places = moves.targets[chosen]
            path.append(self.levels[t + 1][places])
        return torch.stack(path, dim=1)

    def _tokens(self, codes: Tensor) -> Tensor:
        digits = [codes // self.base**place % self.base for place in reversed(range(self.length))]
        return torch.stack(digits, dim=1)


def _normalized(moves: Moves, log_probs: Tensor, level: Tensor, t: int) -> Tensor:
    """log_probs (E,), which sum to 1 but for the rounding of a float32 network."""
    total = moves.logsumexp(log_probs, len(level))
    if bool((total.abs() > ROUNDING).any()):
        row = int(total.abs().argmax())
        raise ValueError(
            f"process: expected the moves of the reference, got a law at step {t} from {level[row].tolist()} that "
            f"gives them {float(total[row].exp()):.4g} of its probability"
        )
    return log_probs - total[moves.sources]


@torch.no_grad()
def _outcomes(reference: Reference, level: Tensor, t: int, limit: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """The possible moves from the states of a level, by pieces: sources (E,), next states (E, L), log-probabilities."""
    for start in range(0, len(level), PIECE):
        x = level[start : start + PIECE]
        with evaluating(reference):
            law = call(reference, x, times(t, len(x), x.device)).transition
        states, log_probs = law.outcomes(limit)
        row, column = (log_probs > -torch.inf).nonzero(as_tuple=True)
        yield row + start, states[row, column], log_probs[row, column].double()
