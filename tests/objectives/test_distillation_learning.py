"""Distillation learns: the policy becomes what the teacher does, whoever rolls in, and resumes where it ended."""

import itertools

import pytest
import pytorch_lightning as pl
import torch
from distillation_toys import ALPHA, INF, every_path, exact_teacher, make, markov, tiny
from tensordict import TensorDict
from torch import nn
from torch.utils.data import DataLoader

from svlearn.domains.analytic import LinearGaussianChain, TokenTree
from svlearn.domains.analytic.texts import text_index
from svlearn.inference.samplers import smc, svdd
from svlearn.objectives.distillation import Distillation
from svlearn.objectives.fit import fit
from svlearn.policies import Policy
from svlearn.values import Zero


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


class Stored(pl.LightningDataModule):
    def __init__(self, batch):
        super().__init__()
        self.batch = batch

    def train_dataloader(self):
        return DataLoader([self.batch], batch_size=None, collate_fn=lambda batch: batch)


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
