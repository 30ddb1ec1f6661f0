"""A NaN in a state is an error and not a reward: NaN > 0.5 is False, so that who scores cannot be trusted to notice."""

import math

import pytest
import torch
from tensordict import TensorDict
from torch import nn

import svlearn as sv
from svlearn.process import Prediction, Reference
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.targets import NonFiniteError, Target
from svlearn.transitions import GaussianTransition, Transition

T = 4


class Graphs(Transition):
    """Steps of the two floating parts of a graph; what exists is copied."""

    def __init__(self, x, laws):
        self.x, self.laws = x, laws

    def sample(self, *, generator=None):
        drawn = {name: law.sample(generator=generator) for name, law in self.laws.items()}
        return TensorDict({**drawn, "mask": self.x["mask"]}, batch_size=[len(self.x)])

    def log_prob(self, x_next):
        return sum(law.log_prob(x_next[name]) for name, law in self.laws.items())

    def expansion_point(self, x):
        means = {name: law.mean for name, law in self.laws.items()}
        return TensorDict({**means, "mask": x["mask"]}, batch_size=[len(x)])

    def tilt(self, gradient):
        return Graphs(self.x, {name: law.tilt(gradient[name]) for name, law in self.laws.items()})

    def __getitem__(self, index):
        return Graphs(self.x[index], {name: law[index] for name, law in self.laws.items()})

    @classmethod
    def cat(cls, parts):
        laws = {name: GaussianTransition.cat([part.laws[name] for part in parts]) for name in parts[0].laws}
        return cls(torch.cat([part.x for part in parts]), laws)


class Diffusion(Reference):
    """Graphs of three nodes, by one layer; `broken`: it holds one NaN."""

    num_steps = T

    def __init__(self, broken):
        super().__init__()
        self.layer = nn.Linear(6, 6, bias=False)
        with torch.no_grad():
            self.layer.weight.copy_(0.5 * torch.eye(6))
            if broken:
                self.layer.weight[1, 1] = math.nan

    def initial(self, batch_size, *, condition=None, generator=None):
        parts = {name: torch.randn(batch_size, 3, generator=generator) for name in ("x", "adj")}
        return TensorDict({**parts, "mask": torch.ones(batch_size, 3, dtype=torch.bool)}, batch_size=[batch_size])

    def forward(self, x, t, previous=None):
        means = self.layer(torch.cat([x["x"], x["adj"]], dim=1)).split(3, dim=1)
        laws = {name: GaussianTransition(mean, 0.3) for name, mean in zip(("x", "adj"), means, strict=True)}
        clean = TensorDict({"x": means[0], "adj": means[1], "mask": x["mask"]}, batch_size=[len(x)])
        return Prediction(Graphs(x, laws), clean=clean)

    def noise(self, x, t_from, t_to, *, generator=None):
        return x


def bonds(x):
    """As a decoder has it: a bond is where an entry is above 0.5."""
    return (x["adj"] > 0.5).float().sum(dim=1) + (x["x"] > 0.5).float().sum(dim=1)


class Foresight(nn.Module):
    def forward(self, x, t):
        return bonds(x) + 0.0 * x["adj"].nan_to_num().sum(dim=1)


TARGET, VALUE = Target(bonds, 1.0), sv.values.Learned(Foresight())
SAMPLERS = {
    "ancestral": lambda r: sv.ancestral(r, TARGET),
    "ancestral, unscored": lambda r: sv.ancestral(r),
    "best_of_n": lambda r: sv.best_of_n(r, TARGET, 3),
    "svdd": lambda r: sv.svdd(r, TARGET, sv.values.PosteriorMean(TARGET), 3),
    "svdd, greedy": lambda r: sv.svdd(r, Target(bonds, 0.0), VALUE, 3),
    "svdd, by simulation": lambda r: sv.svdd(r, TARGET, sv.values.MonteCarlo(r, TARGET, 2), 3),
    "smc": lambda r: sv.smc(r, TARGET, VALUE, 3),
    "smc, nested": lambda r: sv.smc(r, TARGET, VALUE, 3, num_candidates=2),
    "beam_search": lambda r: sv.beam_search(r, TARGET, VALUE, 2, 3),
    "tree_search": lambda r: sv.tree_search(r, TARGET, VALUE, 4),
    "refine": lambda r: sv.refine(sv.svdd(r, TARGET, VALUE, 3), 2, 2),
}


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("max_batch", [None, 2])
def test_one_nan_weight_is_an_error_of_every_sampler(name, max_batch):
    SAMPLERS[name](Diffusion(False)).sample(3, generator=seeded("cpu", 0), max_batch=max_batch)
    with pytest.raises(NonFiniteError, match=r"state: expected numbers at step (T|4), got NaN at index 0"):
        SAMPLERS[name](Diffusion(True)).sample(3, generator=seeded("cpu", 0), max_batch=max_batch)


def test_guidance_too():
    def score(x):
        return (x["adj"] > 0.5).float().sum(dim=1) + (x["x"].sigmoid() > 0.5).float().sum(dim=1)

    class Slope(nn.Module):
        def forward(self, x, t):
            return x["adj"].nan_to_num().sum(dim=1)

    sampler = sv.guidance(Diffusion(True), Target(score, 1.0), sv.values.Learned(Slope()))
    with pytest.raises(NonFiniteError, match="state: expected numbers"):
        sampler.sample(3, generator=seeded("cpu", 0))


class Late(Reference):
    """Breaks for row 2 of a batch at one step."""

    num_steps = T

    def __init__(self, breaks):
        super().__init__()
        self.breaks = breaks

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.randn(batch_size, 2, generator=generator)

    def forward(self, x, t, previous=None):
        mean = x.clone()
        mean[2, 1] = torch.where(t[2] == self.breaks, math.nan, mean[2, 1])
        return Prediction(GaussianTransition(mean, 0.5))


def above(x):
    return (x > 0.5).float().sum(dim=1)


@pytest.mark.parametrize("breaks", range(T))
@pytest.mark.parametrize("make", [sv.ancestral, lambda r, t: sv.smc(r, t, sv.values.Zero(), 4, 0.0)])
def test_with_the_states_kept_the_error_names_the_first_bad_step(breaks, make):
    sampler = make(Late(breaks), Target(above, 1.0))
    with pytest.raises(NonFiniteError, match=f"at step {breaks + 1 if breaks + 1 < T else 'T'}, got NaN at index 2"):
        sampler.sample(4, generator=seeded("cpu", 0), keep_states=True)
    with pytest.raises(NonFiniteError, match="at step T, got NaN at index 2"):
        sampler.sample(4, generator=seeded("cpu", 0))


def test_a_tree_that_keeps_its_states_names_the_first_bad_step():
    with pytest.raises(NonFiniteError, match="at step 1, got NaN at index 0"):
        sv.tree_search(Diffusion(True), TARGET, None, 4).sample(3, generator=seeded("cpu", 0), keep_states=True)


def test_a_roll_out_with_a_reward_says_so_and_shows_it():
    with pytest.raises(NonFiniteError, match="state: expected numbers at step 1, got NaN at index 0") as caught:
        roll_out(Diffusion(True), 3, target=TARGET, generator=seeded("cpu", 0))
    assert caught.value.trajectories["states"]["adj"].shape == (3, T + 1, 3)


def test_what_is_no_nan_passes():
    target = Target(lambda x: torch.zeros(len(x)), 1.0)
    for x in (torch.tensor([math.inf, -math.inf]), torch.tensor([1, 2]), torch.ones(2, 0), torch.tensor([True, False])):
        assert target(x).tolist() == [0.0, 0.0]
    with pytest.raises(NonFiniteError, match="got NaN at index 1"):
        target(torch.tensor([1.0, math.nan], dtype=torch.float16))
