"""Processes that differ are told apart, and are asked with what they are: schedules, letters, times, modes."""

import pytest
import torch
from sequence_toys import ABC, LENGTH, TableDenoiser, TimedDenoiser, toy

from svlearn.domains.sequences.alphabet import Alphabet
from svlearn.domains.sequences.in_order import InOrder
from svlearn.domains.sequences.landscape import Landscape
from svlearn.domains.sequences.masked_diffusion import MaskedDiffusion
from svlearn.domains.sequences.remasking import RemaskingDiffusion
from svlearn.fingerprint import fingerprint
from svlearn.rollouts import collect_by_noising
from svlearn.rollouts.roll_out import roll_back


def test_schedules_and_alphabets_are_part_of_the_fingerprint():
    network = TableDenoiser()
    one = MaskedDiffusion(network, ABC, LENGTH, LENGTH, "one_place")
    assert fingerprint(one) != fingerprint(one.with_steps(LENGTH, "log_linear"))
    assert fingerprint(one) == fingerprint(one.with_steps(LENGTH, "one_place"))
    assert fingerprint(one) != fingerprint(MaskedDiffusion(network, Alphabet("abd"), LENGTH, LENGTH, "one_place"))


@pytest.mark.parametrize(
    ("schedule", "num_steps", "moments"),
    [
        ("log_linear", 4, [0, 1 / 4, 1 / 2, 3 / 4]),
        ("one_place", 6, [0, 1 / 4, 1 / 2, 3 / 4, 1, 1]),
        ("cosine", 2, [0, 1 - 0.5**0.5]),
    ],
)
def test_a_network_is_told_the_share_that_is_unmasked(schedule, num_steps, moments):
    calls = []

    class Listening(TimedDenoiser):
        def forward(self, x, moments):
            calls.append(float(moments[0]))
            return super().forward(x, moments)

    reference = MaskedDiffusion(Listening(), ABC, LENGTH, num_steps, schedule)
    for t in range(num_steps):
        reference(reference.initial(1), torch.tensor([t]))
    assert calls == pytest.approx(moments)


def test_an_order_is_of_one_place_a_step_whatever_the_reference_was():
    one, other = (InOrder(toy("log_linear", steps), [2, 0, 1, 3]) for steps in (2, 16))
    assert fingerprint(one) == fingerprint(other) and one.num_steps == LENGTH
    x = one.initial(2)
    assert torch.equal(
        one(x, torch.tensor([3, 3])).transition.log_probs, other(x, torch.tensor([3, 3])).transition.log_probs
    )
    with pytest.raises(TypeError, match="got RemaskingDiffusion"):
        InOrder(RemaskingDiffusion(toy("log_linear", 4)), [0, 1, 2, 3])


def test_a_users_layers_named_hidden_and_head_are_its_own():
    class Own(TableDenoiser):
        def __init__(self):
            super().__init__()
            self.hidden = self.head = torch.nn.Linear(2, 2)

    reference = MaskedDiffusion(Own(), ABC, LENGTH)
    assert reference(reference.initial(2), torch.zeros(2, dtype=torch.long)).features is None


def test_a_landscape_is_of_the_network_in_evaluation_mode():
    class Dropping(TableDenoiser):
        def forward(self, x, moments):
            return torch.nn.functional.dropout(super().forward(x, moments), 0.5, self.training)

    reference = MaskedDiffusion(Dropping(), ABC, LENGTH, LENGTH, "one_place").train()
    one, other = (Landscape(reference, lambda x: (x == 0).sum(dim=1).double()) for _ in range(2))
    assert one.log_normalizer(0.5) == other.log_normalizer(0.5) and reference.training


def test_trajectories_that_are_noised_keep_what_their_start_gave():
    reference = toy()
    start = reference.initial(2, condition=["_c__", "a__b"])
    ends = torch.where(start == ABC.mask, 0, start)
    states = roll_back(reference, ends, start=start)["states"]
    assert torch.equal(states[:, 0], start)
    assert (roll_back(reference, ends)["states"][:, 0] == ABC.mask).all()


def test_a_step_that_may_mask_again_is_not_relaxed():
    reference = RemaskingDiffusion(toy("log_linear", 4), 0.2)
    law = reference(reference.initial(2), torch.tensor([1, 1])).transition
    with pytest.raises(TypeError):
        law[torch.tensor([0])].rsample_relaxed(law.expansion_point(reference.initial(1)), 1.0)


def test_so_do_those_that_are_kept_on_disk_which_are_those_of_their_start(tmp_path):
    reference = toy()
    start = reference.initial(4, condition=["_c__", "a__b"] * 2)
    ends = torch.where(start == ABC.mask, 0, start)
    options = dict(batch_size=3, progress=False)
    kept = collect_by_noising(reference, ends, tmp_path / "kept", start=start, **options)
    assert torch.equal(kept[torch.arange(4)]["states"][:, 0], start)
    with pytest.raises(ValueError, match="finished_states"):
        collect_by_noising(reference, ends, tmp_path / "kept", **options)
    with pytest.raises(ValueError, match="start: expected 4 states, one for each that ends, got 3"):
        collect_by_noising(reference, ends, tmp_path / "other", start=start[:3], **options)
