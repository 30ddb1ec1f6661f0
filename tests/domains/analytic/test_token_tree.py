"""The token tree against the enumeration of all its texts, written out by hand."""

import itertools
import math

import pytest
import torch

from svlearn.domains.analytic.texts import TextReward, num_texts, prefixes, text_index
from svlearn.domains.analytic.token_tree import TokenTree
from svlearn.inference.samplers import ancestral, smc, svdd
from svlearn.process import Prediction, predict
from svlearn.randomness import seeded
from svlearn.rollouts import roll_back, roll_out
from svlearn.values import PosteriorMean, evaluate

INF = math.inf
V, L = 3, 4


def full() -> TokenTree:
    return TokenTree.random(V, L, seed=1)


def ending() -> TokenTree:
    return TokenTree.random(V, L, seed=2, end=0)


def constrained() -> TokenTree:
    """Forbidden tokens, forbidden texts, and an end."""
    tree = TokenTree.random(V, L, seed=3, end=2)
    gone = torch.rand(tree.probs.shape, generator=seeded("cpu", 4)) < 0.3
    probs = torch.where(gone & (tree.probs < tree.probs.amax(1, keepdim=True)), 0.0, tree.probs)
    rewards = torch.where(torch.rand(len(tree.rewards), generator=seeded("cpu", 5)) < 0.3, -INF, tree.reward.table)
    return TokenTree(probs / probs.sum(1, keepdim=True), V, L, TextReward(rewards, V), end=2)


TREES = {"full": full, "ending": ending, "constrained": constrained}


@pytest.fixture(params=TREES.values(), ids=TREES)
def tree(request):
    return request.param()


def state(text):
    return torch.tensor([[*text, *[V] * (L - len(text)), len(text)]])


def row(text):
    """The place of a text among all of up to L tokens: all shorter ones, then its own in base V."""
    return sum(V**n for n in range(len(text))) + sum(token * V ** (len(text) - 1 - i) for i, token in enumerate(text))


def enumerate_texts(tree, start=()):
    """{finished text: (probability, reward)} from a text on, by walking every path."""
    texts = {}
    for tail in itertools.product(range(V), repeat=L - len(start)):
        text, prob = list(start), 1.0
        for token in tail:
            if text and text[-1] == tree.end:
                break
            prob *= tree.probs[row(text), token].item()
            text.append(token)
        texts[tuple(text)] = (prob, tree.reward(state(text)).item())
    return texts


def soft(texts, alpha):
    total = sum(prob * math.exp(reward / alpha) for prob, reward in texts.values())
    return alpha * math.log(total) if total > 0 else -INF


def unfinished(tree):
    for length in range(L):
        for text in itertools.product(range(V), repeat=length):
            if tree.end not in text:
                yield text


def test_the_tree_is_numbered_as_the_children_say():
    states = torch.cat(prefixes(V, L))
    assert len(states) == num_texts(V, L) == 121 and num_texts(V, -1) == 0
    assert text_index(states, V).tolist() == list(range(121))
    for text in [(), (2,), (1, 0), (2, 2, 1, 0)]:
        assert torch.equal(states[row(text)], state(text)[0])


@pytest.mark.parametrize("alpha", [0.4, 1.0, 5.0])
def test_soft_values_and_log_z_by_enumeration(tree, alpha):
    table, value = tree.soft_table(alpha), tree.soft_value(alpha)
    for text in unfinished(tree):
        expected = soft(enumerate_texts(tree, text), alpha)
        assert table[row(text)].item() == pytest.approx(expected, abs=1e-12)
        floored = max(expected, -100 * alpha)
        assert evaluate(value, state(text), len(text)).item() == pytest.approx(floored, abs=1e-12)
    assert tree.log_normalizer(alpha).item() == pytest.approx(soft(enumerate_texts(tree), alpha) / alpha)
    assert tree.best_elbo(alpha) == tree.log_normalizer(alpha) and tree.mutual_information() == 0
    texts, _ = tree.leaves()
    assert torch.equal(value(texts, torch.full((len(texts),), L)), tree.reward(texts))


def test_mean_values_by_enumeration(tree):
    table = tree.mean_table()
    for text in unfinished(tree):
        texts = enumerate_texts(tree, text).values()
        expected = sum(prob * reward for prob, reward in texts if prob > 0)
        assert table[row(text)].item() == pytest.approx(expected, abs=1e-12)
    if tree.mean_table()[0] == -INF:
        with pytest.raises(ValueError, match="reward: the mean of a reward that is -inf"):
            tree.mean_value()
    else:
        assert evaluate(tree.mean_value(), state(()), 0).item() == pytest.approx(table[0].item())


@pytest.mark.parametrize("alpha", [0.4, 1.0])
def test_p_star_and_its_kl_by_enumeration(tree, alpha):
    enumerated = enumerate_texts(tree)
    total = sum(prob * math.exp(reward / alpha) for prob, reward in enumerated.values())
    texts, log_probs = tree.optimal(alpha).leaves()
    assert len(texts) == len(enumerated)
    kl = 0.0
    for text, log_prob in zip(tree.decode(texts), log_probs.tolist()):
        prob, reward = enumerated[tuple(text)]
        star = prob * math.exp(reward / alpha) / total
        assert math.exp(log_prob) == pytest.approx(star, abs=1e-14)
        kl += star * math.log(star / prob) if star > 0 else 0.0
    assert tree.optimal_kl(alpha).item() == pytest.approx(kl, rel=1e-10)
    reference = dict(zip(map(tuple, tree.decode(texts)), tree.leaves()[1].exp().tolist()))
    assert all(reference[text] == pytest.approx(prob, abs=1e-14) for text, (prob, _) in enumerated.items())


def test_soft_bellman_by_outcomes(tree):
    alpha, table = 0.7, tree.soft_table(0.7)
    for text in unfinished(tree):
        states, log_probs = predict(tree, state(text), len(text)).transition.outcomes(limit=V)
        after = table[text_index(states[0], V)] / alpha
        expected = alpha * torch.where(log_probs[0] > -INF, log_probs[0] + after, -INF).logsumexp(0)
        torch.testing.assert_close(table[row(text)], expected)


def test_clean_is_the_most_probable_text(tree):
    for text in unfinished(tree):
        enumerated = enumerate_texts(tree, text)
        best = max(enumerated, key=lambda each: enumerated[each][0])
        assert tuple(tree.decode(predict(tree, state(text), len(text)).clean)[0]) == best


def assert_law(texts, tree, expected):
    """Pearson's chi-square of the finished texts (N, L + 1), within 4 standard deviations of its degrees."""
    counts = torch.bincount(text_index(texts, V), minlength=len(tree.rewards)).double()
    law = torch.zeros(len(tree.rewards)).double()
    law[text_index(expected[0], V)] = expected[1].exp()
    assert (counts[law == 0] == 0).all()
    frequent = len(texts) * law > 5
    chi_square = ((counts - len(texts) * law) ** 2 / (len(texts) * law))[frequent].sum()
    degrees = int(frequent.sum())
    assert degrees > 5 and abs(chi_square - degrees) < 4 * math.sqrt(2 * degrees)


def test_paths_follow_the_tree_and_p_star(tree):
    paths = roll_out(tree, 20_000, generator=seeded("cpu", 6))["states"]
    assert paths.shape == (20_000, L + 1, L + 1) and paths.dtype == torch.long
    assert_law(paths[:, -1], tree, tree.leaves())
    best = tree.optimal_trajectories(20_000, 0.6, generator=seeded("cpu", 7))
    assert best.shape == paths.shape
    assert_law(best[:, -1], tree, tree.optimal(0.6).leaves())
    for drawn in (paths, best):  # every step of both is one that the process can take, and forgetting undoes it
        for t in range(L):
            law = predict(tree, drawn[:2000, t], t).transition
            assert (law.log_prob(drawn[:2000, t + 1]) > -INF).all()
        assert torch.equal(roll_back(tree, drawn[:, -1])["states"], drawn)


def test_the_steps_of_the_optimum_are_those_of_the_soft_value():
    tree, alpha = ending(), 0.8
    best, table = tree.optimal(alpha), tree.soft_table(alpha)
    for text in unfinished(tree):
        here, there = (predict(each, state(text), len(text)).transition for each in (tree, best))
        for token in range(V):
            after = state((*text, token))
            gain = (table[row((*text, token))] - table[row(text)]) / alpha
            assert there.log_ratio(here, after).item() == pytest.approx(gain.item())


def test_a_finished_text_steps_to_itself():
    tree = ending()
    done, open_ = state((1, 0)), state((1, 2))
    law = predict(tree, torch.cat([done, open_]), 2).transition
    assert torch.equal(law.sample(generator=seeded("cpu", 0))[0], done[0])
    assert law.log_prob(torch.cat([done, state((1, 2, 1))])).tolist() == pytest.approx(
        [0.0, tree.probs[row((1, 2)), 1].log().item()]
    )
    assert law.log_prob(torch.cat([state((1, 0, 1)), open_])).tolist() == [-INF, -INF]
    assert law.log_prob(torch.cat([open_, state((1, 1, 1))])).tolist() == [-INF, -INF]
    other = predict(tree.optimal(1.0), torch.cat([done, open_]), 2).transition
    assert law.log_ratio(other, torch.cat([done, state((1, 2, 1))]))[0] == 0
    states, log_probs = law.outcomes(limit=3)
    assert torch.equal(states[0], done.expand(3, -1)) and log_probs[0].tolist() == [0.0, -INF, -INF]
    assert torch.equal(states[1], torch.cat([state((1, 2, token)) for token in range(V)]))
    torch.testing.assert_close(log_probs.exp().sum(1), torch.ones(2).double())
    alone, certain = law[:1].outcomes(limit=1)
    assert torch.equal(alone[0], done) and certain.tolist() == [[0.0]]
    with pytest.raises(ValueError, match="outcomes: 3 next states, the limit is 2"):
        law.outcomes(limit=2)


def test_a_transition_follows_its_rows_and_tilts():
    tree = ending()
    x = torch.cat([state((1, 0)), state((1, 2)), state((2, 1))])
    law = predict(tree, x, 2).transition
    gradient = torch.tensor([[5.0, 0.0, 0.0], [0.3, -0.2, 1.0], [0.0, 2.0, 0.0]], dtype=torch.float64)
    probs = tree.probs[[row((1, 2)), row((2, 1))]] * gradient[1:].exp()
    after = torch.cat([x[:1], state((1, 2, 0)), state((2, 1, 1))])
    expected = (probs / probs.sum(1, keepdim=True)).log()
    assert law.tilt(gradient).log_prob(after).tolist() == pytest.approx(
        [0.0, expected[0, 0].item(), expected[1, 1].item()]
    )
    again = type(law).cat([law[torch.tensor([2])], law[:2]])
    assert torch.equal(again.log_prob(after[[2, 0, 1]]), law.log_prob(after)[[2, 0, 1]])
    both = Prediction.cat([predict(tree, x[:1], 2), predict(tree, x[1:], 2)])
    assert torch.equal(both.transition.log_prob(after), law.log_prob(after)) and len(both.clean) == 3


@pytest.mark.parametrize("guess", ["exact", "posterior mean"])
def test_samplers_find_z_and_p_star(guess):
    tree, alpha = ending(), 0.7
    target = tree.target(alpha)
    value = tree.soft_value(alpha) if guess == "exact" else PosteriorMean(target)
    samples = smc(tree, target, value, 32, ess_threshold=1.0).sample(2000, generator=seeded("cpu", 8), max_batch=9999)
    ratio = (samples.log_normalizer - tree.log_normalizer(alpha)).exp()
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / math.sqrt(len(ratio))
    if guess == "exact":
        local = svdd(tree, target, value, 64).sample(4000, generator=seeded("cpu", 9))
        texts, log_probs = tree.optimal(alpha).leaves()
        law = torch.zeros(len(tree.rewards)).double()
        law[text_index(texts, V)] = log_probs.exp()
        shares = torch.bincount(text_index(local.states[:, 0], V), minlength=len(law)) / 4000
        assert 0.5 * (shares - law).abs().sum() < 0.06
        plain = ancestral(tree).sample(4000, generator=seeded("cpu", 9)).states[:, 0]
        unguided = torch.bincount(text_index(plain, V), minlength=len(law)) / 4000
        assert 0.5 * (unguided - law).abs().sum() > 0.2


def test_a_tree_by_hand():
    # one token of two: p = (1/4, 3/4), rewards (2, 0)
    probs = torch.tensor([[0.25, 0.75]])
    tree = TokenTree(probs, 2, 1, lambda x: 2.0 * (x[:, 0] == 0).double())
    assert tree.log_normalizer(1.0).item() == pytest.approx(math.log(0.25 * math.exp(2) + 0.75))
    assert tree.mean_table().tolist() == pytest.approx([0.5, 2.0, 0.0])
    star = 0.25 * math.exp(2) / (0.25 * math.exp(2) + 0.75)
    assert tree.optimal(1.0).probs[0].tolist() == pytest.approx([star, 1 - star])


def test_bad_input_is_named():
    reward, probs = TextReward(torch.zeros(7), 2), torch.full((3, 2), 0.5)
    with pytest.raises(ValueError, match=r"probs: expected shape \(3, 2\), got \(2, 2\)"):
        TokenTree(probs[:2], 2, 2, reward)
    with pytest.raises(ValueError, match="probs: expected rows of probabilities"):
        TokenTree(1.1 * probs, 2, 2, reward)
    with pytest.raises(ValueError, match="end: expected None or a token below 2, got 2"):
        TokenTree(probs, 2, 2, reward, end=2)
    with pytest.raises(ValueError, match="length: expected 1 to 2000000 texts"):
        TokenTree(probs, 100, 5, reward)
    with pytest.raises(ValueError, match="reward: expected a number or -inf"):
        TokenTree(probs, 2, 2, TextReward(torch.full((7,), INF), 2))
    with pytest.raises(ValueError, match="Z = 0"):
        TokenTree(probs, 2, 2, TextReward(torch.full((7,), -INF), 2)).optimal(1.0)
    with pytest.raises(ValueError, match="alpha: expected a finite number above 0"):
        full().soft_value(0.0)
