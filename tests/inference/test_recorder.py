"""The history that a run leaves, against its definitions one step at a time."""

import math

import numpy as np
import pytest
import torch

from svlearn.inference import recorder
from svlearn.inference.log_weights import LogWeights
from svlearn.inference.recorder import Recorder

B, K = 2, 3


def steps(sizes):
    """Log-weights, increments and log-ratios of a step each, with M as given; some weights are 0, one group's all."""
    generator = torch.Generator().manual_seed(5)
    weighings = []
    for number, size in enumerate(sizes):
        weights, increments, ratios = (
            torch.randn(B, K, *shape, generator=generator).double() for shape in ((), (size,), (size,))
        )
        increments[0, 0] = -math.inf
        if number == 1:
            weights[1] = -math.inf
        weighings.append((weights, increments, ratios.flatten()))
    return weighings


def written(weighings):
    book = Recorder(2, keep_states=False)
    for weights, increments, ratios in weighings:
        book.add(LogWeights(weights), increments, ratios, torch.zeros(B).bool(), torch.arange(K).expand(B, K), weights)
    return book.history()


def effective(log_weights):
    weights = np.exp(log_weights)
    return weights.sum() ** 2 / (weights**2).sum() if weights.sum() > 0 else 0.0


def moment(numbers, order):
    alive = numbers[np.isfinite(numbers)]
    return ((alive - alive.mean()) ** order).mean() if len(alive) else 0.0


@pytest.mark.parametrize("held", [1, 12, 2**18])
@pytest.mark.parametrize("sizes", [[1, 1, 1], [4, 4, 4], [3, 1, 1, 5]])
def test_every_figure_is_that_of_its_step(sizes, held, monkeypatch):
    monkeypatch.setattr(recorder, "HELD", held)
    weighings = steps(sizes)
    history = written(weighings)
    assert history.start == 2 and history.states is None and len(history.ancestors) == len(sizes)
    assert history.ess.shape == history.resampled.shape == (B, len(sizes))
    for t, (weights, increments, ratios) in enumerate(weighings):
        for b in range(B):
            with np.errstate(divide="ignore"):
                weighed = weights[b].numpy() + np.log(np.exp(increments[b].numpy()).mean(axis=1))
            step, ratio = increments[b].flatten().numpy(), ratios.view(B, -1)[b].numpy()
            moments = [moment(weighed, 2), moment(step, 2), moment(step, 3), effective(step) / len(step)]
            assert history.ess[b, t].item() == pytest.approx(effective(weighed), rel=1e-12)
            assert history.spreads[b, t].tolist() == pytest.approx([*moments, moment(ratio, 2)], rel=1e-10, abs=1e-12)


def test_states_are_kept_by_group_where_asked_for():
    book = Recorder(0, keep_states=True)
    weights, increments, ratios = steps([2])[0]
    states = torch.arange(B * K)
    book.add(LogWeights(weights), increments, ratios, torch.ones(B).bool(), torch.arange(K).expand(B, K), states)
    history = book.history()
    assert torch.equal(history.states[0], states.view(B, K)) and history.resampled.all()
