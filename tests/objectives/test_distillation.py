"""Distillation: its gradient by enumeration, and that the policy becomes what the teacher does, whoever rolls in."""

import itertools
import math

import pytest
import pytorch_lightning as pl
import torch
from tensordict import TensorDict
from torch import nn
from torch.utils.data import DataLoader

from svlearn.domains.analytic import FiniteMarkovChain, LinearGaussianChain, TokenTree
from svlearn.domains.analytic.texts import text_index
from svlearn.inference.samplers import ancestral, best_of_n, smc, svdd
from svlearn.metering import metered
from svlearn.objectives.distillation import Distillation, chosen_moves
from svlearn.objectives.fit import fit
from svlearn.policies import Policy
from svlearn.randomness import seeded
from svlearn.transitions import CategoricalTransition
from svlearn.values import Zero

ALPHA, INF = 0.7, math.inf


class Table(Policy):
    """A free logit for each time, state and next state, beside those of the reference."""

    def __init__(self, chain, scale=0.0):
        super().__init__(chain)
        shape = (chain.num_steps, chain.num_states, chain.num_states)
        self.logits = nn.Parameter(scale * torch.randn(shape, generator=seeded("cpu", 0), dtype=torch.float64))

    def steer(self, prediction, x, t):
        return CategoricalTransition(prediction.transition.log_probs + self.logits[t, x[:, 0]][:, None])

    def trained(self):
        return [self.logits]

    def matrices(self):
        return (self.reference.matrices.log() + self.logits).softmax(dim=-1)


class Tree(Policy):
    """A free logit for each text and next token, beside those of the reference."""

    def __init__(self, tree):
        super().__init__(tree)
        self.logits = nn.Parameter(torch.zeros_like(tree.probs))

    def steer(self, prediction, x, t):
        law = prediction.transition
        rows = torch.where(law.finished, 0, text_index(x, self.reference.num_tokens))
        return law.tilt(self.logits[rows])

    def trained(self):
        return [self.logits]


def tiny():
    return FiniteMarkovChain.random(num_states=2, num_steps=2, seed=3)


def markov(rewards=None):
    drawn = FiniteMarkovChain.random(num_states=4, num_steps=4, seed=0)
    return drawn if rewards is None else drawn.with_rewards(torch.tensor(rewards))


def make(oracle, sampler, alpha=ALPHA, scale=0.0, **options):
    settings = dict(learning_rate=5e-2, batch_size=128, num_validation=128) | options
    return Distillation(oracle, oracle.target(alpha), Table(oracle, scale), sampler, **settings)


def exact_teacher(oracle, alpha=ALPHA, num_candidates=2):
    return svdd(oracle, oracle.target(alpha), oracle.soft_value(alpha), num_candidates)


def path_kl(start, matrices, policy):
    """KL of a chain's trajectories from the policy's, less that of x_0, which a policy cannot change."""
    law, total, learned = start, 0.0, policy.matrices().detach()
    for matrix, own in zip(matrices, learned, strict=True):
        ratio = torch.where(matrix > 0, (matrix / own).log(), 0.0)
        total = total + (law[:, None] * matrix * ratio).sum()
        law = law @ matrix
    return float(total)


def svdd_law(oracle, levels, num_candidates, alpha):
    """The initial law and the matrices of SVDD with v_t = levels[t], summed over all its candidates."""

    def chosen(probs, scores):
        law = torch.zeros_like(probs)
        for drawn in itertools.product(range(oracle.num_states), repeat=num_candidates):
            kept = scores[list(drawn)]
            share = (kept / alpha).softmax(0) if alpha > 0 else torch.eye(num_candidates).double()[int(kept.argmax())]
            for place, part in zip(drawn, share, strict=True):
                law[..., place] += part * probs[..., list(drawn)].prod(dim=-1)
        return law

    moves = [chosen(matrix, level) for matrix, level in zip(oracle.matrices, levels[1:], strict=True)]
    return chosen(oracle.initial_probs, levels[0]), torch.stack(moves)


def every_path(oracle):
    """All paths of the tiny chain, (8, 3, 1), and their probabilities under p*, (8,)."""
    paths, best = torch.tensor(list(itertools.product(range(2), repeat=3))), oracle.optimal(ALPHA)
    probs = best.initial_probs[paths[:, 0]]
    for t in range(2):
        probs = probs * best.matrices[t, paths[:, t], paths[:, t + 1]]
    return paths[:, :, None], probs


def log_likelihoods(policy, paths):
    moves = policy.matrices()
    return torch.stack([moves[t, paths[:, t, 0], paths[:, t + 1, 0]].log() for t in range(len(moves))], dim=1)


class Stored(pl.LightningDataModule):
    def __init__(self, batch):
        super().__init__()
        self.batch = batch

    def train_dataloader(self):
        return DataLoader([self.batch], batch_size=None, collate_fn=lambda batch: batch)


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
    (found,) = torch.autograd.grad(objective.loss(batch, seeded("cpu", 0)), objective.policy.logits)
    weights = 8 * probs if weighted else torch.ones(8)  # in units of the first batch's mean
    likelihood = (weights * log_likelihoods(objective.policy, paths).sum(dim=1)).mean()
    (exact,) = torch.autograd.grad(-likelihood, objective.policy.logits)
    torch.testing.assert_close(found, exact)
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
    (found,) = torch.autograd.grad(objective.loss(batch, seeded("cpu", 0)), objective.policy.logits)
    moves = objective.policy.matrices()
    log_q = torch.stack([moves[t, paths[:, t, 0], choices[:, t, 0]].log() for t in range(2)], dim=1)
    (exact,) = torch.autograd.grad(-(weights * log_q).sum(dim=1).mean(), objective.policy.logits)
    torch.testing.assert_close(found, exact)


def test_the_mean_over_all_choices_of_one_time_is_the_gradient_at_every_time(monkeypatch):
    oracle = tiny()
    objective = make(oracle, None, scale=0.5, num_times=1)
    paths, probs = every_path(oracle)
    batch = TensorDict({"states": paths[:3], "log_weights": probs[:3].log()}, batch_size=[3])
    batch["log_weights"][1] = -INF
    found = torch.zeros_like(objective.policy.logits)
    for chosen in itertools.product(range(2), repeat=3):
        times = torch.tensor(chosen)[:, None]
        monkeypatch.setattr("svlearn.objectives.distillation.draw_times", lambda *_, times=times: times)
        found += torch.autograd.grad(objective.loss(batch, seeded("cpu", 0)), objective.policy.logits)[0] / 8
    objective.num_times = None
    (exact,) = torch.autograd.grad(objective.loss(batch, seeded("cpu", 0)), objective.policy.logits)
    torch.testing.assert_close(found, exact)


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


TEACHERS = {
    "svdd": (lambda oracle: exact_teacher(oracle), {}),
    "svdd of two random steps": (lambda oracle: exact_teacher(oracle), {"num_times": 2}),
    "smc without a value": (lambda oracle: smc(oracle, oracle.target(ALPHA), Zero(), 16), {}),
    "svdd, student rolls in": (lambda oracle: exact_teacher(oracle), {"roll_in": "student", "replay": 0.5}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TEACHERS)
def test_towards_the_target_it_reaches_the_exact_floor(name):
    """With M = 2 candidates or no value at all: the weights make any of these teachers exact."""
    oracle, (teacher, options) = markov(), TEACHERS[name]
    objective = make(oracle, teacher(oracle), law="target", batch_size=256, num_validation=256, **options)
    best = oracle.optimal(ALPHA)
    assert path_kl(best.initial_probs, best.matrices, objective.policy) > 0.1
    fit(objective, max_steps=400, enable_progress_bar=False)
    assert path_kl(best.initial_probs, best.matrices, objective.policy) < 0.005


@pytest.mark.slow
@pytest.mark.parametrize("roll_in", ["teacher", "student"])
@pytest.mark.parametrize("alpha", [0.0, ALPHA])
def test_towards_the_teacher_it_becomes_svdd_itself(alpha, roll_in):
    """At α = 0 too; the law of SVDD with M = 2 is enumerated, and is not p*."""
    oracle = markov()
    value = oracle.mean_value() if alpha == 0 else oracle.soft_value(alpha)
    objective = make(oracle, svdd(oracle, oracle.target(alpha), value, 2), alpha, roll_in=roll_in, replay=0.5)
    start, moves = svdd_law(oracle, value.table, 2, alpha)
    assert path_kl(start, moves, objective.policy) > 0.1
    fit(objective, max_steps=400, enable_progress_bar=False)
    assert path_kl(start, moves, objective.policy) < 0.005
    if alpha > 0:
        best = oracle.optimal(alpha)
        assert path_kl(best.initial_probs, best.matrices, objective.policy) > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("roll_in", ["teacher", "student"])
def test_on_a_token_tree_it_reaches_the_exact_floor(roll_in):
    tree = TokenTree.random(num_tokens=3, length=4, seed=0, end=2)
    teacher = svdd(tree, tree.target(ALPHA), tree.soft_value(ALPHA), 2)
    policy = Tree(tree)
    options = dict(law="target", roll_in=roll_in, learning_rate=5e-2, batch_size=256, num_validation=256)
    objective = Distillation(tree, tree.target(ALPHA), policy, teacher, **options)

    def kl():
        learned = TokenTree((tree.probs.log() + policy.logits.detach()).softmax(dim=1), 3, 4, tree.reward, 2)
        best, own = tree.optimal(ALPHA).leaves()[1], learned.leaves()[1]
        return float(torch.where(best > -INF, best.exp() * (best - own), 0.0).sum())

    assert kl() > 0.3
    fit(objective, max_steps=400, enable_progress_bar=False)
    assert kl() < 0.01


def test_stored_trajectories_teach_without_a_sampler():
    oracle = tiny()
    paths, probs = every_path(oracle)
    objective = make(oracle, None)
    stored = TensorDict({"states": paths, "rewards": probs, "log_weights": probs.log() + 50}, batch_size=[8])
    fit(objective, max_steps=300, data=Stored(stored), enable_progress_bar=False)
    best = oracle.optimal(ALPHA)
    assert path_kl(best.initial_probs, best.matrices, objective.policy) < 1e-3
    with pytest.raises(ValueError, match="sampler: expected one to draw from, got None; give one, or fit stored"):
        fit(make(oracle, None), max_steps=1, enable_progress_bar=False)


@pytest.mark.parametrize("roll_in", ["teacher", "student"])
def test_a_resumed_run_with_replay_ends_where_an_uninterrupted_one_does(tmp_path, roll_in):
    from pytorch_lightning.callbacks import ModelCheckpoint

    def train(**kwargs):
        oracle = markov()
        options = dict(law="target", roll_in=roll_in, replay=0.5, replay_size=40, batch_size=16, num_times=2)
        return fit(make(oracle, exact_teacher(oracle), **options), max_steps=10, enable_progress_bar=False, **kwargs)

    keep = ModelCheckpoint(dirpath=tmp_path, every_n_train_steps=5, save_top_k=-1)
    whole = train(callbacks=[keep], enable_checkpointing=True)
    (middle,) = tmp_path.glob("*step=5.ckpt")
    resumed = train(ckpt_path=str(middle))
    assert torch.equal(resumed.policy.logits, whole.policy.logits) and resumed.replay.written == 16 + 9 * 8


@pytest.mark.parametrize("alpha", [0.0, ALPHA])
def test_validation_tells_the_reward_and_the_elbo_where_there_is_one(alpha):
    oracle = markov()
    value = oracle.mean_value() if alpha == 0 else oracle.soft_value(alpha)
    objective = make(oracle, svdd(oracle, oracle.target(alpha), value, 2), alpha, replay=0.5, batch_size=8)
    trainer = pl.Trainer(
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False
    )
    (found,) = trainer.validate(objective, verbose=False)
    mean = float(oracle.marginals()[-1] @ oracle.reward.table)  # an untrained policy is the reference
    assert abs(found["validation/reward"] - mean) < 4.5 * oracle.reward.table.std() / 128**0.5
    assert ("validation/elbo" in found) == (alpha > 0) and len(objective.replay) == 0
    if alpha > 0:
        assert found["validation/elbo"] == pytest.approx(found["validation/reward"] / alpha)


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


def test_it_works_for_gaussian_steps():
    """One step of every kind; what is learned is shown on the chains."""
    from svlearn.policies import Controlled

    class Shift(nn.Module):
        def __init__(self):
            super().__init__()
            self.shift = nn.Parameter(torch.zeros(2, dtype=torch.float64))

        def forward(self, x, t):
            return self.shift.expand_as(x)

    oracle = LinearGaussianChain.random(dim=2, num_steps=3, seed=0)
    target, mean = oracle.target(0.5), oracle.mean_value()
    for roll_in in ("teacher", "student"):
        policy = Controlled(oracle, Shift())
        objective = Distillation(oracle, target, policy, svdd(oracle, target, mean, 3), roll_in=roll_in, batch_size=8)
        fit(objective, max_steps=2, enable_progress_bar=False)
        assert bool((policy.network.shift != 0).all())
