"""PPO: its loss by hand, its gradient at q_old against that of REINFORCE and of the ELBO, what an iteration holds, and
how near it comes to the best ELBO."""

import itertools
import math

import pytest
import torch
from distillation_toys import Table
from tensordict import TensorDict
from torch import nn

from svlearn.domains.analytic import FiniteMarkovChain, LinearGaussianChain, elbo
from svlearn.metering import metered
from svlearn.objectives.clipped_policy_gradient import clipped_surrogate_loss
from svlearn.objectives.fit import fit
from svlearn.objectives.policy_gradient import PolicyGradient
from svlearn.objectives.proximal_policy_gradient import ProximalPolicyGradient
from svlearn.policies import Controlled
from svlearn.randomness import seeded

ALPHA = 0.7


class LinearInX(nn.Module):
    """One free affine map for each time: it can hold the best control of a linear-Gaussian chain."""

    def __init__(self, dim, num_steps):
        super().__init__()
        self.matrices = nn.Parameter(torch.zeros(num_steps, dim, dim, dtype=torch.float64))
        self.vectors = nn.Parameter(torch.zeros(num_steps, dim, dtype=torch.float64))

    def forward(self, x, t):
        return torch.einsum("bij,bj->bi", self.matrices[t], x) + self.vectors[t]


def tiny():
    return FiniteMarkovChain.random(num_states=2, num_steps=2, seed=3)


def make(oracle, scale=0.5, kind=ProximalPolicyGradient, **options):
    return kind(oracle, oracle.target(ALPHA), Table(oracle, scale), **options)


def batch_of(states, oracle):
    return TensorDict({"states": states, "rewards": oracle.reward(states[:, -1])}, batch_size=[len(states)])


def judged(objective, batch):
    """As if the policy had just drawn it."""
    log_ratios = -objective.log_ratios(batch["states"]).detach()
    return objective.judged(batch.copy().set("log_ratios", log_ratios))


def gradient(objective, batch):
    return torch.autograd.grad(objective.loss(batch, seeded("cpu", 0)), objective.policy.logits)[0]


def elbo_of(policy):
    """E_q[r/α] - KL(q || p_ref), exactly, backwards in time."""
    oracle, moves = policy.reference, policy.matrices()
    value = oracle.reward.table / ALPHA
    for t in reversed(range(oracle.num_steps)):
        value = (moves[t] * (value - (moves[t] / oracle.matrices[t]).log())).sum(dim=-1)
    return oracle.initial_probs @ value


def test_the_loss_and_its_gradient_by_hand():
    """ρ = 1, 2, 2, 1/2, 1/2: beyond the clipping only what would go further is held."""
    ratios = torch.tensor([1.0, 2.0, 2.0, 0.5, 0.5], dtype=torch.float64)
    advantages = torch.tensor([3.0, 3.0, -3.0, 3.0, -3.0], dtype=torch.float64)
    log_ratios = (ratios.log() + 0.7).requires_grad_()
    losses = clipped_surrogate_loss(log_ratios, torch.full_like(ratios, 0.7), advantages, clip=0.25)
    torch.testing.assert_close(losses, torch.tensor([-3.0, -3.75, 6.0, -1.5, 2.25], dtype=torch.float64))
    (slope,) = torch.autograd.grad(losses.sum(), log_ratios)
    torch.testing.assert_close(slope, torch.tensor([-3.0, 0.0, 6.0, -1.5, 0.0], dtype=torch.float64))


def test_at_the_old_policy_the_gradient_is_that_of_reinforce_with_leave_one_out():
    """The mean over the minibatches of an iteration is that of the whole; num_times draws the same steps in both."""
    oracle = FiniteMarkovChain.random(num_states=4, num_steps=5, seed=1)
    for options in ({}, {"num_times": 2}):
        ours, plain = make(oracle, **options).eval(), make(oracle, kind=PolicyGradient, **options)
        batch = judged(ours, batch_of(oracle.trajectories(12, generator=seeded("cpu", 0)), oracle))
        torch.testing.assert_close(gradient(ours, batch), gradient(plain, batch), rtol=1e-12, atol=1e-14)
    ours = make(oracle).eval()
    parts = torch.stack([gradient(ours, batch[rows]) for rows in (slice(0, 4), slice(4, 8), slice(8, 12))])
    torch.testing.assert_close(parts.mean(dim=0), gradient(make(oracle, kind=PolicyGradient), batch))


def test_the_expected_gradient_over_all_batches_of_two_is_that_of_the_elbo():
    oracle = tiny()
    objective = make(oracle).eval()
    paths = torch.tensor(list(itertools.product(range(2), repeat=3)))
    moves, probs = objective.policy.matrices().detach(), oracle.initial_probs[paths[:, 0]]
    for t in range(2):
        probs = probs * moves[t, paths[:, t], paths[:, t + 1]]
    expected = sum(
        probs[i] * probs[j] * gradient(objective, judged(objective, batch_of(paths[[i, j]][:, :, None], oracle)))
        for i, j in itertools.product(range(8), repeat=2)
    )
    (exact,) = torch.autograd.grad(-elbo_of(objective.policy), objective.policy.logits)
    torch.testing.assert_close(expected, exact)


def test_where_all_is_optimal_the_expected_surrogate_is_stationary():
    """q_old = p*: A_t is then a function of x_t alone, and E[ρ | x_t] = 1 wherever q goes."""
    oracle = tiny()
    objective = make(oracle).eval()
    best = oracle.optimal(ALPHA)
    objective.policy.logits.data = (best.matrices / oracle.matrices).log()
    paths = torch.tensor(list(itertools.product(range(2), repeat=3)))
    probs = best.matrices[0, paths[:, 0], paths[:, 1]] * best.matrices[1, paths[:, 1], paths[:, 2]]
    batch = judged(objective, batch_of(paths[:, :, None], oracle))
    slope = torch.zeros_like(objective.policy.logits)
    for row in range(8):
        slope += oracle.initial_probs[paths[row, 0]] * probs[row] * gradient(objective, batch[[row]])
    torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-12)


def test_normalized_advantages_have_a_mean_square_of_one_and_the_same_direction():
    oracle = tiny()
    batch = batch_of(oracle.trajectories(20, generator=seeded("cpu", 0)), oracle)
    plain, scaled = (judged(make(oracle, normalize_advantages=on), batch)["advantages"] for on in (False, True))
    assert scaled.square().mean().item() == pytest.approx(1.0)
    torch.testing.assert_close(scaled * plain.square().mean().sqrt(), plain)
    alike = make(oracle.with_rewards(torch.zeros(2)), scale=0.0, normalize_advantages=True)
    same = batch_of(batch["states"], alike.reference)
    assert not judged(alike, same)["advantages"].any()
    same["rewards"] = torch.full((20,), 0.7, dtype=torch.float64)  # whose mean rounds
    assert not judged(alike, same)["advantages"].any()


class Watched(ProximalPolicyGradient):
    """Keeps what each optimiser step was given, and what it logged."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.batches, self.logged = [], []

    def loss(self, trajectories, generator):
        self.batches.append(trajectories)
        return super().loss(trajectories, generator)

    def log(self, name, value, **options):
        self.logged.append((name, float(torch.as_tensor(value).detach())))


def test_an_iteration_looks_at_every_trajectory_once_an_epoch_and_then_draws_anew():
    oracle = FiniteMarkovChain.random(num_states=5, num_steps=6, seed=0)
    objective = make(oracle, kind=Watched, num_minibatches=3, num_epochs=2, batch_size=4, learning_rate=0.5)
    with metered() as meter:
        fit(objective, max_steps=12, enable_progress_bar=False)
    epochs = [torch.cat([batch["log_ratios"] for batch in objective.batches[3 * k : 3 * k + 3]]) for k in range(4)]
    rows = [sorted(map(tuple, epoch.tolist())) for epoch in epochs]
    assert rows[0] == rows[1] and rows[2] == rows[3] and rows[0] != rows[2]
    assert not torch.equal(epochs[0], epochs[1])
    counted = [value for name, value in objective.logged if name == "train/trajectories"]
    assert counted == [12.0] * 6 + [24.0] * 6
    clipped = [value for name, value in objective.logged if name == "train/clip_fraction"]
    assert clipped[0] == clipped[6] == 0 and max(clipped) > 0
    assert meter.cost.reward_calls == 24  # what is drawn, and no more


def test_the_old_policy_is_held_while_the_new_one_moves():
    oracle = FiniteMarkovChain.random(num_states=5, num_steps=6, seed=0)
    objective = make(oracle, kind=Watched, num_minibatches=1, num_epochs=2, batch_size=8)
    before = Table(oracle, 0.5).logits
    fit(objective, max_steps=2, enable_progress_bar=False)
    last, after = objective.batches[1], objective.policy.logits.data.clone()
    assert (objective.log_ratios(last["states"]) + last["log_ratios"]).abs().max() > 1e-4
    objective.policy.logits.data = before.data
    torch.testing.assert_close(objective.log_ratios(last["states"]), -last["log_ratios"])
    assert not torch.equal(before, after)


def test_a_run_resumed_in_the_middle_of_an_iteration_ends_where_an_uninterrupted_one_does(tmp_path):
    from pytorch_lightning.callbacks import ModelCheckpoint

    def train(**kwargs):
        oracle = FiniteMarkovChain.random(num_states=5, num_steps=6, seed=0)
        objective = make(oracle, num_minibatches=2, num_epochs=2, batch_size=8, num_times=3)
        return fit(objective, max_steps=10, enable_progress_bar=False, **kwargs)

    keep = ModelCheckpoint(dirpath=tmp_path, every_n_train_steps=5, save_top_k=-1)
    whole = train(callbacks=[keep], enable_checkpointing=True)
    (middle,) = tmp_path.glob("*step=5.ckpt")
    resumed = train(ckpt_path=str(middle))
    assert torch.equal(resumed.policy.logits, whole.policy.logits)
    assert torch.load(middle, weights_only=True)["state_dict"]["iteration._extra_state"]["trajectories"] is not None


def test_validation_leaves_the_iteration_alone():
    oracle = FiniteMarkovChain.random(num_states=5, num_steps=6, seed=0)
    plain, validated = (make(oracle, batch_size=8, num_validation=16) for _ in range(2))
    fit(plain, max_steps=6, enable_progress_bar=False)
    fit(validated, max_steps=6, enable_progress_bar=False, limit_val_batches=1, val_check_interval=1)
    assert torch.equal(plain.policy.logits, validated.policy.logits)
    assert len(validated.iteration.trajectories) == 32


def test_what_is_out_of_range_and_what_it_cannot_learn_from_is_refused():
    oracle = tiny()
    for name, number in (("num_minibatches", 0), ("num_epochs", 1.5), ("clip", 0.0), ("clip", 1.0), ("num_times", 3)):
        with pytest.raises(ValueError, match=f"{name}: expected"):
            make(oracle, **{name: number})
    stored = batch_of(oracle.trajectories(4, generator=seeded("cpu", 0)), oracle)
    with pytest.raises(ValueError, match="data: ProximalPolicyGradient learns from its own policy's trajectories"):
        make(oracle).training_step(stored, 0)
    dead = oracle.with_rewards(torch.tensor([0.4, -math.inf]))
    with pytest.raises(ValueError, match="DistributionalPolicyGradient takes it"):
        judged(make(dead), batch_of(stored["states"], dead))


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"num_times": 2}, {"normalize_advantages": True, "num_epochs": 4}])
def test_it_comes_near_the_best_elbo_of_a_markov_chain(options):
    oracle = FiniteMarkovChain.random(num_states=5, num_steps=6, seed=0)
    objective = make(oracle, scale=0.0, learning_rate=2e-2, batch_size=256, **options)
    assert oracle.best_elbo(ALPHA) - elbo_of(objective.policy) > 0.1
    fit(objective, max_steps=1500, enable_progress_bar=False)
    assert oracle.best_elbo(ALPHA) - elbo_of(objective.policy) < 0.002


@pytest.mark.slow
def test_it_comes_near_the_best_elbo_of_a_gaussian_chain():
    drawn = LinearGaussianChain.random(dim=3, num_steps=8, seed=0)
    turn, start = torch.linalg.qr(drawn.matrices)[0], (drawn.initial_mean, 1.0)
    oracle = LinearGaussianChain(*start, 0.95 * turn, drawn.offsets, 0.6 * drawn.stds, drawn.reward)
    network = LinearInX(3, 8)
    objective = ProximalPolicyGradient(
        oracle, oracle.target(2.0), Controlled(oracle, network), learning_rate=2e-2, batch_size=256
    )

    @torch.no_grad()
    def gap():
        variances = oracle.stds**2
        feedback = (
            oracle.matrices + variances[:, :, None] * network.matrices,
            oracle.offsets + variances * network.vectors,
        )
        policy = LinearGaussianChain(
            oracle.initial_mean, oracle.initial_covariance, *feedback, oracle.stds, oracle.reward
        )
        return float(oracle.best_elbo(2.0) - elbo(policy, oracle, 2.0))

    assert gap() > 0.05
    fit(objective, max_steps=1500, enable_progress_bar=False)
    assert gap() < 0.002
