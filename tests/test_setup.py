"""The dry run finds, all at once, what would otherwise pass by luck or fail after an hour."""

import warnings

import pytest
import torch
from torch import nn

import svlearn as sv
from svlearn.domains.analytic import FiniteMarkovChain, GaussianReference, TokenTree
from svlearn.process import predict
from svlearn.testing import check_presentation
from svlearn.values import Learned, PosteriorMean, Zero

TARGET = sv.Target(lambda x: x.sum(dim=1), 1.0)


class Walk(sv.Reference):
    """Three steps of a walk in the plane."""

    num_steps = 3

    def __init__(self, offset=0.0, std=0.5):
        super().__init__()
        self.offset, self.std = offset, std

    def initial(self, batch_size, *, condition=None, generator=None):
        return self.offset + torch.randn(batch_size, 2, generator=generator)

    def forward(self, x, t, previous=None):
        return sv.Prediction(sv.GaussianTransition(x, self.std), clean=x)


@pytest.mark.parametrize(
    "reference",
    [Walk(), FiniteMarkovChain.random(4, 3, seed=2), TokenTree.random(3, 2, seed=0), GaussianReference.brownian(2, 3)],
)
def test_a_sound_reference_passes_without_a_word(reference):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        target = sv.Target(lambda x: x.double().flatten(1).sum(dim=1), 1.0)
        assert sv.check(reference, target, PosteriorMean(target)) == []


class NoBatch(Walk):
    def forward(self, x, t, previous=None):
        return sv.Prediction(sv.GaussianTransition(x[0], 0.5))


class OtherMean(Walk):
    def forward(self, x, t, previous=None):
        return sv.Prediction(sv.GaussianTransition(x.repeat(1, 2), 0.5))


class OtherClean(Walk):
    def forward(self, x, t, previous=None):
        return sv.Prediction(sv.GaussianTransition(x, 0.5), clean=x[:1])


class Deaf(Walk):
    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.zeros(2, 2)


class Torchs(Walk):
    def forward(self, x, t, previous=None):
        return sv.Prediction(torch.distributions.Normal(x, 0.5))


class Timeless(Walk):
    def forward(self, x):
        return sv.Prediction(sv.GaussianTransition(x, 0.5))


WRONG = [
    (NoBatch, r"NoBatch.forward: transition: expected a mean of shape \(2, 2\), as the states, got \(2,\)"),
    (OtherMean, r"OtherMean.forward: transition: expected a mean of shape \(2, 2\), as the states, got \(2, 4\)"),
    (OtherClean, r"OtherClean.forward: clean: expected shape \(2, ...\), the batch first, got \(1, 2\)"),
    (Torchs, "transition: expected a svlearn.Transition, got torch.distributions.normal.Normal; write Gaussian"),
    (Timeless, r"Timeless.forward: expected forward\(self, x, t, previous=None\)"),
]


@pytest.mark.parametrize(("kind", "words"), WRONG)
def test_every_wrong_part_is_named_by_the_check_and_by_the_first_call(kind, words):
    with pytest.raises(ValueError, match=words):
        sv.check(kind(), TARGET)
    for _ in range(2):  # again too: a failed call is not taken for a good one
        with pytest.raises((TypeError, ValueError), match=words):
            predict(kind(), torch.zeros(2, 2), 0)
    with pytest.raises((TypeError, ValueError)):
        sv.smc(kind(), TARGET, Zero(), 2).sample(1)


def test_an_initial_that_ignores_the_batch_size_is_named():
    words = r"Deaf.initial: expected shape \(3, ...\), the batch first, got \(2, 2\)"
    with pytest.raises(ValueError, match=words):
        sv.check(Deaf(), TARGET)
    with pytest.raises(ValueError, match=words):
        sv.ancestral(Deaf()).sample(3)


def test_all_is_said_at_once():
    class Bad(Walk):
        def decode(self, x):
            return ["one"]

    target = sv.Target(lambda x: x, 1.0)
    with pytest.raises(ValueError, match="check: Bad") as raised:
        sv.check(Bad(offset=1e6), target, Learned(nn.Identity()))
    text = str(raised.value)
    for words in (
        "reward: expected shape (2,)",
        "value at t = 0",
        "value at t = 2",
        "Bad.decode: expected a list of 2",
    ):
        assert words in text
    assert "warning: Bad at t = 0: states of up to 1e+06 in float32 lose more" in text


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        (Walk(offset=1e4), "at t = 0: states of up to 1e.04 in float32 .*biases weights and log Z"),
        (Walk(std=0.0), "Walk: its steps have no noise .*eta > 0"),
    ],
)
def test_what_runs_but_is_not_what_it_seems_is_a_warning(reference, words):
    with pytest.warns(UserWarning, match=words):
        assert len(sv.check(reference, TARGET)) == 1


def test_dropout_in_training_mode_is_a_warning():
    class Dropped(Walk):
        def __init__(self):
            super().__init__()
            self.drop = nn.Dropout(0.5)

    with pytest.warns(UserWarning, match="reference: Dropped is in training mode, where Dropout act"):
        sv.check(Dropped(), TARGET)
    assert sv.check(Dropped().eval(), TARGET) == []


@pytest.mark.parametrize(
    ("method", "gives", "words"),
    [
        ("decode", lambda x: 1 / 0, "Shown.decode: division by zero .ZeroDivisionError"),
        ("describe", lambda objects: {"a": "b"}, "Shown.describe: could not convert"),
        ("draw", lambda objects, captions: 3, "Shown.draw: expected SVG or <img> markup, or None, got int"),
        ("overview", lambda objects: 3, "Shown.overview: expected SVG or <img> markup, or None, got int"),
    ],
)
def test_presentation_is_tried_on_two_rows(method, gives, words):
    class Shown(Walk):
        def decode(self, x):
            return list(x)

    setattr(Shown, method, lambda self, *arguments: gives(*arguments))
    with pytest.raises(ValueError, match=words):
        check_presentation(Shown())
    check_presentation(Walk())


def test_a_seed_is_no_generator():
    for call in (sv.ancestral(Walk()).sample, sv.rollouts.roll_out):
        arguments = (2,) if call is not sv.rollouts.roll_out else (Walk(), 2)
        with pytest.raises(
            TypeError, match=r"generator: expected None or torch.Generator\(\).manual_seed\(a seed\), got int 0"
        ):
            call(*arguments, generator=0)


def test_a_value_of_ids_alone_is_named_under_guidance():
    class Ids(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(4, 1)

        def forward(self, x, t):
            return self.embedding(x).flatten(1).sum(dim=1)

    class Tokens(Walk):
        def initial(self, batch_size, *, condition=None, generator=None):
            return torch.zeros(batch_size, 2, dtype=torch.long)

        def forward(self, x, t, previous=None):
            return sv.Prediction(sv.CategoricalTransition(torch.zeros(len(x), 2, 4)))

    target = sv.Target(lambda x: x.double().sum(dim=1), 1.0)
    with pytest.raises(TypeError, match="value: guidance reads Learned at one-hots in floats"):
        sv.guidance(Tokens(), target, Learned(Ids())).sample(2)


class InOnePass(Walk):
    """All predictions of a walk at once; `late` by that many steps."""

    def __init__(self, late=0):
        super().__init__()
        self.late = late

    def along(self, trajectory):
        return [sv.Prediction(sv.GaussianTransition(trajectory[:, max(0, t - self.late)], self.std)) for t in range(3)]


def test_what_is_predicted_along_a_walk_is_held_against_forward():
    assert sv.check(InOnePass(), TARGET) == []
    with pytest.raises(ValueError, match="InOnePass.along: expected at t = 1 the law that forward predicts"):
        sv.check(InOnePass(late=1), TARGET)


def test_an_along_that_stops_early_is_named():
    class Short(InOnePass):
        def along(self, trajectory):
            return super().along(trajectory)[:2]

    with pytest.raises(ValueError, match="Short.along: expected 3 Predictions, .*, got 2 predictions"):
        sv.check(Short(), TARGET)
