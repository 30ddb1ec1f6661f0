"""Values by simulation finish states with no call for what is finished already, and the numbers stay what they are."""

import math

import pytest
import torch
from finished_toys import LENGTHS, TARGET, T, Words

from svlearn.domains.analytic import TokenTree
from svlearn.metering import metered
from svlearn.process import predict
from svlearn.randomness import seeded
from svlearn.targets import Target
from svlearn.values import MonteCarlo, evaluate
from svlearn.values.finish import finish

N = 3
WRITTEN = torch.tensor([0, 1, 1, 2, 2, 0, 2])  # of words as long as LENGTHS
X = torch.stack([WRITTEN, LENGTHS], dim=1)
TIMES = {"one": 2, "each its own": WRITTEN}


@pytest.mark.parametrize("kind", TIMES)
@pytest.mark.parametrize("options", [{"num_rollouts": N}, {"budget": N * T}])
def test_the_same_values_by_as_many_calls_as_letters_are_left(kind, options):
    t, found, calls = TIMES[kind], [], []
    for says in (True, False):
        with metered() as meter:
            found.append(evaluate(MonteCarlo(Words(says), TARGET, **options), X, t, generator=seeded("cpu", 0)))
        calls.append(meter.cost.reference_calls)
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)
    ends = torch.stack([LENGTHS, LENGTHS], dim=1)
    torch.testing.assert_close(found[0], TARGET(ends), rtol=0, atol=1e-12)
    steps = T - torch.as_tensor(t).expand(7)
    number = N if "budget" not in options else (N * T) // steps
    assert calls == [(number * (LENGTHS - WRITTEN)).sum(), (number * steps).sum()]


@pytest.mark.parametrize("kind", TIMES)
def test_from_the_prediction_the_first_call_of_those_that_move_is_saved(kind):
    words, t = Words(), TIMES[kind]
    moving = (LENGTHS > WRITTEN).nonzero().flatten()
    first = predict(Words(says=False), X, t)
    with metered() as meter:
        found = finish(words, X, t, seeded("cpu", 0), first)
    assert torch.equal(found[:, 0], LENGTHS) and torch.equal(found[:, 1], LENGTHS)
    assert meter.cost.reference_calls == (LENGTHS - WRITTEN).sum() - len(moving)


def test_the_caches_of_words_that_begin_later_follow_them():
    """`Words` refuses a cache of another row."""
    t, lengths = torch.tensor([0, 2, 1, 4, 1]), torch.tensor([4, 6, 1, 5, 3])
    words = Words()
    found = finish(words, torch.stack([t, lengths], dim=1), t, seeded("cpu", 0))
    assert torch.equal(found[:, 0], lengths) and sum(words.rows) == (lengths - t).sum()
    assert torch.equal(finish(words, found, 3), found) and sum(words.rows) == (lengths - t).sum()


@pytest.mark.parametrize("several", [False, True])
def test_the_mean_over_texts_is_exact_on_average(several):
    tree = TokenTree.random(3, 5, seed=2, end=0)
    ends = []

    def reward(x):
        ends.append(x)
        return tree.reward(x)

    value = MonteCarlo(tree, Target(reward, 0.6), 1, "mean")
    x = tree.initial(8000)
    t = torch.zeros(8000, dtype=torch.long) if several else 0
    with metered() as meter:
        found = evaluate(value, x, t, generator=seeded("cpu", 1))
    assert abs(found.mean() - tree.mean_table()[0]) < 4 * found.std() / math.sqrt(8000)
    assert meter.cost.reference_calls == ends[0][:, -1].sum() < 8000 * 5
