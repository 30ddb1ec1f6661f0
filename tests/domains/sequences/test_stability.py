"""Stability by ViennaRNA: the energies of the public file, in the pool, on disk; T is U; and without ViennaRNA."""

import csv
from importlib.metadata import PackageNotFoundError

import pytest
import torch

from svlearn.domains.sequences.alphabet import DNA, RNA
from svlearn.domains.sequences.rewards import Stability, stability
from svlearn.scoring import Counts

HAIRPIN = "GGGGAAAACCCC"


@pytest.fixture
def made():
    """Makes rewards, whose workers end with the test."""
    pytest.importorskip("RNA", reason="stability needs viennarna: the extra `sequences`")
    held = []

    def make(**options) -> Stability:
        held.append(Stability(**{"num_workers": 1, **options}))
        return held[-1]

    yield make
    for reward in held:
        reward.scorer.close()


def energies(path, rows: slice) -> tuple[torch.Tensor, torch.Tensor]:
    with open(path, newline="") as file:
        table = list(csv.DictReader(file))[rows]
    return DNA.encode([row["utr"] for row in table]), torch.tensor([float(row["energy_5utr"]) for row in table])


def test_a_hairpin_is_more_stable_than_a_chain(made):
    """RNAfold's own example of four pairs and GAAAAC: -5.4 kcal/mol; a chain of A folds to nothing."""
    rewards = made()(RNA.encode([HAIRPIN, "A" * 12]))
    assert rewards.tolist() == pytest.approx([5.4, 0.0], abs=1e-3)


def test_the_energies_of_the_public_file(made, assets):
    """Of rows with a loop that ViennaRNA knows by its letters too, as CUAAGG in row 535: with T it would not."""
    tokens, wanted = energies(assets("utr5/mrl_egfp_m1pseudo2_20k.csv"), slice(530, 540))
    assert (made()(tokens) + wanted).abs().max() <= 0.1


@pytest.mark.slow
def test_the_energies_of_many_rows_of_the_public_file(made, assets):
    tokens, wanted = energies(assets("utr5/mrl_egfp_m1pseudo2_20k.csv"), slice(0, 2000))
    assert (made(num_workers=2)(tokens) + wanted).abs().max() <= 0.1


def test_a_sequence_is_folded_once_and_its_energy_kept_on_disk(made, tmp_path):
    path, tokens = tmp_path / "energies.sqlite", RNA.encode([HAIRPIN, "A" * 12, HAIRPIN])
    reward = made(cache=path)
    first = reward(tokens)
    assert reward.scorer.counts == Counts(asked=3, built=2, scored=2)
    later = made(cache=path)
    assert torch.equal(later(tokens), first) and later.scorer.counts == Counts(asked=3, built=2, stored=2)
    assert later.scorer.score([HAIRPIN]) == [first[0].item()]
    warm = made(cache=path, temperature=70.0)
    assert warm(tokens)[0] < first[0] and warm.scorer.counts.scored == 2


def test_its_name_says_what_decides_an_energy(made):
    names = {made(**options).name for options in ({}, {"temperature": 20.0}, {"dangles": 0}, {"failure_score": -1.0})}
    assert len(names) == 4 and made(num_workers=2).name in names


def test_bad_input_is_refused(made):
    with pytest.raises(ValueError, match="dangles: expected one of 0, 1, 2, 3, got 4"):
        made(dangles=4)
    with pytest.raises(ValueError, match="temperature: expected a finite number above -273.15"):
        made(temperature=-300.0)
    with pytest.raises(ValueError, match=r"x\[0, 1\]: expected a letter of 'ACGU', got a masked place"):
        made()(RNA.encode(["A_"]))
    with pytest.raises(ValueError, match=r"x: expected token ids \(B, L\), got shape \(1, 2, 4\)"):
        made()(torch.rand(1, 2, 4))


def test_without_viennarna_it_is_said_what_to_install(monkeypatch):
    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(stability, "version", absent)
    with pytest.raises(ImportError, match=r"Stability needs viennarna, .* pip install 'svlearn\[sequences\]'"):
        Stability()
