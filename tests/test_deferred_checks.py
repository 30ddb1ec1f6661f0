"""Checks that wait: what is raised at the end is what would have been raised first, with its step."""

import math

import pytest
import torch
from torch import nn
from tracked_device import synchronisations, tracked

import svlearn as sv
from svlearn.deferred_checks import check_finite, deferring, is_deferring
from svlearn.randomness import categorical, seeded
from svlearn.targets import NonFiniteError, check_no_nan, check_scalars

CPU = torch.device("cpu")


def waiting(*checks):
    """All of them asked, to be answered at the end."""
    with deferring("end", CPU):
        for check in checks:
            check()


def fails():
    raise IndexError("index out of range")


def test_the_first_that_failed_is_raised_at_the_end():
    done = []
    with pytest.raises(NonFiniteError, match="v: expected a finite number at step 3, got nan at index 1"):
        waiting(
            lambda: check_scalars(torch.tensor([0.0, -math.inf]), 2, "r", 2),  # legal of a reward
            lambda: check_scalars(torch.tensor([0.0, math.nan]), 2, "v", 3, finite=True),
            lambda: check_no_nan(torch.tensor([[math.nan]]), 4),
            lambda: done.append(is_deferring()),
        )
    assert done == [True] and not is_deferring()


def test_what_is_right_passes_and_nothing_is_read_before_the_end():
    calls = []
    with deferring("end", CPU):
        check_finite(torch.tensor(math.inf), lambda: calls.append("inf"))
        check_finite(torch.tensor(1.0), lambda: calls.append("one"))
        assert calls == []
    assert calls == ["inf"]


def test_an_error_that_a_bad_number_led_to_gives_way_to_it():
    with pytest.raises(NonFiniteError, match="at step 1"):
        waiting(lambda: check_scalars(torch.tensor([math.nan]), 1, "v", 1), fails)
    with pytest.raises(IndexError):
        waiting(lambda: check_scalars(torch.tensor([1.0]), 1, "v", 1), fails)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, IndexError])
def test_whatever_ends_a_run_later_checks_wait_no_more(kind):
    def leaves():
        raise kind

    with pytest.raises(kind):
        waiting(leaves)
    assert not is_deferring()
    with pytest.raises(NonFiniteError):
        check_scalars(torch.tensor([math.nan]), 1, "v", 1)


def test_who_writes_to_the_numbers_later_hides_nothing():
    values = torch.tensor([math.nan, 1.0])
    with pytest.raises(NonFiniteError, match="got nan at index 0"):
        waiting(lambda: check_scalars(values, 2, "v", 1), values.zero_)


def test_shapes_are_looked_at_at_once():
    with deferring("end", CPU), pytest.raises(ValueError, match=r"v: expected shape \(2,\)"):
        check_scalars(torch.zeros(3), 2, "v", 1)


@pytest.mark.parametrize(
    ("check", "device", "waits"),
    [("every", "cpu", 0), ("end", "cpu", 1), (None, "cpu", 0), (None, "cuda", 1), ("every", "cuda", 0)],
)
def test_who_waits(check, device, waits):
    with deferring(check, torch.device(device)):
        assert is_deferring() == waits
    with deferring("end", CPU), deferring(check, torch.device(device)):
        assert is_deferring()  # the outer one decides


def test_an_unknown_moment_is_refused():
    words = "check: expected one of every, end, got 'never'"
    with pytest.raises(ValueError, match=words), deferring("never", CPU):
        pass
    with pytest.raises(ValueError, match=words):
        sv.ancestral(Late()).sample(2, check="never")


class Late(sv.Reference):
    """Four steps of a walk."""

    num_steps = 4

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.randn(batch_size, 2, generator=generator)

    def forward(self, x, t, previous=None):
        return sv.Prediction(sv.GaussianTransition(x, 0.5), clean=x)


class Breaks(nn.Module):
    """Of row 1 no number at t = 2 and 3."""

    def forward(self, x, t):
        return torch.where((t >= 2) & (torch.arange(len(x)) == 1), math.nan, x[:, 0])


TARGET, VALUE = sv.Target(lambda x: x.sum(dim=1), 1.0), sv.values.Learned(Breaks())
MADE = {
    "svdd": sv.svdd(Late(), TARGET, VALUE, 3),
    "smc": sv.smc(Late(), TARGET, VALUE, 4),
    "smc, sorted": sv.smc(Late(), TARGET, VALUE, 4, 1.0, by_value=True),
    "beam search": sv.beam_search(Late(), TARGET, VALUE, 2, 2),
    "tree search": sv.tree_search(Late(), TARGET, VALUE, 4),
}


@pytest.mark.parametrize("name", MADE)
def test_a_sampler_says_the_same_at_the_end_as_at_once(name):
    words = []
    for check in ("every", "end", None):
        with pytest.raises(NonFiniteError, match=r"Learned: expected a finite number at step 2, got nan") as caught:
            MADE[name].sample(2, generator=seeded("cpu", 0), check=check)
        words.append(str(caught.value))
    assert words[0] == words[1] == words[2]


def test_samples_do_not_depend_on_when_they_are_checked():
    value = sv.values.PosteriorMean(TARGET)
    drawn = [sv.smc(Late(), TARGET, value, 4).sample(3, generator=seeded("cpu", 0), check=c) for c in ("every", "end")]
    assert torch.equal(drawn[0].states, drawn[1].states)
    assert torch.equal(drawn[0].log_normalizer, drawn[1].log_normalizer)


def test_a_std_below_zero_is_refused_at_the_end():
    with tracked() as device:
        mean, std = torch.zeros(2, 1, device=device), torch.tensor([[1.0], [-0.5]], device=device)
        with pytest.raises(ValueError, match="std: expected numbers of at least 0, got -0.5"):
            waiting(lambda: sv.GaussianTransition(mean, std))
        with synchronisations() as counts, deferring("end", device):
            sv.GaussianTransition(mean, std.abs())
            sv.GaussianTransition(mean, std.abs()[0, 0])
            assert counts.reads == 0


def test_probabilities_wait_too():
    with pytest.raises(ValueError, match="probs: expected finite numbers"), deferring("end", CPU):
        categorical(torch.tensor([[0.5, math.nan]]))
