"""Small processes whose laws are known, for the tests of rollouts."""

import json

import torch
from tensordict import TensorDict

from svlearn import CategoricalTransition, GaussianTransition, Prediction, Reference, Target, Transition

DECAY = 0.8


class Walk(Reference):
    """x_0 ~ N(0, 1), x_{t+1} ~ N(x_t, step²), float64 (B, width); its noise keeps N(0, 1) invariant (an OU chain)."""

    def __init__(self, num_steps: int = 4, width: int = 3, step: float = 0.5):
        super().__init__()
        self.num_steps, self.width = num_steps, width
        self.register_buffer("step", torch.tensor(step, dtype=torch.float64))

    def initial(self, batch_size, *, condition=None, generator=None):
        start = torch.randn(batch_size, self.width, generator=generator, dtype=torch.float64)
        return start if condition is None else condition + start

    def forward(self, x, t, previous=None):
        return Prediction(transition=GaussianTransition(x, self.step))

    def noise(self, x, t_from, t_to, *, generator=None):
        decay = DECAY ** (t_from - t_to).double()[:, None]
        return decay * x + (1 - decay**2).sqrt() * torch.randn(x.shape, generator=generator, dtype=x.dtype)


class WordAndPlace(Transition):
    """Tokens and a point that move on independently of each other."""

    def __init__(self, words, place):
        self.words, self.place = words, place

    def sample(self, *, generator=None):
        words, place = self.words.sample(generator=generator), self.place.sample(generator=generator)
        return TensorDict({"words": words, "inner": {"place": place}}, batch_size=[len(words)])

    def log_prob(self, x_next):
        return self.words.log_prob(x_next["words"]) + self.place.log_prob(x_next["inner", "place"])

    def __getitem__(self, index):
        return WordAndPlace(self.words[index], self.place[index])

    @classmethod
    def cat(cls, parts):
        words, places = [part.words for part in parts], [part.place for part in parts]
        return cls(CategoricalTransition.cat(words), GaussianTransition.cat(places))


class Mixed(Reference):
    """TensorDict states: "words" (B, 5) long and, nested, "inner"/"place" (B, 2) float32."""

    num_steps = 3

    def initial(self, batch_size, *, condition=None, generator=None):
        return self._law(torch.zeros(batch_size, 2)).sample(generator=generator)

    def forward(self, x, t, previous=None):
        return Prediction(transition=self._law(x["inner", "place"]))

    def noise(self, x, t_from, t_to, *, generator=None):
        return self._law(x["inner", "place"]).sample(generator=generator)

    @staticmethod
    def _law(place):
        return WordAndPlace(CategoricalTransition(torch.zeros(len(place), 5, 4)), GaussianTransition(place, 1.0))


def total(x):
    """A reward of walks: the sum of the coordinates, -inf where the first one is negative."""
    return torch.where(x[:, 0] < 0, -torch.inf, x.sum(dim=1))


def files_of(path):
    """Every file of data of a store, byte for byte."""
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*.memmap"))}


def rewrite(path, **changes):
    """Change entries of the manifest of a store."""
    file = path / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


TARGET = Target(total, alpha=1.0)
