"""The noise of pretraining: of its own for each step, micro-batch, process and batch of validation."""

import pytest
import pytorch_lightning as pl
from molecule_toys import graphs_of

from svlearn.domains.molecules import pretraining
from svlearn.domains.molecules.pretraining import MaskedGraphTraining
from svlearn.domains.molecules.transformer import GraphTransformer


class Graphs(pl.LightningDataModule):
    """The same twelve molecules, four times an epoch."""

    def train_dataloader(self):
        return self

    val_dataloader = train_dataloader

    def __iter__(self):
        return iter([graphs_of(*["CCO", "CCN", "C1CC1", "CC=O"] * 3)] * 4)

    def __len__(self):
        return 4


@pytest.fixture
def hidden(monkeypatch):
    """What each call has hidden."""
    calls, hide = [], pretraining.hide
    monkeypatch.setattr(pretraining, "hide", lambda *a, **k: calls.append(hide(*a, **k)) or calls[-1])
    return calls


def trained(steps=4, **options):
    network = GraphTransformer(num_atoms=9, width=8, pair_width=8, depth=1, num_heads=1)
    silent = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    module = MaskedGraphTraining(network)
    pl.Trainer(max_steps=steps, accelerator="cpu", num_sanity_val_steps=0, **silent | options).fit(module, Graphs())
    return module


def all_different(states):
    return all(bool((one != other).any()) for k, one in enumerate(states) for other in states[:k])


def test_every_micro_batch_hides_anew_and_the_first_as_a_plain_run_does(hidden):
    trained(steps=4, limit_val_batches=0)
    plain = hidden.copy()
    hidden.clear()
    trained(steps=4, limit_val_batches=0, accumulate_grad_batches=2)
    assert len(hidden) == 8 and all_different([each["bonds"] for each in hidden])
    assert all(bool((one == other).all()) for one, other in zip(plain, hidden[::2], strict=True))


def test_processes_and_batches_of_validation_hide_anew(hidden, monkeypatch):
    trained(steps=4)
    monkeypatch.setattr(MaskedGraphTraining, "global_rank", 1)
    trained(steps=4)
    assert len(hidden) == 16 and all_different([each["bonds"] for each in hidden])
