"""Training of regressors: the loss by hand, and a planted rule that is learned."""

import pytest
import pytorch_lightning as pl
import torch
from regressor_toys import sequences_of, write_table

from svlearn.domains.sequences.measurements import MeasuredData
from svlearn.domains.sequences.regression import RegressorTraining, regression_loss
from svlearn.domains.sequences.regressor import SequenceRegressor


def test_the_loss_by_hand():
    """Member 1: d = 0.5 and -3; member 2: d = 0 and 1; weights 1 and 3."""
    standardised = torch.tensor([[1.5, -1.0], [1.0, 3.0]], requires_grad=True)
    loss = regression_loss(standardised, torch.tensor([1.0, 2.0]), torch.tensor([1.0, 3.0]))
    assert loss.item() == pytest.approx((1 * (0.125 + 0.0) + 3 * (2.5 + 0.5)) / 4)
    loss.backward()
    assert torch.allclose(standardised.grad, torch.tensor([[0.5 / 4, -3 / 4], [0.0, 3 / 4]]))


def fitted(path, steps: int, **options) -> tuple[RegressorTraining, MeasuredData]:
    torch.manual_seed(0)
    network = SequenceRegressor(50, width=12, first=3, depth=1, narrow=4, hidden=16, members=2, dropout=0)
    training = RegressorTraining(network, learning_rate=1e-2, **options)
    data = MeasuredData("mrl", str(path), batch_size=64)
    quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    pl.Trainer(max_steps=steps, accelerator="cpu", num_sanity_val_steps=0, **quiet).fit(training, data)
    return training, data


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"mixup": 0.3}])
def test_a_planted_rule_is_learned(tmp_path, options):
    """How many CG a sequence holds: what is held out is foretold at R2 > 0.9."""
    sequences = sequences_of(4000, 50)
    values = [f"{sequence.count('CG')}" for sequence in sequences]
    training, data = fitted(write_table(tmp_path / "table.csv", sequences, values), 300, **options)
    network, wanted = training.network.eval(), data.validation["values"]
    assert len(wanted) == 2000 and len(data.train) == 2000
    error = (network(data.validation["tokens"]) - wanted).square().mean() / wanted.var()
    assert error.item() < 0.1
    assert network.location.item() == pytest.approx(data.train["values"].mean().item(), abs=1e-6)


def test_a_run_is_a_matter_of_its_seed(tmp_path):
    sequences = sequences_of(2100, 50)
    path = write_table(tmp_path / "table.csv", sequences, [f"{sequence.count('CG')}" for sequence in sequences])
    tokens = MeasuredData("mrl", str(path), batch_size=64)
    tokens.setup()
    x = tokens.validation["tokens"][:5]
    one, other, third = (fitted(path, 2, mixup=0.3, seed=seed)[0].network.eval()(x) for seed in (0, 0, 1))
    assert torch.equal(one, other) and not torch.equal(one, third)
