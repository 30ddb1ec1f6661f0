"""What a choice gains: enumerated on the chain, worked out on a walk, and blind to what candidates share."""

import math

import pytest
import torch
from torch import nn

import svlearn as sv
from svlearn.domains.analytic import FiniteMarkovChain
from svlearn.metering import metered
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.values import Learned, PosteriorMean
from svlearn.values.selection_gain import selection_gain

CHAIN = FiniteMarkovChain.random(5, 4, seed=1)
N = 40_000


class Last(nn.Module):
    """v = the last coordinate of x."""

    def forward(self, x, t):
        return x[:, -1]


def enumerated(table, t):
    """Σ p(x_{t-1}) p(x | x_{t-1}) p(x' | x_{t-1}) sign(v(x) - v(x')) E[r | x] on the chain, of a value's table."""
    value, future = table[t], CHAIN.mean_table()[t]
    laws = CHAIN.initial_probs[None] if t == 0 else CHAIN.matrices[t - 1]
    before = torch.ones(1).double() if t == 0 else CHAIN.marginals()[t - 1]
    signs = torch.sign(value[:, None] - value[None])
    return torch.einsum("a,ax,ay,xy,x->", before, laws, laws, signs, future).item()


@pytest.mark.parametrize("others", [1, 4])
def test_gains_are_those_of_all_outcomes(others):
    """Of the mean value, by which it is largest, and of the posterior mean's, in one go; of more draws, more surely."""
    target = CHAIN.target(0.5)
    trajectories = roll_out(CHAIN, N, target=target, generator=seeded("cpu", 1))
    values = CHAIN.mean_value(), PosteriorMean(target)
    tables = [CHAIN.mean_table()[:-1], posterior_table(values[1])]
    gains = selection_gain(values, CHAIN, trajectories, num_others=others, generator=seeded("cpu", 2))
    assert gains["t"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3] and gains["value"].tolist() == [0, 1] * 4
    for row in gains.itertuples():
        exact = enumerated(tables[row.value], row.t)
        assert abs(row.gain - exact) < 4 * row.gain_error < (0.1 if others == 1 else 0.075)
    for t in range(4):
        assert enumerated(tables[0], t) >= enumerated(tables[1], t)


def posterior_table(value):
    x = torch.arange(CHAIN.num_states)[:, None]
    return [value(x, torch.full((5,), t), CHAIN(x, torch.full((5,), t))) for t in range(CHAIN.num_steps)]


def test_of_a_walk_every_step_gains_the_same(walk, target):
    """E[sign(e - e') e] = 1/√π of two standard normal steps; that is what `svdd` with M = 2 at this step adds."""
    trajectories = roll_out(walk, N, target=target, generator=seeded("cpu", 1))
    gains = selection_gain([Learned(Last())], walk, trajectories, steps=[1, 3], generator=seeded("cpu", 2))
    assert gains["t"].tolist() == [1, 3]
    for row in gains.itertuples():
        assert abs(row.gain - 1 / math.sqrt(math.pi)) < 4 * row.gain_error < 0.05
        # E[r²] - gain² without what the mean of the two candidates tells: all before them, and half of a step
        assert row.gain_error == pytest.approx(math.sqrt((4.5 - row.t - 1 / math.pi) / N), rel=0.02)
    best = sv.Target(target.reward, 0.0)
    chosen = sv.svdd(walk, best, Learned(Last()), [1, 2, 1, 1, 1]).sample(N, generator=seeded("cpu", 3)).rewards
    assert abs(chosen.mean() - 1 / math.sqrt(math.pi)) < 4 * 2 / math.sqrt(N)


def test_what_candidates_share_gains_nothing(walk):
    """A coordinate that stays as it was drawn: correlated with the reward at every t, and no two candidates differ."""

    class Stays(type(walk)):
        def forward(self, x, t, previous=None):
            return sv.Prediction(sv.GaussianTransition(x, 0.0), clean=x)

    process, start = Stays(), torch.randn(200, 1, generator=seeded("cpu", 4)).double()
    trajectories = {"states": start[:, None].expand(-1, 5, -1), "rewards": start.squeeze(1)}
    gains = selection_gain([Learned(Last())], process, trajectories, generator=seeded("cpu", 2)).set_index("t")
    assert (gains["pearson"] > 0.999).all()
    assert (gains["gain"][1:] == 0).all() and gains["gain"][0] > 0.3


def test_by_hand(walk):
    """Without noise x'_1 = x_0 = 0; x_1 = 1 and -1 by the side of it, of rewards 4 and 0: (2 + 2)/(2 - 1)."""

    class Still(type(walk)):
        def forward(self, x, t, previous=None):
            return sv.Prediction(sv.GaussianTransition(x, 0.0), clean=x)

    states = torch.tensor([[0.0, 1, 1, 1, 1], [0.0, -1, -1, -1, -1]]).double()[..., None]
    trajectories = {"states": states, "rewards": torch.tensor([4.0, 0.0])}
    (gain,) = selection_gain([Learned(Last())], Still(), trajectories, steps=[1]).itertuples()
    assert gain.gain == 4.0 and gain.gain_error == 0.0 and gain.pearson == pytest.approx(1.0)


def test_what_is_no_value_is_refused(walk, target):
    trajectories = roll_out(walk, 10, target=target, generator=seeded("cpu", 1))
    with pytest.raises(TypeError, match=r"values: expected Values, got \['Last'\]"):
        selection_gain([Last()], walk, trajectories)


@pytest.mark.parametrize("number", [0, 10, True])
def test_as_many_others_as_there_are(walk, target, number):
    trajectories = roll_out(walk, 10, target=target, generator=seeded("cpu", 1))
    with pytest.raises(ValueError, match=r"num_others: expected an integer of 1 \.\.\. 9"):
        selection_gain([Learned(Last())], walk, trajectories, num_others=number)


def test_a_learned_value_costs_one_call_a_step_and_another_those_of_all(walk, target):
    trajectories = roll_out(walk, 10, target=target, generator=seeded("cpu", 1))
    for value, calls in ((Learned(Last()), 3), (PosteriorMean(target), 3 + (1 + 2) * 4)):
        with metered() as meter:
            selection_gain([value], walk, trajectories, num_others=2, generator=seeded("cpu", 2))
        assert meter.cost.reference_calls == 10 * calls


@pytest.mark.parametrize("steps", [[-1], [4], [True], [0.5]])
def test_bad_steps_are_refused(walk, target, steps):
    trajectories = roll_out(walk, 10, target=target, generator=seeded("cpu", 1))
    with pytest.raises(ValueError, match=r"steps: expected integers of 0 \.\.\. 3"):
        selection_gain([Learned(Last())], walk, trajectories, steps=steps)
