"""Guidance on half-drawn molecules: listed steps, tilted steps, and a network that reads one-hots."""

import math

import pytest
import torch
from tensordict import TensorDict

from svlearn.domains.molecules.features import structural_features
from svlearn.domains.molecules.gin import GraphIsomorphismNetwork
from svlearn.domains.molecules.rewards import QED
from svlearn.inference.proposals import Exact, Guided
from svlearn.inference.samplers import ancestral, guidance, smc, svdd
from svlearn.loading import load
from svlearn.process import predict
from svlearn.targets import Target
from svlearn.values import Learned

STEPS = (0, 3, 8, 9, 20, 43, 44)


@pytest.fixture(scope="module")
def qm9():
    return load("qm9")


@pytest.fixture(scope="module")
def paths(qm9):
    """x_0 ... x_T of a dozen molecules, graphs of every size among them."""
    sampler = ancestral(qm9)
    sizes = torch.tensor([9, 9, 9, 9, 8, 8, 7, 6, 5, 3, 2, 1])
    samples = sampler.sample(12, condition=sizes, generator=torch.Generator().manual_seed(0), keep_states=True)
    return samples.paths()[:, 0]


@pytest.fixture
def network():
    return GraphIsomorphismNetwork(45, depth=3).eval()


@pytest.mark.parametrize("t", STEPS)
def test_all_next_states_are_listed_with_their_probabilities(qm9, paths, t):
    x = paths[:, t]
    law = predict(qm9, x, t).transition
    states, log_probs = law.outcomes(200)
    torch.testing.assert_close(log_probs.exp().sum(dim=1), torch.ones(12, dtype=torch.float64), atol=1e-6, rtol=0)
    own = torch.stack([law.log_prob(states[:, k]) for k in range(states.shape[1])], dim=1)
    listed = log_probs > -math.inf
    torch.testing.assert_close(own[listed], log_probs[listed])
    reached = law.sample(generator=torch.Generator().manual_seed(t))
    same = torch.stack([(states[name] == reached[name][:, None]).all(dim=2) for name in ("atoms", "bonds")]).all(dim=0)
    assert ((same & listed).sum(dim=1) == 1).all()


def test_too_many_next_states_are_refused(qm9, paths):
    law = predict(qm9, paths[:, 9], 9).transition
    with pytest.raises(ValueError, match="144 next states, the limit is 100"):
        law.outcomes(100)
    with pytest.raises(ValueError, match=f"{4**36} next states, the limit is 100"):
        predict(qm9, paths[:1, 9], 9).clean_law.outcomes(100)


@pytest.mark.parametrize("t", STEPS)
def test_one_hots_read_as_the_tokens_do(qm9, paths, network, t):
    x, moment = paths[:, t], torch.full((12,), t)
    soft = predict(qm9, x, t).transition.expansion_point(x)
    assert soft["atoms"].shape == (12, 9, 5) and soft["bonds"].shape == (12, 36, 5)
    torch.testing.assert_close(network(soft, moment), network(x, moment))
    for own, others in zip(structural_features(soft), structural_features(x), strict=True):
        torch.testing.assert_close(own, others)


def test_the_gradient_in_the_one_hots_is_that_of_finite_differences(qm9, paths, network):
    x, t = paths[:, 20], torch.full((12,), 20)
    network = network.double()
    point = predict(qm9, x, 20).transition.expansion_point(x)
    noise = torch.Generator().manual_seed(0)  # equal atoms would tie in the pooling's maximum
    leaves = {name: point[name] + 0.05 * torch.rand(point[name].shape, generator=noise) for name in ("atoms", "bonds")}
    leaves = {name: leaf.double().requires_grad_() for name, leaf in leaves.items()}
    parts = {**leaves, "mask": x["mask"]}
    gradients = torch.autograd.grad(network(TensorDict(parts, [12]), t).sum(), list(leaves.values()))
    for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True):
        direction = torch.randn(leaf.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        sides = [network(TensorDict({**parts, name: leaf + step * direction}, [12]), t) for step in (1e-6, -1e-6)]
        slope = ((sides[0] - sides[1]) / 2e-6).sum()
        torch.testing.assert_close(slope, (gradient * direction).sum(), rtol=1e-4, atol=0)


def test_a_tilted_step_is_the_law_times_the_exponential_place_by_place(qm9, paths):
    x = paths[:, 20]
    law = predict(qm9, x, 20).transition
    noise = torch.Generator().manual_seed(0)
    gradient = {name: torch.randn(12, n, 5, generator=noise) for name, n in (("atoms", 9), ("bonds", 36))}
    tilted = law.tilt(TensorDict(gradient, batch_size=[12]))
    states, log_probs = tilted.outcomes(200)
    _, before = law.outcomes(200)
    listed = (log_probs > -math.inf).view(12, -1, 4)
    gains = (log_probs - before).view(12, -1, 4)  # four bonds at a place
    changed = (states["bonds"] != x["bonds"][:, None]).int().argmax(dim=2).view(12, -1, 4)
    slopes = gradient["bonds"].double().gather(1, changed[..., 0, None].expand(-1, -1, 5))[..., :4]
    spread = (gains - slopes - (gains - slopes)[..., :1])[listed]
    torch.testing.assert_close(spread, torch.zeros_like(spread), atol=1e-5, rtol=0)
    places = [each.exp().view(12, -1, 4).sum(dim=2) for each in (log_probs, before)]  # the places stay uniform
    torch.testing.assert_close(places[0], places[1], atol=1e-6, rtol=0)


class Carbons(torch.nn.Module):
    """Counts what is decided as carbon, in one-hots as in tokens: linear, so that the first order is exact."""

    def forward(self, x, t):
        mask = x["mask"]
        return ((x["atoms"][..., 0] if x["atoms"].is_floating_point() else (x["atoms"] == 0)) * mask).sum(dim=1).float()


def test_where_the_value_is_linear_the_first_order_is_exact(qm9):
    """But for the place that is decided next, which a tilt leaves uniform and the exact proposal does not."""
    value = Learned(Carbons())
    x = ancestral(qm9).sample(6, generator=torch.Generator().manual_seed(0), keep_states=True).paths()[:, 0, 4]
    prediction = predict(qm9, x, 4)
    target = Target(QED(), 0.5)
    guided = Guided(value).bind(qm9, target).transition(x, 4, prediction)
    exact = Exact(value).bind(qm9, target).transition(x, 4, prediction)
    states, listed = prediction.transition.outcomes(200)
    conditional = []
    for law in (guided, exact):
        log_probs = torch.stack([law.log_prob(states[:, k]) for k in range(states.shape[1])], dim=1).view(6, -1, 4)
        conditional.append(log_probs.log_softmax(dim=2)[listed.view(6, -1, 4) > -math.inf])
    torch.testing.assert_close(conditional[0], conditional[1], atol=1e-5, rtol=0)


def test_guidance_runs_on_real_molecules_with_a_network_that_reads_one_hots(qm9, network):
    target, value = Target(QED(), 0.1), Learned(network)
    for sampler in (
        guidance(qm9, target, value, scale=2.0, clip=5.0),
        smc(qm9, target, value, 3, proposal=Guided(value)),
        svdd(qm9, target, value, 2, proposal=Exact(value)),
    ):
        samples = sampler.sample(4, generator=torch.Generator().manual_seed(0))
        assert samples.cost.reference_calls == 45 * samples.rewards.numel()
        assert sum(molecule is not None for molecule in qm9.decode(samples.states[:, 0])) >= 2
