"""All texts of a small model: exact values against a sum over paths, and what every sampler says of log Z and p*."""

import itertools
import math

import pytest
import torch
from language_toys import END, random_twists, tiny_reference, wave_of_tokens

from svlearn import testing
from svlearn.domains.language import Enumeration
from svlearn.domains.language.texts import with_continuations
from svlearn.inference import proposals
from svlearn.inference.samplers import ancestral, best_of_n, smc, svdd
from svlearn.targets import Target
from svlearn.values import Zero

STEPS, GROUPS, PARTICLES = 4, 1500, 8
TARGET = Target(wave_of_tokens, 0.7)
REFERENCE = tiny_reference(STEPS)
TEXTS = Enumeration(REFERENCE, TARGET, ["ab"])


def test_every_text_is_there_with_its_probability():
    tokens = [
        text
        for length in range(1, STEPS + 1)
        for text in itertools.product(range(4), repeat=length)
        if END not in text[:-1] and (len(text) == STEPS or text[-1] == END)
    ]
    assert len(TEXTS.rewards) == len(tokens) == 121
    x = with_continuations(REFERENCE.initial(len(tokens), condition=["ab"] * len(tokens)), tokens)
    expected = []
    for text in tokens:
        ids = torch.tensor([[0, 1, *text]])
        laws = REFERENCE.model(input_ids=ids).logits[0].log_softmax(dim=1)
        expected.append(sum(float(laws[1 + place, token]) for place, token in enumerate(text)))
    found = TEXTS.levels[-1].log_probs[TEXTS.places_of(x, STEPS)]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_values_are_means_over_the_texts_that_follow():
    last = TEXTS.levels[-1]
    weights, tilted = last.log_probs.exp(), (TEXTS.rewards / TARGET.alpha).exp()
    assert TEXTS.log_normalizer == pytest.approx(math.log(float((weights * tilted).sum())), abs=1e-12)
    assert float(TEXTS.mean_values[0]) == pytest.approx(float((weights * TEXTS.rewards).sum()), abs=1e-12)
    place = 1  # of a text of one token
    below = last.parents
    for t in range(STEPS - 1, 1, -1):
        below = TEXTS.levels[t].parents[below]
    rows = below == place
    chance = TEXTS.levels[1].log_probs[place].exp()
    soft = TARGET.alpha * math.log(float((weights * tilted)[rows].sum() / chance))
    assert float(TEXTS.soft_values[1][place]) == pytest.approx(soft, abs=1e-12)
    torch.testing.assert_close(TEXTS.log_target.exp().sum(), torch.ones((), dtype=torch.float64))
    torch.testing.assert_close(TEXTS.log_target_at(1).exp().sum(), torch.ones((), dtype=torch.float64))


EXACT, TWISTS = TEXTS.value(), random_twists()
SAMPLERS = {
    "importance sampling": smc(REFERENCE, TARGET, Zero(), PARTICLES, ess_threshold=0.0),
    "SMC": smc(REFERENCE, TARGET, EXACT, PARTICLES),
    "SMC, next-token twists": smc(REFERENCE, TARGET, TWISTS, PARTICLES),
    "SMC, proposal of the twists": smc(REFERENCE, TARGET, TWISTS, PARTICLES, proposal=proposals.Exact(TWISTS)),
    "SMC, last step too": smc(REFERENCE, TARGET, TWISTS, PARTICLES, proposal=proposals.Exact(TWISTS, last="value")),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_normalizer_is_unbiased_and_the_weighted_texts_have_the_target_law(name):
    samples = SAMPLERS[name].sample(GROUPS, condition=["ab"] * GROUPS, generator=torch.Generator().manual_seed(3))
    ratios = (samples.log_normalizer.double() - TEXTS.log_normalizer).exp()
    assert abs(float(ratios.mean()) - 1) < 4 * float(ratios.std()) / GROUPS**0.5 + 1e-9
    places = TEXTS.places_of(samples.states.flatten(0, 1), STEPS).view(GROUPS, PARTICLES)
    for each in (TEXTS.rewards, (TEXTS.levels[-1].states["text"][:, :2] == 0).double().sum(dim=1)):
        means = (samples.log_weights.double().exp() * each[places]).sum(dim=1) * ratios
        exact = float((TEXTS.log_target.exp() * each).sum())
        assert abs(float(means.mean()) - exact) < 4 * float(means.std()) / GROUPS**0.5 + 1e-9


def test_with_exact_values_the_proposal_leaves_nothing_to_weigh():
    sampler = smc(REFERENCE, TARGET, EXACT, 4, proposal=proposals.Exact(EXACT))
    samples = sampler.sample(50, condition=["ab"] * 50, generator=torch.Generator().manual_seed(0))
    expected = torch.full((50,), TEXTS.log_normalizer, dtype=torch.float64)
    torch.testing.assert_close(samples.log_normalizer.double(), expected, rtol=0, atol=1e-12)


def test_training_free_samplers_move_towards_the_target():
    condition = ["ab"] * 400
    means = {}
    for name, sampler in {
        "ancestral": ancestral(REFERENCE, TARGET),
        "best of 8": best_of_n(REFERENCE, TARGET, 8),
        "svdd": svdd(REFERENCE, TARGET, EXACT, 8),
    }.items():
        rewards = sampler.sample(400, condition=condition, generator=torch.Generator().manual_seed(1)).rewards
        means[name] = float(rewards.double().mean())
    plain = float((TEXTS.levels[-1].log_probs.exp() * TEXTS.rewards).sum())
    assert means["ancestral"] == pytest.approx(plain, abs=0.25)
    assert min(means["best of 8"], means["svdd"]) > plain + 0.5


def test_the_twists_of_all_tokens_are_those_of_each():
    testing.check_value(TWISTS, REFERENCE, condition=["ab", "c", "bca", "a"])
    for t in range(STEPS):
        x = TEXTS.levels[t].states
        prediction = REFERENCE(x, torch.full((len(x),), t))
        listed = prediction.transition.listed(1)
        at_once = TWISTS.of_outcomes(x, torch.full((len(x),), t), prediction.__class__(listed, **of(prediction)))
        rows, places = (listed.log_probs > -math.inf).nonzero(as_tuple=True)
        after = listed.states[rows, places]
        if t + 1 < STEPS:
            each = TWISTS(after, torch.full((len(after),), t + 1), REFERENCE(after, torch.full((len(after),), t + 1)))
            torch.testing.assert_close(at_once[rows, places], each, rtol=0, atol=1e-12)


def of(prediction):
    return {"features": prediction.features, "features_before": prediction.features_before}


def test_what_cannot_be_enumerated():
    with pytest.raises(ValueError, match="at most 20 texts"):
        Enumeration(REFERENCE, TARGET, ["ab"], limit=20)
    with pytest.raises(ValueError, match="alpha > 0"):
        Enumeration(REFERENCE, Target(wave_of_tokens, 0.0), ["ab"])
    with pytest.raises(ValueError, match="-inf for all"):
        Enumeration(REFERENCE, Target(lambda x: torch.full((len(x),), -math.inf), 1.0), ["ab"])
    with pytest.raises(ValueError, match="under the prompt that was enumerated"):
        TEXTS.places_of(with_continuations(REFERENCE.initial(1, condition=["ab"]), [[0]]), STEPS)
