"""The progress of a fit counts optimiser steps, and what comes before them is said and can be left out."""

import warnings

import pytest
from control_toys import gaussian, make, memoryless
from pytorch_lightning.callbacks import TQDMProgressBar
from value_toys import Table, tiny

from svlearn import progress
from svlearn.metering import metered
from svlearn.objectives import AdjointMatching, LastCheckpoint, MonteCarloRegression, StochasticControl
from svlearn.objectives.fit import fit
from svlearn.objectives.lightning.step_progress import StepProgress
from svlearn.objectives.memoryless import look_for_memory
from svlearn.randomness import seeded
from svlearn.values import Learned


def trained(**options):
    chain = tiny()
    return fit(MonteCarloRegression(chain, chain.target(1.0), Learned(Table(3, 2)), batch_size=8), **options)


def test_lines_count_steps_to_the_last_with_loss_rate_and_time(monkeypatch, capsys):
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    trained(max_steps=250, accumulate_grad_batches=2)
    lines = [each for each in capsys.readouterr().err.splitlines() if each.startswith("training:")]
    assert lines[0].startswith("training: 0 of 250 steps") and lines[-1].startswith("training: 250 of 250 steps")
    assert all("steps/s" in each and "to go" in each and "train/loss=" in each for each in lines[2:])
    assert not any("Epoch" in each for each in lines)


def test_a_short_fit_says_nothing_where_nobody_looks(capsys):
    trained(max_steps=3)
    assert "training" not in capsys.readouterr().err


def test_a_bar_of_the_callers_own_settings_stays():
    own = TQDMProgressBar(refresh_rate=50)
    assert trained(max_steps=1, callbacks=[own]).trainer.progress_bar_callback is own
    assert isinstance(trained(max_steps=1).trainer.progress_bar_callback, StepProgress)


def test_a_run_that_goes_on_counts_from_its_step(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    keep = LastCheckpoint(dirpath=str(tmp_path))
    trained(max_steps=4, callbacks=[keep], enable_checkpointing=True)
    capsys.readouterr()
    trained(max_steps=6, ckpt_path=str(keep.path))
    assert "training: 4 of 6 steps" in capsys.readouterr().err


# Memory ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [StochasticControl, AdjointMatching])
def test_the_look_for_memory_is_said_and_can_be_left_out(kind, capsys):
    with pytest.warns(UserWarning, match="not memoryless"):
        fit(make(kind, gaussian(), batch_size=4), max_steps=1)
    steps = gaussian().num_steps
    assert f"{64 * steps:,} reference calls or more" in capsys.readouterr().err
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="reference: not memoryless")
        with metered() as meter:
            fit(make(kind, gaussian(), batch_size=4, check_memory=False), max_steps=1)
    assert meter.cost.reference_calls < 64 * steps and "looking" not in capsys.readouterr().err


def test_a_clear_answer_takes_a_quarter_of_the_calls():
    for oracle in (gaussian(), memoryless()):
        with metered() as meter:
            memory = look_for_memory(oracle, generator=seeded("cpu", 0))
        assert meter.cost.reference_calls == 64 * oracle.num_steps
    assert memory.p_value >= 0.2
