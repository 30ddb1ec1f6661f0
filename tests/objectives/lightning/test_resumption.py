"""A training that was stopped goes on as it would have: the same batches, bits, scores and rates."""

import math
import signal
import subprocess
import time
from pathlib import Path

import forking
import pytest
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger
from value_toys import Table, tiny

from svlearn.objectives import LastCheckpoint, MonteCarloRegression
from svlearn.objectives.fit import fit
from svlearn.objectives.lightning.cosine_decay import CosineDecay
from svlearn.rollouts import RolloutData, collect
from svlearn.values import Learned

QUIET = dict(enable_progress_bar=False)


class Watched(MonteCarloRegression):
    """Keeps the rewards of every batch and the losses of every validation, by step."""

    def __init__(self, **options):
        chain = tiny((1.0, -2.0, -0.5))
        super().__init__(
            chain, chain.target(1.0), Learned(Table(3, 2)), **{"learning_rate": 0.1, "batch_size": 8} | options
        )
        self.served, self.scores, self.rates = [], [], []

    def loss(self, trajectories, generator):
        loss = super().loss(trajectories, generator)
        if self.training:
            self.served.append((self.global_step, trajectories["rewards"].sum().item()))
            self.rates.append(self.trainer.optimizers[0].param_groups[0]["lr"])
        else:
            self.scores.append((self.global_step, loss.item()))
        return loss


class Every(LastCheckpoint):
    """Keeps each state that may be gone on from, by its name."""

    def __init__(self, folder):
        super().__init__(seconds=0, dirpath=str(folder))
        self.kept = []

    def _due(self):
        return True

    def save(self, trainer):
        path = super().save(trainer)
        self.kept.append(path.rename(path.with_name(f"{len(self.kept)}.ckpt")))
        return path


@pytest.fixture
def stored(tmp_path):
    chain = tiny((1.0, -2.0, -0.5))
    collect(chain, 50, tmp_path / "rollouts", target=chain.target(1.0), batch_size=16, progress=False)
    return tmp_path / "rollouts"


def train(stored, max_steps=17, **options):
    """Epochs of 45 trajectories in 6 batches, with a validation after each."""
    objective, options = Watched(), {"limit_val_batches": None} | options
    data = RolloutData(stored, batch_size=8) if stored else None
    return fit(objective, max_steps=max_steps, data=data, **QUIET, num_sanity_val_steps=0, **options)


SCHEDULES = [
    {},
    {"check_val_every_n_epoch": 2},
    {"val_check_interval": 2},
    {"limit_train_batches": 4},
    {"limit_train_batches": 1},
    {"limit_val_batches": 0},
    {"max_steps": 100, "max_epochs": 3},
    {"accumulate_grad_batches": 4, "max_steps": 7, "limit_val_batches": 0},
    {"accumulate_grad_batches": 4, "max_steps": 7},
]


@pytest.mark.parametrize("options", SCHEDULES)
def test_from_wherever_it_was_stopped_it_goes_on_to_the_bit(stored, tmp_path, options):
    keep = Every(tmp_path / "states")
    whole = train(stored, callbacks=[keep], enable_checkpointing=True, **options)
    assert len(keep.kept) > 4
    for path in keep.kept[1::2]:
        step = torch.load(path, weights_only=True)["global_step"]
        resumed = train(stored, ckpt_path=str(path), **options)
        assert resumed.served == [each for each in whole.served if each[0] >= step], path
        assert resumed.scores == [each for each in whole.scores if each[0] > step], path
        assert torch.equal(resumed.value.network.table, whole.value.network.table)


@pytest.mark.parametrize("options", [{"val_check_interval": 2}, {"val_check_interval": 4, "limit_train_batches": 5}])
def test_a_step_that_a_checkpoint_saw_amid_is_begun_again(stored, tmp_path, options):
    """The gradients of its first micro-batches are in no checkpoint: it was made of the rest of them alone."""
    best = ModelCheckpoint(dirpath=str(tmp_path / "states"), monitor="validation/loss", save_top_k=-1)
    options = {"accumulate_grad_batches": 3, "max_steps": 7} | options
    whole = train(stored, callbacks=[best], **options)
    kept, amid = [*(tmp_path / "states").iterdir()], 0
    for path in kept:
        checkpoint = torch.load(path, weights_only=True)
        batches = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        amid += batches["current"]["processed"] % 3 > 0 and not batches["is_last_batch"]
        resumed = train(stored, ckpt_path=str(path), **options)
        assert resumed.served == [each for each in whole.served if each[0] >= checkpoint["global_step"]], path
        assert torch.equal(resumed.value.network.table, whole.value.network.table)
    assert amid > 1


def test_a_longer_run_goes_on_in_the_epoch_that_was_cut_short_at_the_rates_of_its_own(stored, tmp_path):
    keep = LastCheckpoint(dirpath=str(tmp_path))
    short = train(stored, max_steps=16, callbacks=[keep], enable_checkpointing=True)
    whole = train(stored, max_steps=32)
    longer = train(stored, max_steps=32, ckpt_path=str(keep.path))
    assert longer.served == whole.served[16:]
    assert [step for step, _ in longer.scores] == [step for step, _ in whole.scores if step > 16]
    assert longer.rates == pytest.approx(whole.rates[16:])
    assert longer.rates[0] == pytest.approx(0.1 * (0.01 + 0.99 * (1 + math.cos(math.pi / 2)) / 2))
    assert short.rates[-1] < 0.1 * longer.rates[0]


@pytest.mark.parametrize("several", [True, False])
def test_who_keeps_a_state_need_not_say_that_one_may(stored, several, tmp_path):
    keep = LastCheckpoint(dirpath=str(tmp_path))
    train(stored, max_steps=2, callbacks=[keep] if several else keep)
    assert torch.load(keep.path, weights_only=True)["global_step"] == 2
    assert not list(tmp_path.glob("epoch*"))


def test_the_rates_are_those_asked_for_now_and_the_step_that_of_the_checkpoint():
    def made(steps, rate):
        weight = torch.nn.Parameter(torch.zeros(()))
        optimizer = torch.optim.SGD([weight], lr=rate)
        return optimizer, CosineDecay(optimizer, steps, eta_min=0.01 * rate)

    def run(optimizer, schedule, steps):
        rates = []
        for _ in range(steps):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        return rates

    whole = run(*made(80, 1.0), 80)
    first, schedule = made(40, 0.5)
    run(first, schedule, 40)
    second, again = made(80, 1.0)
    second.load_state_dict(first.state_dict())
    again.load_state_dict(schedule.state_dict())
    assert run(second, again, 40) == pytest.approx(whole[40:])
    same, schedule = made(40, 0.5)
    second.load_state_dict(first.state_dict())
    schedule.load_state_dict(again.state_dict() | {"T_max": 40, "base_lrs": [0.5], "eta_min": 0.005, "last_epoch": 7})
    assert same.param_groups[0]["lr"] == 0.5  # as the optimiser's own state has it: the run is the same


# One folder, and the best score ---------------------------------------------------------------------------------------


def kept(folder, **options):
    best = ModelCheckpoint(monitor="validation/loss", save_top_k=1, **options)
    settings = dict(logger=CSVLogger(folder), default_root_dir=str(folder), enable_checkpointing=True)
    return best, settings | {"check_val_every_n_epoch": 2, "callbacks": [best, LastCheckpoint()]}


def test_the_best_score_is_known_in_a_run_that_goes_on(stored, tmp_path):
    best, settings = kept(tmp_path)
    train(stored, max_steps=13, **settings)
    first = best.best_model_score, best.best_model_path
    assert Path(best.best_model_path).parent == tmp_path / "checkpoints"
    again, settings = kept(tmp_path)
    again.check_monitor_top_k = lambda *_: False  # no later score is as good
    train(stored, max_steps=30, ckpt_path=str(tmp_path / "checkpoints/last.ckpt"), **settings)
    assert (again.best_model_score, again.best_model_path) == first and Path(first[1]).exists()


def test_save_last_keeps_the_last_state_whatever_is_monitored(stored, tmp_path):
    best, settings = kept(tmp_path, save_last=True)
    settings["callbacks"] = [best, EarlyStopping("validation/loss", patience=50)]
    best.mode, best.check_monitor_top_k = "min", lambda trainer, current: trainer.global_step < 13
    train(stored, max_steps=40, **settings)
    last = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)
    assert last["global_step"] == 40
    assert torch.load(best.best_model_path, weights_only=True)["global_step"] == 12
    assert not list((tmp_path / "checkpoints").glob("*.part"))


# Kills ----------------------------------------------------------------------------------------------------------------

RUN = """
import sys, time
sys.path[:0] = {here!r}
import pytorch_lightning as pl
from test_resumption import Watched, RolloutData, LastCheckpoint, fit, QUIET
from svlearn.checkpoints import save_value
from pathlib import Path

class Slow(pl.Callback):
    def on_train_batch_end(self, *_):
        time.sleep({pause})

data = RolloutData({stored!r}, batch_size=8) if {stored!r} else None
keep, last = LastCheckpoint(seconds=0.0, dirpath={folder!r}), Path({folder!r}) / "last.ckpt"
best = pl.callbacks.ModelCheckpoint(dirpath={folder!r}, monitor="validation/loss")
objective = Watched(num_validation=8, steps_per_epoch=7)
fit(objective, max_steps={steps}, data=data, callbacks=[Slow(), best, keep], enable_checkpointing=True,
    limit_val_batches=None, num_sanity_val_steps=0, ckpt_path=str(last) if last.exists() else None, **QUIET)
save_value(objective.value.network, Path({folder!r}) / "value.safetensors", objective.reference,
    score=float(best.best_model_score))
"""


class Runs:
    """A training in a process of its own, that can be killed and started again."""

    def __init__(self, folder, stored, steps=60, pause=0.02):
        folder.mkdir()
        here = [str(folder) for folder in Path(__file__).parents[:2]]
        self.folder, self.script = folder, folder / "run.py"
        self.script.write_text(
            RUN.format(here=here, stored=stored and str(stored), folder=str(folder), steps=steps, pause=pause)
        )

    def start(self):
        return forking.start(self.script)

    def finish(self):
        """The status and the words of a run that nobody stops."""
        done = self.start().finished(timeout=300)
        return done.returncode, done.stderr

    def kill(self, number, delay):
        """Those of a run that a signal meets `delay` seconds after its first new checkpoint, however fast it is."""
        before = self.last_written()
        process = self.start()
        while process.poll() is None and self.last_written() == before:
            time.sleep(0.01)
        try:
            process.wait(timeout=delay)
        except subprocess.TimeoutExpired:
            process.send_signal(number)
        done = process.finished(timeout=300)
        return done.returncode, done.stderr

    def last_written(self):
        last = self.folder / "last.ckpt"
        return last.stat().st_mtime_ns if last.exists() else None

    @property
    def result(self):
        return (self.folder / "value.safetensors").read_bytes()


def test_sigterm_leaves_a_checkpoint_and_no_value(stored, tmp_path):
    runs = Runs(tmp_path / "runs", stored, steps=10_000)
    status, output = runs.kill(signal.SIGTERM, delay=0.1)
    assert status == 128 + signal.SIGTERM, output
    assert f"go on from {runs.folder / 'last.ckpt'}" in output and "SIGTERM: stopped after step" in output
    assert not (runs.folder / "value.safetensors").exists()
    state = torch.load(runs.folder / "last.ckpt", weights_only=True)
    assert f"after step {state['global_step']};" in output


@pytest.mark.slow
@pytest.mark.parametrize("data", ["stored", "own"])
def test_kills_change_nothing(stored, tmp_path, data):
    """Of the bits, and of the best score; SIGKILL and SIGTERM in turns, at moments that no step knows of."""
    stored = stored if data == "stored" else None
    whole, killed = Runs(tmp_path / "whole", stored, pause=0), Runs(tmp_path / "killed", stored, pause=0.15)
    status, output = whole.finish()
    assert status == 0, output
    steps = []
    for k in range(5):  # `make soak` kills trainings for as long as it is told to
        number = (signal.SIGKILL, signal.SIGTERM)[k % 2]
        status, output = killed.kill(number, delay=0.05 + 0.13 * (k * 7 % 5))
        assert status in (-signal.SIGKILL, 128 + signal.SIGTERM, -signal.SIGTERM, 0), output
        if (killed.folder / "last.ckpt").exists():
            steps.append(torch.load(killed.folder / "last.ckpt", weights_only=True)["global_step"])
    assert steps == sorted(steps) and len(set(steps)) > 1
    status, output = killed.finish()
    assert status == 0, output
    assert killed.result == whole.result
