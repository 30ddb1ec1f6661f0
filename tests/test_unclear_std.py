"""A std of the elements, (D,), of D rows: a sound reference never fails by that chance, a wrong one never passes."""

import pytest
import torch
from torch import nn

import svlearn as sv
from svlearn.objectives import AdjointMatching, MonteCarloRegression
from svlearn.process import predict
from svlearn.randomness import seeded
from svlearn.transitions import UnclearStdError
from svlearn.values import Learned, PosteriorMean

D = 3
TARGET = sv.Target(lambda x: -x.pow(2).sum(dim=1), 1.0)


class Walk(sv.Reference):
    """std: of a mean, as a user may write it."""

    num_steps = 2

    def __init__(self, std, size=D):
        super().__init__()
        self.scale, self.std, self.size, self.calls = nn.Parameter(torch.ones(size)), std, size, []

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.randn(batch_size, self.size, generator=generator)

    def forward(self, x, t, previous=None):
        self.calls.append(len(x))
        mean = self.scale * x
        past = x if previous is None else previous.cache[0]
        return sv.Prediction(sv.GaussianTransition(mean, self.std(mean)), clean=mean, cache=(past,))


def of_elements(mean):
    return torch.linspace(0.2, 0.7, mean.shape[1])


def of_elements_written_out(mean):
    return of_elements(mean)[None]


def of_rows(mean):
    return torch.linspace(0.2, 0.7, len(mean))


@pytest.mark.parametrize("max_batch", [None, 2, D, D + 1])  # of 3, 12 and 6 rows, whole and in pieces
@pytest.mark.parametrize("batch_size", [D, 2 * D])
def test_a_std_of_the_elements_is_taken_by_any_number_of_rows(batch_size, max_batch):
    one, other = (
        sv.smc(Walk(std), TARGET, PosteriorMean(TARGET), 2).sample(
            batch_size // D, generator=seeded("cpu", 0), max_batch=max_batch
        )
        for std in (of_elements, of_elements_written_out)
    )
    torch.testing.assert_close(one.states, other.states)
    assert one.cost.reference_calls == other.cost.reference_calls
    for size in (D, batch_size):
        ancestral = sv.ancestral(Walk(of_elements)).sample(size, max_batch=max_batch, generator=seeded("cpu", 0))
        assert ancestral.states.shape == (size, 1, D)


def test_its_rows_have_the_law_of_the_same_std_written_out():
    x = torch.randn(D, D, generator=seeded("cpu", 0))
    prediction, exact = (predict(Walk(std), x, 0) for std in (of_elements, of_elements_written_out))
    assert torch.equal(prediction.transition.mean, exact.transition.mean) and len(prediction.cache[0]) == D
    assert torch.equal(prediction.transition.std, exact.transition.std)


def test_it_is_found_out_once():
    reference = Walk(of_elements)
    with torch.no_grad():
        for _ in range(3):
            predict(reference, torch.zeros(D, D), 0)
    assert reference.calls == [D, D + 1, D + 1, D + 1]


@pytest.mark.parametrize("size", [2, 3, 4])
def test_a_std_of_the_rows_is_refused_there_and_everywhere(size):
    reference = Walk(of_rows, size)
    for _ in range(2):
        with pytest.raises(UnclearStdError, match=rf"std: expected the batch first, got \({size},\) for a mean of"):
            predict(reference, torch.zeros(size, size), 0)
    with pytest.raises(ValueError, match=rf"std: expected a shape broadcastable to \({size + 1}, {size}\)"):
        predict(reference, torch.zeros(size + 1, size), 0)
    with pytest.raises(ValueError, match="check: Walk\n.*std: expected"):
        sv.check(reference)


@pytest.mark.parametrize("size", [2, 3])
def test_a_sound_reference_of_as_many_numbers_as_a_look_takes_rows_is_taken_everywhere(size):
    """check, and the looks of policies and objectives, take two rows; training steps as many as there are numbers."""
    reference = Walk(of_elements, size)
    assert sv.check(reference, TARGET) == []
    policy = sv.policies.Finetuned(reference)
    sv.fit(AdjointMatching(reference, TARGET, policy, batch_size=size), max_steps=2, enable_progress_bar=False)
    value = Learned(Sum(size))
    sv.fit(MonteCarloRegression(reference, TARGET, value, batch_size=size), max_steps=1, enable_progress_bar=False)


class Sum(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.linear = nn.Linear(size, 1)

    def forward(self, x, t):
        return self.linear(x).squeeze(1)
