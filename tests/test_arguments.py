"""Numbers of NumPy and torch are numbers; bools, text and what is out of range are refused by name."""

import json
import math

import numpy as np
import pytest
import torch

import svlearn as sv
from svlearn.arguments import as_seed, each_of, integer, integers, is_number, one_or_each, real


@pytest.mark.parametrize("three", [3, np.int64(3), np.uint8(3), np.array(3), torch.tensor(3)])
def test_an_integer_of_any_library_is_python_s_own(three):
    assert type(integer(three, "n")) is int and integer(three, "n") == 3
    assert type(real(three, "n")) is float and real(three, "n") == 3.0


@pytest.mark.parametrize("half", [0.5, np.float32(0.5), np.float16(0.5), np.array(0.5), torch.tensor(0.5)])
def test_a_number_of_any_library_is_python_s_own(half):
    assert json.dumps(real(half, "alpha")) == "0.5"
    with pytest.raises(ValueError, match="n: expected an integer of at least 1"):
        integer(half, "n")


@pytest.mark.parametrize("flag", [True, np.bool_(True), torch.tensor(True)])
def test_a_bool_of_any_library_is_no_number(flag):
    assert not is_number(flag)
    with pytest.raises(ValueError, match="n: expected an integer"):
        integer(flag, "n")
    with pytest.raises(TypeError, match="alpha: expected a number"):
        real(flag, "alpha")
    with pytest.raises(ValueError, match="seed: expected an integer"):
        as_seed(flag)


@pytest.mark.parametrize("thing", ["1", None, torch.ones(1), np.ones(2), [1], object(), 1j])
def test_what_is_no_number_is_refused(thing):
    with pytest.raises(TypeError, match="alpha: expected a number, got"):
        real(thing, "alpha")
    with pytest.raises(ValueError, match="n: expected an integer of at least 1, got"):
        integer(thing, "n")


def test_bounds():
    assert integer(0, "n", 0) == 0 and integer(4, "n", 1, 4) == 4
    for number in (-1, 5, 2**63):
        with pytest.raises(ValueError, match=rf"n: expected an integer of 0 \.\.\. 4, got {number}"):
            integer(number, "n", 0, 4)
    with pytest.raises(ValueError, match="n: expected an integer of at least 1, got 9223372036854775808"):
        integer(2**63, "n")
    with pytest.raises(ValueError, match="s: expected a finite number of at least 0 and at most 1, got 1.5"):
        real(1.5, "s", 0, 1)
    with pytest.raises(ValueError, match="s: expected a finite number above 0, got 0"):
        real(0, "s", above=0)
    for number in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match="s: expected a finite number, got"):
            real(number, "s")


def test_many():
    assert integers(np.arange(3), "n", 0) == [0, 1, 2]
    assert one_or_each(np.int64(2), 3) == [2, 2, 2] and one_or_each(torch.tensor([1, 2]), 3) == [1, 2]
    with pytest.raises(ValueError, match=r"n: expected integers of at least 1, got \[1, 0\]"):
        integers([1, 0], "n")
    with pytest.raises(TypeError, match="n: expected integers, got str"):
        integers("12", "n")


def test_a_seed_of_any_size():
    assert as_seed(np.uint64(2**64 - 1)) == 2**64 - 1 and as_seed(2**200) == 2**200


def test_a_target_of_numpy_numbers_is_that_of_python_s():
    target = sv.Target(torch.sum, alpha=np.float32(0.5), floor=np.int64(-3))
    assert target == sv.Target(torch.sum, alpha=0.5, floor=-3.0)
    assert type(target.alpha) is float and type(target.floor) is float


@pytest.mark.parametrize("things", [["a", None], ("a", None), iter(["a", None]), np.array(["a", None], dtype=object)])
def test_each_of_some_things_comes_as_a_list(things):
    assert each_of(things, str, "names") == ["a", None]


@pytest.mark.parametrize(
    ("thing", "words"),
    [("ab", "names: expected a list of str or None, got one str"), (None, "names: .* got one NoneType")]
    + [([1], r"names\[0\]: expected a str or None, got int"), (b"ab", "names: .* got one bytes")],
)
def test_one_thing_is_no_list_of_them(thing, words):
    with pytest.raises(TypeError, match=words):
        each_of(thing, str, "names")
