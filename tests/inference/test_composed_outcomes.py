"""Values that are made of others hand `of_outcomes` on: the numbers of a call for each outcome, by one look a state."""

from dataclasses import replace

import pytest
import torch
from outcome_toys import ALPHA, ORACLES, AtOnce, Each

from svlearn.inference.proposals import Exact
from svlearn.inference.samplers import smc, svdd
from svlearn.metering import metered
from svlearn.process import predict
from svlearn.randomness import seeded
from svlearn.transitions import ListedTransition
from svlearn.values import (
    AtSteps,
    Ensemble,
    Learned,
    LowerBound,
    MonteCarlo,
    PosteriorMean,
    Residual,
    Switch,
    Zero,
    evaluate,
)
from svlearn.values.outcomes import evaluate_outcomes, has_outcomes
from svlearn.values.value import Value, at_time

B, K, M, START = 6, 4, 3, 2
ERRORS = torch.tensor([[1.0, 2.0], [1.0, 3.0], [2.0, 1.0], [1.0, 1.0], [3.0, 1.0]])
COMPOSED = {
    "switch": lambda one, other: Switch(one, other, START),
    "switch from nothing": lambda one, other: Switch(Zero(), other, START),
    "at steps": lambda one, other: AtSteps(one, [1, 3]),
    "ensemble": lambda one, other: Ensemble([one, other], ERRORS),
    "switch to an ensemble": lambda one, other: Switch(one, Ensemble([one, other], ERRORS), START),
    "residual": lambda one, other: Residual(one, other),
    "lower bound": lambda one, other: LowerBound([one, other]),
    "lower bound of a switch": lambda one, other: LowerBound([Switch(one, other, START), one], 0.5),
    "ensemble of a switch": lambda one, other: Ensemble([Switch(one, other, START), one], ERRORS),
}
SAMPLERS = {
    "smc": lambda oracle, value: smc(oracle, oracle.target(ALPHA), value, K, 0.7, proposal=Exact(value)),
    "svdd": lambda oracle, value: svdd(oracle, oracle.target(ALPHA), value, M, Exact(value)),
}


class Doubled(AtOnce):
    """Another value."""

    def forward(self, x, t):
        return 2.0 * super().forward(x, t)

    def of_outcomes(self, x, t, prediction):
        return 2.0 * super().of_outcomes(x, t, prediction)


class OneByOne(Value):
    """The same value, which must be asked for each outcome."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x, t, prediction=None, *, generator=None):
        return self.value(x, t)


def composed(name, oracle):
    networks = AtOnce(oracle), Doubled(oracle)
    return COMPOSED[name](*map(Learned, networks)), networks


@pytest.mark.parametrize("max_batch", [None, 5])
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("name", COMPOSED)
def test_the_samples_are_those_of_a_call_for_each_outcome(name, sampler, max_batch):
    for oracle in (ORACLES["markov"], ORACLES["tree with an end"]):
        value, networks = composed(name, oracle)
        plain, _ = composed(name, oracle)
        each, once = (
            SAMPLERS[sampler](oracle, own).sample(B, generator=seeded("cpu", 1), max_batch=max_batch)
            for own in (OneByOne(plain), value)
        )
        assert torch.equal(each.states, once.states)
        torch.testing.assert_close(each.log_weights, once.log_weights, rtol=0, atol=1e-12)
        torch.testing.assert_close(each.log_normalizer, once.log_normalizer, rtol=0, atol=1e-12)
        assert each.cost.reference_calls == once.cost.reference_calls
        assert max_batch is None or all(max(network.sizes, default=0) <= max_batch for network in networks)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_one_look_for_each_state_at_the_steps_that_are_asked(sampler):
    """Of a Markov chain of five steps: the start itself, then one look for v_1 ... v_4 from x_0 ... x_3."""
    oracle = ORACLES["markov"]
    start, kept = {"smc": (B * K, B * K), "svdd": (B * M, B)}[sampler]

    def rows(name):
        value, networks = composed(name, oracle)
        cost = SAMPLERS[sampler](oracle, value).sample(B).cost
        return cost.value_calls, *(sum(network.sizes) for network in networks)

    assert rows("switch") == (start + 4 * kept, start + kept, 3 * kept)  # v_1 by one, v_2 ... v_4 by the other
    assert rows("switch from nothing") == (3 * kept, 0, 3 * kept)
    assert rows("at steps") == (2 * kept, 2 * kept, 0)
    assert rows("ensemble") == (start + 4 * kept, start + 4 * kept, start + 4 * kept)


def test_where_one_of_them_cannot_its_own_steps_are_asked_for_each_outcome():
    """A switch from a value of single states to one that looks: 5 outcomes for v_1, one look for each after it."""
    oracle = ORACLES["markov"]
    early, late = Each(oracle), Doubled(oracle)
    value = Switch(Learned(early), Learned(late), START)
    assert not has_outcomes(value) and has_outcomes(at_time(value, START)) and not has_outcomes(at_time(value, 1))
    samples = SAMPLERS["smc"](oracle, value).sample(B, generator=seeded("cpu", 1))
    assert sum(early.sizes) == B * K * (1 + 5 + 1) and sum(late.sizes) == B * K * 3
    plain = SAMPLERS["smc"](oracle, OneByOne(value)).sample(B, generator=seeded("cpu", 1))
    assert torch.equal(samples.states, plain.states)
    torch.testing.assert_close(samples.log_weights, plain.log_weights, rtol=0, atol=1e-12)


def test_an_ensemble_looks_where_those_that_count_can():
    """At t = 0 ... 4 the second value has a weight at 2 alone."""
    oracle, none = ORACLES["markov"], torch.tensor([0.0, 1.0])
    errors = torch.stack([none, none, torch.tensor([1.0, 1.0]), none, none])
    once, each = AtOnce(oracle), Each(oracle)
    value = Ensemble([Learned(once), Learned(each)], errors)
    assert [has_outcomes(at_time(value, t)) for t in range(5)] == [True, True, False, True, True]
    assert not has_outcomes(value)
    samples = SAMPLERS["smc"](oracle, value).sample(B)
    assert sum(each.sizes) == B * K * (5 + 1)  # v_2 of each outcome, and then of what was drawn
    assert samples.cost.value_calls == B * K * (1 + 1 + 5 + 1 + 1 + 1)


@pytest.mark.parametrize("name", COMPOSED)
def test_states_of_several_times_each_look_at_their_own(name):
    oracle = ORACLES["markov"]
    value, _ = composed(name, oracle)
    x, t = torch.arange(5)[:, None], torch.tensor([0, 3, 1, 2, 1])
    prediction = predict(oracle, x, t)
    listed = replace(prediction, transition=ListedTransition(*prediction.transition.outcomes(10)))
    assert has_outcomes(value)
    with metered() as meter:
        found = evaluate_outcomes(value, x, t, listed)
    outcomes, later = listed.transition.states.flatten(0, 1), (t + 1).repeat_interleave(5)
    torch.testing.assert_close(found.double(), evaluate(value, outcomes, later).double().view(5, 5))
    calls = {"switch from nothing": 4, "at steps": 2}
    calls |= {"ensemble of a switch": 5 + 5, "lower bound of a switch": 5 + 5}  # the switch's are counted beside theirs
    assert meter.cost.value_calls == calls.get(name, 5)
    for moment in range(4):
        one = evaluate_outcomes(value, x, moment, listed).double()
        torch.testing.assert_close(one, evaluate_outcomes(value, x, torch.full((5,), moment), listed).double())


def test_a_value_that_reads_the_prediction_is_given_that_of_the_look():
    """Where it does not look, its own steps have their own predictions."""
    oracle = ORACLES["tree"]
    target = oracle.target(ALPHA)

    class Looking(PosteriorMean):
        def of_outcomes(self, x, t, prediction):
            assert prediction.clean is not None and len(prediction.clean) == len(x)
            states = prediction.transition.states
            flat, later = states.flatten(0, 1), (t + 1).repeat_interleave(states.shape[1])
            return self.target.floored(oracle(flat, later).clean, later).view(states.shape[:2])

    for late in (Looking(target), PosteriorMean(target)):
        value = Switch(Learned(AtOnce(oracle)), late, START)
        assert has_outcomes(value) == isinstance(late, Looking)
        samples = SAMPLERS["smc"](oracle, value).sample(B, generator=seeded("cpu", 1), max_batch=5)
        plain = SAMPLERS["smc"](oracle, Switch(Learned(Each(oracle)), PosteriorMean(target), START))
        plain = plain.sample(B, generator=seeded("cpu", 1))
        assert torch.equal(samples.states, plain.states)
        torch.testing.assert_close(samples.log_weights, plain.log_weights, rtol=0, atol=1e-12)


def test_a_part_without_outcomes_leaves_the_whole_without():
    oracle = ORACLES["markov"]
    once, drawn = Learned(AtOnce(oracle)), MonteCarlo(oracle, oracle.target(ALPHA), 2)
    for value in (
        Switch(once, drawn, 1),
        AtSteps(drawn, [1]),
        Ensemble([once, drawn], ERRORS),
        Switch(Zero(), Zero(), 1),
    ):
        assert not has_outcomes(value)
