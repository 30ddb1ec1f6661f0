"""What is finished is called no more: texts of random lengths, caches that follow, and what is refused."""

import math

import pytest
import torch
from finished_sampler_toys import SAMPLERS, TREE, K, M, Unending

from svlearn.domains.analytic import LinearGaussianChain
from svlearn.inference.samplers import ancestral, smc, svdd
from svlearn.policies import Controlled
from svlearn.process import Prediction, Reference, finished_rows, has
from svlearn.randomness import seeded
from svlearn.targets import Target
from svlearn.transitions import GaussianTransition, ListedTransition
from svlearn.values import Learned, PosteriorMean, Zero


class Coins(Reference):
    """Counts throws until the first tail, of probability 1/3.7, and at most 50; it refuses what is finished.

    States (B, 2), long: the throws, and 1 once they are over.
    """

    num_steps, mean = 50, 3.7

    def __init__(self):
        super().__init__()
        self.calls = 0

    def initial(self, batch_size, *, condition=None, generator=None):
        x = torch.zeros(batch_size, 2, dtype=torch.long)
        return x if condition is None else condition.clone()

    def forward(self, x, t, previous=None):
        assert not self.finished(x).any() and len(x) > 0
        self.calls += 1
        further = x + torch.tensor([1, 0])
        states = torch.stack([further, further + torch.tensor([0, 1])], dim=1)
        tail = torch.tensor([1 - 1 / self.mean, 1 / self.mean]).log()
        return Prediction(ListedTransition(states, tail.expand(len(x), 2)))

    def finished(self, x):
        return x[:, 1] == 1


class Throws(torch.nn.Module):
    def forward(self, x, t):
        return 0.1 * x[:, 0].float()


COINS = Target(lambda x: 0.1 * x[:, 0].float(), 1.0)


def test_texts_of_mean_length_3_7_cost_3_7_calls():
    """And the loop ends when all are finished."""
    coins = Coins()
    samples = ancestral(coins).sample(2000, generator=seeded("cpu", 0))
    throws = samples.states[:, 0, 0]
    assert samples.cost.reference_calls == throws.sum()
    assert abs(samples.cost.reference_calls / 2000 - 3.7) < 4 * throws.double().std() / math.sqrt(2000) < 0.4
    assert coins.calls == throws.max() < 50
    value = Learned(Throws())
    for sampler in (svdd(coins, COINS, value, M), smc(coins, COINS, value, K), smc(coins, COINS, Zero(), K)):
        assert sampler.sample(500, generator=seeded("cpu", 1)).cost.reference_calls < 500 * K * 8


def test_the_history_tells_of_the_steps_in_which_all_stood_still():
    coins = Coins()
    samples = smc(coins, COINS, Learned(Throws()), K, 0.5).sample(3, generator=seeded("cpu", 2), keep_states=True)
    last = int(samples.states[..., 0].max())
    history = samples.history
    assert last < 49 and history.ess.shape == history.resampled.shape == (3, 51)
    assert history.spreads.shape == (3, 51, 5) and len(history.ancestors) == 51
    assert not history.resampled[:, last + 1 :].any()
    still = history.ess[:, last + 1 : -1]
    torch.testing.assert_close(still, still[:, :1].expand_as(still))
    paths = samples.paths()
    assert paths.shape == (3, K, 51, 2) and torch.equal(paths[:, :, last], samples.states)
    assert bool((paths.diff(dim=2)[..., 0] >= 0).all())


def test_what_is_finished_at_the_start_is_never_called():
    coins = Coins()
    condition = torch.tensor([[7, 1], [0, 0], [9, 1]])
    samples = svdd(coins, COINS, Learned(Throws()), M).sample(3, condition=condition, generator=seeded("cpu", 3))
    assert torch.equal(samples.states[[0, 2], 0], condition[[0, 2]])
    assert samples.cost.reference_calls == samples.states[1, 0, 0]
    torch.testing.assert_close(samples.log_normalizer[[0, 2]], torch.tensor([0.7, 0.9]).double())
    resumed = smc(coins, COINS, Zero(), K).resume(condition[[0, 2]], 20)
    assert resumed.cost.reference_calls == 0 and coins.calls > 0
    assert resumed.history.ess.shape == (2, 31)


class Seen:
    def __init__(self, total):
        self.total = total

    def __getitem__(self, index):
        return Seen(self.total[index])

    @classmethod
    def cat(cls, parts):
        return cls(torch.cat([part.total for part in parts]))


class Walk(Reference):
    """A walk that ends beyond 1; its cache must be that of the row, and it is not called where it has ended."""

    num_steps = 8

    def __init__(self, strict):
        super().__init__()
        self.strict = strict

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.cat([torch.randn(batch_size, 1, generator=generator), torch.zeros(batch_size, 1)], dim=1)

    def forward(self, x, t, previous=None):
        assert not (self.strict and self.finished(x).any())
        total = torch.zeros(len(x)) if previous is None else previous.cache.total
        assert torch.equal(total, x[:, 1])
        mean = torch.stack([x[:, 0], total + x[:, 0]], dim=1)
        return Prediction(GaussianTransition(mean, torch.tensor([0.7, 0.0])), clean=x, cache=Seen(total + x[:, 0]))

    def finished(self, x):
        return x[:, 0] > 1


class First(torch.nn.Module):
    def forward(self, x, t):
        return x[:, 0].tanh()


@pytest.mark.parametrize("max_batch", [None, 5])
@pytest.mark.parametrize("name", ["svdd", "smc", "smc, always resampled", "nested"])
@pytest.mark.parametrize("kind", ["learned", "posterior mean"])
def test_caches_follow_those_that_go_on(kind, name, max_batch):
    walk, target = Walk(strict=kind == "learned"), Target(lambda x: x[:, 0].tanh(), 0.5)
    value = Learned(First()) if kind == "learned" else PosteriorMean(target)
    samples = SAMPLERS[name](walk, target, value).sample(6, generator=seeded("cpu", 9), max_batch=max_batch)
    assert samples.states[..., 0].isfinite().all() and bool((samples.states[..., 0] > 1).any())


class Pull(torch.nn.Module):
    def forward(self, x, t):
        return -0.1 * x


def test_a_policy_asks_its_reference():
    assert has(TREE, "finished") and not has(Unending(), "finished")
    x, walk = torch.tensor([[2.0, 0.0], [0.5, 0.0]]), Walk(strict=False)
    assert finished_rows(Controlled(walk, Pull()), x).tolist() == [True, False]
    chain = LinearGaussianChain.random(2, 4, seed=0)
    assert finished_rows(Controlled(chain, Pull()), x) is None
    assert not chain.finished(x).any()


@pytest.mark.parametrize(
    ("which", "error", "words"),
    [
        (
            lambda x: x[:, 0],
            ValueError,
            "Coins.finished: expected a bool tensor of shape .6,., got .6,. of torch.int64",
        ),
        (lambda x: x == 0, ValueError, "expected a bool tensor of shape .6,., got .6, 2. of torch.bool"),
        (lambda x: None, TypeError, "expected a bool tensor of shape .6,., got NoneType"),
    ],
)
def test_what_does_not_say_which_are_finished_is_refused(which, error, words, monkeypatch):
    monkeypatch.setattr(Coins, "finished", lambda self, x: which(x))
    with pytest.raises(error, match=words):
        ancestral(Coins()).sample(6)
