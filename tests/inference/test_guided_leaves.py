"""Guidance of states with leaves: tokens beside floats are guided, and what no step moves neither guides nor counts."""

import pytest
import torch
from tensordict import TensorDict

import svlearn as sv
from svlearn.process import Prediction, Reference
from svlearn.randomness import seeded
from svlearn.transitions import CategoricalTransition, FieldTransition, GaussianTransition
from svlearn.values import Value

TARGET = sv.Target(lambda x: torch.zeros(len(x)), 1.0)


class Letters(Reference):
    """Two places of three letters, redrawn at each step, beside a class (B, 2), float, that no step moves."""

    num_steps = 2

    def initial(self, batch_size, *, condition=None, generator=None):
        letters, classes = torch.zeros(batch_size, 2, dtype=torch.long), torch.ones(batch_size, 2)
        return TensorDict({"letters": letters, "class": classes}, [batch_size])

    def forward(self, x, t, previous=None):
        letters = x["letters"]
        soft = letters if letters.is_floating_point() else torch.nn.functional.one_hot(letters, 3).float()
        laws = {"letters": CategoricalTransition(torch.zeros(len(x), 2, 3) + 0.1 * soft.detach())}
        return Prediction(
            FieldTransition(laws, x), features=soft.flatten(1).sum(1) * 0 + soft[..., 2].sum(1) + x["class"].sum(1)
        )


class OfFeatures(Value):
    needs_prediction = True
    reads_one_hot = True

    def forward(self, x, t, prediction=None, *, generator=None):
        return prediction.features


def test_letters_beside_a_class_are_guided():
    reference = Letters()
    drawn = {
        name: sampler.sample(200, generator=seeded("cpu", 0)).states["letters"]
        for name, sampler in {
            "plain": sv.ancestral(reference),
            "guided": sv.guidance(reference, TARGET, OfFeatures(), 5.0, at="state"),
        }.items()
    }
    assert (drawn["guided"] == 2).float().mean() > 0.8 > 0.5 > (drawn["plain"] == 2).float().mean()


class Walk(Reference):
    num_steps = 1

    def initial(self, batch_size, *, condition=None, generator=None):
        return TensorDict({"x": torch.zeros(batch_size, 2), "class": torch.ones(batch_size, 2)}, [batch_size])

    def forward(self, x, t, previous=None):
        return Prediction(FieldTransition({"x": GaussianTransition(x["x"], 1.0)}, x))


@pytest.mark.parametrize("weight", [0.0, 100.0])
def test_the_norm_that_is_clipped_is_of_what_moves(weight):
    class Sum(Value):
        def forward(self, x, t, prediction=None, *, generator=None):
            return x["x"].sum(dim=1) + weight * x["class"].sum(dim=1)

    proposal = sv.proposals.Guided(Sum(), clip=1.0, at="state").bind(Walk(), TARGET)
    x = Walk().initial(1)
    moved = proposal.transition(x, 0, proposal.predict(Walk(), x, 0, None))
    assert moved.laws["x"].mean[0].tolist() == pytest.approx([0.5**0.5] * 2)
