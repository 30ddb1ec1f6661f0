"""A policy that was trained with few steps on the same process with more: its weights, its law, and its worth there."""

import pytest
import torch
from sequence_toys import ABC, Enumerated, consistent, exact_elbo, rewards, toy

from svlearn import checkpoints
from svlearn.domains.sequences import MaskedDiffusion
from svlearn.domains.sequences.networks import RotaryTransformer
from svlearn.fingerprint import fingerprint
from svlearn.objectives import GroupRelativePolicyGradient
from svlearn.objectives.fit import fit
from svlearn.policies import Controlled, Finetuned
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.targets import Target

ALPHA = 1.5
TARGET = Target(rewards, ALPHA)


def processes(steps=(5, 10)):
    few = toy("log_linear", steps[0])
    return few, few.with_steps(steps[1])


def moved(policy):
    with torch.no_grad():
        for each in policy.trained():
            each.add_(0.3 * torch.randn(each.shape, generator=seeded("cpu", 1), dtype=each.dtype))
    return policy


def saved(policy, path):
    return checkpoints.save(policy, path, reference=fingerprint(policy.reference), num_steps=policy.num_steps)


def test_a_policy_of_five_steps_loads_into_that_of_ten(tmp_path):
    few, many = processes()
    trained = moved(Finetuned(few))
    path = saved(trained, tmp_path / "policy.safetensors")
    policy = Finetuned(many)
    with pytest.raises(ValueError, match="expected a checkpoint of num_steps 10, got one of 5"):
        checkpoints.load_policy(policy, path, many)
    assert checkpoints.load_policy(policy, path, many, trained_on=few) is policy and policy.num_steps == 10
    assert torch.equal(policy.copy.network.table, trained.copy.network.table)
    assert torch.equal(policy.copy.shares, many.shares)
    assert fingerprint(trained.on(many)) == fingerprint(policy)
    states = roll_out(policy, 20, generator=seeded("cpu", 0))["states"]
    assert states.shape[1] == 11 and bool((states[:, -1] != many.alphabet.mask).all())
    ours, theirs = policy.copy(states[:, 4], torch.full((20,), 4)), trained.copy(states[:, 4], torch.full((20,), 2))
    assert torch.equal(ours.transition.log_probs, theirs.transition.log_probs)  # of a network that reads no time
    torch.testing.assert_close(ours.transition.probability, many.probabilities[4].double().expand(20))


def test_another_network_and_another_kind_of_policy_are_refused(tmp_path):
    few, many = processes()
    policy = moved(Finetuned(few))
    with pytest.raises(
        ValueError, match=r"reference: expected a process of the same network, .* another network\.table"
    ):
        policy.on(toy("log_linear", 10, network=consistent(1)))
    path = saved(policy, tmp_path / "policy.safetensors")
    with pytest.raises(ValueError, match="expected a checkpoint of num_steps 4, got one of 5"):
        checkpoints.load_policy(Finetuned(many), path, many, trained_on=few.with_steps(4))
    with pytest.raises(TypeError, match="policy: expected a Finetuned, to be used on another process, got a Linear"):
        checkpoints.load_policy(torch.nn.Linear(1, 1), path, many, trained_on=few)
    assert not hasattr(Controlled, "take_weights")


def test_adapters_go_along(tmp_path):
    pytest.importorskip("peft")
    few = MaskedDiffusion(RotaryTransformer(3, 16, 1, 2), ABC, 4, num_steps=4)
    trained = moved(Finetuned(few, 2))
    policy = trained.on(few.with_steps(8))
    for one, other in zip(policy.trained(), trained.trained(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.slow
def test_what_it_learned_of_few_steps_is_worth_as_much_with_more():
    network = consistent()
    network.table.data.clamp_(min=-20.0)
    few = toy("one_place", network=network)
    many = few.with_steps(8, "log_linear")
    policy = Finetuned(few)
    fit(
        GroupRelativePolicyGradient(few, TARGET, policy, learning_rate=2e-2, batch_size=128, group_size=16),
        max_steps=200,
        enable_progress_bar=False,
    )
    known = Enumerated(many, ALPHA)
    with torch.no_grad():
        gaps = [known.log_normalizer - float(exact_elbo(many, each, ALPHA)) for each in (many, policy.on(many).copy)]
    assert -1e-9 < gaps[1] < 0.3 * gaps[0]
