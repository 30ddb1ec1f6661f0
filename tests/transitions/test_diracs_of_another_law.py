"""A law that is another's where that has no noise."""

import torch
from tensordict import TensorDict

from svlearn.transitions import CategoricalTransition, FieldTransition, GaussianTransition

OTHER = GaussianTransition(torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), torch.tensor([[0.5], [0.0], [2.0]]))
MEAN = torch.tensor([[-1.0, -2.0], [-3.0, -4.0], [-5.0, -6.0]])


def test_rows_without_noise_are_the_others():
    law = GaussianTransition(MEAN, torch.tensor([[0.5], [0.0], [2.0]])).with_diracs_of(OTHER)
    assert law.mean.tolist() == [[-1, -2], [3, 4], [-5, -6]]
    assert law.std.tolist() == [[0.5], [0.0], [2.0]]
    x = law.sample(generator=torch.Generator().manual_seed(0))
    ratio = law.log_ratio(OTHER, x)
    assert ratio[1] == 0 and ratio.isfinite().all()
    assert law[torch.tensor([1])].log_prob(torch.tensor([[3.0, 4.0]])).tolist() == [0.0]


def test_element_by_element_and_whatever_the_own_noise_is():
    other = GaussianTransition(torch.full((2, 2), 7.0), torch.tensor([0.0, 1.0])[None])
    law = GaussianTransition(torch.zeros(2, 2), torch.tensor([[3.0], [4.0]])).with_diracs_of(other)
    assert law.mean.tolist() == [[7, 0], [7, 0]]
    assert law.std.tolist() == [[0, 3], [0, 4]]


def test_nothing_flows_back_to_what_is_not_the_laws_own():
    mean = MEAN.clone().requires_grad_()
    law = GaussianTransition(mean, OTHER.std).with_diracs_of(OTHER)
    law.mean.sum().backward()
    assert mean.grad.tolist() == [[1, 1], [0, 0], [1, 1]]


def test_a_law_stays_as_it_is_where_nothing_is_to_be_taken():
    law = GaussianTransition(MEAN, 1.0)
    assert law.with_diracs_of(GaussianTransition(MEAN, 0.5)) is law
    tokens = CategoricalTransition(torch.zeros(3, 1, 2))
    assert law.with_diracs_of(tokens) is law and tokens.with_diracs_of(OTHER) is tokens
    fields = FieldTransition({"x": law})
    assert fields.with_diracs_of(FieldTransition({"x": GaussianTransition(MEAN, 0.5)})) is fields
    assert fields.with_diracs_of(OTHER) is fields


def test_leaf_by_leaf():
    x = TensorDict({"x": MEAN, "y": MEAN, "prompt": torch.arange(3)}, batch_size=[3])
    own = FieldTransition({"x": GaussianTransition(MEAN, 1.0), "y": GaussianTransition(MEAN, 1.0)}, x)
    other = FieldTransition({"x": OTHER, "y": GaussianTransition(2 * MEAN, 1.0)}, x)
    law = own.with_diracs_of(other)
    assert law.laws["x"].mean.tolist() == [[-1, -2], [3, 4], [-5, -6]]
    assert law.laws["y"] is own.laws["y"]
    assert law.sample(generator=torch.Generator().manual_seed(0))["prompt"].tolist() == [0, 1, 2]
