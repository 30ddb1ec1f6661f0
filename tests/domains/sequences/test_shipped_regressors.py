"""The shipped regressors: what they foretell of what was held out is what their card says; and how one is exported."""

import json
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
import yaml
from regressor_toys import sequences_of, write_table

from svlearn.domains.sequences.data import source_of
from svlearn.domains.sequences.measurements import MEASUREMENTS, MeasuredData, measured
from svlearn.domains.sequences.regression import RegressorTraining
from svlearn.domains.sequences.regressor import SequenceRegressor
from svlearn.domains.sequences.regressor_export import CARD, agreement, card, export, others
from svlearn.domains.sequences.rewards.dragonn import FILE
from svlearn.domains.sequences.rewards.optimus import MODELS
from svlearn.domains.sequences.shipped_regressors import SHIPPED, file_of, load_regressor

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "benchmarks/results/regressors.json"
BESIDE = {
    "mrl": [MODELS["evolution"]],
    "hepg2-activity": [FILE],
    "plant-strength": ["dna/plant_promoters_leaf_cnn.tsv"],
}


def test_the_card_is_that_of_the_figures():
    figures = json.loads(RESULTS.read_text())
    assert tuple(figures) == SHIPPED and (ROOT / "checkpoints" / CARD).read_text() == card(figures)
    assert sum((ROOT / "checkpoints" / file_of(name)).stat().st_size for name in SHIPPED) < 3e6


@pytest.mark.parametrize("name", SHIPPED)
def test_a_regressor_foretells_what_was_held_out_as_its_card_says(assets, name):
    assets(source_of(MEASUREMENTS[name].source).file)
    figures = json.loads(RESULTS.read_text())[name]
    network = load_regressor(name)
    train, held_out = measured(name)
    found = agreement(network(held_out["tokens"]), held_out)
    for figure, number in found.items():
        assert figures[figure] == pytest.approx(number, abs=1e-3)
    for file in BESIDE.get(name, ()):
        assets(file)
    for title, foretold in others(name, held_out).items():
        assert agreement(foretold, held_out)["pearson"] == pytest.approx(figures["others"][title]["pearson"], abs=1e-3)
    assert network.hyperparameters == figures["network"] and len(train) == figures["num_training"]


def test_the_mean_ribosome_load_is_ranked_better_than_by_optimus():
    figures = json.loads(RESULTS.read_text())["mrl"]
    assert figures["num_held_out"] == figures["others"]["Optimus 5-Prime"]["num_held_out"] == 2000
    assert figures["spearman"] >= figures["others"]["Optimus 5-Prime"]["spearman"]


def test_a_training_is_exported_with_its_figures_and_the_card(tmp_path, assets):
    assets(MODELS["evolution"])
    sequences = sequences_of(2100, 50)
    table = write_table(tmp_path / "t.csv", sequences, [f"{each.count('CG') + 0.5}" for each in sequences])
    built = dict(length=50, width=8, depth=1, narrow=2, hidden=4, members=2)
    training = RegressorTraining(SequenceRegressor(**built))
    quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    trainer = pl.Trainer(max_steps=3, accelerator="cpu", **quiet)
    trainer.fit(training, MeasuredData("mrl", str(table), batch_size=64))
    trainer.save_checkpoint(tmp_path / "run" / "last.ckpt")
    configuration = {"model": {"init_args": {"network": {"init_args": built}}}}
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(configuration))

    results = tmp_path / "regressors.json"
    told = export("mrl", tmp_path / "run" / "last.ckpt", tmp_path, results, str(table))
    figures = json.loads(results.read_text())["mrl"]
    assert figures["steps"] == 3 and figures["num_training"] == 100 and figures["num_held_out"] == 2000
    assert list(figures["others"]) == ["Optimus 5-Prime"] and told == (tmp_path / CARD).read_text() == card(
        {"mrl": figures}
    )
    _, held_out = measured("mrl", table)
    again = load_regressor(tmp_path / file_of("mrl"))
    assert torch.equal(again(held_out["tokens"]), training.network.eval()(held_out["tokens"]))


def test_a_checkpoint_without_its_configuration_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"last.ckpt: no such file"):
        export("mrl", tmp_path / "last.ckpt", tmp_path, tmp_path / "r.json")
    torch.save({}, tmp_path / "last.ckpt")
    with pytest.raises(FileNotFoundError, match=r"expected the config.yaml of the training beside it, got none"):
        export("mrl", tmp_path / "last.ckpt", tmp_path, tmp_path / "r.json")
