"""A small language model as a tree of all its texts: everything is a sum, by dynamic programming from the leaves."""

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from svlearn.arguments import integer
from svlearn.denoising import next_step_loss
from svlearn.domains.analytic.oracle import Oracle, positive, unconditional
from svlearn.domains.analytic.texts import TextReward, TextValue, num_texts, prefixes, text_index
from svlearn.process import Prediction, predict
from svlearn.randomness import CPU, multinomial, randn, seeded
from svlearn.state import State, concatenate
from svlearn.targets import FLOOR_NATS
from svlearn.transitions import AppendingTransition, Transition, ended

MAX_NODES = 2_000_000


class TokenTree(Oracle):
    """Texts of up to L tokens out of V; x_0 is empty, each of the T = L steps appends one by p(token | all before).

    States (B, L + 1), long: the tokens, padded with V, then the position, the number of those written. probs (N, V):
    a row for each text of fewer than L tokens, in the order of `prefixes`; zeros are legal. reward: a callable of
    finished states, -inf is legal. end: the token after which a text is finished (it counts as written, and as one of
    V) and steps to itself; None: all have L tokens. Raises ValueError for wrong shapes, rows that do not sum to 1, and
    more than 2 000 000 texts.

    The optimum's own steps are p*(token | x) = p(token | x) exp((v(x token) - v(x))/α), again a tree: `optimal`.
    """

    probs: Tensor
    rewards: Tensor
    _states: Tensor
    _finished: Tensor
    _leaves: Tensor
    _likeliest: Tensor

    def __init__(
        self, probs: Tensor, num_tokens: int, length: int, reward: Callable[[Tensor], Tensor], end: int | None = None
    ):
        super().__init__()
        num_tokens, length = integer(num_tokens, "num_tokens"), integer(length, "length")
        end = None if end is None else integer(end, "end", 0, optional=True)
        if num_texts(num_tokens, length) > MAX_NODES:
            raise ValueError(f"length: expected 1 to {MAX_NODES} texts in all, got V = {num_tokens}, L = {length}")
        if end is not None and end >= num_tokens:
            raise ValueError(f"end: expected None or a token below {num_tokens}, got {end}")
        probs = torch.as_tensor(probs, dtype=torch.float64).clone()
        inner = num_texts(num_tokens, length - 1)
        if probs.shape != (inner, num_tokens):
            raise ValueError(f"probs: expected shape ({inner}, {num_tokens}), got {tuple(probs.shape)}")
        if not bool((probs >= 0).all()) or not torch.allclose(probs.sum(dim=1), torch.ones_like(probs[:, 0])):
            raise ValueError("probs: expected rows of probabilities that sum to 1, got others")
        self.num_tokens, self.length, self.num_steps, self.end = num_tokens, length, length, end
        self.reward = reward
        self.register_buffer("probs", probs)
        self._sizes = [num_tokens**written for written in range(length + 1)]
        states = torch.cat(prefixes(num_tokens, length, probs.device))
        self.register_buffer("_states", states, persistent=False)
        self.register_buffer("_finished", self.finished(states), persistent=False)
        self.register_buffer("_leaves", self._finished & ~self._beyond_the_end(), persistent=False)
        rewards = probs.new_zeros(len(states))
        rewards[self._leaves] = self.target(1.0)(states[self._leaves]).double()
        self.register_buffer("rewards", rewards)
        self.register_buffer("_likeliest", self._most_probable_ends(), persistent=False)

    @classmethod
    def random(cls, num_tokens: int, length: int, seed: int, end: int | None = None) -> "TokenTree":
        """Steps by softmax(1.5 N(0, 1)); the rewards of all texts ~ N(0, 1)."""
        num_tokens, length = integer(num_tokens, "num_tokens"), integer(length, "length")
        generator = seeded("cpu", num_tokens, length, seed)
        shape = num_texts(num_tokens, length - 1), num_tokens
        logits = 1.5 * randn(shape, generator, CPU, torch.float64)
        rewards = randn((num_texts(num_tokens, length),), generator, CPU, torch.float64)
        return cls(logits.softmax(dim=1), num_tokens, length, TextReward(rewards, num_tokens), end)

    def with_reward(self, reward: Callable[[Tensor], Tensor]) -> "TokenTree":
        """The same process towards another reward."""
        return TokenTree(self.probs, self.num_tokens, self.length, reward, self.end)

    def initial(self, batch_size: int, *, condition: None = None, generator: torch.Generator | None = None) -> Tensor:
        unconditional(condition, self)
        return self._states[:1].expand(batch_size, -1).clone()

    def forward(self, x: Tensor, t: Tensor, previous: Prediction | None = None) -> Prediction:
        """The step; clean is the most probable finished text (B, L + 1), clean_law the law of all of them."""
        nodes, finished = text_index(x, self.num_tokens), self.finished(x)
        rows = self.probs[torch.where(finished, 0, nodes)]
        step, clean = AppendingTransition(x, rows.log(), finished=finished), self._states[self._likeliest[nodes]]
        return Prediction(step, clean=clean, clean_law=FinishedTexts(self, x))

    def noise(self, x: Tensor, t_from: Tensor, t_to: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Forget all but the first t_to tokens: the exact reversal, without any randomness."""
        position = torch.minimum(x[:, -1], t_to)[:, None]
        places = torch.arange(self.length, device=x.device)
        return torch.cat([torch.where(places < position, x[:, :-1], self.num_tokens), position], dim=1)

    def denoising_loss(self, x_T: State | Prediction, x_t: State, t: Tensor, prediction: Prediction) -> Tensor:
        """The cross-entropy of the next token, (B,), nats."""
        return next_step_loss(self, x_T, t, prediction)

    def decode(self, x: Tensor) -> list[list[int]]:
        """The written tokens of each text."""
        return [row[: row[-1]] for row in x.tolist()]

    def finished(self, x: Tensor) -> Tensor:
        """Whether a text (B, L + 1) is finished, (B,) bool."""
        return ended(x, self.end)

    def leaves(self) -> tuple[Tensor, Tensor]:
        """All finished texts (M, L + 1) and their log-probabilities (M,), the impossible ones included."""
        return self._states[self._leaves], self._log_reach()[self._leaves]

    def soft_table(self, alpha: float) -> Tensor:
        """v of every text, in the order of `prefixes`, reward units; -inf where no finite reward can be reached."""
        twists = self.rewards / positive(alpha)
        found = self._from_the_leaves(twists, lambda log_rows, after: (log_rows + after).logsumexp(dim=1))
        return torch.where(self._finished, self.rewards, alpha * found)

    def mean_table(self) -> Tensor:
        """v' of every text, reward units; -inf where a reward of -inf can be reached."""

        def mean(log_rows: Tensor, after: Tensor) -> Tensor:
            return torch.where(log_rows > -math.inf, log_rows.exp() * after, 0.0).sum(dim=1)

        return self._from_the_leaves(self.rewards, mean)

    def soft_value(self, alpha: float) -> "TextValue":
        """The soft table; at t < T raised to the floor of `target(alpha)`, so that it is finite."""
        return TextValue(self.soft_table(alpha), self.num_tokens, FLOOR_NATS * alpha)

    def mean_value(self) -> "TextValue":
        """Raises ValueError where a reward of -inf can be reached."""
        table = self.mean_table()
        if bool(table[0] == -math.inf):
            raise ValueError("reward: the mean of a reward that is -inf does not exist; use soft_value")
        return TextValue(table, self.num_tokens, -math.inf)

    def log_normalizer(self, alpha: float) -> Tensor:
        return self.soft_table(alpha)[0] / alpha

    def optimal(self, alpha: float) -> "TokenTree":
        """p* as a tree; from a text that p* never visits it moves as p_ref does. Raises ValueError where Z = 0."""
        twists = self.soft_table(alpha) / alpha
        if bool(twists[0] == -math.inf):
            raise ValueError("reward: p* does not exist, no text of a finite reward can be reached (Z = 0)")
        moves = self.probs.log() + twists[1:].view(-1, self.num_tokens)
        alive = (moves > -math.inf).any(dim=1, keepdim=True)
        moves = torch.where(alive, moves, self.probs.log())
        return TokenTree(moves.softmax(dim=1), self.num_tokens, self.length, self.reward, self.end)

    def optimal_trajectories(
        self, batch_size: int, alpha: float, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Exact draws of p*(x_0, ..., x_T), (B, T + 1, L + 1), long."""
        texts, log_probs = self.optimal(alpha).leaves()
        x = texts[multinomial(log_probs.exp(), batch_size, generator)]
        t = torch.arange(self.num_steps + 1, device=x.device)[:, None].expand(-1, batch_size)
        return torch.stack([self.noise(x, t[-1], moment) for moment in t], dim=1)

    def optimal_kl(self, alpha: float) -> Tensor:
        _, log_probs = self.optimal(alpha).leaves()
        gains = self.rewards[self._leaves] / alpha
        return torch.where(log_probs > -math.inf, log_probs.exp() * gains, 0.0).sum() - self.log_normalizer(alpha)

    def best_elbo(self, alpha: float) -> Tensor:
        """log Z: x_0 is one text, so nothing is lost by keeping its law."""
        return self.log_normalizer(alpha)

    def mutual_information(self) -> Tensor:
        """0: x_0 is always the empty text."""
        return self.probs.new_zeros(())

    def _from_the_leaves(self, leaves: Tensor, combine: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """(N,): what stands in `leaves` where a text is finished, else combine(log p, the children's), (n, V) both."""
        values, finished = leaves.split(self._sizes), self._finished.split(self._sizes)
        rows = self.probs.log().split(self._sizes[:-1])
        found = [values[-1]]
        for level in reversed(range(self.length)):
            below = combine(rows[level], found[-1].view(-1, self.num_tokens))
            found.append(torch.where(finished[level], values[level], below))
        return torch.cat(found[::-1])

    def _log_reach(self) -> Tensor:
        """The log-probability of the tokens of every text, (N,)."""
        reached = [self.probs.new_zeros(1)]
        for rows in self.probs.log().split(self._sizes[:-1]):
            reached.append((reached[-1][:, None] + rows).flatten())
        return torch.cat(reached)

    def _beyond_the_end(self) -> Tensor:
        """The places of the tree that no text has, for it ended before, (N,) bool."""
        if self.end is None:
            return torch.zeros_like(self._finished)
        places = torch.arange(self.length, device=self._states.device)
        return ((self._states[:, :-1] == self.end) & (places < self._states[:, -1:] - 1)).any(dim=1)

    def _most_probable_ends(self) -> Tensor:
        """The most probable finished text below every text, as its place in the tree, (N,)."""
        nothing = torch.zeros_like(self.rewards)
        scores = self._from_the_leaves(nothing, lambda log_rows, after: (log_rows + after).amax(dim=1))
        chosen = (self.probs.log() + scores[1:].view(-1, self.num_tokens)).argmax(dim=1)
        ends = torch.arange(len(scores), device=scores.device)
        for level in reversed(range(self.length)):
            start = num_texts(self.num_tokens, level - 1)
            nodes = torch.arange(start, start + self._sizes[level], device=scores.device)
            below = ends[nodes * self.num_tokens + 1 + chosen[nodes]]
            ends[nodes] = torch.where(self._finished[nodes], nodes, below)
        return ends


class FinishedTexts(Transition):
    """p_ref(x_T | x), the law of the finished texts that begin with those given, x (B, L + 1), token by token: T calls
    of the tree, counted, for each draw of a text."""

    def __init__(self, tree: TokenTree, x: Tensor):
        self.tree, self.x = tree, x

    def sample(self, *, generator: torch.Generator | None = None) -> Tensor:
        x = self.x
        for t in range(self.tree.num_steps):
            x = self._step(x, t).sample(generator=generator)
        return x

    def log_prob(self, x_next: Tensor) -> Tensor:
        """-inf where x_next does not begin with x, or is not finished."""
        x, total = self.x, torch.zeros(len(self.x), dtype=torch.float64, device=self.x.device)
        for t in range(self.tree.num_steps):
            longer = self.tree.noise(x_next, x_next[:, -1], x[:, -1] + 1)
            total = total + self._step(x, t).log_prob(longer)
            x = longer
        return torch.where(self.tree.finished(x_next), total, -math.inf)

    def __getitem__(self, index: Any) -> "FinishedTexts":
        return FinishedTexts(self.tree, self.x[index])

    @classmethod
    def cat(cls, parts: Sequence["FinishedTexts"]) -> "FinishedTexts":
        return cls(parts[0].tree, concatenate([part.x for part in parts]))

    def _step(self, x: Tensor, t: int) -> AppendingTransition:
        return cast(AppendingTransition, predict(self.tree, x, t).transition)
