"""What forests foresee of a reward: of molecules they never saw, of failures, and inside a sampler."""

import json

import numpy as np
import pytest
import torch

import svlearn as sv
from svlearn.domains.molecules.gdss import pretrained
from svlearn.domains.molecules.rewards import parse
from svlearn.domains.molecules.surrogate import Surrogate, features, foreseen
from svlearn.loading import shipped
from svlearn.scoring import ScoreStore

CHAINS = [f"{'C' * length}{end}" for length in range(1, 21) for end in ("O", "N", "F", "CO")]
RINGS = [f"C1CC1{'C' * length}{end}" for length in range(1, 11) for end in ("O", "N", "F", "Cl")]


@pytest.fixture
def made():
    """Makes surrogates, whose workers end with the test."""
    held = []

    def make(smiles, rewards, **options):
        held.append(Surrogate(smiles, rewards, num_workers=1, **options))
        return held[-1]

    yield make
    for each in held:
        each.scorer.close()


def test_it_foresees_what_it_never_saw():
    """A reward of the length: the molecules that are left out are ordered, and close to their own."""
    lengths = [len(smiles) for smiles in CHAINS]
    predictions = foreseen(CHAINS, lengths, folds=4)
    assert np.corrcoef(predictions, lengths)[0, 1] > 0.98
    assert np.abs(predictions - lengths).mean() < 1.0
    assert np.array_equal(predictions, foreseen(CHAINS, lengths, folds=4))


def test_what_nothing_tells_is_not_foreseen():
    """Rewards by lot: who had learned from the molecule itself would know its own."""
    lots = torch.randn(len(CHAINS), generator=torch.Generator().manual_seed(0)).tolist()
    assert np.corrcoef(foreseen(CHAINS, lots, folds=4), lots)[0, 1] < 0.3


def test_a_molecule_that_would_fail_is_worth_less(made):
    """Chains have 5 and rings of three fail: of new ones, a chain keeps nearly all and a ring nearly nothing."""
    held = [*CHAINS, *RINGS]
    surrogate = made(held, [5.0] * len(CHAINS) + [0.0] * len(RINGS))
    chain, ring = surrogate.of_smiles(["CCCCCCCCS", "C1CC1CCCCCCS"]).tolist()
    assert chain > 4.5 and ring < 0.5
    scores = surrogate.scorer.many.scores.predict(np.hstack(features([parse("C1CC1CCCCCCS", "smiles")])))
    assert scores.item() == pytest.approx(5.0, abs=1e-12)  # of failures nothing was learned but that they fail
    worse = made(held, [5.0] * len(CHAINS) + [-1.0] * len(RINGS), failure_score=-1.0)
    success = ring / 5  # P · 5 + (1 - P) · 0, and below P · 5 + (1 - P) · (-1): the trees are the same
    assert worse.of_smiles(["C1CC1CCCCCCS"]).item() == pytest.approx(success * 5 - (1 - success), abs=1e-6)


def test_which_failed_may_be_said(made):
    """A score of 0 need be no failure, nor a failure of 0."""
    rewards = [0.0] * 40 + [4.0] * 40
    counted, marked = made(CHAINS, rewards), made(CHAINS, rewards, failed=[False] * 80)
    assert counted.scorer.many.successes.classes_.tolist() == [False, True]
    assert marked.scorer.many.successes.classes_.tolist() == [True]
    assert marked.of_smiles(["C"]).item() == pytest.approx(0.0, abs=0.3) and marked.of_smiles(["C" * 18]).item() > 3.7


def test_in_a_sampler_a_molecule_is_foreseen_once(made):
    """SVDD-PM by a surrogate of the number of atoms, on the shipped process, against plain samples."""
    reference = sv.load("qm9")
    surrogate = made(CHAINS, [float(smiles.count("O")) for smiles in CHAINS], failed=[False] * len(CHAINS))
    target = sv.Target(surrogate, 0.0)
    drawn = [
        sampler.sample(8, generator=torch.Generator().manual_seed(0))
        for sampler in (sv.ancestral(reference, target), sv.svdd(reference, target, sv.values.PosteriorMean(target), 6))
    ]
    plain, guided = (each.rewards.mean().item() for each in drawn)
    assert guided > plain + 0.1
    counts = surrogate.scorer.counts
    assert counts.scored == surrogate.scorer.known < counts.asked


def test_what_is_no_molecule_costs_its_own_score_alone(made):
    """Carbon with five neighbours, as a repair that went wrong would leave it."""
    surrogate = made(CHAINS, [float(len(smiles)) for smiles in CHAINS], failure_score=-1.0)
    scores = surrogate.scorer.score(["CCCCO", "C(C)(C)(C)(C)C", None])
    assert scores[0] == surrogate.of_smiles(["CCCCO"]).item() > 3
    assert scores[1:] == [-1.0, 0.0]  # what has no molecule has `invalid_score`
    assert [text for text, _ in surrogate.scorer.failures] == ["C(C)(C)(C)(C)C"] and surrogate.scorer.counts.failed == 1


def test_a_molecule_on_which_it_raises_costs_its_own_score_alone(made):
    surrogate = made(CHAINS, [float(len(smiles)) for smiles in CHAINS], failure_score=-1.0)
    many = surrogate.scorer.many

    def fails_on_ethane(molecules):
        if any(molecule.GetNumAtoms() == 2 for molecule in molecules):
            raise SystemExit("no ethane")
        return many(molecules)

    surrogate.scorer.many = fails_on_ethane
    scores = surrogate.scorer.score(["CCCCO", "CC", "CCCO"])
    assert scores[1] == -1.0 and min(scores[0], scores[2]) > 2
    assert surrogate.scorer.failures == [("CC", "SystemExit: no ethane")]


def test_failures_are_found_among_scores_of_single_precision(made):
    """-0.1 is another number in float32, in which a reward says it."""
    rewards = [5.0] * len(CHAINS) + [float(np.float32(-0.1))] * len(RINGS)
    surrogate = made([*CHAINS, *RINGS], rewards, failure_score=-0.1)
    assert surrogate.scorer.many.successes.classes_.tolist() == [False, True]


def test_it_keeps_no_store(tmp_path):
    with pytest.raises(ValueError, match="store: expected none, as what forests say depends on all that they learned"):
        Surrogate(CHAINS, [1.0] * 80, store=ScoreStore(tmp_path / "scores.sqlite", "docking"))


def test_features_by_hand():
    """Cyclopropane joined to cyclobutane: the largest ring has 4 atoms, one each of 3 and 4."""
    counts, descriptors = features([parse("C1CC1C1CCC1", "smiles")])
    assert counts.shape == (1, 1024) and counts.sum() > 7
    assert descriptors.shape == (1, 23) and descriptors[0, 0] == 7 and descriptors[0, -3:].tolist() == [4, 1, 1]


@pytest.mark.parametrize(
    ("smiles", "rewards", "options", "message"),
    [
        (["C(", *CHAINS], [1.0] * 81, {}, r"smiles\[0\]: expected a SMILES"),
        (CHAINS, [1.0] * 79, {}, "rewards: expected 80 finite numbers"),
        (CHAINS, [float("nan")] * 80, {}, "rewards: expected 80 finite numbers"),
        (CHAINS, [0.0] * 71 + [1.0] * 9, {}, "10 molecules that did not, got 9"),
        (CHAINS, [1.0] * 80, {"failed": [True]}, "failed: expected 80"),
    ],
)
def test_bad_input_is_named(smiles, rewards, options, message):
    with pytest.raises(ValueError, match=message):
        Surrogate(smiles, rewards, **options)


def test_the_shipped_scores_make_one():
    """1,024 docked molecules, 75 of which failed; of those that did not, what it learned is close."""
    table = json.loads(shipped("gdss_parp1_docked.json").read_text())
    scores = np.array(table["rewards"])
    assert len(scores) == len(table["smiles"]) == 1024 and (scores == 0).sum() == 76
    surrogate = pretrained.surrogate("parp1", num_workers=1)
    predictions = surrogate.of_smiles(table["smiles"][:200]).numpy()
    surrogate.scorer.close()
    assert np.corrcoef(predictions, scores[:200])[0, 1] > 0.9
    with pytest.raises(ValueError, match="receptor: expected one of parp1, got 'fa7'"):
        pretrained.surrogate("fa7")
