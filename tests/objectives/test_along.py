"""Objectives along trajectories: a causal transformer computes every token once, by teacher forcing or with its cache,
and the losses and gradients are those of one that computes all anew."""

import pytest
import torch
from causal_toys import PROMPT, PROMPTS, STEPS, TARGET, TOKENS, CausalToy, TeacherForced, TextNetwork
from tensordict import TensorDict

from svlearn import objectives
from svlearn.inference.samplers import ancestral, svdd
from svlearn.metering import metered
from svlearn.objectives.behaviour import SharedStart
from svlearn.objectives.distillation import chosen_moves
from svlearn.objectives.exploration import EpsilonMixture
from svlearn.policies import Finetuned
from svlearn.process import Prediction
from svlearn.randomness import seeded
from svlearn.rollouts import collect, roll_out
from svlearn.trajectories import Calls, in_one_pass, pieces_along
from svlearn.values import Head, Learned
from svlearn.values.calibration import calibrate
from svlearn.values.ensemble import Ensemble
from svlearn.values.selection_gain import selection_gain

B, T = 6, STEPS
ONCE = PROMPT + T - 1  # the tokens that all T predictions of a text read
KINDS = {
    "one pass": lambda **o: TeacherForced(cached=False, **o),
    "step by step": lambda **o: CausalToy(**o),
    "anew": lambda **o: CausalToy(cached=False, **o),
}


def moved(policy):
    drawn = seeded("cpu", 5)
    with torch.no_grad():
        for each in policy.trained():
            each.add_(0.2 * torch.randn(each.shape, generator=drawn, dtype=torch.float64))
    return policy


def texts(size=B, **options):
    """Trajectories of the plain toy, with their rewards."""
    toy = CausalToy(cached=False, **options)
    prompts = PROMPTS[torch.arange(size) % len(PROMPTS)]
    return roll_out(toy, size, target=TARGET, generator=seeded("cpu", 7), condition=prompts)


def head(width=8):
    torch.manual_seed(3)
    layers = torch.nn.Sequential(torch.nn.Linear(width, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).double()
    return Head(OfFeatures(layers))


class OfFeatures(torch.nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.layers = layers

    def forward(self, features, t):
        return self.layers(features).squeeze(1) + 0.1 * t


def policy_gradient(reference, policy):
    return objectives.PolicyGradient(reference, TARGET, policy), texts()


def some_times(reference, policy):
    return objectives.PolicyGradient(reference, TARGET, policy, num_times=2), with_own_ratios(reference, policy)


def proximal(reference, policy):
    objective = objectives.ProximalPolicyGradient(reference, TARGET, policy)
    objective.eval()  # nothing is logged
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
    "distributional": distributional,
    "distillation": distillation,
    "distillation of some moves": distillation_of_some_moves,
    "path consistency": path_consistency("subtrajectory", lambda: Learned(TextNetwork())),
    "path consistency with a head": path_consistency("subtrajectory", head),
}


def looked_at(build, kind, lora_rank=None):
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
    loss, gradients, anew, cost = looked_at(POLICY_OBJECTIVES[name], "anew", lora_rank)
    assert max(float(each.abs().max()) for each in gradients) > 1e-3
    kinds = ["one pass"] if "some" in name else ["one pass", "step by step"]
    for kind in kinds:
        found, others, positions, same = looked_at(POLICY_OBJECTIVES[name], kind, lora_rank)
        torch.testing.assert_close(found, loss, rtol=1e-9, atol=1e-9)
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


def value_objective(kind, **options):
    def build(reference, value):
        return getattr(objectives, kind)(reference, TARGET, value, **options)

    return build


VALUE_OBJECTIVES = {
    "Monte Carlo": value_objective("MonteCarloRegression"),
    "Monte Carlo, soft": value_objective("MonteCarloRegression", estimand="soft"),
    "soft-Q": value_objective("SoftQIteration"),
    "soft-Q, mean": value_objective("SoftQIteration", estimand="mean"),
    "contrastive twist": value_objective("ContrastiveTwist"),
    "contrastive energy": value_objective("ContrastiveEnergy"),
    "path consistency": lambda r, v: objectives.PathConsistency(r, TARGET, v, variant="subtrajectory"),
}


@pytest.mark.parametrize("name", VALUE_OBJECTIVES)
def test_a_head_is_trained_by_one_call_of_the_reference_a_state(name):
    found = {}
    for kind, make in KINDS.items():
        reference = make()
        objective = VALUE_OBJECTIVES[name](reference, head())
        batch, reference.positions = texts(), 0
        with metered() as meter:
            loss = objective.loss(batch, seeded("cpu", 0))
        gradients = torch.autograd.grad(loss, list(objective.value.parameters()))
        found[kind] = loss, gradients, reference.positions
        assert meter.cost.reference_calls == B * T
    loss, gradients, anew = found["anew"]
    for kind in ("one pass", "step by step"):
        torch.testing.assert_close(found[kind][0], loss, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(found[kind][1], gradients, rtol=1e-9, atol=1e-9)
        assert found[kind][2] == B * ONCE < anew
    assert all(each.grad is None for each in reference.parameters())


@pytest.mark.parametrize("name", ["Monte Carlo", "soft-Q", "contrastive energy"])
def test_some_times_are_read_from_one_pass_where_there_is_one(name):
    """Three of four times: the same loss as by calls at these, and as many tokens as one pass has."""
    losses = []
    for kind in ("one pass", "anew"):
        reference = KINDS[kind]()
        objective = VALUE_OBJECTIVES[name](reference, head())
        objective.num_times = 3
        reference.positions = 0
        losses.append(objective.loss(texts(), seeded("cpu", 0)))
        assert (reference.positions == B * ONCE) == (kind == "one pass")
    torch.testing.assert_close(*losses, rtol=1e-9, atol=1e-9)


def test_positives_by_smc_and_validation_hand_the_cache_on():
    reference = CausalToy()
    objective = VALUE_OBJECTIVES["contrastive twist"](reference, head())
    objective.positives = "smc"
    assert torch.isfinite(objective.loss(texts(), seeded("cpu", 0)))
    plain = VALUE_OBJECTIVES["Monte Carlo"](CausalToy(cached=False), head())
    for each in (objective, plain):
        each.validate(texts(), seeded("cpu", 0))
    torch.testing.assert_close(objective._validated[0][0], plain._validated[0][0])


def test_values_are_judged_along_trajectories_with_the_cache():
    values = [head(), Learned(TextNetwork())]
    frames = []
    for kind, make in KINDS.items():
        reference = make(starts=range(T))  # the gain at t draws anew from x_{t-1}
        frame = calibrate(values[0], reference, texts(20))
        assert kind == "anew" or reference.positions == 20 * ONCE
        weights = Ensemble.fit(values, reference, texts(20)).weights
        gains = selection_gain(values, reference, texts(20), num_others=2, generator=seeded("cpu", 0))
        frames.append((torch.tensor(frame.to_numpy(float)), weights, torch.tensor(gains.to_numpy(float))))
    for other in frames[1:]:
        torch.testing.assert_close(frames[0], other, equal_nan=True)


def test_rollouts_hand_the_cache_on(tmp_path):
    found = {}
    for kind in ("step by step", "anew"):
        reference = KINDS[kind]()
        policy = moved(Finetuned(reference))
        drawn = [
            roll_out(reference, B, target=TARGET, generator=seeded("cpu", 0), condition=PROMPTS[[0, 1, 2, 3, 0, 1]]),
            roll_out(policy, B, generator=seeded("cpu", 1), kind="policy_calls"),
            roll_out(reference, B, generator=seeded("cpu", 2), proposal=policy),
            roll_out(EpsilonMixture(policy, 0.3), B, generator=seeded("cpu", 3)),
            roll_out(SharedStart(policy, 2), B, generator=seeded("cpu", 4)),
            collect(reference, B, tmp_path / kind, target=TARGET, progress=False)[:],
            collect(reference, B, tmp_path / f"{kind} by a policy", proposal=policy, progress=False)[:],
            chosen_moves(reference, policy, teacher(reference), B, generator=seeded("cpu", 5)),
        ]
        found[kind] = drawn
    for one, other in zip(*found.values(), strict=True):
        for name, leaf in one.items():
            torch.testing.assert_close(leaf, other[name])


def teacher(reference):
    return svdd(reference, TARGET, Learned(TextNetwork()), 3)


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
        found = [piece.predictions[0] for piece in pieces_along([Calls(reference)], states, 64)]
    assert getattr(reference, "sizes", []) == sizes
    assert meter.cost.reference_calls == B * T
    for one, other in zip(found, CausalToy(cached=False).along(states), strict=True):
        torch.testing.assert_close(one.transition.log_probs, other.transition.log_probs)


@pytest.mark.parametrize(("given", "came"), [(T - 1, f"got {T - 1} predictions"), (None, "got a NoneType|got 0")])
def test_an_along_of_another_number_of_predictions_is_refused(given, came):
    class Short(TeacherForced):
        def along(self, trajectory):
            return list(super().along(trajectory))[:given] if given else []

    with pytest.raises(TypeError, match=f"Short.along: expected {T} Predictions.*({came})"):
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
    found = ancestral(TeacherForced(), TARGET).sample(B, generator=seeded("cpu", 0))
    expected = ancestral(CausalToy(cached=False), TARGET).sample(B, generator=seeded("cpu", 0))
    assert torch.equal(found.states, expected.states) and int(found.states.max()) < TOKENS
    assert isinstance(next(iter(TeacherForced().along(texts()["states"]))), Prediction)
    assert isinstance(texts(), TensorDict)
