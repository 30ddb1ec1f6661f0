"""A small causal transformer with a cache of keys and values, which raises where a caller does not hand it on."""

import math

import torch
from torch import nn

from svlearn.process import Prediction, Reference
from svlearn.state import concatenate, take
from svlearn.targets import Target
from svlearn.transitions import Transition

TOKENS, PROMPT, STEPS = 5, 3, 4
PAD = TOKENS  # what stands where nothing is written yet


class CacheError(Exception):
    """A cache is missing, stale, or of other rows."""


class NextToken(Transition):
    """One more token of each text: x (B, L) with its pads, places (B,) to write at, log_probs (B, V)."""

    def __init__(self, x, places, log_probs):
        self.x, self.places, self.log_probs = x, places, log_probs

    def sample(self, *, generator=None):
        return self._written(torch.multinomial(self.log_probs.detach().exp(), 1, generator=generator))

    def log_prob(self, x_next):
        tokens = x_next.gather(1, self.places[:, None])
        reached = (self._written(tokens) == x_next).all(dim=1)
        return torch.where(reached, self.log_probs.gather(1, tokens)[:, 0], -math.inf)

    def outcomes(self, limit):
        if limit < TOKENS:
            raise ValueError(f"outcomes: {TOKENS} next states, the limit is {limit}")
        tokens = torch.arange(TOKENS)[:, None]
        states = torch.stack([self._written(token.expand(len(self.x), 1)) for token in tokens], dim=1)
        return states, self.log_probs

    def expansion_point(self, x):
        return nn.functional.one_hot(x, TOKENS + 1)[..., :TOKENS].to(self.log_probs.dtype)

    def tilt(self, gradient):
        here = gradient[torch.arange(len(self.x)), self.places]
        return NextToken(self.x, self.places, (self.log_probs + here).log_softmax(dim=1))

    def __getitem__(self, index):
        return NextToken(*(take(each, index) for each in (self.x, self.places, self.log_probs)))

    @classmethod
    def cat(cls, parts):
        return cls(*(concatenate([getattr(part, name) for part in parts]) for name in ("x", "places", "log_probs")))

    def _written(self, tokens):
        return self.x.scatter(1, self.places[:, None], tokens)


class Block(nn.Module):
    """Causal attention and a layer of neurons, each beside a residual connection."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.queries, self.keys, self.values = (nn.Linear(width, width) for _ in range(3))
        self.out, self.up, self.down = nn.Linear(width, width), nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, hidden, past):
        """hidden (B, n, D) of the new places; past: the keys and values (B, heads, m, D/heads) of those before."""
        x = self.before(hidden)
        q, k, v = (each(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for each in self._projections())
        if past is not None:
            k, v = (torch.cat([old, new], dim=2) for old, new in zip(past, (k, v), strict=True))
        scores = q @ k.transpose(2, 3) / q.shape[-1] ** 0.5
        unseen = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).triu(k.shape[2] - q.shape[2] + 1)
        read = (scores.masked_fill(unseen, -math.inf).softmax(dim=3) @ v).transpose(1, 2).flatten(2)
        hidden = hidden + self.out(read)
        return hidden + self.down(torch.relu(self.up(self.between(hidden)))), (k, v)

    def _projections(self):
        return self.queries, self.keys, self.values


class CausalToy(Reference):
    """p(next token | all before) by two blocks in float64; x_0 is a prompt (B, P), x_t has t tokens more, (B, P + T).

    positions: of how many tokens it has computed the hidden states; prefills: in how many rows from nothing.
    cached: whether it keeps keys and values; it then raises CacheError at t > 0 without a cache (but at the times
    `starts`), and for one of another length or of other tokens than those of x_t.
    """

    def __init__(self, cached=True, *, starts=(), num_steps=STEPS, width=8):
        super().__init__()
        self.num_steps, self.cached, self.starts = num_steps, cached, tuple(starts)
        drawn = torch.random.get_rng_state()
        torch.manual_seed(1)
        self.tokens, self.places = nn.Embedding(TOKENS, width), nn.Embedding(PROMPT + num_steps, width)
        self.blocks = nn.ModuleList(Block(width, 2) for _ in range(2))
        self.head = nn.Linear(width, TOKENS)
        torch.random.set_rng_state(drawn)
        self.double()
        with torch.no_grad():
            self.head.weight.mul_(3.0)
        self.positions = self.prefills = 0

    def initial(self, batch_size, *, condition=None, generator=None):
        prompt = torch.zeros(batch_size, PROMPT, dtype=torch.long) if condition is None else condition
        return torch.cat([prompt, prompt.new_full((batch_size, self.num_steps), PAD)], dim=1)

    def forward(self, x, t, previous=None):
        lengths = PROMPT + t
        past, start = (None, 0) if previous is None else self._past(x, lengths, previous.cache)
        if past is None:
            self._check_start(t)
        hidden, layers = self._hidden(x[:, start : int(lengths.max())], start, past)
        self.positions += int((lengths - start).sum())
        last = hidden[torch.arange(len(x)), lengths - start - 1]
        cache = (layers, x[:, : int(lengths.max())]) if self.cached else None
        return self._prediction(x, t, last, cache)

    def noise(self, x, t_from, t_to, *, generator=None):
        """Forget all but the first t_to tokens."""
        return torch.where(torch.arange(x.shape[1]) < PROMPT + t_to[:, None], x, PAD)

    def _past(self, x, lengths, cache):
        layers, tokens = cache
        if tokens.shape[1] != int(lengths.max()) - 1 or int(lengths.min()) != int(lengths.max()):
            raise CacheError(f"stale: of {tokens.shape[1]} tokens at lengths {lengths.unique().tolist()}")
        if tokens.shape[0] != len(x) or not torch.equal(tokens, x[:, : tokens.shape[1]]):
            raise CacheError("of other rows")
        return layers, tokens.shape[1]

    def _check_start(self, t):
        late = set(t.unique().tolist()) - {0, *self.starts}
        if self.cached and late:
            raise CacheError(f"missing at t = {sorted(late)}")
        self.prefills += len(t)

    def _hidden(self, tokens, start, past):
        """(B, n, D) of the tokens (B, n) from place `start` on, and the keys and values of every block."""
        hidden = self.tokens(tokens.clamp(max=TOKENS - 1)) + self.places(start + torch.arange(tokens.shape[1]))
        layers = []
        for number, block in enumerate(self.blocks):
            hidden, layer = block(hidden, None if past is None else past[number])
            layers.append(layer)
        return hidden, tuple(layers)

    def _prediction(self, x, t, last, cache):
        places, log_probs = PROMPT + t, self.head(last).log_softmax(dim=1)
        open_places = torch.arange(x.shape[1]) >= places[:, None]
        clean = torch.where(open_places, log_probs.argmax(dim=1, keepdim=True), x)
        return Prediction(NextToken(x, places, log_probs), clean=clean, features=last, cache=cache)


class TeacherForced(CausalToy):
    """The same, with the predictions at all t of given texts from one pass over their tokens."""

    def along(self, trajectory):
        size, steps = len(trajectory), self.num_steps
        written = PROMPT + steps - 1
        hidden, _ = self._hidden(trajectory[:, steps - 1, :written], 0, None)
        self.positions += size * written
        for t in range(steps):
            yield self._prediction(trajectory[:, t], torch.full((size,), t), hidden[:, PROMPT - 1 + t], None)


class TextNetwork(nn.Module):
    """A network of (x, t) for texts (B, L), or their one-hots (B, L, V) in floats."""

    def __init__(self, num_steps=STEPS, seed=2):
        super().__init__()
        drawn = torch.Generator().manual_seed(seed)
        weights = torch.randn(PROMPT + num_steps, TOKENS, generator=drawn, dtype=torch.float64)
        self.weights = nn.Parameter(weights / 2)

    def forward(self, x, t):
        if not x.is_floating_point():
            x = nn.functional.one_hot(x, TOKENS + 1)[..., :TOKENS].double()
        return (torch.tanh(x @ self.weights.T).diagonal(dim1=1, dim2=2)).sum(dim=1) + 0.1 * t


def text_reward(x):
    """A number for each text (B, L), of its tokens and where they stand."""
    places = torch.arange(1, x.shape[1] + 1, dtype=torch.float64)
    return (torch.sin(places * (x + 1)) * (x < PAD)).sum(dim=1) / 2


TARGET = Target(text_reward, 0.7)
PROMPTS = torch.tensor([[0, 1, 2], [3, 3, 0], [4, 1, 1], [2, 0, 4]])
