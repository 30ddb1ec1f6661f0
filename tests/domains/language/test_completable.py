"""Completable prefixes as values: of all outcomes from one look as of each; and what locally masked decoding alone
does, held to its exact law, beside SMC, which is right."""

import math
import re

import pytest
import torch
from grammar_toys import every_text, letters_reference, strings, texts, tokens_of

from svlearn.domains.language.constraints import Completable, Constraint, Grammar
from svlearn.domains.language.texts import TEXT, written_tokens
from svlearn.inference.proposals import Exact
from svlearn.inference.samplers import smc
from svlearn.process import predict
from svlearn.randomness import seeded
from svlearn.targets import Target, constraint
from svlearn.testing import check_value
from svlearn.transitions import ListedTransition
from svlearn.values.outcomes import evaluate_outcomes
from svlearn.values.value import evaluate

DEAD_ENDS = "ab|a[bc]{2}|b[abc]{4,}|c[ab]{0,2}c"  # what begins with b is too long for four tokens
PROMPT, LONGEST = "ab", 8
LANGUAGE = {text for text in strings("abc", LONGEST) if re.fullmatch(DEAD_ENDS, text)}
BEGUN = {text[:place] for text in LANGUAGE for place in range(len(text) + 1)}


def string(row):
    return "".join("abc"[token] for token in row if token < 3)


@pytest.fixture(scope="module")
def reference():
    return letters_reference(seed=2)


@pytest.fixture(scope="module")
def grammar(reference):
    return Grammar.regex(DEAD_ENDS, reference)


@pytest.fixture(scope="module")
def laws(reference):
    """All texts, log p_ref, p*, Z, and the law of locally masked decoding, by enumeration and Python's own `re`."""
    rows, log_probs = every_text(reference, PROMPT)
    assert float(log_probs.logsumexp(0)) == pytest.approx(0.0, abs=1e-10)
    joint = torch.where(torch.tensor([string(row) in LANGUAGE for row in rows]), log_probs.exp(), 0.0)
    share = dict.fromkeys([()], 1.0)  # p_ref of each prefix
    for row, log_prob in zip(rows, log_probs.tolist(), strict=True):
        for place in range(1, len(row) + 1):
            share[tuple(row[:place])] = share.get(tuple(row[:place]), 0.0) + math.exp(log_prob)
    masked = [masked_probability(row, share, reference.num_steps) for row in rows]
    return rows, log_probs, joint / joint.sum(), float(joint.sum()), torch.tensor(masked, dtype=torch.float64)


def masked_probability(row, share, length):
    """Π of p_ref(token)/Σ p_ref(allowed tokens); nothing is masked where nothing is allowed."""

    def allowed(prefix):
        text = string(prefix)
        over = len(prefix) == length or prefix[-1] == 3
        return text in (LANGUAGE if over else BEGUN)

    probability = 1.0
    for place in range(len(row)):
        before = tuple(row[:place])
        open_tokens = [token for token in range(4) if allowed((*before, token))]
        open_tokens = open_tokens if open_tokens else list(range(4))
        mass = sum(share[(*before, token)] for token in open_tokens)
        probability *= share[tuple(row[: place + 1])] / mass if row[place] in open_tokens else 0.0
    return probability


def drawn_laws(rows, samples):
    """How often each text was drawn in each group, by the weights, (B, N)."""
    places = {tuple(row): place for place, row in enumerate(rows)}
    drawn = samples.states.flatten()
    indices = torch.tensor([places[tuple(row)] for row in written_tokens(drawn)]).view(samples.rewards.shape)
    empty = torch.zeros(len(indices), len(rows), dtype=torch.float64)
    dead = (samples.log_normalizer == -math.inf)[:, None]
    return empty.scatter_add(1, indices, torch.where(dead, 1 / dead.numel(), samples.log_weights.exp().double()))


def total_variation(one, other):
    return 0.5 * float((one - other).abs().sum())


def test_masking_alone_has_its_own_law_and_not_the_posterior(reference, grammar, laws):
    rows, _, posterior, _, masked = laws
    assert float(masked.sum()) == pytest.approx(1.0, abs=1e-9)
    assert total_variation(masked, posterior) > 0.4  # of which 0.15 in the dead ends
    sampler = smc(reference, constraint(grammar), Completable(grammar), 1, proposal=Exact(Completable(grammar)))
    samples = sampler.sample(20_000, condition=[PROMPT] * 20_000, generator=seeded("cpu", 1))
    law = drawn_laws(rows, samples).bool().double().mean(dim=0)  # whatever the weight
    noise = float((masked * (1 - masked) / 20_000).sqrt().sum()) / 2
    assert total_variation(law, masked) < 2 * noise
    dead = torch.tensor([string(row)[:1] == "b" for row in rows])
    assert (
        float(law[dead].sum()) == pytest.approx(float(masked[dead].sum()), abs=0.015) and float(law[dead].sum()) > 0.1
    )
    assert float(posterior[dead].sum()) == 0


@pytest.mark.parametrize("floor", [-100.0, -2.0])
def test_smc_corrects_it_whatever_the_floor(reference, grammar, laws, floor):
    rows, _, posterior, normalizer, _ = laws
    value = Completable(grammar, floor)
    sampler = smc(reference, constraint(grammar), value, 32, proposal=Exact(value))
    samples = sampler.sample(1_500, condition=[PROMPT] * 1_500, generator=seeded("cpu", 2))
    estimates = samples.log_normalizer.exp()
    error = float(estimates.std()) / math.sqrt(len(estimates))
    assert abs(float(estimates.mean()) - normalizer) < 3 * error and error < 0.02 * normalizer
    weighted = drawn_laws(rows, samples) * estimates[:, None] / normalizer  # p* in the mean, for any K
    noise = float(weighted.std(dim=0).sum()) / math.sqrt(len(estimates)) / 2
    assert total_variation(weighted.mean(dim=0), posterior) < 2 * noise and noise < 0.02


def test_one_particle_is_right_in_the_mean(reference, grammar, laws):
    """E[Z_hat] = Z: the product of the allowed masses, 0 in a dead end."""
    value = Completable(grammar)
    sampler = smc(reference, Target(Constraint(grammar), 1.0), value, 1, proposal=Exact(value))
    samples = sampler.sample(20_000, condition=[PROMPT] * 20_000, generator=seeded("cpu", 3))
    estimates = samples.log_normalizer.exp()
    assert abs(float(estimates.mean()) - laws[3]) < 3 * float(estimates.std()) / math.sqrt(20_000)
    assert 0.1 < float((estimates == 0).double().mean()) < 0.9


@pytest.mark.parametrize(("letters", "options"), [("abc", {}), ("abcdef", {"stop_strings": ["bc", "a"]})])
def test_of_all_outcomes_as_of_each(letters, options):
    """At every prefix, finished ones too, in one call and row by row."""
    reference, end = letters_reference(letters, seed=3, **options), len(letters)
    value = Completable(Grammar.regex(DEAD_ENDS, reference))
    rows = [tokens_of(each, "abc") for each in strings("abc", 2)] + [[0, end], [0, 1, end], [end], [1, end]]
    for t in range(3):
        kept = [row for row in rows if len(row) == t or (len(row) < t and row and row[-1] == end)]
        x = texts(reference, PROMPT, kept)
        prediction = predict(reference, x, t)
        listed = ListedTransition(*prediction.transition.outcomes(8))
        prediction = type(prediction)(listed, features=prediction.features)
        values = evaluate_outcomes(value, x, t, prediction)
        flat = listed.states.reshape(-1)
        assert torch.equal(values.flatten(), evaluate(value, flat, t + 1)) and values.shape == listed.log_probs.shape
        wanted = [0.0 if holds(row, t + 1, letters) else value.floor for row in written_tokens(flat)]
        assert values.flatten().tolist() == wanted
        alone = [evaluate_outcomes(value, x[k : k + 1], t, prediction[k : k + 1]) for k in range(len(x))]
        assert torch.equal(torch.cat(alone), values)


def holds(row, t, letters):
    text = "".join(letters[token] for token in row if token < len(letters))
    return text in (LANGUAGE if len(row) < t or len(letters) in row else BEGUN)


def test_particles_that_are_cut_and_reordered_keep_their_values(reference, grammar):
    value, generator = Completable(grammar), seeded("cpu", 4)
    rows = [tokens_of(each, "abc") for each in strings("abc", 3) if len(each) == 3]
    x = texts(reference, PROMPT, rows)
    whole = evaluate(value, x, 3)
    assert whole.tolist() == [0.0 if string(row) in BEGUN else -100.0 for row in rows]
    for _ in range(3):
        index = torch.randint(len(x), (40,), generator=generator)
        assert torch.equal(evaluate(value, x[index], 3), whole[index])


def test_the_kit_finds_nothing_wrong(reference, grammar):
    check_value(Completable(grammar), reference, condition=[PROMPT] * 4)


def test_a_sum_of_rewards_has_it_as_a_part(reference, grammar):
    """Twice the letters a, and the constraint."""

    def count(x):
        written = torch.arange(4) < x[TEXT][:, -1:]
        return ((x[TEXT][:, :-1] == 0) & written).sum(dim=1).double()

    x = texts(reference, PROMPT, [[0, 1, 3], [0, 0, 3], [0, 1, 1], [2, 0, 0, 2]])
    target = Target({Constraint(grammar): 1.0, count: 2.0}, alpha=1.0)
    assert target(x).tolist() == [2.0, -math.inf, 2.0, 4.0]
    assert constraint(grammar)(x).tolist() == Constraint(grammar)(x).tolist() == [0.0, -math.inf, 0.0, 0.0]
