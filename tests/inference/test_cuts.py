"""`max_batch` cuts what is computed, never what is drawn: the samples are the same, and no call is larger."""

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from svlearn.inference.proposals import Guided
from svlearn.inference.samplers import beam_search, guidance, smc, svdd
from svlearn.process import Prediction, Reference
from svlearn.randomness import seeded
from svlearn.targets import Target
from svlearn.transitions import CategoricalTransition, GaussianTransition, Transition
from svlearn.values import Learned, PosteriorMean

B, K, M, T, D, L, V = 5, 3, 4, 4, 2, 3, 3
TABLE = torch.randn(V, V, generator=torch.Generator().manual_seed(2))


class Both(Transition):
    """A Gaussian step of "x" and a categorical one of "tokens"."""

    def __init__(self, gaussian, categorical):
        self.parts = {"x": gaussian, "tokens": categorical}

    def sample(self, *, generator=None):
        drawn = {name: law.sample(generator=generator) for name, law in self.parts.items()}
        return TensorDict(drawn, batch_size=[len(drawn["x"])])

    def log_prob(self, x_next):
        return sum(law.log_prob(x_next[name]) for name, law in self.parts.items())

    def log_ratio(self, other, x_next):
        return sum(law.log_ratio(other.parts[name], x_next[name]) for name, law in self.parts.items())

    def tilt(self, gradient):
        keys = gradient.keys()
        return Both(*(law.tilt(gradient[name]) if name in keys else law for name, law in self.parts.items()))

    def expansion_point(self, x):
        points = {name: law.expansion_point(x[name]) for name, law in self.parts.items()}
        return TensorDict(points, batch_size=[len(x)])

    def __getitem__(self, index):
        return Both(*(law[index] for law in self.parts.values()))

    @classmethod
    def cat(cls, parts):
        return cls(*(type(laws[0]).cat(laws) for laws in zip(*(part.parts.values() for part in parts))))


def wave(x, t):
    """Number by number, so that no result depends on the rest of the batch."""
    return 0.9 * x + 0.2 * torch.sin(3 * x + t[:, None])


class Process(Reference):
    """Vectors by a drift of (x, t), tokens by a table, or both."""

    num_steps = T

    def __init__(self, kind, drift=wave):
        super().__init__()
        self.kind, self.drift = kind, drift

    def initial(self, batch_size, *, condition=None, generator=None):
        x = torch.randn(batch_size, D, generator=generator)
        tokens = torch.randint(V, (batch_size, L), generator=generator)
        both = TensorDict({"x": x, "tokens": tokens}, batch_size=[batch_size])
        return {"gaussian": x, "categorical": tokens, "both": both}[self.kind]

    def forward(self, x, t, previous=None):
        if self.kind == "gaussian":
            return self.vectors(x, t)
        if self.kind == "categorical":
            return self.words(x, t)
        vectors, words = self.vectors(x["x"], t), self.words(x["tokens"], t)
        clean = TensorDict({"x": vectors.clean, "tokens": words.clean}, batch_size=[len(x)])
        return Prediction(Both(vectors.transition, words.transition), clean=clean)

    def vectors(self, x, t):
        clean = self.drift(x, t)
        return Prediction(GaussianTransition(clean, 0.5), clean=clean)

    def words(self, tokens, t):
        logits = TABLE[tokens] * (1 + t[:, None, None])
        return Prediction(CategoricalTransition(logits), clean=logits.argmax(dim=2))


def score(x):
    """Of numbers and of tokens, which may come as one-hots, (B,)."""
    leaves = [x] if isinstance(x, torch.Tensor) else list(x.values())
    hot = [leaf if leaf.is_floating_point() else nn.functional.one_hot(leaf, V).float() for leaf in leaves]
    return sum(torch.cos(leaf.flatten(1) + torch.arange(leaf[0].numel())).sum(dim=1) for leaf in hot)


score.reads_one_hot = True


class Score(nn.Module):
    def forward(self, x, t):
        return score(x) * (1 + t / 10)


class Perceptron(nn.Module):
    """Whose sums depend on the batch in their last digits."""

    def __init__(self, outputs):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Linear(D + 1, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs)
        )

    def forward(self, x, t):
        values = self.layers(torch.cat([x, t[:, None] / T], dim=1))
        return values.squeeze(1)


SAMPLERS = {
    "svdd": lambda *parts: svdd(*parts, M),
    "svdd, guided at the mean": lambda *parts: svdd(*parts, M, Guided(parts[2], at="mean")),
    "svdd, guided at the state": lambda *parts: svdd(*parts, M, Guided(parts[2], at="state")),
    "smc": lambda *parts: smc(*parts, K, 0.9),
    "smc, guided at the mean": lambda *parts: smc(*parts, K, 0.9, proposal=Guided(parts[2], at="mean")),
    "smc, guided at the state": lambda *parts: smc(*parts, K, 0.9, proposal=Guided(parts[2], at="state")),
    "nested": lambda *parts: smc(*parts, K, 0.9, num_candidates=M),
    "beam": lambda *parts: beam_search(*parts, K, M),
    "guidance at the mean": lambda *parts: guidance(*parts, at="mean"),
    "guidance at the state": lambda *parts: guidance(*parts, at="state"),
}


VALUES = ("posterior mean", "learned")


def possible(kind, name, value):
    """At the state only floats have a gradient; at the mean of tokens there is no prediction, only a value of it."""
    if "state" in name:
        return kind != "categorical"
    return "mean" not in name or value == "learned" or kind == "gaussian"


KINDS = [(k, n, v) for k in ("gaussian", "categorical", "both") for n in SAMPLERS for v in VALUES if possible(k, n, v)]


def figures(samples):
    states = samples.states
    named = [states] if isinstance(states, torch.Tensor) else [states[name] for name in sorted(states.keys())]
    rest = samples.rewards, samples.log_weights, samples.log_normalizer, *samples.history.ancestors
    return [*named, *(each for each in rest if each is not None)]


@pytest.mark.parametrize(("kind", "name", "value"), KINDS)
def test_the_samples_are_the_same_to_the_bit(kind, name, value):
    process, target, learned = Process(kind), Target(score, 0.5), Learned(Score())
    sampler = SAMPLERS[name](process, target, learned if value == "learned" else PosteriorMean(target))
    sizes = []
    for network in (process, learned.network):
        network.register_forward_pre_hook(lambda network, inputs: sizes.append(len(inputs[0])))
    whole = sampler.sample(B, generator=seeded("cpu", 4))
    assert max(sizes) == B * {"svdd": M, "smc": K, "nested": K * M, "beam": K * M}.get(name.split(",")[0], 1)
    for max_batch in (1, 3, 7, K * M, 1000):
        sizes.clear()
        cut = sampler.sample(B, generator=seeded("cpu", 4), max_batch=max_batch)
        assert all(map(torch.equal, figures(cut), figures(whole)))
        assert 0 < max(sizes) <= max_batch
        for calls in ("reference_calls", "value_calls", "gradient_calls", "reward_calls"):
            assert getattr(cut.cost, calls) == getattr(whole.cost, calls)


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("name", SAMPLERS)
def test_with_sums_that_depend_on_the_batch_they_agree_to_1e_5(name, value):
    target = Target(score, 0.5)
    process = Process("gaussian", Perceptron(D))
    sampler = SAMPLERS[name](process, target, Learned(Perceptron(1)) if value == "learned" else PosteriorMean(target))
    whole = sampler.sample(B, generator=seeded("cpu", 4))
    for max_batch in (1, 7, 1000):
        cut = sampler.sample(B, generator=seeded("cpu", 4), max_batch=max_batch)
        for one, other in zip(figures(cut), figures(whole), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


@pytest.mark.parametrize("max_batch", [1, 7])
def test_what_p_ref_says_of_the_candidates_is_cut_too(max_batch, monkeypatch):
    """Else its law would be copied for all B · M candidates of a guided step."""
    process, target = Process("gaussian"), Target(score, 0.5)
    sizes = []
    plain = GaussianTransition.log_ratio

    def measured(self, other, x_next):
        sizes.append(len(self.mean))
        return plain(self, other, x_next)

    monkeypatch.setattr(GaussianTransition, "log_ratio", measured)
    sampler = svdd(process, target, Learned(Score()), M, Guided(Learned(Score())))
    sampler.sample(B, generator=seeded("cpu", 4), max_batch=max_batch)
    assert max(sizes) == max_batch and sum(sizes) == B * M * T
