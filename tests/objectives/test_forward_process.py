"""Policies on the forward process: pulls and the slow copy by hand, what is drawn and called, resumption."""

import math

import pytest
import pytorch_lightning as pl
import torch
from forward_toys import ALPHA, EVERY, TARGET, TILTED, OfClass, T, denoiser, make, reward
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import nn

from svlearn.metering import metered
from svlearn.objectives.fit import fit
from svlearn.objectives.forward_losses import effective_share, optimality_of
from svlearn.objectives.slow_policy import Decay, follow, slow_copy
from svlearn.policies import Finetuned
from svlearn.process import Prediction
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.targets import Target
from svlearn.transitions import FieldTransition, GaussianTransition


def test_the_optimality_by_hand():
    rewards = torch.tensor([0.0, 2.0, 4.0, 10.0])  # mean 4, std √14
    wanted = [0.5 + 0.5 * max(-1, min(1, gap / (0.5 * math.sqrt(14)))) for gap in (-4, -2, 0, 6)]
    assert optimality_of(rewards, 0.5).tolist() == pytest.approx(wanted)
    wanted = [0.5 + 0.5 * gap / (2 * math.sqrt(14)) for gap in (-1, 1, -3, 3)]
    assert optimality_of(rewards, 2.0, group_size=2).tolist() == pytest.approx(wanted)
    assert optimality_of(torch.full((4,), 3.0), 1.0).tolist() == [0.5] * 4


@pytest.mark.parametrize(("value", "number", "group"), [(0.1, 256, None), (0.7, 12, None), (0.1, 12, 6)])
def test_rewards_that_are_all_alike_pull_nothing(value, number, group):
    rewards = torch.full((number,), value, dtype=torch.float64)  # whose mean rounds
    assert optimality_of(rewards, 1.0, group).tolist() == [0.5] * number
    assert effective_share(torch.tensor([1.0, 3.0])).item() == pytest.approx(16 / 20)


def test_the_pulls_by_hand_and_the_scale_that_is_kept():
    rewards = torch.tensor([0.0, ALPHA * math.log(3.0), -math.inf, 0.0])
    for name, wanted in (("weighted", [0.8, 2.4, 0.0, 0.8]), ("tilted", [-0.2, 1.4, -1.0, -0.2])):
        objective = make(**EVERY[name]).eval()
        pulls, totals = objective.pulls(rewards)
        assert pulls.tolist() == pytest.approx(wanted) and totals.tolist() == pytest.approx([0.8, 2.4, 0.0, 0.8])
        again, _ = objective.pulls(rewards[:1])  # no batch normalises itself
        assert again.tolist() == pytest.approx(wanted[:1])
    halved = make(**EVERY["weighted, rounds"]).eval()
    assert (halved.pulls(rewards)[0][1] / halved.pulls(rewards)[0][0]).item() == pytest.approx(math.sqrt(3))
    pulls, totals = make(variant="nft", beta=0.5, clip=2.0).eval().pulls(rewards[[0, 1]])
    assert pulls.tolist() == pytest.approx([-1.0, 1.0]) and totals.tolist() == [1, 1]


def test_the_decay_rises_to_its_most():
    assert [Decay.of((0.2, 0.5)).at(step) for step in range(5)] == pytest.approx([0.0, 0.2, 0.4, 0.5, 0.5])
    assert Decay.of(0.9).at(0) == Decay.of(0.9).at(7) == 0.9
    assert Decay.of(1).holds and not Decay.of(0.999).holds and not Decay.of((1.0, 1.0)).holds


def test_the_slow_copy_follows_and_shares_all_that_is_not_trained():
    policy = Finetuned(denoiser(), modules="means")
    slow = slow_copy(policy)
    assert slow.reference is policy.reference and not any(each.requires_grad for each in slow.trained())
    assert slow.copy.means is not policy.copy.means and slow.copy.log_weights is policy.copy.log_weights
    before = slow.copy.means.clone()
    with torch.no_grad():
        policy.copy.means += 1.0
    follow(slow, policy, 0.75)
    torch.testing.assert_close(slow.copy.means, before + 0.25)
    follow(slow, policy, 0.0)
    assert torch.equal(slow.copy.means, policy.copy.means)


def test_the_slow_copy_of_nft_follows_at_every_step_by_its_decay():
    objective = make(variant="nft", decay=(0.5, 0.75))
    assert objective.source is objective.slow
    wanted = objective.slow.copy.means.clone()
    for decay in (0.0, 0.5, 0.75, 0.75):
        with torch.no_grad():
            objective.policy.copy.means += 1.0
        objective.advance()
        wanted = decay * wanted + (1 - decay) * objective.policy.copy.means
        torch.testing.assert_close(objective.slow.copy.means, wanted.detach())


def test_the_copy_of_a_round_moves_between_rounds_alone_and_the_scale_with_it():
    objective = make(num_rounds=3, steps_per_round=2)
    objective.log_scale.fill_(1.0)
    kept = []
    for step in range(9):
        with torch.no_grad():
            objective.policy.copy.means += 1.0
        objective.advance()
        kept.append((objective.slow.copy.means[0] - objective.reference.means[0]).item())
        assert objective.log_scale.isnan() == (step in (1, 3)), step
        objective.log_scale.fill_(1.0)
    assert kept == pytest.approx([0, 2, 2, 4, 4, 4, 4, 4, 4])  # the third round is the last, and stays


def test_what_a_step_draws_and_calls():
    states = 16 * T
    for name, reference_calls, policy_calls in (
        ("weighted", states, 16),
        ("weighted, rounds", states, 16),  # in the first round
        ("tilted", states + 16, 16),
        ("nft", 0, states + 16 + 16),
    ):
        objective = make(**EVERY[name]).eval()
        with metered() as meter:
            objective.loss(objective._trajectories(0, 16, seeded("cpu", 0)), seeded("cpu", 1))
        assert meter.cost.reference_calls == reference_calls and meter.cost.policy_calls == policy_calls, name


def test_what_weighs_nothing_is_not_called():
    batch = roll_out(denoiser(), 16, target=TARGET, generator=seeded("cpu", 0))
    batch["rewards"] = torch.where(torch.arange(16) < 12, -math.inf, batch["rewards"])
    whole = make(num_times=None).eval()
    with metered() as meter:
        loss = whole.loss(batch, seeded("cpu", 1))
    assert meter.cost.policy_calls == 4 * T and loss.isfinite()
    weights = whole.pulls(batch["rewards"])[0]
    assert weights.mean().item() == pytest.approx(1) and weights[:12].tolist() == [0] * 12


@pytest.mark.parametrize("name", EVERY)
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(name, tmp_path):
    def train(**options):
        objective = make(**EVERY[name], learning_rate=1e-2)
        return fit(objective, max_steps=6, enable_progress_bar=False, **options)

    keep = ModelCheckpoint(dirpath=tmp_path, every_n_train_steps=3, save_top_k=-1)
    whole = train(callbacks=[keep], enable_checkpointing=True)
    (middle,) = tmp_path.glob("*step=3.ckpt")
    resumed = train(ckpt_path=str(middle))
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(whole.policy.copy.means, whole.reference.means) and int(resumed.updates) == 6
    names = set(torch.load(middle, weights_only=True)["state_dict"])
    assert not any("reference." in each for each in names)
    assert ("slow.copy.means" in names) == (whole.slow is not None)


def test_the_slow_copy_of_adapters_is_stored_without_what_it_shares():
    pytest.importorskip("peft")

    class Layered(OfClass):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2).double()

        def forward(self, x, t, previous=None):
            clean = self.layer(x["x"])
            law = FieldTransition({"x": GaussianTransition(clean, 0.3)}, x)
            return Prediction(law, clean=x.clone().set("x", clean))

    reference = Layered().requires_grad_(False)
    policy = Finetuned(reference, 1, condition=torch.tensor([0]))
    target = Target(lambda x: x["x"].sum(dim=1), ALPHA)
    objective = make(reference, policy, target, variant="nft", conditions=torch.arange(3))
    fit(objective, max_steps=2, enable_progress_bar=False)
    checkpoint = {"state_dict": objective.state_dict()}
    objective.on_save_checkpoint(checkpoint)
    slow = [name for name in checkpoint["state_dict"] if name.startswith("slow.")]
    assert any("lora_B" in name for name in slow) and not any("base_layer" in name for name in slow)
    assert objective.slow.get_parameter("copy.layer.base_layer.weight") is reference.layer.weight


def test_groups_share_a_condition_and_all_of_a_state_but_x_stays():
    reference = OfClass()
    policy = Finetuned(reference, condition=torch.tensor([0]))
    target = Target(lambda x: x["x"].sum(dim=1) + 10.0 * x["class"], ALPHA)
    options = dict(variant="nft", optimality="group", group_size=4, conditions=torch.arange(3))
    objective = make(reference, policy, target, **options).eval()
    batch = objective._trajectories(0, 16, seeded("cpu", 0))
    classes = batch["states"]["class"][:, -1].view(4, 4)
    assert (classes == classes[:, :1]).all() and len(classes.unique()) > 1
    pulls, _ = objective.pulls(batch["rewards"])
    assert pulls.view(4, 4).mean(dim=1).abs().max() < 0.6  # against the group, not against what the class is worth
    fit(objective, max_steps=2, enable_progress_bar=False)
    assert not torch.equal(policy.copy.shift, reference.shift)


def test_micro_batches_make_one_step_and_one_scale():
    objective = make()
    fit(objective, max_steps=2, accumulate_grad_batches=3, enable_progress_bar=False)
    assert int(objective.updates) == 2 and objective.log_scale.isfinite()


@pytest.mark.parametrize("alpha", [0.0, ALPHA])
def test_validation_logs_the_reward_and_the_elbo_where_there_is_one(alpha):
    objective = make(target=Target(reward(), alpha), variant="nft", num_validation=128)
    trainer = pl.Trainer(
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False
    )
    (figures,) = trainer.validate(objective, verbose=False)
    rewards = roll_out(denoiser(), 2000, target=TARGET, generator=seeded("cpu", 5))["rewards"]
    assert abs(figures["validation/reward"] - rewards.mean()) < 4.5 * rewards.std() / 128**0.5
    assert ("validation/elbo" in figures) == (alpha > 0)
    if alpha > 0:  # an untrained policy is the reference
        assert figures["validation/elbo"] == pytest.approx(figures["validation/reward"] / alpha)


def test_stored_trajectories_are_those_of_the_reference():
    batch = roll_out(denoiser(), 16, target=TARGET, generator=seeded("cpu", 0))
    for options in ({}, TILTED, dict(variant="nft", decay=1.0)):
        assert make(**options)._trajectories(batch, 16, seeded("cpu", 0)) is batch
    for name in ("weighted, rounds", "tilted, rounds", "nft"):
        with pytest.raises(ValueError, match="data: .* learns from its slow copy's samples, got stored ones"):
            make(**EVERY[name])._trajectories(batch, 16, seeded("cpu", 0))
    grouped = make(variant="nft", optimality="group", group_size=8, decay=1.0)
    with pytest.raises(ValueError, match="data: expected batches of groups of 8, got one of 12 rows"):
        grouped._trajectories(batch[:12], 16, seeded("cpu", 0))
