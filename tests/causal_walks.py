"""A causal transformer of real numbers with a cache, Gaussian steps: what controls and gradients in the state need."""

import torch
from causal_toys import Block, CacheError
from tensordict import TensorDict
from torch import nn

from svlearn.process import Prediction, Reference
from svlearn.randomness import seeded
from svlearn.targets import Target
from svlearn.transitions import FieldTransition, GaussianTransition

STEPS, WIDTH, HEADS, BLOCKS = 4, 8, 2, 2


class CausalWalk(Reference):
    """x_t (B, T + 1), float64: the numbers 0 ... t are written, the others 0; step t writes number t + 1, with noise.

    kept: how keys and values are kept: "tuple", in transformers' "dynamic" or "static" cache, or None, not at all.
    starts: the times t > 0 at which it may be called without a cache, as of states that followed nothing. It raises
    CacheError elsewhere without one, and for one of another length or of other numbers than those of x_t.
    positions: of how many numbers it has computed the hidden states; prefills: in how many rows from nothing.
    """

    def __init__(self, kept="tuple", *, starts=(), num_steps=STEPS):
        super().__init__()
        self.num_steps, self.kept, self.starts = num_steps, kept, tuple(starts)
        drawn = torch.random.get_rng_state()
        torch.manual_seed(4)
        self.numbers, self.places = nn.Linear(1, WIDTH), nn.Embedding(num_steps + 1, WIDTH)
        self.blocks = nn.ModuleList(Block(WIDTH, HEADS) for _ in range(BLOCKS))
        self.head = nn.Linear(WIDTH, 1)
        torch.random.set_rng_state(drawn)
        self.double()
        self.positions = self.prefills = 0

    def initial(self, batch_size, *, condition=None, generator=None):
        x = torch.zeros(batch_size, self.num_steps + 1, dtype=torch.float64)
        x[:, 0] = torch.randn(batch_size, generator=generator, dtype=torch.float64)
        return x

    def forward(self, x, t, previous=None):
        lengths = t + 1
        layers, start = (None, 0) if previous is None else self._past(x, lengths, previous.cache)
        if previous is None:
            late = set(t.unique().tolist()) - {0, *self.starts}
            if self.kept is not None and late:
                raise CacheError(f"missing at t = {sorted(late)}")
            self.prefills += len(t)
        written = int(lengths.max())
        hidden = self.numbers(x[:, start:written, None]) + self.places(torch.arange(start, written))
        made = []
        for k, block in enumerate(self.blocks):
            hidden, layer = block(hidden, None if layers is None else layers[k])
            made.append(layer)
        self.positions += int((lengths - start).sum())
        rows = torch.arange(len(x))
        last = hidden[rows, lengths - start - 1]
        mean, std = x.clone(), torch.zeros_like(x)
        mean[rows, lengths] = 0.7 * x[rows, t] + self.head(last).squeeze(1)
        std[rows, lengths] = 0.6
        cache = None if self.kept is None else (self._kept(made, previous), x[:, :written])
        return Prediction(GaussianTransition(mean, std), clean=mean, features=last, cache=cache)

    def _past(self, x, lengths, cache):
        held, numbers = cache
        if int(lengths.min()) != int(lengths.max()) or numbers.shape[1] != int(lengths.max()) - 1:
            raise CacheError(f"stale: of {numbers.shape[1]} numbers at lengths {lengths.unique().tolist()}")
        if len(numbers) != len(x) or not torch.equal(numbers, x[:, : numbers.shape[1]]):
            raise CacheError("of other rows")
        if self.kept != "tuple":
            size = numbers.shape[1]
            held = tuple((layer.keys[:, :, :size], layer.values[:, :, :size]) for layer in held.layers)
        return held, numbers.shape[1]

    def _kept(self, made, previous):
        """The keys and values of all numbers so far, as the kind of cache that is asked for."""
        if self.kept == "tuple":
            return tuple(made)
        from transformers import GPT2Config
        from transformers.cache_utils import DynamicCache, StaticCache

        held = None if previous is None else previous.cache[0]
        if held is None and self.kept == "dynamic":
            held = DynamicCache()
        elif held is None:
            config = GPT2Config(n_layer=BLOCKS, n_head=HEADS, n_embd=WIDTH)
            held = StaticCache(config=config, max_cache_len=self.num_steps + 1)
        start = 0 if previous is None else previous.cache[1].shape[1]
        for k, (keys, values) in enumerate(made):
            places = {"cache_position": torch.arange(start, keys.shape[2])}  # transformers 4 asks for it
            held.update(keys[:, :, start:], values[:, :, start:], k, places)
        return held


class Encoded(Reference):
    """x (B, 2) moves by Gaussian steps with noise in all numbers, by a code of its condition c (B, 1), a leaf; the code
    is computed once and cached. CacheError as of `CausalWalk`: missing, of another t, or of other conditions.

    encodings: of how many rows it has computed the code.
    """

    def __init__(self, kept=True, *, starts=(), num_steps=STEPS):
        super().__init__()
        self.num_steps, self.kept, self.starts = num_steps, kept, tuple(starts)
        drawn = torch.random.get_rng_state()
        torch.manual_seed(8)
        self.encoder, self.network = nn.Linear(1, 3).double(), nn.Linear(5, 2).double()
        torch.random.set_rng_state(drawn)
        self.encodings = 0

    def initial(self, batch_size, *, condition=None, generator=None):
        if condition is None:
            raise ValueError("condition: expected rows (B, 1), got None")
        x = torch.randn(batch_size, 2, generator=generator, dtype=torch.float64)
        return TensorDict({"x": x, "c": torch.as_tensor(condition, dtype=torch.float64)}, [batch_size])

    def forward(self, x, t, previous=None):
        code = self._encoded(x["c"], t) if previous is None else self._checked(x["c"], t, *previous.cache)
        mean = 0.8 * x["x"] + torch.tanh(self.network(torch.cat([x["x"], code], dim=1)))
        law = FieldTransition({"x": GaussianTransition(mean, 0.6)}, x)
        return Prediction(
            law, clean=law.conditions.copy().set("x", mean), cache=(code, x["c"], t) if self.kept else None
        )

    def _encoded(self, c, t):
        late = set(t.unique().tolist()) - {0, *self.starts}
        if self.kept and late:
            raise CacheError(f"missing at t = {sorted(late)}")
        self.encodings += len(c)
        return torch.tanh(self.encoder(c))

    def _checked(self, c, t, code, known, then):
        if not torch.equal(then + 1, t):
            raise CacheError(f"stale: of t = {then.tolist()} at {t.tolist()}")
        if not torch.equal(known, c):
            raise CacheError("of other rows")
        return code


CONDITIONS = torch.tensor([[0.5], [-1.0], [2.0]], dtype=torch.float64)


def wave(x):
    """A smooth reward of all numbers, (B,)."""
    places = torch.arange(1, x.shape[1] + 1, dtype=torch.float64)
    return (torch.sin(places * x) / places).sum(dim=1)


TARGET = Target(wave, 0.7)
ENCODED_TARGET = Target(lambda x: wave(x["x"] * (1 + x["c"].abs())), 0.7)


class WaveControl(nn.Module):
    """g(x, t), of all numbers so far."""

    def __init__(self, num_steps=STEPS, seed=6):
        super().__init__()
        drawn = torch.randn(num_steps, num_steps + 1, num_steps + 1, generator=seeded("cpu", seed), dtype=torch.float64)
        self.weights = nn.Parameter(drawn / 3)

    def forward(self, x, t):
        return torch.einsum("bij,bj->bi", self.weights[t], x).sin()
