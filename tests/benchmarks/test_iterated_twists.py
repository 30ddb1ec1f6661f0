"""The study of iterated twists: its judges against numbers worked out by hand, and what its page says of results."""

import math

import pytest
import torch

from benchmarks.common.estimates import compared, interval
from benchmarks.iterated_twists.page import arrival, headline
from benchmarks.iterated_twists.problems import P_REF, P_STAR, problem, r2_along, values_along
from benchmarks.iterated_twists.training import CONTRASTIVE, DRAWN, ITERATED, METHODS, learn
from svlearn.values import Value, Zero


class Given(Value):
    """A number for each state of a chain and t."""

    def __init__(self, table):
        super().__init__()
        self.table = torch.tensor(table, dtype=torch.float64)

    def forward(self, x, t, prediction=None, *, generator=None):
        return self.table[t, x[:, 0]]


def test_r2_along_trajectories_by_hand():
    """Two times of two states: errors of 1 less their mean 1/2 at t = 0 alone, 1/4; variances 1 and 4."""
    states = torch.tensor([[[0], [0], [0]], [[1], [1], [0]]])
    exact, guess = Given([[0.0, 2.0], [0.0, 4.0]]), Given([[5.0, 8.0], [1.0, 5.0]])
    known = values_along(exact, states)
    assert known.tolist() == [[0.0, 2.0], [0.0, 4.0]]
    assert r2_along(guess, states, known, None) == pytest.approx(1 - 0.25 / 5)
    assert r2_along(exact, states, known, 0.5) == 1
    shifted = Given([[3.0, 5.0], [1.0, 5.0]])  # of exp(v/α) a constant is a factor, and taken off as well
    assert r2_along(shifted, states, known, 0.5) == pytest.approx(1)


@pytest.mark.parametrize("name", ["tree", "markov", "gaussian", "mixture"])
def test_the_exact_value_is_judged_exact_and_estimates_log_z_best(name):
    own = problem(name)
    exact = own.judged(own.exact())
    assert exact["r2"][P_REF] == pytest.approx(1) and exact["r2"][P_STAR] == pytest.approx(1)
    assert exact["log_z_error"] < 0.6 * own.log_z_error(Zero())


@pytest.mark.parametrize("method", METHODS)
def test_draws_are_equal_and_rounds_are_looked_at(method):
    found = learn(problem("tree"), method, seed=0, rounds=2)
    assert len(found["rounds"]) == 3 and all(math.isfinite(each["log_z_error"]) for each in found["rounds"])
    drawn = found["spent"]["reward_calls"] / (8 if method == ITERATED else 1)  # all four outcomes at T, twice
    assert drawn == pytest.approx(2 * DRAWN, rel=0.2) and found["spent"]["reference_calls"] > 0
    assert ("beta" in found["rounds"][-1]) == (method == ITERATED)
    assert found["rounds"][0]["r2"][P_STAR] == pytest.approx(0, abs=1e-9)


def test_intervals_and_tests_by_hand():
    mean, width = interval([1.0, 2.0, 3.0])
    assert (mean, width) == (2.0, pytest.approx(4.302653 / math.sqrt(3), rel=1e-6))
    assert compared([1.0, 1.1, 0.9], [2.0, 2.1, 1.9]) == -1 and compared([2.0, 2.1], [1.0, 1.1]) == 1
    assert compared([1.0, 2.0, 3.0], [1.5, 2.5, 3.5]) == 0 and compared([1.0], [9.0]) == 0


def results(error, other):
    def run(numbers):
        last = {"r2": {P_STAR: 1 - numbers, P_REF: 0.0}, "log_z_error": numbers, "beta": 1.0}
        return {"rounds": [last | {"beta": 0.5}, last], "spent": {}}

    runs = {f"tree/{ITERATED}/{seed}": run(error + 0.01 * seed) for seed in range(3)}
    runs |= {f"tree/{CONTRASTIVE}/{seed}": run(other + 0.01 * seed) for seed in range(3)}
    return {"problems": {"tree": {"title": "token tree, α = 1"}}, "runs": runs}


@pytest.mark.parametrize(
    ("error", "other", "words", "score"),
    [
        (0.1, 0.5, "with a smaller error on token tree", "ahead on token tree"),
        (0.5, 0.1, "with a larger one on token tree", "behind on token tree"),
        (0.1, 0.1, "not told apart on token tree", "not told apart on token tree"),
    ],
)
def test_the_sentence_says_what_the_results_are(error, other, words, score):
    from benchmarks.iterated_twists.findings import gather

    held = results(error, other)
    measured = {"tree": gather(held, "tree", list(METHODS))}
    said = headline(held, measured)
    assert f"estimate log Z {words}" in said and f"they are {score}" in said
    assert arrival(measured["tree"][ITERATED]) == "1" and arrival(measured["tree"][CONTRASTIVE]) == "–"
