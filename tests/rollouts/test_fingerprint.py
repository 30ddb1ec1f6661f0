"""Fingerprints tell apart what differs, and nothing else."""

import pytest
import torch
from rollout_toys import Walk
from tensordict import TensorDict
from torch import nn

from svlearn.fingerprint import fingerprint, fingerprint_of_states


class Holder(nn.Module):
    def __init__(self, num_steps=1, **tensors):
        super().__init__()
        self.num_steps = num_steps
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)


def test_the_same_contents_have_the_same_fingerprint():
    assert fingerprint(Walk()) == fingerprint(Walk())
    assert len(fingerprint(Walk())) == 64
    one, two = torch.ones(2), torch.zeros(3, dtype=torch.bfloat16)
    assert fingerprint(Holder(a=one, b=two)) == fingerprint(Holder(b=two, a=one))
    strided = torch.arange(6).view(2, 3).T
    assert fingerprint(Holder(a=strided)) == fingerprint(Holder(a=strided.contiguous()))


@pytest.mark.parametrize(
    "other",
    [
        Holder(a=torch.tensor([1.0, 2.0, 3.0, 5.0])),
        Holder(a=torch.tensor([1.0, 2.0, 3.0, 4.0]).view(2, 2)),
        Holder(a=torch.tensor([1.0, 2.0, 3.0, 4.0]).view(torch.int32)),
        Holder(b=torch.tensor([1.0, 2.0, 3.0, 4.0])),
        Holder(a=torch.tensor([1.0, 2.0, 3.0, 4.0]), b=torch.zeros(0)),
        Holder(a=torch.tensor([1.0, 2.0, 3.0, 4.0]), num_steps=2),
        type("Another", (Holder,), {})(a=torch.tensor([1.0, 2.0, 3.0, 4.0])),
    ],
    ids=["bytes", "shape", "dtype", "name", "more", "num_steps", "class"],
)
def test_a_difference_shows(other):
    assert fingerprint(other) != fingerprint(Holder(a=torch.tensor([1.0, 2.0, 3.0, 4.0])))


def test_a_module_without_steps_or_with_an_extra_state_has_one():
    class Extra(nn.Module):
        def __init__(self, extra):
            super().__init__()
            self.extra = extra

        def get_extra_state(self):
            return self.extra

    assert fingerprint(nn.Identity()) != fingerprint(nn.ReLU())
    assert fingerprint(Extra({"a": 1})) == fingerprint(Extra({"a": 1})) != fingerprint(Extra({"a": 2}))


def test_states_are_told_apart_by_fields_and_values():
    x = torch.arange(4)
    fields = TensorDict({"a": x, "inner": {"b": x}}, batch_size=[4])
    renamed = TensorDict({"a": x, "inner": {"c": x}}, batch_size=[4])
    assert fingerprint_of_states(fields) == fingerprint_of_states(fields.clone())
    assert fingerprint_of_states(fields) != fingerprint_of_states(renamed)
    assert fingerprint_of_states(x) == fingerprint_of_states(x.clone()) != fingerprint_of_states(x.flip(0))
