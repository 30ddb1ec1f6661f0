"""Rows of conditions: what is one, what is refused, how a training draws them, which are the same, and their names."""

import numpy as np
import pytest
import torch
from tensordict import TensorDict
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from svlearn.conditions import Conditions, as_rows, distinct, draw_rows, labels, rows_for
from svlearn.process import Prediction, Reference
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.state import number_of_rows, repeat, take
from svlearn.testing import check
from svlearn.transitions import GaussianTransition


class Prompts(Dataset):
    def __len__(self):
        return 3

    def __getitem__(self, place):
        return {"prompt": f"a {'cdf'[place]}", "size": place + 1}


FORMS = {
    "tensor": torch.tensor([[1.0], [2.0], [3.0]]),
    "tensordict": TensorDict({"a": torch.arange(3)}, batch_size=[3]),
    "strings": ["x", "y", "z"],
    "dict": {"prompt": ["x", "y", "z"], "size": torch.tensor([1, 2, 3])},
    "dataset": Prompts(),
    "tensor dataset": TensorDataset(torch.tensor([5, 6, 7])),
    "array": np.array([1.5, 2.5, 3.5]),
    "array of strings": np.array(["x", "y", "z"]),
    "callable": lambda number, generator: torch.rand(number, generator=generator),
}


def listed(rows):
    """Rows as plain lists."""
    if isinstance(rows, (dict, TensorDict)):
        return {name: listed(part) for name, part in rows.items()}
    return rows.tolist() if isinstance(rows, torch.Tensor) else rows


@pytest.mark.parametrize("form", FORMS)
def test_a_training_draws_rows_of_every_form(form):
    source = Conditions(FORMS[form])
    drawn = source.draw(200, seeded("cpu", 0))
    assert number_of_rows(drawn) == 200
    assert listed(drawn) == listed(source.draw(200, seeded("cpu", 0)))  # a function of the generator
    assert listed(drawn) != listed(source.draw(200, seeded("cpu", 1)))
    if form != "callable":
        assert len(distinct(drawn)[0]) == 3
        counts = torch.bincount(distinct(drawn)[1])
        assert bool(((counts - 200 / 3).abs() < 4 * (200 * 2 / 9) ** 0.5).all())  # uniformly


def test_rows_keep_their_form():
    for form in ("tensor", "tensordict"):
        assert as_rows(FORMS[form]) is FORMS[form]
    assert as_rows(("x", "y")) == ["x", "y"]
    assert as_rows(FORMS["array of strings"]) == ["x", "y", "z"]
    assert torch.equal(as_rows(FORMS["array"]), torch.tensor([1.5, 2.5, 3.5]).double())
    assert torch.equal(as_rows(FORMS["tensor dataset"]), torch.tensor([5, 6, 7]))
    collated = as_rows(Prompts())
    assert collated["prompt"] == ["a c", "a d", "a f"] and collated["size"].tolist() == [1, 2, 3]


def test_a_dataset_is_read_only_where_it_is_drawn():
    read = []

    class Huge(Prompts):
        def __len__(self):
            return 10**9

        def __getitem__(self, place):
            read.append(place)
            return place

    assert Conditions(Huge()).draw(4, seeded("cpu", 0)).tolist() == read and len(read) == 4


def test_a_dict_of_rows_follows_the_particles():
    rows = repeat(FORMS["dict"], 2)
    assert rows["prompt"] == ["x", "x", "y", "y", "z", "z"] and rows["size"].tolist() == [1, 1, 2, 2, 3, 3]
    assert take(rows, torch.tensor([5, 0]))["prompt"] == ["z", "x"]


def test_none_draws_nothing():
    generator = seeded("cpu", 0)
    before = generator.get_state()
    assert Conditions.of(None) is None and draw_rows(None, 5, generator) is None
    assert torch.equal(generator.get_state(), before)
    source = Conditions(["x"])
    assert Conditions.of(source) is source


class Endless(IterableDataset):
    def __iter__(self):
        yield 1


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [
        ("a prompt", TypeError, r"conditions: expected rows, got one str; give a list of it"),
        (torch.tensor(3), ValueError, r"conditions: expected rows, shape \(N, ...\), got shape \(\)"),
        ([], ValueError, "conditions: expected at least one row, got none"),
        ({}, ValueError, "conditions: expected at least one row, got none"),
        (torch.zeros(0, 2), ValueError, "conditions: expected at least one row, got none"),
        (TensorDataset(torch.zeros(0)), ValueError, "conditions: expected at least one row, got none"),
        ({"a": [1, 2], "b": torch.zeros(3)}, ValueError, r"one number of rows, got \{'a': 2, 'b': 3\}"),
        (3, TypeError, "conditions: expected a tensor, a TensorDict, a dict of rows, a list or a Dataset, got int"),
        (Endless(), TypeError, "conditions: expected a tensor, .* got Endless"),
    ],
)
def test_what_holds_no_rows_is_refused(source, error, words):
    with pytest.raises(error, match=words):
        Conditions(source)


def test_what_a_callable_returns_is_looked_at():
    with pytest.raises(ValueError, match="conditions: expected 4 rows of the callable, got 5"):
        Conditions(lambda number, generator: [0] * (number + 1)).draw(4, seeded("cpu", 0))
    with pytest.raises(TypeError, match=r"conditions\(number, generator\): expected a tensor, .* got NoneType"):
        Conditions(lambda number, generator: None).draw(4, seeded("cpu", 0))
    with pytest.raises(TypeError, match="expected a Dataset of tensors, numbers, strings or dicts, got .* tuple of 2"):
        Conditions(TensorDataset(torch.zeros(3), torch.zeros(3))).draw(2, seeded("cpu", 0))


def test_one_row_for_each():
    assert rows_for(None, 3, "a group") is None
    assert rows_for(FORMS["strings"], 3, "a group") == ["x", "y", "z"]
    with pytest.raises(ValueError, match="condition: expected 4 rows, one a group, got 3"):
        rows_for(FORMS["dict"], 4, "a group")
    with pytest.raises(TypeError, match="condition: expected a tensor, .* got function"):
        rows_for(FORMS["callable"], 4, "a group")


@pytest.mark.parametrize(
    "rows",
    [
        torch.tensor([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0], [1.0, 5.0]]),
        torch.tensor([7, 2, 7, 3]),
        ["b", "a", "b", "c"],
        [torch.tensor([1, 2]), torch.tensor([1]), torch.tensor([1, 2]), torch.tensor([3])],
        {"a": ["x", "y", "x", "x"], "b": torch.tensor([1, 1, 1, 2])},
        TensorDict({"a": torch.tensor([1, 2, 1, 1]), "n": {"b": torch.tensor([[0], [0], [0], [1]])}}, batch_size=[4]),
        [{"a": 1}, {"a": 2}, {"a": 1}, {"b": 1}],
    ],
)
def test_which_rows_are_the_same(rows):
    firsts, which = distinct(rows)
    assert firsts.tolist() == [0, 1, 3] and which.tolist() == [0, 1, 0, 2]


def test_every_row_has_a_name_of_its_own():
    assert labels(["a  cat", "all", "a cat"]) == ["a cat", "all (row 1)", "a cat (row 2)"]
    assert labels(torch.tensor([3, 1])) == ["3", "1"] and labels(torch.tensor([[0.5], [0.25]])) == ["0.5", "0.25"]
    assert labels(torch.zeros(2, 3)) == ["row 0", "row 1"]
    assert labels({"prompt": ["cat", "dog"], "size": torch.tensor([1, 2])}) == [
        "prompt cat, size 1",
        "prompt dog, size 2",
    ]
    assert len(labels(["x" * 100])[0]) == 60


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["cat", "dog"], "given condition= a list of 2 str"),
        (torch.zeros(2, 3), r"given condition= a Tensor (2, 3) of torch.float32 on cpu"),
        (
            {"prompt": ["x", "y"], "size": torch.zeros(2)},
            "a dict of prompt: a list of 2 str, size: a Tensor (2,) of torch.float32 on cpu",
        ),
    ],
)
def test_what_initial_refuses_is_told_with_the_form_of_the_rows(rows, words):
    class Unconditional(Reference):
        num_steps = 1

        def initial(self, batch_size, *, generator=None):
            return torch.zeros(batch_size, 1)

        def forward(self, x, t, previous=None):
            return Prediction(GaussianTransition(x, 1.0))

    with pytest.raises(TypeError, match="unexpected keyword argument 'condition'") as raised:
        roll_out(Unconditional(), 2, condition=rows, generator=seeded("cpu", 0))
    (note,) = raised.value.__notes__
    assert note.startswith("in Unconditional.initial, given condition= ") and words in note


def test_a_dry_run_takes_two_rows():
    class Named(Reference):
        num_steps = 1

        def initial(self, batch_size, *, condition=None, generator=None):
            return torch.tensor([[float(len(name))] for name in condition])

        def forward(self, x, t, previous=None):
            return Prediction(GaussianTransition(x, 1.0))

    assert check(Named(), condition=("cat", "horse")) == []
    with pytest.raises(ValueError, match="condition: expected 2 rows, one a sample, got 3"):
        check(Named(), condition=["cat", "horse", "dog"])
