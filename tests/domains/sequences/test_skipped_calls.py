"""A step that unmasks nothing calls the network no more, and the cost says how often it was called."""

import pytest
import torch
from sequence_toys import ABC, LENGTH, TableDenoiser, TimedDenoiser, rewards, toy

from svlearn import policies
from svlearn.domains.sequences.denoising import Denoised, denoise
from svlearn.domains.sequences.masked_diffusion import MaskedDiffusion
from svlearn.inference.samplers import ancestral, smc, svdd
from svlearn.metering import metered
from svlearn.process import predict
from svlearn.randomness import seeded
from svlearn.rollouts.roll_out import roll_out
from svlearn.targets import Target
from svlearn.trajectories import predictions_at
from svlearn.values import MonteCarlo, PosteriorMean, Zero

STEPS = 32
TARGET = Target(rewards, 0.7)


def unfinished(states: torch.Tensor) -> torch.Tensor:
    """Which of x_0 ... x_{T-1} (B, T + 1, L) have a masked place, (B, T)."""
    return (states[:, :-1] == ABC.mask).any(dim=2)


def changed(states: torch.Tensor) -> torch.Tensor:
    """Which of x_0 ... x_{T-1} (B, T + 1, L) are not what the state before was, (B, T); x_0 always counts."""
    moved = (states[:, 1:-1] != states[:, :-2]).any(dim=2)
    return torch.cat([torch.ones_like(moved[:, :1]), moved], dim=1)


def test_a_rollout_costs_a_call_for_each_change_until_the_sequence_is_finished():
    reference = toy(num_steps=STEPS)
    with metered() as meter:
        states = roll_out(reference, 64, generator=seeded("cpu", 0))["states"]
    assert meter.cost.reference_calls == int((changed(states) & unfinished(states)).sum()) == reference.network.calls
    assert meter.cost.reference_calls <= 64 * LENGTH


def test_the_samples_are_those_of_a_network_that_is_always_called():
    skipping = toy(num_steps=STEPS)
    always = MaskedDiffusion(Always(), ABC, LENGTH, STEPS)
    one, other = (roll_out(each, 50, generator=seeded("cpu", 0))["states"] for each in (skipping, always))
    assert torch.equal(one, other)


class Always(TableDenoiser):
    reads_time = True


SAMPLERS = {
    "ancestral": lambda reference: ancestral(reference, TARGET),
    "svdd, posterior mean": lambda reference: svdd(reference, TARGET, PosteriorMean(TARGET), 5),
    "svdd, no look": lambda reference: svdd(reference, TARGET, Zero(), 5),
    "svdd, Monte Carlo": lambda reference: svdd(reference, TARGET, MonteCarlo(reference, TARGET, 2), 3),
    "smc": lambda reference: smc(reference, TARGET, PosteriorMean(TARGET), 6),
}


@pytest.mark.parametrize("max_batch", [None, 7])
@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_counts_the_calls_that_were_made(name, max_batch):
    reference = toy(num_steps=12)
    sampler = SAMPLERS[name](reference)
    reference.network.calls = 0
    samples = sampler.sample(4, generator=seeded("cpu", 0), max_batch=max_batch)
    assert samples.cost.reference_calls == reference.network.calls


def test_a_cut_changes_neither_the_samples_nor_the_cost():
    one, other = (
        SAMPLERS["svdd, posterior mean"](toy(num_steps=STEPS)).sample(8, generator=seeded("cpu", 0), max_batch=cut)
        for cut in (None, 7)
    )
    assert torch.equal(one.states, other.states)
    assert one.cost.reference_calls == other.cost.reference_calls


def test_svdd_asks_for_the_candidates_that_have_changed_alone():
    cost = SAMPLERS["svdd, posterior mean"](toy(num_steps=STEPS)).sample(8, generator=seeded("cpu", 0)).cost
    assert cost.reference_calls < 8 * 5 * (LENGTH + 2)


def test_a_network_that_reads_the_time_is_called_at_every_step_until_then():
    reference = MaskedDiffusion(TimedDenoiser(), ABC, LENGTH, STEPS)
    with metered() as meter:
        states = roll_out(reference, 4, generator=seeded("cpu", 0))["states"]
    assert meter.cost.reference_calls == reference.network.calls == int(unfinished(states).sum()) > 4 * LENGTH
    assert predict(reference, reference.initial(2), 0).cache is None


def test_a_policy_counts_its_own_calls():
    reference = toy(num_steps=STEPS)
    policy = policies.Finetuned(reference)
    policy.copy.network.calls = 0
    with metered() as meter:
        states = roll_out(policy, 16, generator=seeded("cpu", 0), kind="policy_calls")["states"]
    assert meter.cost.policy_calls == int((changed(states) & unfinished(states)).sum()) == policy.copy.network.calls
    assert meter.cost.reference_calls == 0


def test_trajectories_are_looked_at_at_the_cost_of_their_changes():
    reference = toy(num_steps=STEPS)
    states = roll_out(reference, 16, generator=seeded("cpu", 0))["states"]
    with metered() as meter:
        found = list(predictions_at(reference, states, range(STEPS)))
    assert meter.cost.reference_calls == int(changed(states).sum())
    for t in (0, 9, STEPS - 1):
        alone = predict(toy(num_steps=STEPS), states[:, t], t)
        assert torch.equal(found[t].transition.log_probs, alone.transition.log_probs)


def test_rows_that_stay_keep_what_was_said_of_them():
    network = TableDenoiser()
    x = torch.tensor([[3, 3, 3, 3], [0, 3, 3, 3], [0, 1, 2, 0]])
    before, evaluations = denoise(network, x, torch.zeros(3))
    assert evaluations is None
    later = x.clone()
    later[1, 2] = 1
    after, evaluations = denoise(network, later, torch.zeros(3), before)
    assert evaluations.tolist() == [0, 1, 0]
    assert network.calls == 4
    assert torch.equal(after.logits, network(later, torch.zeros(3)))
    assert torch.equal(Denoised.cat([after[torch.tensor([2, 0])], after[1:2]]).x, later[[2, 0, 1]])


def test_a_prediction_that_tells_wrong_numbers_of_calls_is_refused():
    class Wrong(MaskedDiffusion):
        def forward(self, x, t, previous=None):
            prediction = super().forward(x, t, previous)
            return type(prediction)(prediction.transition, evaluations=torch.ones(len(x)))

    with pytest.raises(ValueError, match=r"Wrong.forward: evaluations: expected numbers of calls \(3,\), long"):
        predict(Wrong(TableDenoiser(), ABC, LENGTH), torch.full((3, LENGTH), 3), 0)
