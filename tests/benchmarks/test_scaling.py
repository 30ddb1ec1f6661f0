"""The study of one process against two: what it says on paper of more, by hand."""

import pytest

from benchmarks.scaling import paper, run


def test_amdahl_by_hand():
    """Two processes 1.6 times as fast: a quarter stays, so four are at most 1/(0.25 + 0.75/4) times as fast."""
    assert paper.serial_share(1.6) == pytest.approx(0.25)
    assert paper.serial_share(2.2) == 0.0  # caches of two: nothing stays, and no more is promised than there are
    assert paper.times_as_fast(0.25, 4) == pytest.approx(16 / 7)
    assert paper.times_as_fast(0.0, 8) == 8


def test_a_ring_by_hand():
    """Of four processes each sends six messages of a quarter: six quarters of the bytes, and six latencies."""
    assert paper.all_reduce(4e9, 4, 1e9, 0.5) == pytest.approx(6 + 3)
    assert paper.all_reduce(4e9, 1, 1e9, 0.5) == 0
    assert paper.gradient_bytes() == 4 * (5 * 512 + 512 + 512 * 512 + 512 + 512 + 1)


def test_the_page_tells_what_was_measured_and_what_was_not():
    held = {kind: {"load": 0.2, "seconds": {"1": [4.0, 4.0], "2": [2.5, 2.5]}} for kind in run.KINDS}
    page = run.page({"kinds": held})
    assert "sampling 1.6, training 1.6, scoring 1.6; 2 would be all" in page and "other work besides" not in page
    _, on_paper = page.split("## On paper")
    assert "Not measured." in on_paper and "| sampling | 25 % of the work stays" in on_paper
    assert "2.3 of 4" in on_paper and "2.9 of 8" in on_paper
    held["scoring"]["load"] = 5.0
    assert "a load of up to 5" in run.page({"kinds": held})
