"""A value that switches by time, asked at a time that is known: a subclass is asked itself, a time beyond is named."""

import pytest
import torch

from svlearn.values import Ensemble, Learned, Switch
from svlearn.values.value import at_time, evaluate


class Time(torch.nn.Module):
    def forward(self, x, t):
        return 10.0 * t + x[:, 0]


class Doubled(Switch):
    def forward(self, x, t, prediction=None, *, generator=None):
        return 2 * super().forward(x, t, prediction, generator=generator)


@pytest.mark.parametrize("kind", [Switch, Doubled])
def test_a_number_and_times_of_each_row_say_the_same(kind):
    value, x = kind(Learned(Time()), Learned(Time()), 1), torch.ones(3, 2)
    for t in (0, 1, 2):
        assert torch.equal(evaluate(value, x, t), evaluate(value, x, torch.full((3,), t)))
        assert value.reads(t) == value.reads(torch.tensor([t]))


def test_a_time_without_measured_errors_is_named():
    value = Ensemble([Learned(Time()), Learned(Time())], torch.ones(2, 2))
    assert at_time(value, 1) is not None
    with pytest.raises(ValueError, match="t: expected 0 to 1, for which errors were measured, got 2"):
        at_time(value, 2)
