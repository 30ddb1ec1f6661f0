"""A switch: each value called in its own steps alone, weights that stay right, and where the one hands over."""

import pytest
import torch
from torch import nn

from svlearn.domains.analytic import FiniteMarkovChain
from svlearn.inference.proposals import Exact, Guided
from svlearn.inference.samplers import guidance, smc, svdd
from svlearn.metering import metered
from svlearn.process import predict
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.values import AtSteps, Learned, PosteriorMean, Switch, Zero, evaluate
from svlearn.values.selection_gain import selection_gain
from svlearn.values.switch import best_start

CHAIN = FiniteMarkovChain.random(5, 6, seed=1)
START = 4


class Ahead(nn.Module):
    """A table's value, which notes when it was called."""

    def __init__(self, value):
        super().__init__()
        self.value, self.calls = value, []

    def forward(self, x, t):
        self.calls += t.tolist()
        return self.value(x, t)


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_svdd_pays_for_losers_where_the_value_reads_predictions_alone(alpha):
    """3 candidates at t = 0 ... 6: of 7 lineages the kept one is predicted for t < 4, and all for t = 4 and 5."""
    target, network = CHAIN.target(alpha), Ahead(CHAIN.mean_value())
    switch = Switch(Learned(network), PosteriorMean(target), START)
    cost = svdd(CHAIN, target, switch, 3).sample(7, generator=seeded("cpu", 3)).cost
    assert network.calls == [t for t in range(START) for _ in range(7 * 3)]
    assert cost.reference_calls == 7 * (START + 2 * 3)
    assert cost.value_calls == 7 * 3 * 6 and cost.reward_calls == 7 * 3 * (2 + 1)


@pytest.mark.parametrize("alpha", [0.0, 0.5])
@pytest.mark.parametrize("start", [0, 1, 3, 6])
def test_it_draws_what_the_two_samplers_would(alpha, start):
    """Candidate for candidate the states of the early value before `start`, and from those what the late one keeps."""
    target = CHAIN.target(alpha)
    values = Learned(CHAIN.mean_value()), PosteriorMean(target)
    samplers = [svdd(CHAIN, target, value, 3) for value in (Switch(*values, start), *values)]
    samples = [each.sample(50, generator=seeded("cpu", 3), keep_states=True) for each in samplers]
    both, first, second = (torch.stack(each.history.states) for each in samples)
    assert torch.equal(both[:start], first[:start])
    if start in (0, 6):
        assert torch.equal(both, second if start == 0 else first)


@pytest.mark.parametrize("start", [0, 2, 3, 5])
def test_the_normaliser_stays_unbiased(start):
    """Over a random start of resampling, with an early value that is off by a constant."""
    alpha, number = 0.7, 4000
    target = CHAIN.target(alpha)

    class Shifted(nn.Module):
        def forward(self, x, t):
            return CHAIN.mean_value()(x, t) + 3.0

    switch = Switch(Learned(Shifted()), PosteriorMean(target), start)
    samples = smc(CHAIN, target, switch, 4, ess_threshold=0.9).sample(number, generator=seeded("cpu", 0))
    estimates, exact = samples.log_normalizer.exp(), CHAIN.log_normalizer(alpha).exp()
    error = estimates.std() / number**0.5
    assert (estimates.mean() - exact).abs() < 4 * error < 0.2 * exact


def test_an_exact_proposal_asks_each_in_its_steps():
    """Twisted by the two, its steps have the law that each of them has alone."""
    target, x = CHAIN.target(0.5), CHAIN.initial(6, generator=seeded("cpu", 5))
    values = Learned(CHAIN.mean_value()), PosteriorMean(target)
    for t, value in ((START - 2, values[0]), (START - 1, values[1])):
        prediction = predict(CHAIN, x, t)
        laws = [
            Exact(each).bind(CHAIN, target).transition(x, t, prediction) for each in (Switch(*values, START), value)
        ]
        torch.testing.assert_close(laws[0].log_prob(x), laws[1].log_prob(x), rtol=0, atol=0)


def test_guidance_goes_up_the_value_of_the_step(walk, target):
    """At the mean, where only the late value needs a prediction of it: ∇ of x² early, of x̂_T = x late."""

    class Square(nn.Module):
        def forward(self, x, t):
            return x.square().sum(dim=1) / 2

    x = torch.tensor([[2.0], [-1.0]]).double()
    guided = Guided(Switch(Learned(Square()), PosteriorMean(target), 2), at="mean").bind(walk, target)
    for t, slopes in ((0, x), (1, torch.ones_like(x))):
        prediction = predict(walk, x, t)
        with metered() as meter:
            moved = guided.transition(x, t, prediction).mean
        plain = prediction.transition
        torch.testing.assert_close(moved, plain.mean + plain.std**2 * slopes / target.alpha)
        assert meter.cost.reference_calls == (0 if t == 0 else 2)
    assert guidance(walk, target, Switch(Zero(), PosteriorMean(target), 0)).sample(3).states.isfinite().all()


@pytest.mark.parametrize("at", ["mean", "state"])
@pytest.mark.parametrize("kind", [lambda late: Switch(Zero(), late, 2), lambda late: AtSteps(late, [2, 3])])
def test_where_it_is_zero_guidance_lets_the_reference_move(walk, target, kind, at):
    """As it did not: a value without a gradient at some steps alone was taken for one that has none."""
    guided = Guided(kind(PosteriorMean(target)), at=at).bind(walk, target)
    x = torch.tensor([[2.0], [-1.0]]).double()
    for t in range(4 if at == "state" else 3):
        prediction = guided.predict(walk, x, t, None)
        moved = guided.transition(x, t, prediction).mean - prediction.transition.mean
        assert bool((moved != 0).all()) == (t >= (2 if at == "state" else 1))
        assert bool((moved == 0).all()) == (t < (2 if at == "state" else 1))


def test_rows_of_several_times_have_their_own_values():
    target, x = CHAIN.target(0.5), CHAIN.initial(4, generator=seeded("cpu", 5))
    t, network = torch.tensor([0, 5, 3, 4]), Learned(CHAIN.mean_value())
    switch = Switch(network, PosteriorMean(target), START)
    prediction = predict(CHAIN, x, t)
    late, early = evaluate(PosteriorMean(target), x, t, prediction), evaluate(network, x, t)
    values = evaluate(switch, x, t, prediction)
    assert values.tolist() == [early[0].item(), late[1].item(), early[2].item(), late[3].item()]
    assert [switch.reads(each) for each in (3, 4, t, t[::2])] == [False, True, True, False]
    nested = Switch(network, AtSteps(PosteriorMean(target), [5]), START)
    assert [nested.reads(each) for each in (3, 4, 5)] == [False, False, True]


def test_the_best_start_by_hand():
    """Sums of who is asked: s = 0: .9, 1: 1.1, 2: 1.2, 3: 1.2, 4: .9."""
    early, late = torch.tensor([0.3, 0.3, 0.2, 0.1]), torch.tensor([0.1, 0.2, 0.2, 0.4])
    assert best_start(early, late) == 3
    assert best_start(torch.zeros(4), late) == 0 and best_start(late, torch.zeros(4)) == 4


def test_it_is_fitted_where_one_foresees_less_than_the_other():
    """The chain's own mean value until t = 3 and noise from there, against noise until then and the value after."""
    trajectories = roll_out(CHAIN, 2000, target=CHAIN.target(0.5), generator=seeded("cpu", 1))

    class Noisy(nn.Module):
        def __init__(self, late):
            super().__init__()
            self.late, self.generator = late, seeded("cpu", 2)

        def forward(self, x, t):
            noise = torch.randn(len(x), generator=self.generator)
            return torch.where((t < 3) == self.late, noise, CHAIN.mean_value()(x, t).float())

    early, late = Learned(Noisy(late=False)), Learned(Noisy(late=True))
    fitted = Switch.fit(early, late, CHAIN, trajectories)
    assert fitted.start == 3 and fitted.early is early and fitted.late is late
    assert Switch.fit(late, early, CHAIN, trajectories).start in (0, 6)  # whatever is asked first, half of it is noise
    assert Switch.fit(early, late, CHAIN, trajectories, steps=[0, 1, 4, 5]).start == 4
    rewards = trajectories["rewards"].clone()
    trajectories["rewards"].neg_()
    assert Switch.fit(early, late, CHAIN, trajectories, rewards=rewards).start == 3


def test_it_draws_what_the_gains_do():
    """From the generator given, and as many others."""
    trajectories = roll_out(CHAIN, 20, target=CHAIN.target(0.5), generator=seeded("cpu", 1))
    values, generators = (Learned(CHAIN.mean_value()), Zero()), [seeded("cpu", 2), seeded("cpu", 2)]
    Switch.fit(*values, CHAIN, trajectories, num_others=3, generator=generators[0])
    selection_gain(values, CHAIN, trajectories, num_others=3, generator=generators[1])
    assert torch.equal(*(each.get_state() for each in generators))


def test_it_is_what_its_values_are():
    """Random, or waiting for other processes, as soon as one of them is."""
    waiting = PosteriorMean(CHAIN.target(0.5))
    waiting.asynchronous = True
    drawn = PosteriorMean(CHAIN.target(0.5), num_samples=2)
    for value in (Switch(Zero(), waiting, 1), Switch(waiting, Zero(), 1), AtSteps(waiting, [1])):
        assert value.asynchronous and value.needs_prediction and not value.needs_generator
    assert Switch(Zero(), drawn, 1).needs_generator and not Switch(Zero(), drawn, 1).asynchronous
    assert not Switch(Zero(), Zero(), 1).needs_prediction
    x, t = CHAIN.initial(4, generator=seeded("cpu", 5)), torch.tensor([0, 2, 1, 2])
    prediction = predict(CHAIN, x, t)
    values = evaluate(Switch(Zero(), drawn, 2), x, t, prediction, generator=seeded("cpu", 6))
    own = evaluate(drawn, x[1::2], t[1::2], prediction[torch.tensor([1, 3])], generator=seeded("cpu", 6))
    assert values.dtype == own.dtype and values.tolist() == [0.0, own[0].item(), 0.0, own[1].item()]


@pytest.mark.parametrize("start", [-1, 1.5, True])
def test_a_bad_start_is_refused(start):
    with pytest.raises(ValueError, match="start: expected an integer of at least 0"):
        Switch(Zero(), Zero(), start)


def test_what_is_no_value_is_refused():
    with pytest.raises(TypeError, match="late: expected a Value, got str"):
        Switch(Zero(), "r", 1)
