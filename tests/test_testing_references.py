"""What is wrong in one way with a reference is named by the extension kit."""

import pytest
import torch
from causal_toys import CausalToy
from kit_toys import Cached, Prompted, Walk, changed
from tracked_device import tracked

import svlearn as sv
from svlearn.testing import check_reference
from svlearn.transitions import FieldTransition, GaussianTransition


def centred(self, x, t):
    return x - x.mean(dim=0)


def in_place(self, x, t):
    return x.mul_(0.9)


def of_first_time(self, x, t, previous=None):
    return sv.Prediction(GaussianTransition(x, float(self.table[t[0]])))


class Noisy(Walk):
    def mean(self, x, t):
        return x + torch.randn(x.shape)


class Moved(Prompted):
    def forward(self, x, t, previous=None):
        law = {name: GaussianTransition(x[name], 0.5) for name in ("x", "prompt")}
        return sv.Prediction(FieldTransition(law, x))


class Lost(Prompted):
    def initial(self, batch_size, *, condition=None, generator=None):
        return super().initial(batch_size, generator=generator)


def doubled(self, x, t, previous=None):
    return sv.Prediction(GaussianTransition(x.double(), 0.5))


def adding(self, x, cache):
    cache["held"].add_(1.0)
    return x[:, :2] + x[:, 2:] + cache["held"]


BROKEN = {
    "no steps": (Walk, {"num_steps": 0}, "Mine.num_steps: expected an integer of at least 1, got 0"),
    "global start": (
        Walk,
        {"initial": lambda self, b, *, condition=None, generator=None: torch.randn(b, 2)},
        "Mine.initial: expected draws by `generator` alone",
    ),
    "two rows": (
        Walk,
        {"initial": lambda self, b, *, condition=None, generator=None: torch.zeros(4, 2)},
        r"Mine.initial: expected shape \(1, ...\)",
    ),
    "mixes rows": (
        Walk,
        {"mean": centred},
        "forward at t = 0: expected of chosen rows the law that",
    ),
    "writes to x": (Walk, {"mean": in_place}, "forward at t = 0: expected x as it came, got it changed"),
    "one time for all": (Walk, {"forward": of_first_time}, "forward: expected of rows at t = 0 and t = 2 in one call"),
    "other dtype": (Walk, {"forward": doubled}, "sample: expected states as x_t, .*float32.*float64"),
    "random": (Noisy, {}, "forward at t = 0: expected the same law for the same states"),
    "loss of all rows": (
        Walk,
        {
            "noise": lambda self, x, t_from, t_to, *, generator=None: x + torch.randn(x.shape, generator=generator),
            "denoising_loss": lambda self, x_T, x_t, t, own: (own.transition.mean - x_t).square().mean(),
        },
        r"Mine.denoising_loss: expected 4 finite numbers, \(B,\), of x_T at t = 0, got ",
    ),
    "loss of other rows": (
        Walk,
        {
            "noise": lambda self, x, t_from, t_to, *, generator=None: x + torch.randn(x.shape, generator=generator),
            "denoising_loss": lambda self, x_T, x_t, t, own: (own.clean - own.clean[:1]).square().mean(dim=1),
        },
        "Mine.denoising_loss: expected of each row its own loss at t = 0",
    ),
    "loss of states alone": (
        Walk,
        {
            "noise": lambda self, x, t_from, t_to, *, generator=None: x + torch.randn(x.shape, generator=generator),
            "denoising_loss": lambda self, x_T, x_t, t, own: (own.clean - x_T).square().mean(dim=1),
        },
        "Mine.denoising_loss of a Prediction in the place of x_T",
    ),
    "forgets noise": (
        Walk,
        {"noise": lambda self, x, t_from, t_to, *, generator=None: x + torch.randn(x.shape)},
        "Mine.noise: expected draws by `generator` alone",
    ),
    "says another start": (
        Walk,
        {"initial_law": lambda self, x: sv.GaussianTransition(torch.zeros_like(x), 0.1)},
        "Mine.initial_law: expected the law of what initial",
    ),
    "says no Gaussian start": (
        Walk,
        {"initial_law": lambda self, x: sv.CategoricalTransition(torch.zeros(len(x), 1, 2))},
        "Mine.initial_law: expected a Gaussian law, got a CategoricalTransition",
    ),
    "decodes one": (Walk, {"decode": lambda self, x: ["one"]}, "Mine.decode: expected a list of 4 objects"),
    "cache of another": (
        Cached,
        {"joined": lambda self, x, c: x[:, :2] - c["held"]},
        "with previous= the law that",
    ),
    "cache changed": (Cached, {"joined": adding}, "(cache|previous=)"),
    "cache without rows": (Cached, {"kept": lambda self, x: x[:1, 2:]}, "cache"),
}


class AlongOther(CausalToy):
    def along(self, trajectory):
        return [self.forward(trajectory[:, 0], torch.zeros(len(trajectory), dtype=torch.long))] * self.num_steps


@pytest.mark.parametrize(
    ("finished", "words"),
    [
        (lambda self, x: x[:, 0], "finished: expected bools of shape"),
        (lambda self, x: torch.arange(len(x)) > 1, "step to themselves with log-probability 0"),
        (lambda self, x: x[:, 0] > 0.3, "finished: expected"),
    ],
)
def test_finished_states_that_move_are_named(finished, words):
    with pytest.raises(ValueError, match=f"Mine.*{words}"):
        check_reference(changed(Walk, finished=finished)(), num_draws=200)


def test_an_along_that_says_other_than_forward_is_named():
    with pytest.raises(ValueError, match="AlongOther.along: expected at t = 1 the law that forward predicts"):
        check_reference(AlongOther(cached=False), num_draws=200)


@pytest.mark.parametrize("name", BROKEN)
def test_a_reference_that_is_wrong_in_one_way_is_named(name):
    kind, methods, words = BROKEN[name]
    with pytest.raises(ValueError, match=f"check_reference: Mine\n(.*\n)*.*{words}"):
        check_reference(changed(kind, **methods)(), num_draws=200)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Moved, "Moved: expected the condition 'prompt' to stay, got another at t = 1; no step may change it"),
        (Lost, "Lost.initial: expected a leaf of the state that holds the condition, got none"),
    ],
)
def test_a_condition_that_does_not_stay_is_named(kind, words):
    with pytest.raises(ValueError, match=words):
        check_reference(kind(), condition=torch.arange(4.0)[:, None] + 1, num_draws=200)


class Spoken(Prompted):
    """Starts from a dict of words, which its states hold as their lengths."""

    def initial(self, batch_size, *, condition=None, generator=None):
        lengths = torch.tensor([[float(len(word))] for word in condition["words"]]) if condition else None
        return super().initial(batch_size, condition=lengths, generator=generator)


def test_a_dict_of_words_is_a_condition_of_as_many_rows():
    check_reference(Spoken(), condition={"words": ["a", "cat", "", "dog"]}, num_draws=200)
    with pytest.raises(ValueError, match="condition: expected 4 rows, got 2"):
        check_reference(Spoken(), condition={"words": ["a", "cat"]}, num_draws=200)


def test_states_on_another_device_than_the_weights_are_named():
    class Elsewhere(Walk):
        def initial(self, batch_size, *, condition=None, generator=None):
            return torch.randn(batch_size, 2, generator=generator).cpu()

    with (
        tracked() as device,
        pytest.raises(ValueError, match="Elsewhere.initial: expected states on meta"),
    ):
        check_reference(Elsewhere().to(device))
