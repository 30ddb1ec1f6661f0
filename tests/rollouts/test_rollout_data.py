"""Stored rollouts as training reads them."""

import pytest
import pytorch_lightning as pl
import torch
from rollout_toys import Mixed, Walk
from tensordict import TensorDict

from svlearn import Target
from svlearn.rollouts import RolloutData, collect, held_out


@pytest.fixture
def path(tmp_path):
    collect(Walk(), 50, tmp_path, target=Target(lambda x: x[:, 0], alpha=1.0), batch_size=16, progress=False)
    return tmp_path


def served(loader):
    return torch.cat([batch["rewards"] for batch in loader])


def ready(path, **arguments):
    data = RolloutData(path, **arguments)
    data.setup("fit")
    return data


def test_every_trajectory_is_served_once_on_one_side(path):
    data = ready(path, batch_size=8, validation_fraction=0.2)
    training, validation = served(data.train_dataloader()), served(data.val_dataloader())
    assert (len(training), len(validation)) == (40, 10)
    both = torch.cat([training, validation]).sort().values
    assert torch.equal(both, data.rollouts.rewards.clone().sort().values)


def test_batches_are_tensordicts_whose_rewards_belong_to_their_states(path):
    for batch in ready(path, batch_size=16).train_dataloader():
        assert isinstance(batch, TensorDict)
        assert batch["states"].shape == (len(batch), 5, 3)
        assert torch.equal(batch["states"][:, -1, 0], batch["rewards"])
    assert [len(batch) for batch in ready(path, batch_size=16).train_dataloader()] == [16, 16, 13]


def test_the_split_and_the_order_depend_on_the_seed_alone(path):
    def rewards(seed, torch_seed):
        torch.manual_seed(torch_seed)
        loader = ready(path, seed=seed).train_dataloader()
        return served(loader), served(loader)

    first, again, other = rewards(0, 0), rewards(0, 1), rewards(1, 0)
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], first[1])  # drawn anew in every epoch
    assert torch.equal(first[0].sort().values, first[1].sort().values)
    assert not torch.equal(first[0].sort().values, other[0].sort().values)


def test_the_global_generator_is_not_touched(path):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    data = ready(path)
    served(data.train_dataloader()), served(data.val_dataloader())
    assert torch.equal(torch.get_rng_state(), before)


def test_a_batch_is_one_indexing_operation(path, monkeypatch):
    data = ready(path, batch_size=16)
    read = []
    original = type(data.rollouts).__getitem__
    monkeypatch.setattr(type(data.rollouts), "__getitem__", lambda self, i: read.append(len(i)) or original(self, i))
    served(data.train_dataloader())
    assert read == [16, 16, 13]


@pytest.mark.parametrize(("fraction", "num_validated"), [(0.1, 1), (0.0, 0)])
def test_a_trainer_reads_tensordict_states(tmp_path, fraction, num_validated):
    collect(Mixed(), 10, tmp_path, target=Target(lambda x: x["inner", "place"][:, 0], alpha=1.0), progress=False)
    trained, validated = [], []

    class Reader(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.zeros(()))

        def training_step(self, batch, index):
            trained.append(len(batch))
            assert batch["states"][:, 3].batch_size == (len(batch),)
            return (self.scale - batch["rewards"]).square().mean()

        def validation_step(self, batch, index):
            validated.append(len(batch))

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    data = RolloutData(tmp_path, batch_size=4, validation_fraction=fraction)
    trainer = pl.Trainer(
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        accelerator="cpu",
    )
    trainer.fit(Reader(), datamodule=data)
    assert sum(trained) == 10 - num_validated and sum(validated) == num_validated


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"batch_size": 0}, "batch_size: expected an integer of at least 1, got 0"),
        ({"validation_fraction": 1.0}, r"validation_fraction: expected a number in \[0, 1\), got 1.0"),
        ({"validation_fraction": 0.001}, "validation_fraction: .*both sides of 50, got 0.001"),
        ({"validation_fraction": 0.999}, "validation_fraction: .*both sides of 50, got 0.999"),
    ],
)
def test_wrong_arguments_are_refused(path, arguments, named):
    with pytest.raises(ValueError, match=named):
        ready(path, **arguments)


def test_a_missing_store_is_not_found(tmp_path):
    with pytest.raises(FileNotFoundError):
        ready(tmp_path / "nowhere")


def test_what_is_held_out_is_what_validates(path):
    data = ready(path, validation_fraction=0.2, seed=3)
    states = held_out(path, validation_fraction=0.2, seed=3)["states"]
    assert torch.equal(states, data.rollouts[data.validation_rows]["states"]) and len(states) == 10
