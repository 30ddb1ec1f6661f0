"""The best of n by all subsets, its jackknife error, and what is between whole numbers."""

import itertools
import math

import numpy as np
import pytest

from svlearn.advising.best_of import best_of, best_of_weights

REWARDS = np.array([0.3, -1.0, 2.0, 0.7, 0.7, 1.5])


@pytest.mark.parametrize("number", range(1, 7))
def test_it_is_the_mean_over_all_subsets(number):
    every = [max(each) for each in itertools.combinations(REWARDS, number)]
    assert best_of(REWARDS, number)[0] == pytest.approx(np.mean(every), abs=1e-12)
    assert best_of_weights(6, number).sum() == pytest.approx(1.0, abs=1e-12)


def test_between_whole_numbers_it_is_linear():
    ends = [best_of(REWARDS, number)[0] for number in (2, 3)]
    assert best_of(REWARDS, 2.25)[0] == pytest.approx(0.75 * ends[0] + 0.25 * ends[1], abs=1e-12)


@pytest.mark.parametrize("number", [1, 2, 3.5, 5])
def test_the_error_is_the_jackknifes(number):
    left_out = np.array([best_of(np.delete(REWARDS, place), number)[0] for place in range(6)])
    expected = math.sqrt(5 / 6 * np.square(left_out - left_out.mean()).sum())
    assert best_of(REWARDS, number)[1] == pytest.approx(expected, abs=1e-12)


def test_of_one_it_is_the_mean_and_its_standard_error():
    value, error = best_of(REWARDS, 1)
    assert value == pytest.approx(REWARDS.mean()) and error == pytest.approx(REWARDS.std(ddof=1) / math.sqrt(6))


def test_of_all_there_is_no_error():
    value, error = best_of(REWARDS, 6)
    assert value == pytest.approx(2.0) and math.isnan(error)


def test_bad_numbers_are_named():
    for number in (0.5, 7):
        with pytest.raises(ValueError, match="number: expected"):
            best_of(REWARDS, number)
