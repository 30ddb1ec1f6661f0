"""A causal transformer of real numbers with a cache, Gaussian steps: what controls and gradients in the state need."""

import torch
from causal_toys import Block, CacheError
from torch import nn

from svlearn.process import Prediction, Reference
from svlearn.randomness import seeded
from svlearn.targets import Target
from svlearn.transitions import GaussianTransition

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
            held.update(keys[:, :, start:], values[:, :, start:], k)
        return held


def wave(x):
    """A smooth reward of all numbers, (B,)."""
    places = torch.arange(1, x.shape[1] + 1, dtype=torch.float64)
    return (torch.sin(places * x) / places).sum(dim=1)


TARGET = Target(wave, 0.7)


class WaveControl(nn.Module):
    """g(x, t), of all numbers so far."""

    def __init__(self, num_steps=STEPS, seed=6):
        super().__init__()
        drawn = torch.randn(num_steps, num_steps + 1, num_steps + 1, generator=seeded("cpu", seed), dtype=torch.float64)
        self.weights = nn.Parameter(drawn / 3)

    def forward(self, x, t):
        return torch.einsum("bij,bj->bi", self.weights[t], x).sin()
