"""Objectives along trajectories: a causal transformer computes every token once, by teacher forcing or with its cache,
and the losses and gradients are those of one that computes all anew."""

import pytest
import torch
from along_toys import KINDS, ONCE, B, T, head, moved, texts
from causal_toys import TARGET, TOKENS, CausalToy, TeacherForced, TextNetwork
from tensordict import TensorDict

from svlearn import objectives
from svlearn.inference.samplers import ancestral
from svlearn.metering import metered
from svlearn.policies import Finetuned
from svlearn.process import Prediction
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.trajectories import Calls, in_one_pass, pieces_along
from svlearn.values import Learned


def policy_gradient(reference, policy):
    return objectives.PolicyGradient(reference, TARGET, policy), texts()


def some_times(reference, policy):
    return objectives.PolicyGradient(reference, TARGET, policy, num_times=2), with_own_ratios(reference, policy)


def proximal(reference, policy):
    objective = objectives.ProximalPolicyGradient(reference, TARGET, policy)
    objective.eval()  # nothing is logged
    return objective, objective.judged(with_own_ratios(reference, policy))


def group_relative(reference, policy):
    objective = objectives.GroupRelativePolicyGradient(
        reference, TARGET, policy, kl="k3", group_size=2, batch_size=B
    ).eval()
    return objective, objective.judged(with_own_ratios(reference, policy))


def with_own_ratios(reference, policy):
    """As if the policy had drawn them, with other log-ratios than it has now."""
    ratios = 0.3 * torch.randn(B, T, generator=seeded("cpu", 8), dtype=torch.float64)
    return texts().set("log_ratios", ratios)


def distributional(reference, policy):
    objective = objectives.DistributionalPolicyGradient(reference, TARGET, policy)
    return objective, texts().set("own", torch.ones(B, dtype=torch.bool))


def distillation(reference, policy):
    return objectives.Distillation(reference, TARGET, policy), texts().set("log_weights", torch.linspace(-1, 1, B))


def distillation_of_some_moves(reference, policy):
    """Moves of weight 0 need not be possible: those of the second text at t = 1 are not."""
    batch = texts()
    log_weights = torch.linspace(-1, 1, B * T, dtype=torch.float64).view(B, T)
    log_weights[1, 1] = log_weights[3] = -torch.inf
    choices = batch["states"][:, 1:].clone()
    choices[1, 1] = 0
    return objectives.Distillation(reference, TARGET, policy), batch.set("log_weights", log_weights).set(
        "choices", choices
    )


def path_consistency(variant, value):
    def build(reference, policy):
        objective = objectives.PathConsistency(reference, TARGET, value(), policy, variant)
        return objective, texts()

    return build


POLICY_OBJECTIVES = {
    "policy gradient": policy_gradient,
    "policy gradient at some times": some_times,
    "proximal": proximal,
    "group-relative": group_relative,
    "distributional": distributional,
    "distillation": distillation,
    "distillation of some moves": distillation_of_some_moves,
    "path consistency": path_consistency("subtrajectory", lambda: Learned(TextNetwork())),
    "path consistency with a head": path_consistency("subtrajectory", head),
}


def evaluate_loss(build, kind, lora_rank=None):
    """The loss, its gradients, and how many tokens the reference's and the policy's network computed."""
    reference = KINDS[kind]()
    policy = moved(Finetuned(reference, lora_rank))
    objective, batch = build(reference, policy)
    reference.positions = policy.copy.positions = 0
    with metered() as meter:
        loss = objective.loss(batch, seeded("cpu", 0))
    trained = [each for each in objective.trained().parameters() if each.requires_grad]
    gradients = torch.autograd.grad(loss, trained)
    return loss, gradients, (reference.positions, policy.copy.positions), meter.cost


@pytest.mark.parametrize("lora_rank", [None, 2])
@pytest.mark.parametrize("name", POLICY_OBJECTIVES)
def test_loss_and_gradient_are_those_without_a_cache_and_each_token_is_computed_once(name, lora_rank):
    if lora_rank is not None:
        pytest.importorskip("peft")
    loss, gradients, anew, cost = evaluate_loss(POLICY_OBJECTIVES[name], "anew", lora_rank)
    assert max(float(each.abs().max()) for each in gradients) > 1e-3
    kinds = ["one pass"] if "some" in name else ["one pass", "step by step"]
    for kind in kinds:
        own_loss, others, positions, same = evaluate_loss(POLICY_OBJECTIVES[name], kind, lora_rank)
        torch.testing.assert_close(own_loss, loss, rtol=1e-9, atol=1e-9)
        for one, other in zip(gradients, others, strict=True):
            torch.testing.assert_close(other, one, rtol=1e-9, atol=1e-9)
        assert positions == (B * ONCE, B * ONCE) and positions < anew
        assert same.reference_calls == same.policy_calls == B * T
    if len(kinds) == 2:
        assert cost.reference_calls == cost.policy_calls == B * T


def test_a_policy_gradient_step_of_16_short_texts_computes_1056_tokens():
    """The roll-out with a cache, the reference and the policy along it: 16 texts of 66 tokens each."""
    reference = TeacherForced(num_steps=64)
    policy = Finetuned(reference)
    objective = objectives.PolicyGradient(reference, TARGET, policy, batch_size=16)
    policy.copy.positions = reference.positions = 0
    batch = roll_out(policy, 16, target=TARGET, generator=seeded("cpu", 0))
    assert (reference.positions, policy.copy.positions) == (0, 1056)
    objective.loss(batch, seeded("cpu", 0))
    assert (reference.positions, policy.copy.positions) == (1056, 2 * 1056)


def test_a_roll_out_of_a_policy_computes_each_token_once_in_both_networks():
    reference = CausalToy()
    policy = moved(Finetuned(reference))
    reference.positions = policy.copy.positions = 0
    with metered() as meter:
        roll_out(reference, B, generator=seeded("cpu", 2), proposal=policy)
    assert (reference.positions, policy.copy.positions) == (B * ONCE, B * ONCE)
    assert meter.cost.reference_calls == meter.cost.policy_calls == B * T


class Recorded(TeacherForced):
    def along(self, trajectory):
        self.sizes = [*getattr(self, "sizes", []), len(trajectory)]
        yield from super().along(trajectory)


@pytest.mark.parametrize(("max_batch", "sizes"), [(None, [B]), (2 * T + 1, [2, 2, 2]), (T, [1] * B), (T - 1, [])])
def test_one_pass_is_of_as_many_trajectories_as_have_max_batch_states(max_batch, sizes):
    reference = Recorded(starts=range(T))
    states = texts()["states"]
    with metered(max_batch) as meter:
        predictions = [piece.predictions[0] for piece in pieces_along([Calls(reference)], states, 64)]
    assert getattr(reference, "sizes", []) == sizes
    assert meter.cost.reference_calls == B * T
    for one, other in zip(predictions, CausalToy(cached=False).along(states), strict=True):
        torch.testing.assert_close(one.transition.log_probs, other.transition.log_probs)


@pytest.mark.parametrize(("number", "words"), [(T - 1, f"got {T - 1} predictions"), (None, "got a NoneType|got 0")])
def test_an_along_of_another_number_of_predictions_is_refused(number, words):
    class Short(TeacherForced):
        def along(self, trajectory):
            return list(super().along(trajectory))[:number] if number else []

    with pytest.raises(TypeError, match=f"Short.along: expected {T} Predictions.*({words})"):
        list(pieces_along([Calls(Short())], texts()["states"], 64))


def test_who_is_asked_for_all_times_or_some():
    stepping, forcing = CausalToy(), TeacherForced()
    assert [in_one_pass(stepping, range(n)) for n in (1, 2, T)] == [False, False, True]
    assert [in_one_pass(forcing, range(n)) for n in (1, 2, T)] == [False, True, True]
    assert in_one_pass(Finetuned(forcing), range(2)) and not in_one_pass(Finetuned(stepping), range(2))


def test_the_policy_along_is_its_own_network_and_carries_the_gradient():
    reference = TeacherForced()
    policy = moved(Finetuned(reference))
    states = texts()["states"]
    pieces = list(pieces_along([Calls(reference), Calls(policy, gradient=True)], states, 64))
    assert [piece.steps for piece in pieces] == [range(t, t + 1) for t in range(T)]
    plain = moved(Finetuned(CausalToy(cached=False)))
    for piece in pieces:
        own, q = (each.transition.log_probs for each in piece.predictions)
        assert q.requires_grad and not own.requires_grad and not torch.allclose(own, q)
        torch.testing.assert_close(q, plain.steer(piece.predictions[0], piece.x, piece.t).log_probs)


def test_an_ancestral_sampler_of_a_reference_that_defines_along_is_as_before():
    samples = ancestral(TeacherForced(), TARGET).sample(B, generator=seeded("cpu", 0))
    expected = ancestral(CausalToy(cached=False), TARGET).sample(B, generator=seeded("cpu", 0))
    assert torch.equal(samples.states, expected.states) and int(samples.states.max()) < TOKENS
    assert isinstance(next(iter(TeacherForced().along(texts()["states"]))), Prediction)
    assert isinstance(texts(), TensorDict)
