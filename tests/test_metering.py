"""What is counted, and how work is cut."""

import pytest
import torch

from svlearn.metering import Cost, count, current_max_batch, metered


def test_frames_nest_and_every_one_counts():
    with metered(max_batch=5) as outer:
        count("reward_calls", 2)
        with metered() as inner:
            assert current_max_batch() == 5
            count("reference_calls", 3)
        with metered(max_batch=2):
            assert current_max_batch() == 2
    assert current_max_batch() is None
    assert (outer.cost.reward_calls, outer.cost.reference_calls) == (2, 3)
    assert (inner.cost.reward_calls, inner.cost.reference_calls) == (0, 3)


def test_a_frame_closes_after_an_error():
    with pytest.raises(RuntimeError), metered(max_batch=1):
        raise RuntimeError
    assert current_max_batch() is None


@pytest.mark.parametrize("max_batch", [0, -1, 2.5])
def test_max_batch_must_be_a_positive_integer(max_batch):
    with pytest.raises(ValueError, match="max_batch"), metered(max_batch=max_batch):
        pass


def test_costs_add_up_and_keep_the_larger_peak():
    total = Cost(1, 2, 3, 4, 5, 0.5, 100) + Cost(1, 1, 1, 1, 1, 0.25, 50)
    assert total == Cost(2, 3, 4, 5, 6, 0.75, 100)


def test_the_peak_sees_what_was_held_inside():
    with metered() as small:
        pass
    with metered() as large:
        torch.ones(64 * 2**20, dtype=torch.uint8).sum()
    if large.cost.peak_memory_bytes:  # 0 where the system does not tell
        assert large.cost.peak_memory_bytes - small.cost.peak_memory_bytes > 32 * 2**20
    assert large.cost.seconds > 0
