"""What is left out of a step is missed by nobody: hooks, profilers, devices and figures are as Lightning's own."""

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.profilers import SimpleProfiler
from tensordict import TensorDict
from torch import nn
from value_toys import Table, tiny

from svlearn.objectives.fit import fit
from svlearn.objectives.lightning.module import Module, Unprofiled
from svlearn.objectives.monte_carlo import MonteCarloRegression
from svlearn.values import Learned


def trained(**kwargs):
    chain = tiny()
    objective = MonteCarloRegression(chain, chain.target(1.0), Learned(Table(3, 2)), batch_size=8)
    return fit(objective, max_steps=7, **{"enable_progress_bar": False} | kwargs)


def test_it_is_a_module_like_any_other():
    module = Module()
    module.weight, module.inner = nn.Parameter(torch.ones(2)), nn.Linear(2, 1)
    assert [name for name, _ in module.named_parameters()] == ["weight", "inner.weight", "inner.bias"]
    module.weight = None
    assert dict(module.named_parameters()).keys() == {"inner.weight", "inner.bias"}


def test_a_figure_is_logged_under_the_hook_that_lightning_calls():
    calls = []

    class Reader(pl.Callback):
        def on_train_batch_end(self, trainer, module, *rest):
            calls.append((module._current_fx_name, trainer.callback_metrics["train/loss"].item()))

    objective = trained(callbacks=[Reader()])
    assert [name for name, _ in calls] == ["on_train_batch_end"] * 7 and len({loss for _, loss in calls}) == 7
    assert objective._current_fx_name is None  # and it is taken back


def test_a_profiler_that_is_asked_for_sees_every_step():
    objective = trained(profiler=SimpleProfiler())
    durations = objective.trainer.profiler.recorded_durations
    assert len(durations["[Strategy]SingleDeviceStrategy.training_step"]) == 7
    assert isinstance(trained().trainer.profiler, Unprofiled)


def test_stored_trajectories_go_to_the_device_and_a_place_stays_a_number():
    module, meta = Module(), torch.device("meta")
    assert module.transfer_batch_to_device(3, meta, 0) == 3
    moved = module.transfer_batch_to_device(TensorDict({"rewards": torch.ones(2)}, [2]), meta, 0)
    assert moved["rewards"].device == meta


@pytest.mark.parametrize("settings", [{"barebones": True}, {"log_every_n_steps": 0}])
def test_the_barest_trainer_learns_the_same_bits(settings):
    plain, bare = trained(), trained(**settings)
    assert torch.equal(plain.value.network.table, bare.value.network.table)
    assert bool((plain.value.network.table != 0).any())
