"""Whose trajectories an off-policy objective learns from: the policy's, the reference's, those of the past."""

import pytest
import torch
from path_toys import ALPHA, TablePolicy, fixed_start, gap, make, markov
from tensordict import TensorDict

from svlearn.metering import metered
from svlearn.objectives.behaviour import Behaviour, Replay
from svlearn.objectives.fit import fit
from svlearn.randomness import seeded
from svlearn.rollouts import RolloutData, collect, roll_out


def test_exploration_and_replay_make_up_a_batch():
    oracle = markov()
    target, policy = oracle.target(ALPHA), TablePolicy(oracle)
    behaviour = Behaviour(exploration=0.25, replay=0.5, replay_size=20)
    with metered() as meter:
        first = behaviour.batch(policy, oracle, target, 16, seeded("cpu", 0))
    assert len(first) == 16
    # four trajectories of the reference, twelve of the policy, which calls the reference too
    assert (meter.cost.reference_calls, meter.cost.policy_calls) == (16 * 6, 12 * 6)
    with metered() as meter:
        second = behaviour.batch(policy, oracle, target, 16, seeded("cpu", 1))
    assert (meter.cost.reference_calls, meter.cost.policy_calls) == (8 * 6, 6 * 6)
    for row in second["states"][8:]:
        assert (row == first["states"]).flatten(1).all(1).any()
    torch.testing.assert_close(second["rewards"], target(second["states"][:, -1]))


def test_replay_keeps_the_newest_in_whole_groups():
    replay = Replay(size=7, group=2)  # three groups fit
    for number in range(4):
        rows = torch.arange(2) + 2 * number
        replay.add(TensorDict({"rewards": rows}, batch_size=[2]))
        assert len(replay) == min(2 * number + 2, 6)
    drawn = replay.draw(200, seeded("cpu", 0))["rewards"].view(-1, 2)
    assert set(drawn[:, 0].tolist()) == {2, 4, 6} and (drawn[:, 1] == drawn[:, 0] + 1).all()
    replay.add(TensorDict({"rewards": torch.arange(100, 110)}, batch_size=[10]))
    assert set(replay.held["rewards"].tolist()) == set(range(104, 110))


def test_shared_starts_are_shared_by_consecutive_trajectories():
    oracle = markov(num_states=5)
    behaviour = Behaviour(exploration=0.5, replay=0.5, shared_start=4)
    for step in range(3):
        batch = behaviour.batch(TablePolicy(oracle), oracle, oracle.target(ALPHA), 64, seeded("cpu", step))
        starts = batch["states"][:, 0, 0].view(16, 4)
        assert (starts == starts[:, :1]).all() and len(starts[:, 0].unique()) > 2
        ends = batch["states"][:, -1, 0].view(16, 4)
        assert (ends != ends[:, :1]).any()


def test_a_resumed_run_with_replay_ends_where_an_uninterrupted_one_does(tmp_path):
    from pytorch_lightning.callbacks import ModelCheckpoint

    def train(**kwargs):
        objective = make(fixed_start(), "trajectory", None, batch_size=32, exploration=0.25, replay=0.5, replay_size=40)
        return fit(objective, max_steps=10, enable_progress_bar=False, **kwargs)

    keep = ModelCheckpoint(dirpath=tmp_path, every_n_train_steps=5, save_top_k=-1)
    whole = train(callbacks=[keep], enable_checkpointing=True)
    (middle,) = tmp_path.glob("*step=5.ckpt")
    resumed = train(ckpt_path=str(middle))
    assert torch.equal(resumed.policy.table, whole.policy.table)
    assert torch.equal(resumed.log_normalizer, whole.log_normalizer)
    held = torch.load(middle, weights_only=True)["state_dict"]
    assert not any("reference" in name for name in held)


def test_validation_neither_explores_the_past_nor_adds_to_it():
    import pytorch_lightning as pl

    objective = make(markov(), "subtrajectory", replay=0.5, num_validation=64)
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False)
    (logged,) = trainer.validate(objective, verbose=False)
    assert len(objective.behaviour.replay) == 0
    assert logged["validation/elbo"] < objective.reference.log_normalizer(ALPHA) + 0.5


def test_stored_rollouts_of_the_reference_teach_the_exact_policy(tmp_path):
    oracle = markov(num_states=3, num_steps=2)
    collect(oracle, 3000, tmp_path / "rollouts", target=oracle.target(ALPHA), progress=False)
    objective = make(oracle, "subtrajectory", learning_rate=5e-2)
    start = gap(oracle, objective.policy.chain(), ALPHA)
    fit(objective, max_steps=100, data=RolloutData(tmp_path / "rollouts"), enable_progress_bar=False)
    assert gap(oracle, objective.policy.chain(), ALPHA) < 1e-4 < start / 10


def test_stored_groups_must_share_their_start():
    oracle = markov()
    objective = make(oracle, "log_variance", None, shared_start=2)
    stored = roll_out(oracle, 32, target=oracle.target(ALPHA), generator=seeded("cpu", 0))
    with pytest.raises(ValueError, match="shared_start: expected stored trajectories in rows of 2 that share x_0"):
        objective._trajectories(stored, 32, seeded("cpu", 0))
