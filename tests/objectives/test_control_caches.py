"""Objectives of a control with a reference that keeps a cache: the losses and gradients are those of one that computes
all anew, and no number is computed twice. The toy raises where a cache is missing, stale or of other rows."""

from functools import partial

import pytest
import torch
from causal_walks import CONDITIONS, ENCODED_TARGET, STEPS, TARGET, CausalWalk, Encoded, WaveControl
from tensordict import TensorDict

from svlearn.metering import metered
from svlearn.objectives import AdjointMatching, StochasticControl
from svlearn.objectives.adjoint_matching import lean_adjoints
from svlearn.objectives.derivative_free_adjoint import DerivativeFreeAdjointMatching
from svlearn.objectives.target_score_matching import TargetScoreMatching
from svlearn.policies import Controlled, Finetuned
from svlearn.process import Prediction
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.schedules import NoiseLevels
from svlearn.transitions import GaussianTransition

B, T = 5, STEPS
EXACT = dict(rtol=1e-9, atol=1e-9)
KINDS = ["tuple", "dynamic", "static"]


def available(kept):
    if kept in ("dynamic", "static"):
        pytest.importorskip("transformers.cache_utils")


def controlled(kept):
    reference = CausalWalk(kept)
    return reference, Controlled(reference, WaveControl())


def paths(reference, policy, size=B):
    states = roll_out(policy, size, generator=seeded("cpu", 2))["states"]
    noise = torch.randn(size, T, T + 1, generator=seeded("cpu", 3), dtype=torch.float64)
    return TensorDict({"states": states, "initial": states[:, 0], "noise": noise}, [size])


OBJECTIVES = {
    "adjoint": AdjointMatching,
    "stochastic": StochasticControl,
    "derivative-free": partial(DerivativeFreeAdjointMatching, num_candidates=3),
}


def looked_at(name, kept):
    reference, policy = controlled(kept)
    objective = OBJECTIVES[name](reference, TARGET, policy)
    batch = paths(*controlled(None))
    reference.positions = reference.prefills = 0
    with metered() as meter:
        loss = objective.loss(batch, seeded("cpu", 1))
        gradients = torch.autograd.grad(loss, list(policy.trained()))
    return loss, gradients, (reference.positions, reference.prefills), meter.cost


@pytest.mark.parametrize("kept", KINDS)
@pytest.mark.parametrize("name", ["adjoint", "stochastic"])
def test_loss_and_gradient_are_those_without_a_cache(name, kept):
    """Once forwards; stochastic control computes each step again on the way back, by its checkpoints."""
    available(kept)
    loss, gradients, (positions, prefills), cost = looked_at(name, kept)
    expected, others, anew, plain = looked_at(name, None)
    torch.testing.assert_close(loss, expected, **EXACT)
    for one, other in zip(gradients, others, strict=True):
        torch.testing.assert_close(one, other, **EXACT)
    assert max(float(each.abs().max()) for each in gradients) > 1e-3
    times = {"adjoint": 1, "stochastic": 2}[name]
    assert (positions, prefills) == (times * B * T, times * B)
    assert positions < anew[0] and cost.gradient_calls == plain.gradient_calls
    assert cost.reference_calls == plain.reference_calls


def test_lean_adjoints_are_those_without_a_cache_where_a_step_moves_the_state():
    states = paths(*controlled(None))["states"]
    (found, stds), (exact, others) = (lean_adjoints(CausalWalk(kept), states, TARGET) for kept in ("tuple", None))
    torch.testing.assert_close(stds, others)
    torch.testing.assert_close(stds * found, others * exact, **EXACT)
    assert (stds * found).abs().sum(dim=(0, 2)).min() > 1e-3


def test_a_std_that_depends_on_the_state_is_refused_with_a_cache():
    class Louder(CausalWalk):
        def forward(self, x, t, previous=None):
            prediction = super().forward(x, t, previous)
            law = prediction.transition
            loud = GaussianTransition(law.mean, law.std * x[:, :1].square())
            return Prediction(loud, clean=prediction.clean, cache=prediction.cache)

    states = paths(*controlled(None))["states"]
    with pytest.raises(ValueError, match="a std that does not depend on the state, .* Louder gives several at step 3"):
        lean_adjoints(Louder(), states, TARGET)

    class Stuck(CausalWalk):
        @torch.no_grad()
        def forward(self, x, t, previous=None):
            return super().forward(x, t, previous)

    with pytest.raises(ValueError, match="a mean that torch can differentiate in the state, Stuck gives one without"):
        lean_adjoints(Stuck(), states, TARGET)


class OfEncoded(torch.nn.Module):
    def __init__(self):
        super().__init__()
        weights = torch.randn(2, 3, generator=seeded("cpu", 6), dtype=torch.float64)
        self.weights = torch.nn.Parameter(weights)

    def forward(self, x, t):
        return {"x": (torch.cat([x["x"], x["c"]], dim=1) @ self.weights.T).sin()}


def trained(policy):
    drawn = seeded("cpu", 5)
    with torch.no_grad():
        for each in policy.trained():
            each.add_(0.2 * torch.randn(each.shape, generator=drawn, dtype=torch.float64))
    return policy


POLICIES = {
    "controlled": lambda r: Controlled(r, OfEncoded(), condition=CONDITIONS[:1]),
    "a copy": lambda r: trained(Finetuned(r, condition=CONDITIONS[:1])),
}
ROWS = CONDITIONS[torch.arange(B) % 3]


def encoded(name, policy, kept):
    """The loss, its gradients, and of how many rows the reference and a copy of it computed the code."""
    reference = Encoded(kept)
    policy = POLICIES[policy](reference)
    objective = OBJECTIVES[name](reference, ENCODED_TARGET, policy, conditions=CONDITIONS)
    states = roll_out(Encoded(False), B, condition=ROWS, generator=seeded("cpu", 2))["states"]
    noise = torch.randn(B, T, 2, generator=seeded("cpu", 3), dtype=torch.float64)
    batch = TensorDict({"states": states, "initial": states[:, 0], "noise": noise}, [B])
    own = getattr(policy, "copy", reference)
    reference.encodings = own.encodings = 0
    loss = objective.loss(batch, seeded("cpu", 1))
    gradients = torch.autograd.grad(loss, [each for each in policy.trained() if each.requires_grad])
    return loss, gradients, reference.encodings, own.encodings


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_policy_with_a_network_of_its_own_hands_its_own_cache_on(name, policy):
    """Its gradient goes through the code that the first step has computed, as it does without a cache."""
    loss, gradients, *encodings = encoded(name, policy, True)
    expected, others, *anew = encoded(name, policy, False)
    torch.testing.assert_close(loss, expected, **EXACT)
    for one, other in zip(gradients, others, strict=True):
        torch.testing.assert_close(one, other, **EXACT)
        assert other.abs().max() > 1e-4
    assert max(encodings) <= 4 * B and max(anew) >= B * T


LEVELS = NoiseLevels(torch.linspace(0.1, 1, T + 1), torch.linspace(1, 0, T + 1))


@pytest.mark.parametrize("policy", POLICIES)
def test_freshly_noised_states_start_from_nothing_and_those_of_a_path_do_not(policy):
    """Target score matching looks at states that followed no other: a look for both networks at each of them."""
    found = []
    for kept in (True, False):
        reference = Encoded(kept)
        own = POLICIES[policy](reference)
        objective = TargetScoreMatching(
            reference,
            ENCODED_TARGET,
            own,
            levels=LEVELS,
            log_reference=lambda x: -x["x"].square().sum(dim=1) / 2,
            conditions=CONDITIONS,
        )
        batch = objective._trajectories(0, B, seeded("cpu", 4))
        reference.starts = getattr(own, "copy", reference).starts = range(1, T)  # after all looks along a path
        reference.encodings = 0
        with metered() as meter:
            loss = objective.loss(batch, seeded("cpu", 5))
        gradients = torch.autograd.grad(loss, [each for each in own.trained() if each.requires_grad])
        found.append((loss, gradients))
        if kept:  # the log-ratios along the path, and T looks at noised states
            assert reference.encodings == B + B * T
            assert meter.cost.reference_calls == 2 * B * T
    torch.testing.assert_close(*found, **EXACT)
