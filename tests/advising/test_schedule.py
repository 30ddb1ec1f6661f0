"""Candidates by step: the best of all schedules of a total, found by looking at each."""

import itertools
import math

import pytest

from svlearn.advising.schedule import candidates_by_step, expected_largest


def test_the_largest_of_normal_numbers_is_known_in_closed_form():
    assert expected_largest(1) == 0
    assert expected_largest(2) == pytest.approx(1 / math.sqrt(math.pi), abs=1e-10)
    assert expected_largest(3) == pytest.approx(1.5 / math.sqrt(math.pi), abs=1e-10)
    five = 5 / (4 * math.sqrt(math.pi)) + 15 / (2 * math.pi * math.sqrt(math.pi)) * math.asin(1 / 3)
    assert expected_largest(5) == pytest.approx(five, abs=1e-10)


def worth(gains, numbers):
    return sum(gain * expected_largest(number) for gain, number in zip(gains, numbers, strict=True))


@pytest.mark.parametrize("gains", [[0.1, 0.4, 0.2], [0.3, 0.3, 0.3], [0.0, 1.0, 0.01], [2.0, 0.5, 0.7]])
@pytest.mark.parametrize("total", [3, 5, 8, 12])
def test_no_schedule_of_the_same_total_is_worth_more(gains, total):
    numbers = candidates_by_step(gains, total)
    every = [each for each in itertools.product(range(1, total + 1), repeat=3) if sum(each) == total]
    assert worth(gains, numbers) == pytest.approx(max(worth(gains, each) for each in every), abs=1e-12)
    assert sum(numbers) == total


def test_a_step_that_gains_nothing_keeps_one_candidate():
    assert candidates_by_step([-1.0, 0.5, 0.0], 7) == [1, 5, 1]
    assert candidates_by_step([0.0, 0.0], 9) == [1, 1]
    assert candidates_by_step([0.2, 0.1], 9, most=3) == [3, 3]


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"total: expected an integer of at least 3, got 2"):
        candidates_by_step([0.1, 0.1, 0.1], 2)
    with pytest.raises(ValueError, match=r"gains: expected a finite number, got nan"):
        candidates_by_step([math.nan], 2)
    with pytest.raises(ValueError, match=r"gains: expected at least one step"):
        candidates_by_step([], 2)
