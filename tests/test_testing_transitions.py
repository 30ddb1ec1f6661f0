"""What is wrong in one way with a transition is named by the extension kit."""

import pytest
import torch
from kit_toys import changed, normal

from svlearn.testing import check_transition
from svlearn.transitions import GaussianTransition, Transition


class Law(Transition):
    """Sound: N(mean, std²) of rows (B, d)."""

    def __init__(self, mean, std):
        self.mean, self.std = mean, std

    def noise(self, generator):
        return torch.randn(self.mean.shape, generator=generator, dtype=self.mean.dtype)

    def sample(self, *, generator=None):
        return self.mean + self.std * self.noise(generator)

    def log_prob(self, x_next):
        return torch.distributions.Normal(self.mean, self.std).log_prob(x_next).sum(dim=1)

    def __getitem__(self, index):
        return type(self)(self.mean[index], self.std[index])

    @classmethod
    def cat(cls, parts):
        return cls(torch.cat([part.mean for part in parts]), torch.cat([part.std for part in parts]))


class Few(Law):
    """Sound: 0, 1 or 2, by logits."""

    def sample(self, *, generator=None):
        return torch.multinomial(self.drawn_by(), 1, generator=generator)

    def drawn_by(self):
        return self.mean.softmax(dim=1)

    def log_prob(self, x_next):
        return self.mean.log_softmax(dim=1).gather(1, x_next).squeeze(1)

    def outcomes(self, limit):
        if limit < 3:
            raise ValueError("outcomes: 3 next states")
        states = torch.arange(3).expand(len(self.mean), 3)[:, :, None]
        return states, self.mean.log_softmax(dim=1)


def wide(self, *, generator=None):
    return self.mean + 1.2 * self.std * self.noise(generator)


def turned(self, limit):
    states, log_probs = Few.outcomes(self, limit)
    return states.flip(1), log_probs


def of_the_global(self, generator):
    return torch.randn(self.mean.shape).double()


LAWS = {
    "global noise": (
        Law,
        {"noise": of_the_global},
        "sample: .*`generator` alone",
    ),
    "log_prob of elements": (
        Law,
        {"log_prob": lambda self, x: -((x - self.mean) ** 2)},
        r"log_prob: .*\(B,\) = \(3,\)",
    ),
    "log_prob nan": (Law, {"log_prob": lambda self, x: x.sum(dim=1) * torch.nan}, "log_prob: expected numbers or -inf"),
    "log_prob impossible": (Law, {"log_prob": lambda self, x: x.sum(dim=1) - torch.inf}, "of what the law itself drew"),
    "rows forgotten": (Law, {"__getitem__": lambda self, i: self}, r"\[rows\]: expected the law of the chosen rows"),
    "rows of the mean": (Law, {"__getitem__": lambda self, i: type(self)(self.mean[i], self.std[:1])}, r"\[rows\]"),
    "no cat": (Law, {"cat": property(lambda self: None)}, "cat"),
    "cat turned": (
        Law,
        {"cat": classmethod(lambda cls, parts: Law.cat.__func__(cls, parts[::-1]))},
        "cat: expected the laws of all parts, one after the other",
    ),
    "sample_each apart": (
        Law,
        {"sample": Law.sample, "sample_each": lambda self, parents, *, generator=None: self[parents].mean},
        r"sample_each: expected self\[parents\].sample",
    ),
    "ratio": (
        Law,
        {"log_ratio": lambda self, other, x: self.log_prob(x)},
        "log_ratio: expected 0 of a law",
    ),
    "too wide": (Law, {"sample": wide}, "draws of the density that log_prob has"),
    "shifted": (
        Law,
        {"sample": lambda self, *, generator=None: Law.sample(self, generator=generator) + 0.3},
        "density",
    ),
    "frequencies": (Few, {"drawn_by": lambda self: (0.6 * self.mean).softmax(dim=1)}, "as often as log_prob says"),
    "sum": (Few, {"outcomes": lambda self, n: (Few.outcomes(self, n)[0], self.mean)}, "outcomes: .*sum to 1"),
    "unlimited": (Few, {"outcomes": lambda self, n: Few.outcomes(self, 9)}, "outcomes: expected a ValueError where"),
    "other list": (Few, {"outcomes": turned}, "log_prob: expected the log-probabilities that `outcomes` lists"),
}


@pytest.mark.parametrize("name", LAWS)
def test_a_law_that_is_wrong_in_one_way_is_named(name):
    kind, methods, words = LAWS[name]
    parts = (normal(3, 3), 0.5 + normal(3, 3, seed=1).abs())
    check_transition(kind(*parts))
    with pytest.raises(ValueError, match=f"check_transition: Mine\n- Mine.*{words}"):
        check_transition(changed(kind, **methods)(*parts))


def test_a_density_that_is_not_normalised_is_named():
    def short(self, x_next):
        return Law.log_prob(self, x_next) + 0.1

    parts = (normal(3, 1), 0.5 + normal(3, 1, seed=1).abs())
    check_transition(Law(*parts))
    with pytest.raises(ValueError, match="log_prob: expected a density whose integral is 1, got 1.105"):
        check_transition(changed(Law, log_prob=short)(*parts))


def test_a_tilt_by_nothing_that_moves_is_named():
    class Mine(GaussianTransition):
        def tilt(self, gradient):
            return GaussianTransition(self.mean + 0.1, self.std)

    with pytest.raises(ValueError, match="tilt: expected the law itself by a gradient of 0"):
        check_transition(Mine(normal(3, 2), 0.5), normal(3, 2))
