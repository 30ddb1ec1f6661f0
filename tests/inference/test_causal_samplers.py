"""Every sampler with a causal transformer that keeps keys and values: the samples are those of one that computes all
anew, and no token is computed twice. The toy raises where a cache is missing, stale or of other rows."""

import pytest
import torch
from causal_toys import PROMPT, PROMPTS, STEPS, TARGET, TOKENS, CacheError, CausalToy, TeacherForced, TextNetwork

from svlearn.inference import proposals
from svlearn.inference.refinement import refine
from svlearn.inference.samplers import ancestral, beam_search, best_of_n, guidance, smc, svdd
from svlearn.inference.tree_search import tree_search
from svlearn.policies import Finetuned
from svlearn.process import predict
from svlearn.randomness import seeded
from svlearn.values import Head, Learned, MonteCarlo, PosteriorMean, Zero

B, K, M, T = 4, 3, 3, STEPS


def learned():
    return Learned(TextNetwork())


def moved(policy):
    """The policy after a step of training, so that it is not the reference."""
    drawn = seeded("cpu", 5)
    with torch.no_grad():
        for each in policy.trained():
            each.add_(0.2 * torch.randn(each.shape, generator=drawn, dtype=torch.float64).to(each))
    return policy


class LastFeatures(torch.nn.Module):
    def forward(self, features, t):
        return features.sin().sum(dim=1) / 4


def simulated(r):
    return MonteCarlo(r, TARGET, 2, from_prediction=True)


SAMPLERS = {  # of a reference, with how many rows of it start from the prompt, for each of the B groups
    "ancestral": (lambda r: ancestral(r, TARGET), 1),
    "best of n": (lambda r: best_of_n(r, TARGET, K), K),
    "svdd, learned": (lambda r: svdd(r, TARGET, learned(), M), 1),
    "svdd, posterior mean": (lambda r: svdd(r, TARGET, PosteriorMean(TARGET), M), M),
    "svdd, head": (lambda r: svdd(r, TARGET, Head(LastFeatures()), M), M),
    "svdd, Monte Carlo": (lambda r: svdd(r, TARGET, simulated(r), M), M),
    "smc, learned": (lambda r: smc(r, TARGET, learned(), K, ess_threshold=1.0), K),
    "smc, head": (lambda r: smc(r, TARGET, Head(LastFeatures()), K, ess_threshold=1.0), K),
    "smc, posterior mean": (lambda r: smc(r, TARGET, PosteriorMean(TARGET), K, ess_threshold=0.9), K),
    "smc, Monte Carlo": (lambda r: smc(r, TARGET, simulated(r), K, ess_threshold=1.0), K),
    "smc, nested": (lambda r: smc(r, TARGET, PosteriorMean(TARGET), K, num_candidates=2, ess_threshold=1.0), 2 * K),
    "smc, exact": (lambda r: smc(r, TARGET, learned(), K, proposal=proposals.Exact(learned(), TOKENS)), K),
    "smc, guided": (lambda r: smc(r, TARGET, learned(), K, proposal=proposals.Guided(learned())), K),
    "guidance": (lambda r: guidance(r, TARGET, learned()), 1),
    "beam search": (lambda r: beam_search(r, TARGET, learned(), K, 2), K),
    "beam search, posterior mean": (lambda r: beam_search(r, TARGET, PosteriorMean(TARGET), K, 2), 2 * K),
}


def drawn(sampler, max_batch=None):
    return sampler.sample(B, condition=PROMPTS, generator=seeded("cpu", 3), max_batch=max_batch)


def assert_same(samples, expected):
    torch.testing.assert_close(samples.states, expected.states)
    torch.testing.assert_close(samples.log_weights, expected.log_weights, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(samples.rewards, expected.rewards, rtol=1e-5, atol=1e-5)
    if expected.log_normalizer is not None:
        torch.testing.assert_close(samples.log_normalizer, expected.log_normalizer, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("max_batch", [None, 5])
def test_samples_are_those_without_a_cache_and_no_token_is_computed_twice(name, max_batch):
    """One prefill for each row that starts from the prompt, then one token a call."""
    build, starts = SAMPLERS[name]
    cached, plain = CausalToy(), CausalToy(cached=False)
    samples, expected = drawn(build(cached), max_batch), drawn(build(plain), max_batch)
    assert_same(samples, expected)
    calls = samples.cost.reference_calls
    assert calls == expected.cost.reference_calls
    assert cached.prefills == B * starts
    assert cached.positions == PROMPT * B * starts + (calls - B * starts)
    assert plain.positions > cached.positions
    if name == "svdd, learned":  # a kept state a step
        assert calls == B * T
    if name == "svdd, posterior mean":
        assert calls == B * M * T
    if name == "svdd, Monte Carlo":  # of each candidate at t: its own, and two of every later step
        assert calls == B * M * sum(1 + 2 * (T - 1 - t) for t in range(T))


def test_tree_search_computes_one_token_a_node():
    cached, plain = CausalToy(), CausalToy(cached=False)
    samples, expected = (
        tree_search(each, TARGET, learned(), 12).sample(B, condition=PROMPTS, generator=seeded("cpu", 3))
        for each in (cached, plain)
    )
    assert_same(samples, expected)
    assert cached.positions == PROMPT * cached.prefills + (samples.cost.reference_calls - cached.prefills)
    assert cached.prefills < samples.cost.reference_calls and plain.positions > cached.positions


def test_conditional_smc_hands_the_cache_on():
    cached, plain = CausalToy(), CausalToy(cached=False)
    retained = smc(plain, TARGET, learned(), K).sample(
        B, condition=PROMPTS, generator=seeded("cpu", 1), keep_states=True
    )
    for value in (learned(), PosteriorMean(TARGET)):
        samples, expected = (
            smc(each, TARGET, value, K, ess_threshold=1.0).sample_conditionally(
                retained.paths()[:, 0], condition=PROMPTS, generator=seeded("cpu", 3)
            )
            for each in (cached, plain)
        )
        assert_same(samples, expected)
    assert cached.positions == 2 * B * K * (PROMPT + T - 1)


@pytest.mark.parametrize("keep", ["replace", "particle_gibbs"])
def test_a_round_of_refinement_fills_the_cache_once_and_then_hands_it_on(keep):
    depth, rounds = 2, 3
    cached, plain = CausalToy(starts=[T - depth]), CausalToy(cached=False)
    samples, expected = (
        refine(smc(each, TARGET, learned(), K, ess_threshold=1.0), rounds, depth, keep).sample(
            B, condition=PROMPTS, generator=seeded("cpu", 3)
        )
        for each in (cached, plain)
    )
    assert_same(samples, expected)
    anew = PROMPT + T - depth + depth - 1  # of a particle of a round
    assert cached.positions == B * K * (PROMPT + T - 1) + rounds * B * K * anew


POLICIES = {
    "whole": lambda r: moved(Finetuned(r)),
    "low rank": lambda r: moved(Finetuned(r, lora_rank=2)),
    "another process": lambda r: moved(Finetuned(r)).copy,
}
WITH_POLICIES = {
    "smc, learned": lambda r, q: smc(r, TARGET, learned(), K, ess_threshold=1.0, proposal=q),
    "smc, posterior mean": lambda r, q: smc(r, TARGET, PosteriorMean(TARGET), K, ess_threshold=1.0, proposal=q),
    "smc, zero": lambda r, q: smc(r, TARGET, Zero(), K, ess_threshold=1.0, proposal=q),
    "svdd, learned": lambda r, q: svdd(r, TARGET, learned(), M, q),
    "svdd, posterior mean": lambda r, q: svdd(r, TARGET, PosteriorMean(TARGET), M, q),
    "beam search": lambda r, q: beam_search(r, TARGET, learned(), K, 2, q),
}


@pytest.mark.parametrize("name", WITH_POLICIES)
@pytest.mark.parametrize("kind", POLICIES)
@pytest.mark.parametrize("max_batch", [None, 5])
def test_a_policy_that_proposes_keeps_a_cache_of_its_own(kind, name, max_batch):
    if kind == "low rank":
        pytest.importorskip("peft")
    samples, networks = [], []
    for cached in (True, False):
        reference = CausalToy(cached)
        policy = POLICIES[kind](reference)
        own = getattr(policy, "copy", policy)
        reference.positions = reference.prefills = own.positions = own.prefills = 0
        samples.append(drawn(WITH_POLICIES[name](reference, proposals.Policy(policy)), max_batch))
        networks.append((reference, own))
    assert_same(*samples)
    cost, kept = samples[0].cost, B if name.startswith("svdd") else B * K
    assert cost.policy_calls == kept * T
    assert networks[0][1].positions == kept * (PROMPT + T - 1)
    assert networks[0][0].positions == cost.reference_calls + (PROMPT - 1) * networks[0][0].prefills
    assert cost.reference_calls == samples[1].cost.reference_calls


def test_a_policy_is_a_reference_that_hands_the_cache_on():
    cached, plain = CausalToy(), CausalToy(cached=False)
    policies = [moved(Finetuned(each)) for each in (cached, plain)]
    samplers = [smc(each, TARGET, learned(), K, ess_threshold=1.0) for each in policies]
    policies[0].copy.positions = 0  # who checks the policy has looked at it
    assert_same(*map(drawn, samplers))
    assert policies[0].copy.positions == B * K * (PROMPT + T - 1)


def test_the_toy_refuses_what_it_was_not_given_right():
    toy = CausalToy()
    x = toy.initial(2, condition=PROMPTS[:2])
    first = predict(toy, x, 0)
    x_1 = first.transition.sample(generator=seeded("cpu", 0))
    second = predict(toy, x_1, 1, first)
    x_2 = second.transition.sample(generator=seeded("cpu", 0))
    with pytest.raises(CacheError, match="missing"):
        predict(toy, x_1, 1)
    with pytest.raises(CacheError, match="stale"):
        predict(toy, x_2, 2, first)
    with pytest.raises(CacheError, match="other rows"):
        predict(toy, x_2, 2, second[torch.tensor([1, 0])])
    assert not torch.equal(first.transition.log_probs, second.transition.log_probs)


def test_teacher_forcing_predicts_what_the_steps_do():
    paths = drawn_paths()
    for prediction, expected in zip(TeacherForced().along(paths), CausalToy(cached=False).along(paths), strict=True):
        torch.testing.assert_close(prediction.transition.log_probs, expected.transition.log_probs)
        torch.testing.assert_close(prediction.features, expected.features)
        assert torch.equal(prediction.clean, expected.clean)


def drawn_paths():
    samples = ancestral(CausalToy()).sample(B, condition=PROMPTS, generator=seeded("cpu", 0), keep_states=True)
    return samples.paths()[:, 0]
