"""Distillation: its gradient by enumeration, what it costs and what it refuses."""

import itertools
import math

import pytest
import pytorch_lightning as pl
import torch
from distillation_toys import ALPHA, INF, Table, every_path, exact_teacher, make, markov, tiny
from tensordict import TensorDict

from svlearn.domains.analytic import FiniteMarkovChain
from svlearn.inference.samplers import ancestral, best_of_n, smc, svdd
from svlearn.metering import metered
from svlearn.objectives.distillation import chosen_moves
from svlearn.randomness import seeded
from svlearn.values import Zero


def log_likelihoods(policy, paths):
    moves = policy.matrices()
    return torch.stack([moves[t, paths[:, t, 0], paths[:, t + 1, 0]].log() for t in range(len(moves))], dim=1)


@pytest.mark.parametrize("weighted", [True, False])
def test_the_gradient_is_that_of_the_weighted_likelihood(weighted):
    """Of every path with its probability under p*, that of KL(p* || q); without weights, of the plain likelihood."""
    oracle = tiny()
    objective = make(oracle, None, scale=0.5)
    paths, probs = every_path(oracle)
    batch = TensorDict({"states": paths}, batch_size=[8])
    if weighted:
        batch["log_weights"] = probs.log()
    batch = objective._trajectories(batch, 8, seeded("cpu", 0))
    (gradient,) = torch.autograd.grad(objective.loss(batch, seeded("cpu", 0)), objective.policy.logits)
    weights = 8 * probs if weighted else torch.ones(8)  # in units of the first batch's mean
    likelihood = (weights * log_likelihoods(objective.policy, paths).sum(dim=1)).mean()
    (exact,) = torch.autograd.grad(-likelihood, objective.policy.logits)
    torch.testing.assert_close(gradient, exact)
    assert objective.log_scale.item() == pytest.approx(math.log(1 / 8) if weighted else 0.0)
    again = batch.copy().set("log_weights", batch["log_weights"] + 1.0)  # the scale is kept, whatever comes
    torch.testing.assert_close(
        objective.loss(again, seeded("cpu", 0)), math.e * objective.loss(batch, seeded("cpu", 0))
    )


def test_the_choices_of_the_teacher_are_learned_and_not_the_states_that_led_there():
    oracle = tiny()
    objective = make(oracle, None, scale=0.5)
    objective.log_scale.zero_()
    paths, _ = every_path(oracle)
    choices, weights = 1 - paths[:, 1:], torch.rand(8, 2, generator=seeded("cpu", 0), dtype=torch.float64)
    batch = TensorDict({"states": paths, "choices": choices, "log_weights": weights.log()}, batch_size=[8])
    batch["log_weights"][3, 1] = -INF
    weights[3, 1] = 0.0
    (gradient,) = torch.autograd.grad(objective.loss(batch, seeded("cpu", 0)), objective.policy.logits)
    moves = objective.policy.matrices()
    log_q = torch.stack([moves[t, paths[:, t, 0], choices[:, t, 0]].log() for t in range(2)], dim=1)
    (exact,) = torch.autograd.grad(-(weights * log_q).sum(dim=1).mean(), objective.policy.logits)
    torch.testing.assert_close(gradient, exact)


def test_the_mean_over_all_choices_of_one_time_is_the_gradient_at_every_time(monkeypatch):
    oracle = tiny()
    objective = make(oracle, None, scale=0.5, num_times=1)
    paths, probs = every_path(oracle)
    batch = TensorDict({"states": paths[:3], "log_weights": probs[:3].log()}, batch_size=[3])
    batch["log_weights"][1] = -INF
    gradient = torch.zeros_like(objective.policy.logits)
    for chosen in itertools.product(range(2), repeat=3):
        times = torch.tensor(chosen)[:, None]
        monkeypatch.setattr("svlearn.objectives.distillation.draw_times", lambda *_, times=times: times)
        gradient += torch.autograd.grad(objective.loss(batch, seeded("cpu", 0)), objective.policy.logits)[0] / 8
    objective.num_times = None
    (exact,) = torch.autograd.grad(objective.loss(batch, seeded("cpu", 0)), objective.policy.logits)
    torch.testing.assert_close(gradient, exact)


def test_a_move_of_no_weight_may_be_impossible_and_another_may_not():
    moves = torch.tensor([[[1.0, 0.0], [0.5, 0.5]]] * 2)
    oracle = FiniteMarkovChain(torch.tensor([0.5, 0.5]), moves, torch.zeros(2))
    objective = make(oracle, None)
    paths = torch.tensor([[1, 1, 0], [1, 0, 1]])[:, :, None]
    batch = TensorDict({"states": paths, "log_weights": torch.tensor([0.0, -INF])}, batch_size=[2])
    loss = objective.loss(batch, seeded("cpu", 0))
    assert loss.isfinite() and torch.autograd.grad(loss, objective.policy.logits)[0].isfinite().all()
    batch["log_weights"] = torch.zeros(2)
    with pytest.raises(ValueError, match="log q - log p_ref: expected a finite number at step 1, got -inf at index 3"):
        objective.loss(batch, seeded("cpu", 0))
    batch["log_weights"] = torch.full((2,), -INF)
    with pytest.raises(ValueError, match="log_weights: expected some above -inf"):
        objective.loss(batch, seeded("cpu", 0))


def test_a_student_is_told_at_its_own_states_and_the_reference_is_called_once_a_state():
    oracle = markov()
    policy = Table(oracle, scale=2.0)
    with metered() as meter:
        moves = chosen_moves(oracle, policy, exact_teacher(oracle, num_candidates=3), 6000, generator=seeded("cpu", 0))
    assert meter.cost.reference_calls == meter.cost.policy_calls == 6000 * 4
    assert meter.cost.value_calls == 6000 * (4 + 3 * 3) and meter.cost.reward_calls == 6000 * 3
    states, choices = moves["states"], moves["choices"]
    assert states.shape == (6000, 5, 1) and choices.shape == (6000, 4, 1) and moves["log_weights"].shape == (6000, 4)
    assert not torch.equal(choices, states[:, 1:])
    law = oracle.initial_probs
    for t in range(4):  # the states are the student's own
        law = law @ policy.matrices()[t].detach()
        share = torch.bincount(states[:, t + 1, 0], minlength=4) / 6000
        assert bool(((share - law).abs() <= 4.5 * (law * (1 - law) / 6000).sqrt()).all())


@pytest.mark.parametrize("alpha", [0.0, ALPHA])
def test_validation_tells_the_reward_and_the_elbo_where_there_is_one(alpha):
    oracle = markov()
    value = oracle.mean_value() if alpha == 0 else oracle.soft_value(alpha)
    objective = make(oracle, svdd(oracle, oracle.target(alpha), value, 2), alpha, replay=0.5, batch_size=8)
    trainer = pl.Trainer(
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False
    )
    (figures,) = trainer.validate(objective, verbose=False)
    mean = float(oracle.marginals()[-1] @ oracle.reward.table)  # an untrained policy is the reference
    assert abs(figures["validation/reward"] - mean) < 4.5 * oracle.reward.table.std() / 128**0.5
    assert ("validation/elbo" in figures) == (alpha > 0) and len(objective.replay) == 0
    if alpha > 0:
        assert figures["validation/elbo"] == pytest.approx(figures["validation/reward"] / alpha)


def test_groups_count_as_their_particles():
    oracle = markov()
    for sampler, kept in (
        (smc(oracle, oracle.target(ALPHA), Zero(), 8), 32),
        (best_of_n(oracle, oracle.target(ALPHA), 8), 4),
        (ancestral(oracle), 32),
    ):
        objective = make(oracle, sampler, batch_size=32, num_validation=32)
        assert len(objective._trajectories(0, 32, seeded("cpu", 0))) == kept


def test_an_equal_reference_is_held_once_and_one_of_another_may_only_teach_by_its_paths():
    oracle, equal, other = markov(), markov(), FiniteMarkovChain.random(num_states=4, num_steps=4, seed=1)
    sampler = exact_teacher(equal)
    assert make(oracle, sampler).sampler.reference is oracle
    assert make(oracle, exact_teacher(other)).sampler.reference is other
    with pytest.raises(ValueError, match="sampler: expected one of this reference to choose at the student's states"):
        make(oracle, exact_teacher(other), roll_in="student")
    longer = FiniteMarkovChain.random(num_states=4, num_steps=5, seed=1)
    with pytest.raises(ValueError, match="sampler: expected one of 4 steps, got one of 5"):
        make(oracle, exact_teacher(longer))


def test_bad_arguments_are_refused():
    oracle = markov()
    greedy = svdd(oracle, oracle.target(0.0), Zero(), 2)
    group = smc(oracle, oracle.target(ALPHA), Zero(), 8)
    refused = [
        (dict(law="optimal"), "law: expected one of teacher, target, got 'optimal'"),
        (dict(roll_in="both"), "roll_in: expected one of teacher, student, got 'both'"),
        (dict(replay=1.0), r"replay: expected a share in \[0, 1\), got 1.0"),
        (dict(replay_size=0), "replay_size: expected an integer of at least 1, got 0"),
        (dict(num_times=5), "num_times: expected None or an integer from 1 to 4, got 5"),
        (dict(sampler=greedy, law="target"), "law: expected 'teacher' for a sampler that does not estimate log Z"),
        (dict(sampler=group, roll_in="student"), "roll_in: expected 'teacher' for a sampler whose particles compete"),
        (dict(sampler=group, batch_size=7), "batch_size, num_validation: expected at least the 8 particles of a group"),
    ]
    for options, message in refused:
        with pytest.raises(ValueError, match=message):
            make(oracle, **(dict(sampler=None) | options))
    with pytest.raises(TypeError, match="sampler: expected None or a Sampler, got str"):
        make(oracle, "svdd")
