"""The likelihood bound that a denoiser is trained by, against enumeration; and a training that learns a law."""

import itertools
import math

import pytest
import pytorch_lightning as pl
import torch
from sequence_toys import ABC, LENGTH, TableDenoiser, all_states

from svlearn.domains.sequences.networks import DilatedCNN
from svlearn.domains.sequences.pretraining import (
    SequenceTraining,
    denoising_loss,
    masked_at,
    masked_counts,
)
from svlearn.randomness import seeded


def bound_by_counts(network, clean):
    """Σ_k 1/n · the mean over sets of k masks of the loss, (N,): its expectation, by enumeration."""
    total = torch.zeros(len(clean), dtype=torch.float64)
    for k in range(1, LENGTH + 1):
        sets = list(itertools.combinations(range(LENGTH), k))
        for places in sets:
            hidden = clean.clone()
            hidden[:, list(places)] = ABC.mask
            loss = denoising_loss(network(hidden, torch.zeros(len(clean))), hidden, clean, ABC.mask)
            total += loss / LENGTH / len(sets)
    return total


def test_the_loss_is_minus_the_log_probability_by_orders():
    network, clean = TableDenoiser().requires_grad_(False), all_states(3)
    by_orders = torch.zeros(len(clean), dtype=torch.float64)
    orders = list(itertools.permutations(range(LENGTH)))
    for order in orders:
        x = torch.full_like(clean, ABC.mask)
        for place in order:
            logs = network(x, torch.zeros(len(x))).log_softmax(dim=2)[:, place]
            by_orders -= logs.gather(1, clean[:, [place]])[:, 0] / LENGTH / len(orders)
            x[:, place] = clean[:, place]
    torch.testing.assert_close(bound_by_counts(network, clean), by_orders)


def test_the_loss_is_the_integral_over_time_of_any_schedule():
    """∫ a'/(1 - a) E[Σ cross-entropy] dt by quadrature over u = 1 - a, which no schedule is left in."""
    network, clean = TableDenoiser().requires_grad_(False), all_states(3)[:9]
    points, total = 60, torch.zeros(len(clean), dtype=torch.float64)
    for u in (torch.arange(points, dtype=torch.float64) + 0.5) / points:
        for masked in itertools.product([False, True], repeat=LENGTH):
            k = sum(masked)
            if k:
                hidden = clean.masked_fill(torch.tensor(masked), ABC.mask)
                loss = denoising_loss(network(hidden, torch.zeros(len(clean))), hidden, clean, ABC.mask) * k
                total += loss * u**k * (1 - u) ** (LENGTH - k) / u / points / LENGTH
    torch.testing.assert_close(bound_by_counts(network, clean), total, rtol=1e-3, atol=0)


def test_counts_of_masks_are_uniform_and_stratified():
    generator = seeded("cpu", 0)
    counts = masked_counts(torch.full((24,), 8), generator)
    assert counts.bincount(minlength=9).tolist() == [0] + [3] * 8
    few = torch.stack([masked_counts(torch.tensor([1, 2, 5]), generator) for _ in range(3000)])
    assert few[:, 0].unique().tolist() == [1]
    for column, most in ((1, 2), (2, 5)):
        shares = few[:, column].bincount(minlength=most + 1)[1:] / len(few)
        assert float((shares - 1 / most).abs().max()) < 4 * math.sqrt(0.25 / len(few))


def test_fixed_places_are_not_masked():
    drawn = torch.tensor([[True, False, True, True]] * 50)
    hidden = masked_at(all_states(3)[:50], drawn, torch.full((50,), 2), ABC.mask, seeded("cpu", 0))
    assert bool(((hidden == ABC.mask).sum(dim=1) == 2).all() and (hidden[:, 1] != ABC.mask).all())


class Drawn(pl.LightningDataModule):
    """Sequences of a law: the second letter follows the first, the third is "a"."""

    def __init__(self):
        super().__init__()
        first = torch.randint(3, (64, 2), generator=seeded("cpu", 0))
        self.x = torch.stack([first[:, 0], (first[:, 0] + 1) % 3, torch.zeros_like(first[:, 0]), first[:, 1]], dim=1)

    def train_dataloader(self):
        return self

    val_dataloader = train_dataloader

    def __iter__(self):
        return iter([self.x] * 4)

    def __len__(self):
        return 4


SILENT = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)


def fitted(steps, **options):
    torch.manual_seed(0)
    module = SequenceTraining(DilatedCNN(3, 16, 3, 2), "abc", warmup_steps=5, learning_rate=1e-2, **options)
    trainer = pl.Trainer(max_steps=steps, accelerator="cpu", num_sanity_val_steps=0, **SILENT)
    trainer.fit(module, Drawn())
    return module, trainer


def test_a_training_reaches_the_entropy_of_the_data():
    """log2 3 for the first and the last letter, nothing for what follows: half of log2 3 a letter."""
    _, trainer = fitted(120)
    bits = float(trainer.callback_metrics["validation/bits"])
    assert bits == pytest.approx(math.log2(3) / 2, abs=0.06)


def test_fixed_letters_cost_nothing():
    """Given the first, one letter of three is free: log2 3 / 3 a drawn letter."""
    module, trainer = fitted(120, fixed="a___")
    assert module.fixed.tolist() == [True, False, False, False]
    assert float(trainer.callback_metrics["validation/bits"]) == pytest.approx(math.log2(3) / 3, abs=0.06)
