"""`Value.of_outcomes`: the exact proposal and its samplers take all values of a step from one look at the state."""

from dataclasses import replace

import pytest
import torch
from inference_toys import MARKOV
from outcome_toys import ALPHA, ORACLES, AtOnce, Each

from svlearn.domains.analytic import TokenTree
from svlearn.inference.proposals import Exact
from svlearn.inference.samplers import smc, svdd
from svlearn.process import predict
from svlearn.randomness import seeded
from svlearn.transitions import ListedTransition
from svlearn.values import Learned, Zero
from svlearn.values.outcomes import evaluate_outcomes, has_outcomes
from svlearn.values.value import Value

B, K, M = 6, 4, 3


SAMPLERS = {
    "smc": lambda oracle, value: smc(oracle, oracle.target(ALPHA), value, K, 0.7, proposal=Exact(value)),
    "svdd": lambda oracle, value: svdd(oracle, oracle.target(ALPHA), value, M, Exact(value)),
}


@pytest.mark.parametrize("max_batch", [None, 5])
@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("kind", ORACLES)
def test_the_samples_are_those_of_a_call_for_each_outcome(kind, name, max_batch):
    oracle = ORACLES[kind]
    samples = []
    for network in (Each(oracle), AtOnce(oracle)):
        sampler = SAMPLERS[name](oracle, Learned(network))
        samples.append(sampler.sample(B, generator=seeded("cpu", 1), max_batch=max_batch))
        assert max_batch is None or max(network.sizes) <= max_batch
    each, once = samples
    assert torch.equal(each.states, once.states)
    torch.testing.assert_close(each.log_weights, once.log_weights, rtol=0, atol=1e-12)
    torch.testing.assert_close(each.log_normalizer, once.log_normalizer, rtol=0, atol=1e-12)
    assert each.cost.reference_calls == once.cost.reference_calls
    assert each.cost.reward_calls == once.cost.reward_calls


@pytest.mark.parametrize("name", ["markov", "tree"])
def test_one_value_call_for_each_state(name):
    oracle = ORACLES[name]
    steps, outcomes = oracle.num_steps, {"markov": 5, "tree": 3}[name]
    calls = {}
    for kind, network in {"each": Each(oracle), "once": AtOnce(oracle)}.items():
        for sampler, make in SAMPLERS.items():
            calls[kind, sampler] = make(oracle, Learned(network)).sample(B).cost.value_calls
    # the start itself; then each kept state before the last step, which asks the reward
    assert calls["once", "smc"] == B * K * steps
    assert calls["once", "svdd"] == B * (M + steps - 1)
    assert calls["each", "smc"] == B * K * (steps + outcomes * (steps - 1))
    assert calls["each", "svdd"] == B * (M * steps + outcomes * (steps - 1))


def test_log_z_of_the_exact_value_has_no_error_but_that_of_the_start():
    """A tree starts in the one empty text, so that exact steps leave nothing to weigh."""
    oracle = ORACLES["tree with an end"]

    class Table(AtOnce):
        def forward(self, x, t):
            return self.table(x, t)

        def of_outcomes(self, x, t, prediction):
            states = prediction.transition.states
            later = (t + 1).repeat_interleave(states.shape[1])
            return self.table(states.flatten(0, 1), later).view(states.shape[:2])

    value = Learned(Table(oracle))
    samples = smc(oracle, oracle.target(ALPHA), value, K, proposal=Exact(value)).sample(B)
    truth = (oracle.log_normalizer(ALPHA)).expand(B)
    torch.testing.assert_close(samples.log_normalizer, truth, rtol=0, atol=1e-10)


def test_a_trajectory_can_be_retained():
    oracle = ORACLES["markov"]
    paths = oracle.optimal_trajectories(B, ALPHA, generator=seeded("cpu", 2))
    each, once = (
        SAMPLERS["smc"](oracle, Learned(network)).sample_conditionally(paths, generator=seeded("cpu", 3))
        for network in (Each(oracle), AtOnce(oracle))
    )
    assert torch.equal(each.states, once.states)
    torch.testing.assert_close(each.log_weights, once.log_weights, rtol=0, atol=1e-12)


class Featured(TokenTree):
    def forward(self, x, t, previous=None):
        return replace(super().forward(x, t, previous), features=x.double())


class Head(Value):
    """Reads the features of x_t, in `forward` and for what comes after."""

    needs_prediction = True

    def __init__(self, oracle):
        super().__init__()
        self.network = AtOnce(oracle)

    def forward(self, x, t, prediction=None, *, generator=None):
        assert torch.equal(prediction.features.long(), x)
        return self.network(x, t)

    def of_outcomes(self, x, t, prediction):
        assert torch.equal(prediction.features.long(), x)
        return self.network.of_outcomes(x, t, prediction)


@pytest.mark.parametrize("max_batch", [None, 5])
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_value_that_reads_the_prediction_costs_no_call_for_losers(name, max_batch):
    tree = ORACLES["tree"]
    oracle = Featured(tree.probs, tree.num_tokens, tree.length, tree.reward)
    samples = SAMPLERS[name](oracle, Head(oracle)).sample(B, generator=seeded("cpu", 1), max_batch=max_batch)
    start, kept = {"smc": (B * K, B * K), "svdd": (B * M, B)}[name]  # the value of x_0 reads its own prediction
    assert samples.cost.reference_calls == start + kept * (oracle.num_steps - 1)
    plain = SAMPLERS[name](tree, Learned(Each(tree))).sample(B, generator=seeded("cpu", 1))
    assert torch.equal(samples.states, plain.states)


def test_the_value_of_another_is_called():
    oracle = ORACLES["markov"]
    own, other = Learned(AtOnce(oracle)), Learned(AtOnce(oracle))
    samples = smc(oracle, oracle.target(ALPHA), own, K, proposal=Exact(other)).sample(B)
    assert samples.cost.value_calls == B * K * (oracle.num_steps + oracle.num_steps - 1)


def test_only_a_network_that_has_it_gives_it():
    oracle = ORACLES["markov"]
    assert has_outcomes(Learned(AtOnce(oracle))) and not has_outcomes(Learned(Each(oracle)))
    assert has_outcomes(Head(oracle)) and not has_outcomes(oracle.soft_value(ALPHA))


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (lambda values: values[:, 1:], r"Learned.of_outcomes: expected shape \(2, 5\), .* got \(2, 4\)"),
        (lambda values: values.sum(), r"expected shape \(2, 5\), .* got \(\)"),
        (lambda values: values.tolist(), r"expected shape \(2, 5\), .* got list"),
        (lambda values: values.index_fill(0, torch.tensor([1]), torch.inf), "finite numbers at step 3, .* index 1"),
    ],
)
def test_what_is_no_value_of_each_outcome_is_refused(bad, words):
    class Wrong(AtOnce):
        def of_outcomes(self, x, t, prediction):
            return bad(super().of_outcomes(x, t, prediction))

    x = torch.zeros(2, 1, dtype=torch.long)
    prediction = predict(MARKOV, x, 2)
    listed = replace(prediction, transition=ListedTransition(*prediction.transition.outcomes(10)))
    with pytest.raises(ValueError, match=words):
        evaluate_outcomes(Learned(Wrong(MARKOV)), x, 2, listed)
    with pytest.raises(TypeError, match="expected a ListedTransition of the outcomes, got CategoricalTransition"):
        evaluate_outcomes(Learned(Wrong(MARKOV)), x, 2, prediction)


def test_a_value_as_the_network_of_another_says_whether_it_has_outcomes():
    assert not has_outcomes(Learned(Zero()))
    assert has_outcomes(Learned(Learned(AtOnce(MARKOV))))
