"""The extension kit: every part of the package passes it, and what is wrong in one way is named by it."""

import sys
from pathlib import Path

import pytest
import torch
from tensordict import TensorDict
from torch import nn
from tracked_device import tracked

import svlearn as sv
from svlearn.domains.analytic import (
    ComponentReward,
    CorrelatedGaussian,
    FinishedTexts,
    FiniteMarkovChain,
    GaussianMixture,
    GaussianMixtureDDPM,
    GaussianMixtureDiffusion,
    GaussianMixtureTransition,
    GaussianReference,
    LinearGaussianChain,
    TokenTree,
    double_well,
    gmm40,
)
from svlearn.domains.analytic.conditional import ConditionalOracle
from svlearn.domains.molecules import rewards as molecules
from svlearn.domains.molecules.masked_diffusion import MaskedGraphDiffusion
from svlearn.domains.molecules.transformer import GraphTransformer
from svlearn.objectives.exploration import EpsilonMixture
from svlearn.policies import Controlled, Finetuned
from svlearn.randomness import seeded
from svlearn.schedules import cosine_schedule
from svlearn.testing import check_reference, check_reward, check_transition, check_value
from svlearn.transitions import (
    AppendingTransition,
    CategoricalTransition,
    FieldTransition,
    GaussianTransition,
    ListedTransition,
    MaskedTransition,
    MixtureTransition,
    Transition,
)
from svlearn.values import Ensemble, Learned, MonteCarlo, PosteriorMean, Switch, Zero
from svlearn.values.at_steps import AtSteps

sys.path.insert(0, str(Path(__file__).parent / "domains/molecules/gdss"))
from causal_toys import STEPS, CausalToy
from gdss_toys import GaussianGDSS


def normal(*shape, seed=0):
    return torch.randn(shape, generator=seeded("cpu", seed), dtype=torch.float64)


CHAIN = FiniteMarkovChain.random(4, 4, seed=1)
LINE = LinearGaussianChain.random(2, 4, seed=1)
TREE = TokenTree.random(3, 2, seed=0)
PLANE = GaussianMixture(torch.tensor([1.0, 2.0]), normal(2, 2), 0.3 + normal(2, 2, seed=1).abs())
DIFFUSION = GaussianMixtureDiffusion(PLANE, cosine_schedule(4, 0.1), ComponentReward(PLANE, torch.tensor([1.0, 0.0])))


class Network(nn.Module):
    def __init__(self, out=None):
        super().__init__()
        self.layer, self.out = nn.Linear(3, out or 1).double(), out

    def forward(self, x, t):
        found = self.layer(torch.cat([x, t[:, None] / 4], dim=1)).tanh()
        return found.squeeze(1) if self.out is None else found


class Walk(sv.Reference):
    """Sound, three steps in the plane."""

    num_steps = 3

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.register_buffer("table", torch.tensor([0.5, 0.3, 0.2]))

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.randn(batch_size, 2, generator=generator)

    def mean(self, x, t):
        return x + self.layer(x).tanh()

    def forward(self, x, t, previous=None):
        mean = self.mean(x, t)
        return sv.Prediction(GaussianTransition(mean, self.table[t][:, None]), clean=mean)


class Cached(Walk):
    """Its mean is the running sum of states, that it carries in a cache or computes from what a state holds of it."""

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.randn(batch_size, 4, generator=generator)  # the state of now and the one before

    def forward(self, x, t, previous=None):
        whole = x[:, :2] + x[:, 2:] if previous is None else self.joined(x, previous.cache)
        mean = torch.cat([whole.tanh(), x[:, :2]], dim=1)
        return sv.Prediction(GaussianTransition(mean, 1e-3 + self.table[t][:, None]), cache={"held": self.kept(x)})

    def kept(self, x):
        return x[:, 2:]

    def joined(self, x, cache):
        return x[:, :2] + x[:, 2:] + 0.0 * cache["held"]


class Prompted(sv.Reference):
    """Starts from a prompt, which is a leaf of its state that no step changes."""

    num_steps = 2

    def initial(self, batch_size, *, condition=None, generator=None):
        prompt = torch.zeros(batch_size, 1) if condition is None else condition
        parts = {"x": torch.randn(batch_size, 1, generator=generator), "prompt": prompt}
        return TensorDict(parts, batch_size=[batch_size])

    def forward(self, x, t, previous=None):
        return sv.Prediction(FieldTransition({"x": GaussianTransition(x["x"] + x["prompt"], 0.5)}, x))


REFERENCES = {
    "walk": Walk,
    "cached": Cached,
    "chain": lambda: CHAIN,
    "linear": lambda: LINE,
    "tree": lambda: TREE,
    "mixture": lambda: DIFFUSION,
    "ddpm": lambda: GaussianMixtureDDPM(DIFFUSION),
    "brownian": lambda: GaussianReference.brownian(2, 3),
    "masked graphs": lambda: MaskedGraphDiffusion(GraphTransformer(4, 16, 16, 1), torch.ones(4)),
    "causal": lambda: CausalToy(starts=range(STEPS)),
    "causal, uncached": lambda: CausalToy(cached=False),
    "gdss": lambda: GaussianGDSS(4),
    "controlled": lambda: Controlled(LINE, Network(2)),
    "finetuned": lambda: Finetuned(Walk()),
    "explored": lambda: EpsilonMixture(Controlled(LINE, Network(2)), 0.3),
    "optimal": lambda: CHAIN.optimal(0.7),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_every_reference_and_policy_of_the_package_passes(name):
    check_reference(REFERENCES[name]().eval(), num_draws=400)


def test_an_oracle_with_a_condition_passes():
    reference = ConditionalOracle([LINE, LinearGaussianChain.random(2, 4, seed=2)])
    condition = torch.tensor([0, 1, 1, 0])
    check_reference(reference, condition=condition, num_draws=400)
    check_value(PosteriorMean(reference.target(0.7)), reference, condition=condition)
    check_reward(reference.reward, reference, condition=condition)


def test_a_condition_that_is_a_leaf_passes():
    check_reference(Prompted(), condition=torch.arange(4.0)[:, None], num_draws=400)


def test_a_reference_of_another_device_passes():
    with tracked() as device:
        check_reference(Walk().to(device), num_draws=200)


TEXTS = TREE.initial(3)
TRANSITIONS = {
    "gaussian": lambda: (GaussianTransition(normal(3, 2), 0.5), normal(3, 2, seed=1)),
    "gaussian of numbers": lambda: (GaussianTransition(normal(3), normal(3, seed=1).abs()), normal(3)),
    "gaussian in single": lambda: (GaussianTransition(normal(3, 1).float(), 0.3), normal(3, 1).float()),
    "partly a dirac": lambda: (GaussianTransition(normal(3, 2), torch.tensor([[0.0, 0.5]])), normal(3, 2, seed=1)),
    "categorical": lambda: (CategoricalTransition(normal(3, 2, 4)), torch.zeros(3, 2, dtype=torch.long)),
    "listed": lambda: (ListedTransition(normal(3, 5, 2), normal(3, 5, seed=1)), None),
    "listed twice": lambda: (ListedTransition(torch.tensor([[1, 2, 1], [0, 0, 3]]), normal(2, 3)), None),
    "mixture": lambda: (
        MixtureTransition([CategoricalTransition(normal(3, 2, 3, seed=s)) for s in range(2)], [0.3, 0.7]),
        None,
    ),
    "mixture of gaussians": lambda: (
        MixtureTransition([GaussianTransition(normal(3, 1, seed=s), 0.5 + s) for s in range(2)], normal(3, 2).abs()),
        None,
    ),
    "fields": lambda: (
        FieldTransition(
            {"x": GaussianTransition(normal(3, 2), 0.5), "n": CategoricalTransition(normal(3, 1, 3))},
            TensorDict({"kept": normal(3, 2), "x": normal(3, 2), "n": torch.zeros(3, 1).long()}, batch_size=[3]),
        ),
        None,
    ),
    "correlated": lambda: (
        CorrelatedGaussian(normal(3, 2), torch.linalg.qr(normal(3, 2, 2))[0], normal(3, 2, seed=1).abs() + 0.1),
        None,
    ),
    "analytic mixture": lambda: (
        GaussianMixtureTransition(normal(3, 4), normal(3, 4, 2, seed=1), 0.3 + normal(3, 4, 2, seed=2).abs()),
        normal(3, 2),
    ),
    "masked": lambda: (
        MaskedTransition(torch.tensor([[3, 3, 1], [0, 3, 3]]), normal(2, 3, 3), 3, number=1),
        torch.tensor([[3, 3, 1], [0, 3, 3]]),
    ),
    "masked, by chance": lambda: (
        MaskedTransition(torch.tensor([[3, 3, 1], [0, 3, 3]]), normal(2, 3, 3), 3, probability=0.4),
        None,
    ),
    "appending": lambda: (
        AppendingTransition(torch.tensor([[1, 0, 0, 1], [2, 0, 0, 1]]), normal(2, 3), end=2),
        None,
    ),
    "next token": lambda: (TREE(TEXTS, torch.zeros(3, dtype=torch.long)).transition, None),
    "finished texts": lambda: (FinishedTexts(TREE, TEXTS), None),
}


@pytest.mark.parametrize("name", TRANSITIONS)
def test_every_transition_of_the_package_passes(name):
    law, x = TRANSITIONS[name]()
    check_transition(law, x, num_draws=1000)


TARGET = LINE.target(0.7)
VALUES = {
    "zero": lambda: (Zero(), LINE),
    "learned": lambda: (Learned(Network()), LINE),
    "posterior mean": lambda: (PosteriorMean(TARGET), LINE),
    "of samples": lambda: (PosteriorMean(CHAIN.target(0.7), num_samples=3), CHAIN),
    "simulated": lambda: (MonteCarlo(LINE, TARGET, 2), LINE),
    "simulated, by budget": lambda: (MonteCarlo(LINE, TARGET, budget=4), LINE),
    "switch": lambda: (Switch(Learned(Network()), PosteriorMean(TARGET), 2), LINE),
    "at steps": lambda: (AtSteps(PosteriorMean(TARGET), [1, 3]), LINE),
    "ensemble": lambda: (Ensemble([Learned(Network()), PosteriorMean(TARGET)], torch.rand(4, 2)), LINE),
    "exact, linear": lambda: (LINE.soft_value(0.7), LINE),
    "mean, linear": lambda: (LINE.mean_value(), LINE),
    "exact, chain": lambda: (CHAIN.soft_value(0.7), CHAIN),
    "exact, texts": lambda: (TREE.soft_value(0.7), TREE),
    "exact, mixture": lambda: (DIFFUSION.soft_value(1.0), DIFFUSION),
}


@pytest.mark.parametrize("name", VALUES)
def test_every_value_of_the_package_passes(name):
    check_value(*VALUES[name]())


REWARDS = {
    "quadratic": lambda: (LINE.reward, LINE),
    "table": lambda: (CHAIN.target(1.0), CHAIN),
    "texts": lambda: (TREE.reward, TREE),
    "components": lambda: (DIFFUSION.reward, DIFFUSION),
    "mixture density": lambda: (gmm40().target(GaussianReference.brownian(2, 3)), GaussianReference.brownian(2, 3)),
    "well": lambda: (double_well(1, 2.0, 2).target(GaussianReference.brownian(2, 3)), GaussianReference.brownian(2, 3)),
    "weighted": lambda: (sv.Target({LINE.reward: 0.5, CHAIN.reward.__class__(torch.ones(4)): 0.0}, 1.0), LINE),
    "drug-likeness": lambda: (molecules.QED(), REFERENCES["masked graphs"]().eval()),
}


@pytest.mark.parametrize("name", REWARDS)
def test_rewards_of_the_package_pass(name):
    check_reward(*REWARDS[name]())


# ------------------------------------------------------------------------------------------- what is wrong in one way


class Law(Transition):
    """Sound: N(mean, std²) of rows (B, d)."""

    def __init__(self, mean, std):
        self.mean, self.std = mean, std

    def noise(self, generator):
        return torch.randn(self.mean.shape, generator=generator, dtype=self.mean.dtype)

    def sample(self, *, generator=None):
        return self.mean + self.std * self.noise(generator)

    def log_prob(self, x_next):
        return torch.distributions.Normal(self.mean, self.std).log_prob(x_next).sum(dim=1)

    def __getitem__(self, index):
        return type(self)(self.mean[index], self.std[index])

    @classmethod
    def cat(cls, parts):
        return cls(torch.cat([part.mean for part in parts]), torch.cat([part.std for part in parts]))


class Few(Law):
    """Sound: 0, 1 or 2, by logits."""

    def sample(self, *, generator=None):
        return torch.multinomial(self.drawn_by(), 1, generator=generator)

    def drawn_by(self):
        return self.mean.softmax(dim=1)

    def log_prob(self, x_next):
        return self.mean.log_softmax(dim=1).gather(1, x_next).squeeze(1)

    def outcomes(self, limit):
        if limit < 3:
            raise ValueError("outcomes: 3 next states")
        states = torch.arange(3).expand(len(self.mean), 3)[:, :, None]
        return states, self.mean.log_softmax(dim=1)


def changed(kind, **methods):
    return type("Mine", (kind,), methods)


def wide(self, *, generator=None):
    return self.mean + 1.2 * self.std * self.noise(generator)


def turned(self, limit):
    states, log_probs = Few.outcomes(self, limit)
    return states.flip(1), log_probs


def of_the_global(self, generator):
    return torch.randn(self.mean.shape).double()


LAWS = {
    "global noise": (
        Law,
        {"noise": of_the_global},
        "sample: .*`generator` alone",
    ),
    "log_prob of elements": (
        Law,
        {"log_prob": lambda self, x: -((x - self.mean) ** 2)},
        r"log_prob: .*\(B,\) = \(3,\)",
    ),
    "log_prob nan": (Law, {"log_prob": lambda self, x: x.sum(dim=1) * torch.nan}, "log_prob: expected numbers or -inf"),
    "log_prob impossible": (Law, {"log_prob": lambda self, x: x.sum(dim=1) - torch.inf}, "of what the law itself drew"),
    "rows forgotten": (Law, {"__getitem__": lambda self, i: self}, r"\[rows\]: expected the law of the chosen rows"),
    "rows of the mean": (Law, {"__getitem__": lambda self, i: type(self)(self.mean[i], self.std[:1])}, r"\[rows\]"),
    "no cat": (Law, {"cat": property(lambda self: None)}, "cat"),
    "cat turned": (
        Law,
        {"cat": classmethod(lambda cls, parts: Law.cat.__func__(cls, parts[::-1]))},
        "cat: expected the laws of all parts, one after the other",
    ),
    "sample_each apart": (
        Law,
        {"sample": Law.sample, "sample_each": lambda self, parents, *, generator=None: self[parents].mean},
        r"sample_each: expected self\[parents\].sample",
    ),
    "ratio": (
        Law,
        {"log_ratio": lambda self, other, x: self.log_prob(x)},
        "log_ratio: expected 0 of a law",
    ),
    "too wide": (Law, {"sample": wide}, "draws of the density that log_prob has"),
    "shifted": (
        Law,
        {"sample": lambda self, *, generator=None: Law.sample(self, generator=generator) + 0.3},
        "density",
    ),
    "frequencies": (Few, {"drawn_by": lambda self: (0.6 * self.mean).softmax(dim=1)}, "as often as log_prob says"),
    "sum": (Few, {"outcomes": lambda self, n: (Few.outcomes(self, n)[0], self.mean)}, "outcomes: .*sum to 1"),
    "unlimited": (Few, {"outcomes": lambda self, n: Few.outcomes(self, 9)}, "outcomes: expected a ValueError where"),
    "other list": (Few, {"outcomes": turned}, "log_prob: expected the log-probabilities that `outcomes` lists"),
}


@pytest.mark.parametrize("name", LAWS)
def test_a_law_that_is_wrong_in_one_way_is_named(name):
    kind, methods, words = LAWS[name]
    parts = (normal(3, 3), 0.5 + normal(3, 3, seed=1).abs())
    check_transition(kind(*parts))
    with pytest.raises(ValueError, match=f"check_transition: Mine\n- Mine.*{words}"):
        check_transition(changed(kind, **methods)(*parts))


def test_a_density_that_is_not_normalised_is_named():
    def short(self, x_next):
        return Law.log_prob(self, x_next) + 0.1

    parts = (normal(3, 1), 0.5 + normal(3, 1, seed=1).abs())
    check_transition(Law(*parts))
    with pytest.raises(ValueError, match="log_prob: expected a density whose integral is 1, got 1.105"):
        check_transition(changed(Law, log_prob=short)(*parts))


def test_a_tilt_by_nothing_that_moves_is_named():
    class Mine(GaussianTransition):
        def tilt(self, gradient):
            return GaussianTransition(self.mean + 0.1, self.std)

    with pytest.raises(ValueError, match="tilt: expected the law itself by a gradient of 0"):
        check_transition(Mine(normal(3, 2), 0.5), normal(3, 2))


def centred(self, x, t):
    return x - x.mean(dim=0)


def in_place(self, x, t):
    return x.mul_(0.9)


def of_first_time(self, x, t, previous=None):
    return sv.Prediction(GaussianTransition(x, float(self.table[t[0]])))


class Noisy(Walk):
    def mean(self, x, t):
        return x + torch.randn(x.shape)


class Moved(Prompted):
    def forward(self, x, t, previous=None):
        law = {name: GaussianTransition(x[name], 0.5) for name in ("x", "prompt")}
        return sv.Prediction(FieldTransition(law, x))


class Lost(Prompted):
    def initial(self, batch_size, *, condition=None, generator=None):
        return super().initial(batch_size, generator=generator)


def doubled(self, x, t, previous=None):
    return sv.Prediction(GaussianTransition(x.double(), 0.5))


def adding(self, x, cache):
    cache["held"].add_(1.0)
    return x[:, :2] + x[:, 2:] + cache["held"]


BROKEN = {
    "no steps": (Walk, {"num_steps": 0}, "Mine.num_steps: expected an integer of at least 1, got 0"),
    "global start": (
        Walk,
        {"initial": lambda self, b, *, condition=None, generator=None: torch.randn(b, 2)},
        "Mine.initial: expected draws by `generator` alone",
    ),
    "two rows": (
        Walk,
        {"initial": lambda self, b, *, condition=None, generator=None: torch.zeros(4, 2)},
        r"Mine.initial: expected shape \(1, ...\)",
    ),
    "mixes rows": (
        Walk,
        {"mean": centred},
        "forward at t = 0: expected of chosen rows the law that",
    ),
    "writes to x": (Walk, {"mean": in_place}, "forward at t = 0: expected x as it came, got it changed"),
    "one time for all": (Walk, {"forward": of_first_time}, "forward: expected of rows at t = 0 and t = 2 in one call"),
    "other dtype": (Walk, {"forward": doubled}, "sample: expected states as x_t, .*float32.*float64"),
    "random": (Noisy, {}, "forward at t = 0: expected the same law for the same states"),
    "forgets noise": (
        Walk,
        {"noise": lambda self, x, t_from, t_to, *, generator=None: x + torch.randn(x.shape)},
        "Mine.noise: expected draws by `generator` alone",
    ),
    "decodes one": (Walk, {"decode": lambda self, x: ["one"]}, "Mine.decode: expected a list of 4 objects"),
    "cache of another": (
        Cached,
        {"joined": lambda self, x, c: x[:, :2] - c["held"]},
        "with previous= the law that",
    ),
    "cache changed": (Cached, {"joined": adding}, "(cache|previous=)"),
    "cache without rows": (Cached, {"kept": lambda self, x: x[:1, 2:]}, "cache"),
}


class AlongOther(CausalToy):
    def along(self, trajectory):
        return [self.forward(trajectory[:, 0], torch.zeros(len(trajectory), dtype=torch.long))] * self.num_steps


@pytest.mark.parametrize(
    ("finished", "words"),
    [
        (lambda self, x: x[:, 0], "finished: expected bools of shape"),
        (lambda self, x: torch.arange(len(x)) > 1, "step to themselves with log-probability 0"),
        (lambda self, x: x[:, 0] > 0.3, "finished: expected"),
    ],
)
def test_finished_states_that_move_are_named(finished, words):
    with pytest.raises(ValueError, match=f"Mine.*{words}"):
        check_reference(changed(Walk, finished=finished)(), num_draws=200)


def test_an_along_that_says_other_than_forward_is_named():
    with pytest.raises(ValueError, match="AlongOther.along: expected at t = 1 the law that forward predicts"):
        check_reference(AlongOther(cached=False), num_draws=200)


@pytest.mark.parametrize("name", BROKEN)
def test_a_reference_that_is_wrong_in_one_way_is_named(name):
    kind, methods, words = BROKEN[name]
    with pytest.raises(ValueError, match=f"check_reference: Mine\n(.*\n)*.*{words}"):
        check_reference(changed(kind, **methods)(), num_draws=200)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Moved, "Moved: expected the condition 'prompt' to stay, got another at t = 1; no step may change it"),
        (Lost, "Lost.initial: expected a leaf of the state that holds the condition, got none"),
    ],
)
def test_a_condition_that_does_not_stay_is_named(kind, words):
    with pytest.raises(ValueError, match=words):
        check_reference(kind(), condition=torch.arange(4.0)[:, None] + 1, num_draws=200)


def test_states_on_another_device_than_the_weights_are_named():
    class Elsewhere(Walk):
        def initial(self, batch_size, *, condition=None, generator=None):
            return torch.randn(batch_size, 2, generator=generator).cpu()

    with (
        tracked() as device,
        pytest.raises(ValueError, match="Elsewhere.initial: expected states on meta"),
    ):
        check_reference(Elsewhere().to(device))


def of(function, **options):
    def forward(self, x, t, prediction=None, *, generator=None):
        return function(x, t)

    return type("Mine", (sv.Value,), {"forward": forward, **options})()


def writes(x, t):
    return x.mul_(2.0)[:, 0]


WRONG_VALUES = {
    "of elements": (lambda x, t: x, {}, r"at t = 0: expected floats of shape \(B,\)"),
    "nan": (lambda x, t: x[:, 0] / 0.0, {}, "at t = 0: expected finite numbers"),
    "mixes rows": (lambda x, t: x[:, 0] - x[:, 0].mean(), {}, "expected of chosen rows their own numbers"),
    "random": (lambda x, t: x[:, 0] + torch.rand(len(x)), {}, "needs_generator = True"),
    "random by another": (
        lambda x, t: x[:, 0] + torch.rand(len(x)),
        {"needs_generator": True},
        "expected draws by `generator` alone",
    ),
    "one time": (lambda x, t: x[:, 0] * t[0], {}, "of rows at t = 0 and t = 2 in one call"),
    "writes": (writes, {}, "expected x as it came"),
    "integers": (lambda x, t: t, {}, "expected floats"),
}


@pytest.mark.parametrize("name", WRONG_VALUES)
def test_a_value_that_is_wrong_in_one_way_is_named(name):
    function, options, words = WRONG_VALUES[name]
    with pytest.raises(ValueError, match=f"check_value: Mine\n- Mine.forward.*{words}"):
        check_value(of(function, **options), Walk())


def test_a_value_that_reads_what_it_is_not_given_is_told_to_say_so():
    class Reads(sv.Value):
        def forward(self, x, t, prediction=None, *, generator=None):
            return prediction.clean[:, 0]

    with pytest.raises(ValueError, match="Reads.forward at t = 0: .*write needs_prediction = True"):
        check_value(Reads(), Walk())


class Counting:
    """Never twice the same."""

    calls = 0

    def __call__(self, x):
        self.calls += 1
        return x[:, 0] + self.calls


WRONG_REWARDS = {
    "of elements": (lambda x: x, r"expected floats of shape \(B,\)"),
    "a number": (lambda x: float(x.sum()), "expected a torch.Tensor"),
    "nan": (lambda x: x[:, 0] * torch.nan, "expected numbers or -inf"),
    "ranks": (lambda x: x[:, 0].argsort().argsort().double(), "a reward scores each state by itself"),
    "writes": (lambda x: x.mul_(2.0)[:, 0], "expected the states as they came"),
    "counts": (Counting(), "the same each time"),
    "raises": (lambda x: 1 / 0, "division by zero"),
}


@pytest.mark.parametrize("name", WRONG_REWARDS)
def test_a_reward_that_is_wrong_in_one_way_is_named(name):
    reward, words = WRONG_REWARDS[name]
    with pytest.raises(ValueError, match=f"check_reward: .*\n- .*{words}"):
        check_reward(reward, Walk())


def test_what_a_reward_says_of_itself_is_looked_at():
    def reward(x):
        return x[:, 0]

    reward.asynchronous = "yes"
    with pytest.raises(ValueError, match="reward.asynchronous: expected True or False, got 'yes'"):
        check_reward(reward, Walk())
    with pytest.raises(TypeError, match="reward: expected a callable"):
        check_reward(3, Walk())
