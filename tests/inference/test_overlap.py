"""A value that waits for others is computed beside the network: at the same time, to the same numbers and counts."""

from functools import partial
from threading import Event, current_thread, main_thread

import pytest
import torch

import svlearn as sv
from svlearn.inference import overlap
from svlearn.metering import metered
from svlearn.process import predict
from svlearn.randomness import seeded

PATIENCE = 60.0  # seconds; only a failure takes them


class Walk(sv.Reference):
    """Halves x, adds t and noise; x̂_T is x. `called` after `marks` calls tells that the next piece is under way."""

    num_steps = 3

    def __init__(self, marks=None):
        super().__init__()
        self.calls, self.marks, self.called = 0, marks, Event()

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.randn(batch_size, 2, generator=generator)

    def forward(self, x, t, previous=None):
        self.calls += 1
        if self.calls == self.marks:
            self.called.set()
        return sv.Prediction(sv.GaussianTransition(0.5 * x + t[:, None], torch.full_like(x, 0.3)), clean=x)


class Waiting:
    """-|x|², in a thread of its own where the sampler lets it."""

    asynchronous = True

    def __init__(self):
        self.threads = set()

    def __call__(self, x):
        self.threads.add(current_thread())
        assert not torch.is_grad_enabled()
        return -x.square().sum(dim=1)


def test_the_next_piece_is_predicted_while_one_is_scored():
    """The reward of the first piece ends only once the network is at the second: one after the other would hang."""
    process = Walk(marks=2)

    class Handshake:
        asynchronous = True

        def __call__(self, x):
            assert process.called.wait(PATIENCE), "the network waited for the score"
            return x[:, 0]

    x = torch.arange(8.0).view(4, 2)
    value = sv.values.PosteriorMean(sv.Target(Handshake(), 1.0))
    with metered(max_batch=2):
        prediction, values = overlap.predict_and_value(
            partial(predict, process), value, x, torch.zeros(len(x)).long(), None
        )
    assert values.tolist() == [0.0, 2.0, 4.0, 6.0]
    assert torch.equal(prediction.clean, x) and torch.equal(prediction.transition.mean, 0.5 * x)


@pytest.mark.parametrize("alpha", [0.0, 0.5])
@pytest.mark.parametrize("max_batch", [None, 7])
def test_samples_and_counts_stay(alpha, max_batch, monkeypatch):
    monkeypatch.setattr(overlap, "SMALLEST", 4)
    samples = {}
    for waits in (False, True):
        reward = Waiting()
        reward.asynchronous = waits
        target = sv.Target(reward, alpha)
        sampler = sv.svdd(Walk(), target, sv.values.PosteriorMean(target), 3)
        samples[waits] = sampler.sample(5, generator=seeded("cpu", 0), max_batch=max_batch)
        assert reward.threads - {main_thread()} if waits else reward.threads == {main_thread()}
    assert torch.equal(samples[True].states, samples[False].states)
    assert torch.equal(samples[True].log_weights, samples[False].log_weights)
    for kind in ("reference_calls", "value_calls", "reward_calls"):
        assert getattr(samples[True].cost, kind) == getattr(samples[False].cost, kind)
    assert samples[True].cost.reference_calls == 5 * 3 * 3  # x_0, x_1 and x_2 of three candidates


def test_what_a_reward_raises_is_raised():
    class Broken:
        asynchronous = True

        def __call__(self, x):
            raise RuntimeError("the server is away")

    target = sv.Target(Broken(), 0.0)
    with pytest.raises(RuntimeError, match="the server is away"):
        sv.svdd(Walk(), target, sv.values.PosteriorMean(target), 3).sample(2, generator=seeded("cpu", 0))


def test_which_values_wait():
    target = sv.Target(Waiting(), 1.0)
    assert sv.values.PosteriorMean(target).asynchronous
    assert not sv.values.PosteriorMean(sv.Target(lambda x: x[:, 0], 1.0)).asynchronous
    drawn = sv.values.PosteriorMean(target, num_samples=2)  # random: its noise is that of the whole batch
    assert not drawn.asynchronous
    assert not sv.values.Zero().asynchronous


def test_a_number_that_is_not_finite_is_found_in_its_piece():
    """The sixth of eight states, in pieces of two: the second of the piece that starts at the fifth."""

    class Holed:
        asynchronous = True

        def __call__(self, x):
            return torch.where(x[:, 0] == 10.0, torch.nan, x[:, 0])

    x = torch.arange(16.0).view(8, 2)
    value = sv.values.PosteriorMean(sv.Target(Holed(), 1.0))
    with metered(max_batch=2), pytest.raises(ValueError, match="nan at index 1") as raised:
        overlap.predict_and_value(partial(predict, Walk()), value, x, torch.zeros(len(x)).long(), None)
    assert raised.value.__notes__ == ["the index counts from state 4 of a batch of 8"]
