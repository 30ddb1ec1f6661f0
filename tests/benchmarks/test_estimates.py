"""Two estimates with their standard errors, by hand."""

import pytest

from benchmarks.common.estimates import apart, gap


def test_errors_add_in_squares():
    assert gap((0.5, 0.3), (0.2, 0.4)) == (pytest.approx(0.3), pytest.approx(0.5))


@pytest.mark.parametrize(("value", "differ"), [(0.97, False), (0.99, True), (-0.97, False), (-0.99, True)])
def test_they_differ_from_196_errors_on(value, differ):
    assert apart((value, 0.3), (0.0, 0.4)) is differ and apart((0.0, 0.3), (value, 0.4)) is differ


def test_they_may_be_asked_for_more_errors():
    assert apart((1.2, 0.3), (0.0, 0.4), errors=2.3) and not apart((1.2, 0.3), (0.0, 0.4), errors=2.5)
