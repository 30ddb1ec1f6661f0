"""Every draw of a training has random numbers of its own: each step, micro-batch, process and batch of validation."""

import os

import forking
import pytest
import pytorch_lightning as pl
import torch
from path_toys import ALPHA, EXACT, TablePolicy, fixed_start, make, markov
from tensordict import TensorDict
from value_toys import Table, tiny

from svlearn.objectives import MonteCarloRegression, ProximalPolicyGradient
from svlearn.objectives.behaviour import Replay
from svlearn.objectives.fit import fit
from svlearn.randomness import seeded, stream
from svlearn.rollouts import roll_out
from svlearn.values import Learned

QUIET = dict(enable_progress_bar=False)


class Watched(MonteCarloRegression):
    """Keeps the trajectories of every loss, and the gradients of every step."""

    def __init__(self, **options):
        self.drawn_states, self.gradients = [], []
        chain = tiny()
        super().__init__(chain, chain.target(1.0), Learned(Table(3, 2)), **{"batch_size": 8} | options)

    def loss(self, trajectories, generator):
        self.drawn_states.append(trajectories["states"].clone())
        return super().loss(trajectories, generator)

    def on_before_optimizer_step(self, optimizer):
        self.gradients.append(self.value.network.table.grad.clone())


class Stored(pl.LightningDataModule):
    """Serves the batches that it is given."""

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def train_dataloader(self):
        return self

    def __iter__(self):
        return iter(self.batches)

    def __len__(self):
        return len(self.batches)


def all_different(states):
    return all(not torch.equal(one, other) for k, one in enumerate(states) for other in states[:k])


def test_every_micro_batch_of_a_step_draws_trajectories_of_its_own():
    alone, together = Watched(), Watched()
    fit(alone, max_steps=4, **QUIET)
    fit(together, max_steps=4, accumulate_grad_batches=3, **QUIET)
    assert len(together.drawn_states) == 12 and all_different(together.drawn_states)
    # the first of a step is that of a plain run
    for one, other in zip(alone.drawn_states, together.drawn_states[::3], strict=True):
        assert torch.equal(one, other)
    chain = tiny()
    plain = roll_out(chain, 8, target=chain.target(1.0), generator=seeded("cpu", 0, 0, 2))["states"]
    assert torch.equal(alone.drawn_states[2], plain)


def test_streams_differ_by_rank_and_part_and_the_first_is_that_of_one_process():
    drawn = [torch.rand(3, generator=stream("cpu", 0, 0, 5, rank=r, part=p)) for r in range(3) for p in range(3)]
    assert all_different(drawn)
    assert torch.equal(drawn[0], torch.rand(3, generator=seeded("cpu", 0, 0, 5)))


@pytest.mark.parametrize("num_batches", [4, 5, 3])
def test_the_gradient_of_a_step_is_the_mean_over_its_micro_batches(num_batches):
    """As that of one batch of so many trajectories, at the end of an epoch too, where fewer make up a step."""
    chain = tiny()
    target, generator = chain.target(1.0), seeded("cpu", 0)
    stored = [roll_out(chain, 8, target=target, generator=generator) for _ in range(num_batches)]
    parts = [stored[k : k + 2] for k in range(0, num_batches, 2)]
    accumulated, joint = Watched(), Watched()
    for each in (accumulated, joint):
        each.reward_variance.fill_(2.0)
    options = dict(max_steps=len(parts), gradient_clip_val=0, **QUIET)
    fit(accumulated, data=Stored(stored), accumulate_grad_batches=2, **options)
    fit(joint, data=Stored([torch.cat(part) for part in parts]), **options)
    for one, other in zip(accumulated.gradients, joint.gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_an_epoch_of_own_data_has_its_number_of_steps_whatever_makes_up_a_step():
    ended = []

    class Epochs(pl.Callback):
        def on_train_epoch_end(self, trainer, module):
            ended.append(trainer.global_step)

    fit(Watched(steps_per_epoch=5), max_steps=10, accumulate_grad_batches=3, callbacks=[Epochs()], **QUIET)
    assert ended == [5, 10]


def test_batches_and_processes_validate_on_trajectories_of_their_own(monkeypatch):
    objective = Watched(num_validation=8)
    monkeypatch.setattr(objective, "val_dataloader", lambda: range(3))
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, **QUIET)
    trainer.validate(objective, verbose=False)
    first = objective.drawn_states.copy()
    monkeypatch.setattr(Watched, "global_rank", 1)
    trainer.validate(objective, verbose=False)
    assert len(objective.drawn_states) == 6 and all_different(objective.drawn_states)
    objective.drawn_states.clear()
    monkeypatch.setattr(Watched, "global_rank", 0)
    trainer.validate(objective, verbose=False)
    assert all(torch.equal(one, other) for one, other in zip(first, objective.drawn_states, strict=True))


def test_an_iteration_of_ppo_holds_the_trajectories_of_all_its_micro_batches():
    ratios, logged = [], []

    class Seen(ProximalPolicyGradient):
        def loss(self, trajectories, generator):
            ratios.append(trajectories["log_ratios"])
            return super().loss(trajectories, generator)

        def log(self, name, value, **options):
            logged.append((name, float(torch.as_tensor(value).detach())))

    oracle = markov()
    policy = TablePolicy(oracle, torch.randn(6, 5, 5, generator=seeded("cpu", 0), dtype=EXACT))
    objective = Seen(oracle, oracle.target(ALPHA), policy, num_minibatches=3, num_epochs=2, batch_size=4)
    fit(objective, max_steps=12, accumulate_grad_batches=2, **QUIET)
    epochs = [torch.cat(ratios[6 * k : 6 * k + 6]) for k in range(4)]
    rows = [sorted(map(tuple, epoch.tolist())) for epoch in epochs]
    assert [len(each) for each in rows] == [24] * 4
    assert rows[0] == rows[1] != rows[2] == rows[3] and not torch.equal(epochs[0], epochs[1])
    counted = [value for name, value in logged if name == "train/trajectories"]
    assert counted == [24.0] * 12 + [48.0] * 12


def test_a_trust_region_counts_optimiser_steps():
    oracle = fixed_start()
    options = dict(trust_region=0.05, inner_steps=4, replay_size=64, batch_size=16, num_validation=16)
    objective = make(oracle, "log_variance", None, **options)
    begun, begin = [], objective.region._begin
    objective.region._begin = lambda *drawn: (begun.append(objective.global_step), begin(*drawn))
    fit(objective, max_steps=9, accumulate_grad_batches=3, **QUIET)
    assert begun == [0, 4, 8]


def test_the_micro_batches_of_a_step_replay_the_same_past():
    def rows(number):
        return TensorDict({"states": torch.tensor([[number]])}, batch_size=[1])

    replay = Replay(size=4)
    for step in range(2):
        for part in range(3):
            assert len(replay) == 3 * step
            replay.wait(rows(3 * step + part), more=part < 2)
    assert sorted(replay.held["states"].flatten().tolist()) == [2, 3, 4, 5]
    replay.wait(rows(6), more=True)
    again = Replay(size=4)
    again.set_extra_state(replay.get_extra_state())
    again.wait(rows(7), more=False)
    assert sorted(again.held["states"].flatten().tolist()) == [4, 5, 6, 7]


TWO = """
import sys
sys.path[:0] = {paths!r}
import torch
from test_streams import Watched, QUIET
from path_toys import fixed_start, make
from svlearn.objectives.fit import fit

from pytorch_lightning.strategies import DDPStrategy
common = dict(accelerator="cpu", devices=2, max_steps=2, accumulate_grad_batches=2, enable_progress_bar=False)
plain = fit(Watched(), strategy=DDPStrategy(process_group_backend="gloo"), **common)
scalar = make(fixed_start(), "trajectory", None, batch_size=8)
fit(scalar, strategy=DDPStrategy(process_group_backend="gloo"), **common)
results = dict(drawn_states=plain.drawn_states, table=plain.value.network.table.data, log_z=scalar.log_normalizer.data)
torch.save(results, f"{folder}/rank{{plain.global_rank}}.pt")
"""


@pytest.mark.slow
def test_two_processes_draw_trajectories_of_their_own_and_learn_the_same(tmp_path):
    here = os.path.dirname(__file__)
    script = tmp_path / "two.py"
    script.write_text(TWO.format(paths=[here], folder=str(tmp_path)))
    done = forking.run_ranks(script)
    assert done.returncode == 0, done.stderr[-3000:]
    one, other = (torch.load(tmp_path / f"rank{rank}.pt") for rank in range(2))
    assert all_different(one["drawn_states"] + other["drawn_states"]) and len(one["drawn_states"]) == 4
    assert torch.equal(one["table"], other["table"]) and torch.equal(one["log_z"], other["log_z"])
    alone = Watched()
    fit(alone, max_steps=2, accumulate_grad_batches=2, **QUIET)
    for k in (0, 3):
        assert torch.equal(alone.drawn_states[k], one["drawn_states"][k])


@pytest.mark.parametrize("kind", ["replay", "region", "ppo"])
def test_what_a_step_that_is_begun_again_had_drawn_is_drawn_once(kind, tmp_path):
    """From a checkpoint amid a step: of the past, of a region and of an iteration of PPO alike."""

    def train(**options):
        oracle = fixed_start()
        if kind == "replay":
            objective = make(oracle, "trajectory", None, batch_size=8, replay=0.5, replay_size=32)
        elif kind == "region":
            region = dict(trust_region=0.3, replay_size=64, inner_steps=2, batch_size=8)
            objective = make(oracle, "log_variance", None, **region)
        else:
            objective = ProximalPolicyGradient(oracle, oracle.target(ALPHA), TablePolicy(oracle), batch_size=8)
        return fit(objective, max_steps=5, accumulate_grad_batches=3, **QUIET, **options)

    class Amid(pl.Callback):
        def on_train_batch_end(self, trainer, module, outputs, batch, batch_index):
            if batch_index % 3 < 2:
                trainer.save_checkpoint(tmp_path / f"{batch_index}.ckpt", weights_only=False)

    whole = train(callbacks=[Amid()])
    for path in tmp_path.iterdir():
        assert torch.equal(train(ckpt_path=str(path)).policy.table, whole.policy.table), path
