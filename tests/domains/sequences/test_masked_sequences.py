"""The masked diffusion of sequences: its steps, its schedules, its forward process, and what it refuses."""

import math

import pytest
import torch
from sequence_toys import ABC, LENGTH, TimedDenoiser, all_states, toy

from svlearn import testing
from svlearn.domains.sequences.alphabet import DNA
from svlearn.domains.sequences.masked_diffusion import MaskedDiffusion
from svlearn.domains.sequences.networks import DilatedCNN, RotaryTransformer
from svlearn.domains.sequences.schedules import unmasked_shares, unmasking_probabilities
from svlearn.inference.samplers import ancestral
from svlearn.process import predict
from svlearn.randomness import seeded

SCHEDULES = [("log_linear", 6), ("cosine", 3), ("one_place", None), ("one_place", 6)]


@pytest.mark.parametrize("schedule", ["log_linear", "cosine", "one_place"])
def test_the_steps_make_up_the_schedule(schedule):
    shares = unmasked_shares(schedule, 7)
    masked = torch.cat([torch.ones(1, dtype=torch.float64), (1 - unmasking_probabilities(shares)).cumprod(0)])
    assert torch.allclose(masked, 1 - shares, atol=1e-15)
    assert shares[0] == 0 and shares[-1] == 1


def test_schedules_have_their_formulas():
    assert torch.allclose(unmasked_shares("log_linear", 4), torch.tensor([0, 0.25, 0.5, 0.75, 1]).double())
    assert unmasked_shares("cosine", 3)[1] == pytest.approx(1 - math.cos(math.pi / 6))
    assert unmasking_probabilities(unmasked_shares("log_linear", 4)).tolist() == pytest.approx([1 / 4, 1 / 3, 1 / 2, 1])


@pytest.mark.parametrize(("schedule", "steps"), SCHEDULES)
def test_a_step_is_a_law(schedule, steps):
    reference = toy(schedule, steps)
    x, nexts = all_states(), all_states()
    for t in range(reference.num_steps):
        law = predict(reference, x, t).transition
        total = sum(law.log_prob(each.expand(len(x), -1)).exp() for each in nexts)
        assert torch.allclose(total, torch.ones_like(total), atol=1e-12)


@pytest.mark.parametrize(("schedule", "steps"), SCHEDULES)
def test_the_kit_finds_nothing(schedule, steps):
    testing.check_reference(toy(schedule, steps))


@pytest.mark.parametrize("network", [DilatedCNN(4, 16, 3, 3), RotaryTransformer(4, 16, 2, 2)])
def test_the_kit_finds_nothing_of_real_networks(network):
    testing.check_reference(MaskedDiffusion(network.eval(), DNA, 9, 5).requires_grad_(False))


@pytest.mark.parametrize(("schedule", "steps"), SCHEDULES)
def test_finished_samples_have_no_mask(schedule, steps):
    x = ancestral(toy(schedule, steps)).sample(50, generator=seeded("cpu", 0)).states[:, 0]
    assert int(x.max()) < ABC.mask
    assert all(len(text) == LENGTH and set(text) <= set("abc") for text in toy().decode(x))


@pytest.mark.parametrize(("schedule", "steps"), [("log_linear", 5), ("cosine", 4), ("one_place", None)])
def test_noise_has_the_marginals_of_the_schedule(schedule, steps):
    reference, number = toy(schedule, steps), 20_000
    finished = torch.zeros(number, LENGTH, dtype=torch.long)
    half = reference.num_steps // 2 + 1
    times = [torch.full((number,), t) for t in (reference.num_steps, half, 1)]
    later = reference.noise(finished, times[0], times[1], generator=seeded("cpu", 1))
    x = reference.noise(later, times[1], times[2], generator=seeded("cpu", 2))
    assert bool((later != ABC.mask)[x != ABC.mask].all())
    for state, t in ((later, half), (x, 1)):
        share = float(reference.shares[t])
        shown = (state != ABC.mask).double()
        error = 4 * math.sqrt(share * (1 - share) / number)
        assert float((shown.mean(dim=0) - share).abs().max()) < error
        if schedule == "one_place":
            assert bool((shown.sum(dim=1) == t).all())


def test_noise_at_the_start_masks_all():
    x = toy().noise(all_states(3), torch.full((81,), 4), torch.zeros(81, dtype=torch.long), generator=seeded("cpu", 0))
    assert bool((x == ABC.mask).all())


def test_fixed_places_stay():
    reference = toy("cosine", 3, fixed="a__c")
    x = ancestral(reference).sample(20, condition=["_b__"] * 20, generator=seeded("cpu", 0)).states[:, 0]
    assert bool((x[:, 0] == 0).all() and (x[:, 1] == 1).all() and (x[:, 3] == 2).all())
    back = reference.noise(x, torch.full((20,), 3), torch.zeros(20, dtype=torch.long), generator=seeded("cpu", 0))
    assert reference.decode(back) == ["a__c"] * 20
    assert toy("one_place", fixed="a__c").num_steps == 2


def test_a_condition_is_text_or_ids():
    reference = toy()
    texts = reference.initial(2, condition=["a__b", "____"])
    assert torch.equal(texts, torch.tensor([[0, 3, 3, 1], [3, 3, 3, 3]]))
    assert torch.equal(reference.initial(2, condition=texts), texts)


def test_another_number_of_steps_shares_the_network():
    reference = toy("one_place")
    other = reference.with_steps(9, "cosine")
    assert (other.num_steps, other.schedule, other.network) == (9, "cosine", reference.network)
    assert other.with_steps(schedule="log_linear").num_steps == 9


def test_soft_sequences_are_read_as_the_tokens_they_are():
    reference = toy("log_linear", 5)
    x = all_states()
    soft = reference(torch.nn.functional.one_hot(x, 4).double(), torch.full((256,), 2))
    hard = reference(x, torch.full((256,), 2))
    assert torch.allclose(soft.transition.log_probs, hard.transition.log_probs)
    assert torch.equal(soft.transition.tokens, x)
    assert torch.equal(soft.clean.argmax(dim=2), hard.clean)
    assert torch.allclose(soft.clean.sum(dim=2), torch.ones(256, LENGTH, dtype=torch.float64))


def test_features_are_the_hidden_states_of_the_logits():
    network = RotaryTransformer(4, 16, 1, 2).eval()
    prediction = MaskedDiffusion(network, DNA, 6)(torch.full((2, 6), 4), torch.zeros(2, dtype=torch.long))
    assert prediction.features.shape == (2, 6, 16)
    assert torch.allclose(network.head(prediction.features).log_softmax(-1), prediction.transition.log_probs)


@pytest.mark.parametrize(
    ("options", "condition", "error"),
    [
        ({"schedule": "linear"}, None, "schedule: expected one of log_linear, cosine, one_place, got 'linear'"),
        ({"schedule": "one_place", "num_steps": 3}, None, "num_steps: expected 4 at least.* got 3"),
        ({"fixed": "a_c"}, None, r"sequences\[0\]: expected 4 letters, got 3"),
        ({"fixed": "abca"}, None, "fixed: expected a '_' at one place at least"),
        ({}, ["ab_x"], r"sequences\[0\]\[3\]: expected a letter of 'abc' or '_', got 'x'"),
        ({}, ["abc"], r"sequences\[0\]: expected 4 letters, got 3"),
        ({}, torch.zeros(1, 3, dtype=torch.long), r"condition: expected shape \(B, 4\), got \(1, 3\)"),
        ({}, torch.full((1, 4), 4), "ids from 0 to 3, got 4 to 4"),
        ({"fixed": "a___"}, ["b___"], r"condition\[0\]\[0\]: expected the fixed letter or the mask"),
    ],
)
def test_what_does_not_fit_is_refused(options, condition, error):
    with pytest.raises(ValueError, match=error):
        toy(**options).initial(1, condition=condition)


def test_ids_are_long():
    with pytest.raises(TypeError, match="condition: expected texts or ids, long"):
        toy().initial(1, condition=torch.zeros(1, 4))


def test_a_network_that_reads_the_time_is_told_it():
    reference = MaskedDiffusion(TimedDenoiser(), ABC, LENGTH, 4)
    x = torch.full((2, 4), 3)
    early, late = (reference(x, torch.full((2,), t)) for t in (0, 3))
    table = reference.network.table[-1]
    assert torch.allclose(early.transition.log_probs[0], table.log_softmax(1))
    assert torch.allclose(late.transition.log_probs[0], (1.75 * table).log_softmax(1))
