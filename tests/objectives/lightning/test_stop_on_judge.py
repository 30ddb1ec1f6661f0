"""A training ends where its judge falls while its reward rises, with the weights that the judge liked best."""

import math

import pytest
import pytorch_lightning as pl
import torch
from distillation_toys import Table
from pytorch_lightning.trainer.states import TrainerFn

from svlearn.domains.analytic import FiniteMarkovChain
from svlearn.objectives import PolicyGradient, StopOnJudge
from svlearn.objectives.fit import fit
from svlearn.objectives.lightning.validation_history import ValidationHistory

ALPHA = 0.3
QUIET = dict(enable_progress_bar=False, limit_val_batches=1, val_check_interval=1)
PAY = torch.tensor([2.0, 1.0, -1.0, -1.0], dtype=torch.float64)


def pay(x):
    return PAY[x[:, 0]]


def hacked(x):
    """Likes state 1, which is paid for too, and not state 0, where the policy ends."""
    return torch.tensor([-3.0, 1.0, 0.0, 0.0], dtype=torch.float64)[x[:, 0]]


class Weights(pl.Callback):
    """Those after each step."""

    def __init__(self):
        super().__init__()
        self.at = {}

    def on_validation_end(self, trainer, module):
        self.at[trainer.global_step] = module.policy.logits.detach().clone()


def train(judge, *callbacks, max_steps=25, **options):
    oracle = FiniteMarkovChain.random(4, 2, seed=0).with_rewards(PAY)
    target = oracle.target(ALPHA)
    settings = dict(batch_size=64, num_validation=256, learning_rate=0.1, judge=judge)
    objective = PolicyGradient(oracle, type(target)(pay, ALPHA), Table(oracle), **settings)
    return fit(objective, max_steps=max_steps, callbacks=list(callbacks), **QUIET, **options)


def test_it_stops_and_keeps_the_weights_of_the_best():
    stop, weights, history = StopOnJudge(), Weights(), ValidationHistory()
    objective = train(hacked, stop, weights, history)
    step = objective.trainer.global_step
    assert stop.stopped and step < 25 and stop.best["step"] < step
    assert torch.equal(objective.policy.logits, weights.at[int(stop.best["step"])])
    assert not torch.equal(objective.policy.logits, weights.at[step])
    rows = {int(row["step"]): row for row in history.rows}
    best, last = rows[int(stop.best["step"])], rows[step]
    assert best["judge"] == max(row["judge"] for row in rows.values())
    assert last["reward"] > best["reward"]
    error = math.hypot(last["judge_standard_error"], best["judge_standard_error"])
    assert last["judge"] < best["judge"] - error
    between = [row for at, row in rows.items() if stop.best["step"] < at < step]
    assert all(
        row["reward"] <= best["reward"]
        or row["judge"] >= best["judge"] - math.hypot(row["judge_standard_error"], best["judge_standard_error"])
        for row in between
    )


class Told:
    """A trainer that validates to figures."""

    sanity_checking, should_stop, is_global_zero, global_step = False, False, False, 0

    def __init__(self, judge, error, reward, world_size=1):
        figures = {"judge": judge, "judge_standard_error": error, "reward": reward}
        self.callback_metrics = {f"validation/{name}": torch.tensor(each) for name, each in figures.items()}
        self.world_size, self.strategy = world_size, self
        self.state = type("State", (), {"fn": TrainerFn.FITTING})

    def reduce(self, figure):
        return figure


@pytest.mark.parametrize(
    ("first", "then", "options", "stopped"),
    [
        ((0.9, 0.01, 0.1), (-math.inf, math.nan, 0.5), {}, True),  # a sample that the judge forbids
        ((0.9, 0.01, -math.inf), (0.1, 0.01, -math.inf), {}, True),  # the judge alone decides
        ((0.9, 0.01, 0.5), (0.1, 0.01, -math.inf), {}, False),
        ((0.9, 0.03, 0.1), (0.86, 0.03, 0.5), {}, False),  # an error of 0.042
        ((0.9, 0.03, 0.1), (0.86, 0.03, 0.5), {"world_size": 4}, True),  # of 0.021
    ],
)
def test_what_has_fallen_and_what_has_risen(first, then, options, stopped):
    stop, module = StopOnJudge(), type("Objective", (), {"trained": lambda self: torch.nn.Linear(1, 1)})()
    for figures in (first, then):
        stop.on_validation_end(Told(*figures, **options), module)
    assert stop.stopped is stopped


def test_patience_waits_for_so_many_in_a_row_and_errors_for_a_surer_fall():
    first, patient, unsure = StopOnJudge(), StopOnJudge(patience=3), StopOnJudge(num_errors=1e6)
    steps = [train(hacked, each).trainer.global_step for each in (first, patient, unsure)]
    assert steps[1] >= steps[0] + 2 and steps[2] == 25 and not unsure.stopped


def test_a_judge_that_rises_with_the_reward_stops_nothing_and_the_last_weights_stay():
    stop, weights = StopOnJudge(), Weights()
    objective = train(pay, stop, weights, max_steps=8)
    assert not stop.stopped and torch.equal(objective.policy.logits, weights.at[8])


def test_a_judge_that_falls_with_the_reward_is_no_hacking():
    """A training down the reward: both fall together."""
    stop = StopOnJudge(num_errors=0.0)
    oracle = FiniteMarkovChain.random(4, 2, seed=0).with_rewards(PAY)
    objective = PolicyGradient(oracle, oracle.target(ALPHA), Table(oracle, 0.5), batch_size=8, judge=pay)
    objective.loss = lambda trajectories, generator: objective.policy.logits[:, :, 0].sum()
    fit(objective, max_steps=5, callbacks=[stop], **QUIET)
    assert not stop.stopped and stop.best["step"] < 5


def test_a_run_that_goes_on_knows_the_best_of_before(tmp_path):
    from pytorch_lightning.callbacks import ModelCheckpoint

    whole, kept, history = StopOnJudge(num_errors=1e6), StopOnJudge(num_errors=1e6), ValidationHistory()
    keep = ModelCheckpoint(dirpath=tmp_path, save_top_k=-1, save_on_train_epoch_end=False)  # at each validation
    train(hacked, whole, keep, ValidationHistory(), max_steps=8, enable_checkpointing=True)
    (middle,) = tmp_path.glob("*step=4.ckpt")
    train(hacked, kept, history, max_steps=8, ckpt_path=str(middle))
    assert kept.best == whole.best and torch.equal(kept.weights["0"], whole.weights["0"])
    assert [row["step"] for row in history.rows] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_what_it_needs_is_said_before_the_first_step():
    with pytest.raises(ValueError, match="judge: StopOnJudge needs one, got a PolicyGradient without judge="):
        train(None, StopOnJudge())
    with pytest.raises(ValueError, match="limit_val_batches: StopOnJudge needs validations"):
        fit(train(pay, max_steps=1), max_steps=1, callbacks=[StopOnJudge()], enable_progress_bar=False)
    for name, number in (("num_errors", -1.0), ("patience", 0)):
        with pytest.raises(ValueError, match=f"{name}: expected"):
            StopOnJudge(**{name: number})
    with pytest.raises(TypeError, match="judge: expected None or a callable of states, as a reward, got int"):
        train(3)
