"""`Reference.finished`: what is finished before T is called no more; weights, laws and log Z stay what they are."""

import math

import pytest
import torch
from inference_toys import assert_unbiased

from svlearn.domains.analytic import LinearGaussianChain, TokenTree
from svlearn.inference.proposals import Exact, Policy
from svlearn.inference.samplers import ancestral, beam_search, best_of_n, smc, svdd
from svlearn.inference.tempering import Adaptive, Schedule
from svlearn.policies import Controlled
from svlearn.process import Prediction, Reference, finished_rows, has
from svlearn.randomness import seeded
from svlearn.targets import Target
from svlearn.transitions import GaussianTransition, ListedTransition
from svlearn.values import Learned, MonteCarlo, PosteriorMean, Zero

ALPHA, K, M, T = 0.6, 4, 3, 5
TREE = TokenTree.random(3, T, seed=2, end=0)
TARGET = TREE.target(ALPHA)


class Unending(Reference):
    """The same process, which does not say what is finished."""

    num_steps = T

    def initial(self, batch_size, *, condition=None, generator=None):
        return TREE.initial(batch_size, generator=generator)

    def forward(self, x, t, previous=None):
        return TREE(x, t)


class Wrong(torch.nn.Module):
    """Of every (x, t) another number: of no use, and another one at each t for a text that stands still."""

    def forward(self, x, t):
        return torch.cos(3.0 * x.double().sum(dim=1) + 2.0 * t)

    def of_outcomes(self, x, t, prediction):
        states = prediction.transition.states
        return self(states.flatten(0, 1), (t + 1).repeat_interleave(states.shape[1])).view(states.shape[:2])


WRONG = Learned(Wrong())
VALUES = {"exact": TREE.soft_value(ALPHA), "wrong": WRONG, "zero": Zero(), "posterior mean": PosteriorMean(TARGET)}
SAMPLERS = {
    "svdd": lambda *parts: svdd(*parts, M),
    "svdd, tempered": lambda *parts: svdd(*parts, M, tempering=Schedule([0.0, 0.3, 0.5, 0.7, 0.9, 1.0])),
    "svdd, exact proposal": lambda *parts: svdd(*parts, M, Exact(parts[2])),
    "smc": lambda *parts: smc(*parts, K, 0.9),
    "smc, always resampled": lambda *parts: smc(*parts, K, 1.0),
    "smc, tempered": lambda *parts: smc(*parts, K, 0.9, tempering=Adaptive(0.8)),
    "smc, in part": lambda *parts: smc(*parts, 6, 0.9, by_value=True, share=0.5),
    "smc, exact proposal": lambda *parts: smc(*parts, K, 0.9, proposal=Exact(parts[2])),
    "smc, policy": lambda *parts: smc(*parts, K, 0.9, proposal=Policy(TREE.optimal(1.5))),
    "nested": lambda *parts: smc(*parts, K, 0.9, num_candidates=M),
}


def positions(samples):
    """How many tokens were written, (B, K): so many steps were made."""
    return samples.states[..., -1]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("name", SAMPLERS)
def test_log_z_and_the_weights_stay_exact(name, value):
    """E[Z_hat] = Z, and E[Z_hat f(x)] = Z E_p*[f], for any value, also one that changes for what stands still."""
    samples = SAMPLERS[name](TREE, TARGET, VALUES[value]).sample(4000, generator=seeded("cpu", 1))
    assert_unbiased(samples, TREE.log_normalizer(ALPHA), largest_error=0.06)
    texts, log_probs = TREE.optimal(ALPHA).leaves()
    truth = (log_probs.exp() * texts[:, -1]).sum() - 2.5
    ratio = (samples.log_normalizer - TREE.log_normalizer(ALPHA)).exp()
    found = ratio * (samples.log_weights.exp() * (positions(samples) - 2.5)).sum(dim=1)
    assert abs(found.mean() - truth) < 4 * found.std() / math.sqrt(len(found))


@pytest.mark.parametrize("value", [*VALUES, "by simulation"])
def test_weights_telescope_to_the_reward(value):
    """Without resampling a particle weighs exp(r/α), whatever its values were on the way."""
    value = MonteCarlo(TREE, TARGET, 2) if value == "by simulation" else VALUES[value]
    samples = smc(TREE, TARGET, value, K, 0.0).sample(50, generator=seeded("cpu", 2))
    log_weights = samples.rewards / ALPHA
    truth = log_weights.logsumexp(dim=1) - math.log(K)
    torch.testing.assert_close(samples.log_normalizer, truth, rtol=0, atol=1e-10)
    torch.testing.assert_close(samples.log_weights, log_weights.log_softmax(dim=1), rtol=0, atol=1e-10)


def test_the_law_of_svdd_is_that_of_calling_on():
    greedy = TREE.target(0.0)
    makers = {
        "svdd": lambda reference: svdd(reference, TARGET, TREE.soft_value(ALPHA), M),
        "greedy": lambda reference: svdd(reference, greedy, TREE.mean_value(), M),
        "best": lambda reference: best_of_n(reference, TARGET, 3),
        "pretrained": lambda reference: ancestral(reference, TARGET),
    }
    for make in makers.values():
        said, unsaid = (make(reference).sample(6000, generator=seeded("cpu", 3)) for reference in (TREE, Unending()))
        for figure in (lambda samples: samples.rewards[:, 0], lambda samples: positions(samples)[:, 0].double()):
            one, other = figure(said), figure(unsaid)
            error = math.sqrt((one.var() + other.var()) / 6000)
            assert abs(one.mean() - other.mean()) < 4 * error
        assert (
            said.cost.reference_calls
            < unsaid.cost.reference_calls
            == 6000 * T * unsaid.states.shape[1] * (3 if make is makers["best"] else 1)
        )


def test_calls_are_those_of_what_is_not_finished():
    samples = ancestral(TREE).sample(40, generator=seeded("cpu", 4))
    assert samples.cost.reference_calls == positions(samples).sum() < 40 * T
    samples = smc(TREE, TARGET, WRONG, K, 0.0).sample(40, generator=seeded("cpu", 4))
    assert samples.cost.reference_calls == positions(samples).sum()
    assert samples.cost.value_calls == (positions(samples) + 1).clamp(max=T).sum()  # once where it is finished
    assert samples.cost.reward_calls == 40 * K
    samples = svdd(TREE, TARGET, WRONG, M).sample(40, generator=seeded("cpu", 4))
    written = positions(samples)
    assert samples.cost.reference_calls == written.sum()
    assert samples.cost.value_calls == M * (written + 1).clamp(max=T).sum()
    assert samples.cost.reward_calls == torch.where(written == T, M, 1).sum()  # copies are scored as one
    samples = svdd(TREE, TARGET, PosteriorMean(TARGET), M).sample(40, generator=seeded("cpu", 4))
    assert samples.cost.reference_calls == samples.cost.value_calls == M * (positions(samples) + 1).clamp(max=T).sum()


@pytest.mark.parametrize("name", ["svdd", "svdd, exact proposal", "smc", "smc, exact proposal", "nested"])
@pytest.mark.parametrize("value", ["wrong", "posterior mean"])
def test_max_batch_changes_no_sample(name, value):
    sampler = SAMPLERS[name](TREE, TARGET, VALUES[value])
    whole = sampler.sample(5, generator=seeded("cpu", 5), keep_states=True)
    for max_batch in (1, 4, K * M):
        cut = sampler.sample(5, generator=seeded("cpu", 5), max_batch=max_batch, keep_states=True)
        assert torch.equal(cut.states, whole.states) and torch.equal(cut.log_weights, whole.log_weights)
        assert torch.equal(cut.paths(), whole.paths()) and torch.equal(cut.history.ess, whole.history.ess)
        for calls in ("reference_calls", "value_calls", "reward_calls"):
            assert getattr(cut.cost, calls) == getattr(whole.cost, calls)


@pytest.mark.parametrize("name", ["svdd", "smc", "smc, exact proposal", "smc, policy", "nested"])
def test_a_trajectory_can_be_retained(name):
    """From p* itself, E[Z/Z_hat] = 1."""
    sampler = SAMPLERS[name](TREE, TARGET, WRONG)
    paths = TREE.optimal_trajectories(4000, ALPHA, generator=seeded("cpu", 6))
    samples = sampler.sample_conditionally(paths, generator=seeded("cpu", 7), keep_states=True)
    ratio = (TREE.log_normalizer(ALPHA) - samples.log_normalizer).exp()
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / math.sqrt(len(ratio)) < 0.2
    assert torch.equal(samples.paths()[:, 0], paths)


def test_beams_are_finished_texts():
    samples = beam_search(TREE, TARGET, TREE.mean_value(), 2, M).sample(20, generator=seeded("cpu", 8))
    assert bool(TREE.finished(samples.states.flatten(0, 1)).all())
    assert bool((samples.rewards[:, 0] >= samples.rewards[:, 1]).all())


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
    ("said", "error", "words"),
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
def test_what_does_not_say_which_are_finished_is_refused(said, error, words, monkeypatch):
    monkeypatch.setattr(Coins, "finished", lambda self, x: said(x))
    with pytest.raises(error, match=words):
        ancestral(Coins()).sample(6)
