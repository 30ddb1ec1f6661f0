"""Guidance at the state with a cache: the graph of a gradient stays out of what is kept, whatever the cache is."""

import pytest
import torch
from causal_walks import STEPS, TARGET, CausalWalk, WaveControl
from torch import nn

from svlearn import caches
from svlearn.inference.proposals import Guided
from svlearn.inference.samplers import guidance, smc, svdd
from svlearn.process import predict
from svlearn.randomness import seeded
from svlearn.values import Head, Learned, PosteriorMean

B, K = 3, 4


class Sum(nn.Module):
    def forward(self, features, t):
        return features.sin().sum(dim=1)


class Wave(WaveControl):
    def forward(self, x, t):
        return super().forward(x, t.clamp(max=STEPS - 1)).sum(dim=1)


VALUES = {
    "posterior mean": lambda: PosteriorMean(TARGET),
    "head": lambda: Head(Sum()),
    "learned": lambda: Learned(Wave()),
}
SAMPLERS = {
    "guidance": lambda r, v: guidance(r, TARGET, v, 0.5) if v.needs_prediction else one_of_each(r, v),
    "smc": lambda r, v: smc(r, TARGET, v, K, ess_threshold=1.0, proposal=Guided(v, 0.5, at="state")),
    "importance": lambda r, v: smc(r, TARGET, v, K, ess_threshold=0.0, proposal=Guided(v, 0.5, at="state")),
    "svdd": lambda r, v: svdd(r, TARGET, v, 2, Guided(v, 0.5, at="state")),
}


def one_of_each(reference, value):
    return svdd(reference, TARGET, value, 1, Guided(value, 0.5, at="state"))


@pytest.mark.parametrize("max_batch", [None, 5])
@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("kept", ["tuple", "dynamic", "static"])
def test_samples_are_those_without_a_cache(kept, sampler, value, max_batch):
    """The cached call lacks the gradient in the numbers before the last; these no step moves, and no tilt either."""
    if kept != "tuple":
        pytest.importorskip("transformers.cache_utils")
    found, exact = (
        SAMPLERS[sampler](CausalWalk(each), VALUES[value]()).sample(B, generator=seeded("cpu", 0), max_batch=max_batch)
        for each in (kept, None)
    )
    torch.testing.assert_close(found.states, exact.states)
    torch.testing.assert_close(found.log_weights, exact.log_weights)
    assert found.cost.gradient_calls == exact.cost.gradient_calls > 0


@pytest.mark.parametrize("kept", ["tuple", "dynamic", "static"])
def test_what_is_kept_holds_no_graph(kept):
    if kept != "tuple":
        pytest.importorskip("transformers.cache_utils")
    reference = CausalWalk(kept)
    proposal = Guided(PosteriorMean(TARGET)).bind(reference, TARGET)
    x = reference.initial(B, generator=seeded("cpu", 0))
    prediction = proposal.predict(reference, x, 0, None)
    held, numbers = prediction.cache
    layers = held if kept == "tuple" else [(layer.keys, layer.values) for layer in held.layers]
    assert not any(each.requires_grad for layer in layers for each in layer) and not numbers.requires_grad


def test_a_gradient_passes_through_what_is_lent():
    """As one of a policy's own cache does along a trajectory; what is written in place is a copy."""
    pytest.importorskip("transformers.cache_utils")
    slopes = []
    for kept in ("static", "dynamic", "tuple", None):
        reference = CausalWalk(kept)
        x = reference.initial(B, generator=seeded("cpu", 0)).requires_grad_()
        first = predict(reference, x, 0)
        x_1 = first.transition.mean
        second = predict(reference, x_1, 1, first)
        (slope,) = torch.autograd.grad(second.transition.mean.sin().sum(), x)
        slopes.append(slope)
    for slope in slopes[:-1]:
        torch.testing.assert_close(slope, slopes[-1])


def test_states_in_containers_of_a_layer_are_copied_with_their_gradient():
    """As those of linear attention, which a network writes to in place."""
    utils = pytest.importorskip("transformers.cache_utils")
    held = utils.DynamicCache()
    held.update(torch.ones(2, 1, 1, 1), torch.ones(2, 1, 1, 1), 0)
    state = torch.ones(2, 3, requires_grad=True) * 2
    held.layers[0].recurrent_states = {0: state, 1: None}
    lent = caches.lent(held).layers[0]
    assert lent.keys is held.layers[0].keys and lent.recurrent_states[0] is not state
    assert lent.recurrent_states[0].requires_grad and torch.equal(lent.recurrent_states[0], state)
    assert not caches.detached(held).layers[0].recurrent_states[0].requires_grad
