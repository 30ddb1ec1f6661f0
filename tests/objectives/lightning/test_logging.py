"""The figures of a training step are logged where somebody sees them, and only there."""

import pandas as pd
import pytest
import pytorch_lightning as pl
from pytorch_lightning.loggers import CSVLogger
from value_toys import Table, tiny

from svlearn.objectives.fit import fit
from svlearn.objectives.lightning import logging as step_logging
from svlearn.objectives.monte_carlo import MonteCarloRegression
from svlearn.values import Learned


class Watched(MonteCarloRegression):
    """Notes the true loss of every step, and the steps that Lightning was told of."""

    def __init__(self):
        chain = tiny()
        super().__init__(chain, chain.target(1.0), Learned(Table(3, 2)), batch_size=8)
        self.losses = []

    def loss(self, trajectories, generator):
        loss = super().loss(trajectories, generator)
        self.losses.append(loss.item())
        self.log("train/other", float(len(self.losses)))
        return loss


def train(monkeypatch, refresh=1e9, **kwargs):
    monkeypatch.setattr(step_logging, "REFRESH", refresh)
    objective, steps = Watched(), []
    log = pl.LightningModule.log
    monkeypatch.setattr(
        pl.LightningModule, "log", lambda self, *a, **k: (steps.append(self.global_step), log(self, *a, **k))
    )
    fit(objective, max_steps=23, **{"enable_progress_bar": False} | kwargs)
    return objective, steps


def test_with_nobody_there_only_the_last_step_is_logged(monkeypatch):
    objective, steps = train(monkeypatch)
    assert steps == [22, 22]  # both figures
    metrics = objective.trainer.callback_metrics
    assert metrics["train/loss"].item() == pytest.approx(objective.losses[-1]) and metrics["train/other"] == 23


def test_a_logger_gets_the_figures_of_its_own_steps(monkeypatch, tmp_path):
    objective, steps = train(monkeypatch, logger=CSVLogger(tmp_path), log_every_n_steps=5)
    assert sorted(set(steps)) == [4, 9, 14, 19, 22]
    rows = pd.read_csv(tmp_path / "lightning_logs/version_0/metrics.csv")
    assert rows["step"].tolist() == [4, 9, 14, 19]
    assert rows["train/loss"].tolist() == pytest.approx([objective.losses[step] for step in rows["step"]])


def test_a_callback_may_read_every_step(monkeypatch):
    losses = []

    class Reader(pl.Callback):
        def on_train_batch_end(self, trainer, module, *rest):
            losses.append(trainer.callback_metrics["train/loss"].item())

    objective, _ = train(monkeypatch, callbacks=[Reader()])
    assert losses == pytest.approx(objective.losses)


def test_the_bar_is_told_as_often_as_it_is_refreshed(monkeypatch):
    _, steps = train(monkeypatch, refresh=-1.0, enable_progress_bar=True)
    assert sorted(set(steps)) == list(range(23))
    _, steps = train(monkeypatch, refresh=1e9, enable_progress_bar=True)
    assert sorted(set(steps)) == [0, 22]
