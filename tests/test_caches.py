"""Caches of every kind follow their particles: samples are those of a reference that computes all anew."""

from collections import defaultdict, namedtuple

import pytest
import torch

from svlearn import caches
from svlearn.inference.proposals import Exact
from svlearn.inference.samplers import smc, svdd
from svlearn.process import Prediction, Reference, predict
from svlearn.randomness import seeded
from svlearn.targets import Target
from svlearn.transitions import CategoricalTransition, GaussianTransition
from svlearn.values import Learned, Zero
from svlearn.values.posterior_mean import PosteriorMean

Layer = namedtuple("Layer", ["keys", "values"])
T = 4


class Rows:
    """A cache of a user's own."""

    def __init__(self, past):
        self.past = past

    def __getitem__(self, rows):
        return Rows(self.past[rows])

    @classmethod
    def cat(cls, parts):
        return cls(torch.cat([part.past for part in parts]))


def keys(past):
    return past[:, None, :, None]  # (B, heads, L, D)


def in_transformers(kind):
    def build(past, previous):
        utils = pytest.importorskip("transformers.cache_utils")
        held = previous
        if held is None and kind == "dynamic":
            held = utils.DynamicCache()
        elif held is None:
            from transformers import GPT2Config

            held = utils.StaticCache(config=GPT2Config(n_layer=2, n_head=1, n_embd=1), max_cache_len=T)
        place = {"cache_position": torch.tensor([int(held.get_seq_length())])}  # transformers 4 asks for it
        for layer in (0, 1):
            held.update(keys(past[:, -1:]), keys(2 * past[:, -1:]), layer, place)
        return held

    return build


def out_of_transformers(held):
    length = int(held.get_seq_length())
    return held.layers[0].keys[:, 0, :length, 0]


KINDS = {  # how a cache of all states so far is made, and read
    "tensor": (lambda past, _: past, lambda held: held),
    "tuple of layers": (
        lambda past, _: tuple((keys(past), keys(2 * past)) for _ in range(3)),
        lambda h: h[2][0][:, 0, :, 0],
    ),
    "list": (lambda past, _: [past, 2 * past], lambda held: held[0]),
    "dict": (lambda past, _: {"keys": past, "length": past.shape[1], "deep": [past]}, lambda held: held["deep"][0]),
    "named tuple": (lambda past, _: Layer(past, past), lambda held: held.values),
    "dict with a default": (lambda past, _: defaultdict(list, {0: past}), lambda held: held[0]),
    "own": (lambda past, _: Rows(past), lambda held: held.past),
    "dynamic": (in_transformers("dynamic"), out_of_transformers),
    "static": (in_transformers("static"), out_of_transformers),
    "two of transformers": (
        lambda past, held: tuple(in_transformers("dynamic")(past, held and held[k]) for k in (0, 1)),
        lambda held: out_of_transformers(held[1]),
    ),
}


class Remembering(Reference):
    """Walks whose next step depends on the sum of all states so far, from a cache, or from the state itself (None)."""

    num_steps = T

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.cat([torch.randn(batch_size, 1, generator=generator), torch.zeros(batch_size, T)], dim=1)

    def forward(self, x, t, previous=None):
        step, cache = int(t[0]), None
        past = x[:, : step + 1]
        if self.kind is not None:
            build, read = KINDS[self.kind]
            if previous is not None:
                held = read(previous.cache)
                past = torch.cat([held[:, :step], x[:, step : step + 1]], dim=1)
            cache = build(past, None if previous is None else previous.cache)
        mean = x.clone()
        mean[:, step + 1] = 0.5 * past.sum(dim=1)
        std = torch.zeros(1, T + 1)
        std[0, step + 1] = 1.0
        return Prediction(GaussianTransition(mean, std), clean=mean, cache=cache)


TARGET = Target(lambda x: x[:, -1], 0.5)
SAMPLERS = {
    "smc": lambda r: smc(r, TARGET, Zero(), 3, ess_threshold=1.0),
    "svdd": lambda r: svdd(r, TARGET, Learned(Sum()), 3),
    "svdd-pm": lambda r: svdd(r, TARGET, PosteriorMean(TARGET), 2),
}


class Sum(torch.nn.Module):
    def forward(self, x, t):
        return x.sum(dim=1)


@pytest.mark.parametrize("max_batch", [None, 4])
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("kind", KINDS)
def test_samples_do_not_depend_on_the_cache(kind, sampler, max_batch):
    """Two rows, fewer than there are layers: what was read as rows before."""
    samples, exact = (
        SAMPLERS[sampler](Remembering(each)).sample(2, generator=seeded("cpu", 0), max_batch=max_batch)
        for each in (kind, None)
    )
    torch.testing.assert_close(samples.states, exact.states)


@pytest.mark.parametrize("kind", KINDS)
def test_who_holds_a_prediction_does_not_see_what_the_next_call_writes(kind):
    reference = Remembering(kind)
    x = reference.initial(2, generator=seeded("cpu", 0))
    first = predict(reference, x, 0)
    read = KINDS[kind][1]
    held = read(first.cache).clone()
    predict(reference, x, 1, first)
    assert torch.equal(read(first.cache), held)
    swapped = first[torch.tensor([1, 0, 1])]
    assert torch.equal(read(swapped.cache), held[[1, 0, 1]]) and torch.equal(read(first.cache), held)
    assert torch.equal(read(Prediction.cat([swapped, first]).cache), held[[1, 0, 1, 0, 1]])


@pytest.mark.parametrize(
    ("cache", "error", "words"),
    [
        (
            (torch.zeros(3, 2), torch.zeros(2)),
            ValueError,
            r"cache\[1\]: expected the batch of 3 rows first, got .*\(2,\)",
        ),
        ({"k": [torch.zeros(())]}, ValueError, r"cache\['k'\]\[0\]: expected the batch of 3 rows first"),
        (torch.zeros(2, 3), ValueError, "cache: expected the batch of 3 rows first"),
        ([1, 2, 3], TypeError, "got a list without a tensor"),
        ([torch.zeros(3), "text"], TypeError, r"cache\[1\]: .* got str"),
        ("text", TypeError, "class method cat.parts., got str"),
        (7, TypeError, "class method cat.parts., got int"),
        (object(), TypeError, "__getitem__.rows. and a class method cat.parts., got object"),
    ],
)
def test_what_cannot_follow_the_particles_is_refused_where_it_first_appears(cache, error, words):
    class Odd(Remembering):
        def forward(self, x, t, previous=None):
            return Prediction(GaussianTransition(x, 1.0), cache=cache)

    with pytest.raises(error, match=words):
        predict(Odd(None), torch.zeros(3, 5), 0)


def test_a_reference_with_a_cache_must_take_it_back():
    class Forgetful(Remembering):
        def forward(self, x, t):
            return Prediction(GaussianTransition(x, 1.0), cache=x)

    with pytest.raises(TypeError, match="Forgetful.forward: expected forward.self, x, t, previous=None.*previous"):
        predict(Forgetful(None), torch.zeros(3, 5), 0)


def test_shared_numbers_that_differ_cannot_be_joined():
    with pytest.raises(ValueError, match="one number for all rows, got 1, 2"):
        caches.join([{"x": torch.zeros(1), "length": 1}, {"x": torch.zeros(1), "length": 2}])
    assert caches.join([(torch.zeros(1), 1), (torch.ones(2), 1)])[0].tolist() == [0, 1, 1]


def test_the_exact_proposal_hands_the_cache_to_every_outcome():
    class Coins(Reference):
        num_steps = 2

        def initial(self, batch_size, *, condition=None, generator=None):
            return torch.zeros(batch_size, 1, dtype=torch.long)

        def forward(self, x, t, previous=None):
            past = x if previous is None else torch.cat([previous.cache[0], x], dim=1)
            assert len(past) == len(x)
            return Prediction(CategoricalTransition(torch.zeros(len(x), 1, 2)), clean=x, cache=(past,))

    target = Target(lambda x: x[:, 0].double(), 1.0)
    value = PosteriorMean(target)
    smc(Coins(), target, value, 2, proposal=Exact(value)).sample(3, generator=seeded("cpu", 0))
