"""The log-odds of a motif by hand, on both strands, with a gradient at its best place; and JASPAR's files."""

import math

import pytest
import torch

from svlearn.domains.sequences.alphabet import DNA, PROTEIN
from svlearn.domains.sequences.letters import letter_shares
from svlearn.domains.sequences.rewards import Motif
from svlearn.domains.sequences.rewards.motif import read_jaspar

COUNTS = [[8.0, 0.0, 0.0, 0.0], [0.0, 0.0, 4.0, 4.0]]  # A, then G or T
JASPAR = """>MA0000.1\tTOY
A  [ 8  0 ]
C  [ 0  0 ]
G  [ 0  4 ]
T  [ 0  4 ]
>MA0000.2\tOTHER
A  [ 1 ]
"""


def odds(count: float, background: float = 0.25) -> float:
    return math.log((count + background) / 9 / background)


@pytest.mark.parametrize(
    ("sequence", "both", "wanted"),
    [
        ("CCAGCC", False, odds(8) + odds(4)),
        ("CCATCC", False, odds(8) + odds(4)),
        ("CCTCCC", False, odds(0) + odds(4)),  # the best of what there is
        ("CCCTCC", True, odds(8) + odds(4)),  # CT is AG on the other strand
        ("CCCTCC", False, odds(0) + odds(4)),
        ("CCCCCC", False, 2 * odds(0)),
        ("CCCCCC", True, odds(0) + odds(4)),
    ],
)
def test_log_odds_by_hand(sequence, both, wanted):
    assert Motif(COUNTS, both_strands=both)(DNA.encode([sequence])).item() == pytest.approx(wanted, abs=1e-5)


def test_a_background_changes_the_odds():
    background = [0.4, 0.1, 0.1, 0.4]
    value = Motif(COUNTS, both_strands=False, background=background)(DNA.encode(["AG"])).item()
    assert value == pytest.approx(odds(8, 0.4) + odds(4, 0.1), abs=1e-5)


def test_the_gradient_of_soft_letters_is_that_of_the_best_place():
    soft = letter_shares(DNA.encode(["CAGC"]), DNA).requires_grad_()
    value = Motif(COUNTS, both_strands=False)(soft)
    value.backward()
    wanted = torch.zeros(4, 4)
    wanted[1] = torch.tensor([odds(count) for count in COUNTS[0]])
    wanted[2] = torch.tensor([odds(count) for count in COUNTS[1]])
    assert torch.allclose(soft.grad[0], wanted, atol=1e-5)


def test_a_file_of_jaspar_is_read(tmp_path):
    path = tmp_path / "toy.jaspar"
    path.write_text(JASPAR)
    assert read_jaspar(path) == COUNTS
    tokens = DNA.encode(["CCAGCC", "TTTTTT"])
    assert torch.equal(Motif(path)(tokens), Motif(COUNTS)(tokens))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (JASPAR.replace("G  [ 0  4 ]", "G  [ 0  x ]"), r"line 4: expected a letter of ACGT and its counts, got 'G"),
        (JASPAR.replace("T  [ 0  4 ]", "U  [ 0  4 ]"), r"line 5: expected a letter of ACGT"),
        (JASPAR.replace("T  [ 0  4 ]\n", ""), r"with as many counts of A, C, G and T, got 3 rows"),
        (JASPAR.replace("T  [ 0  4 ]", "T  [ 0 ]"), r"with as many counts of A, C, G and T, got 4 rows"),
        ("", "got 0 rows"),
    ],
)
def test_another_file_is_refused_by_its_line(tmp_path, text, message):
    path = tmp_path / "toy.jaspar"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"toy.jaspar: .*{message}"):
        Motif(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"counts": [[1.0, 2.0]]}, r"counts: expected rows of 4 counts, got shape \(1, 2\)"),
        ({"counts": [[0.0] * 4]}, "counts: expected numbers of at least 0, and one above in each row"),
        ({"counts": [[1.0, -1.0, 0.0, 0.0]]}, "counts: expected numbers of at least 0"),
        ({"counts": COUNTS, "pseudocount": 0.0}, "pseudocount: expected a finite number above 0"),
        ({"counts": COUNTS, "background": [0.5, 0.5, 0.5, 0.5]}, "background: expected 4 shares above 0 that sum to 1"),
        ({"counts": [[1.0] * 20], "alphabet": PROTEIN}, "both_strands: expected False, as the letters of 'ACDE"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Motif(**options)


def test_a_sequence_shorter_than_the_motif_is_refused():
    with pytest.raises(ValueError, match="x: expected sequences of 2 letters or more, got 1"):
        Motif(COUNTS)(DNA.encode(["A"]))
