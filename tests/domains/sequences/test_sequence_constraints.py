"""What a sequence must and must not hold, against plain searches in the text; as constraints of a sampler."""

import math

import pytest
import torch

from svlearn.domains.sequences.alphabet import DNA, RNA
from svlearn.domains.sequences.letters import letter_shares
from svlearn.domains.sequences.rewards import GCContent, HasGCContent, LacksSites, LacksUpstreamStarts
from svlearn.domains.sequences.rewards.sites import ENZYMES
from svlearn.identity import identity
from svlearn.randomness import seeded
from svlearn.targets import constraint

TOKENS = torch.randint(4, (2000, 40), generator=seeded("cpu", 5))
SEQUENCES = DNA.decode(TOKENS)


def other_strand(sequence: str) -> str:
    return sequence[::-1].translate(str.maketrans("ACGT", "TGCA"))


@pytest.mark.parametrize("both", [True, False])
def test_sites_are_found_as_a_search_finds_them(both):
    """BsaI's site is no palindrome: its strand matters."""
    sites = [ENZYMES["BsaI"][:4], "GAAT", "CCGG"]
    texts = [[sequence, other_strand(sequence)] if both else [sequence] for sequence in SEQUENCES]
    wanted = [not any(site in text for site in sites for text in each) for each in texts]
    lacks = LacksSites(sites, both_strands=both)(TOKENS)
    assert lacks.tolist() == wanted and 0.1 < lacks.float().mean() < 0.9


def test_sites_may_be_ambiguous_or_named():
    tokens = DNA.encode(["AAGCTTGCAA", "AAGCATGCAA", "AAGCTTTTAA", "AAGAATTCAA"])
    assert LacksSites(["GCWNGC"])(tokens).tolist() == [False, False, True, True]
    assert LacksSites(["EcoRI"])(tokens).tolist() == [True, True, True, False]
    assert LacksSites(["gaauuc"])(tokens).tolist() == [True, True, True, False]
    assert LacksSites(["A" * 11])(tokens).all()  # longer than the sequence


@pytest.mark.parametrize("frame", ["any", "in", "out"])
def test_start_codons_are_found_as_a_search_finds_them(frame):
    def starts(sequence: str) -> bool:
        places = [place for place in range(len(sequence)) if sequence[place : place + 3] == "ATG"]
        return any(frame == "any" or ((len(sequence) - place) % 3 == 0) == (frame == "in") for place in places)

    lacks = LacksUpstreamStarts(frame)(TOKENS)
    assert lacks.tolist() == [not starts(sequence) for sequence in SEQUENCES] and 0.1 < lacks.float().mean() < 0.9


@pytest.mark.parametrize("window", [None, 1, 10, 40])
def test_a_gc_window_holds_where_every_stretch_does(window):
    low, high = (0.4, 0.6) if window is None else (0.1, 0.9)
    size = 40 if window is None else window

    def holds(sequence: str) -> bool:
        stretches = [sequence[start : start + size] for start in range(40 - size + 1)]
        return all(low * size <= each.count("G") + each.count("C") <= high * size for each in stretches)

    found = HasGCContent(low, high, window)(TOKENS)
    assert found.tolist() == [holds(sequence) for sequence in SEQUENCES] and (window == 1 or found.any())


def test_the_share_of_g_and_c_has_a_gradient():
    soft = letter_shares(TOKENS[:3], DNA).requires_grad_()
    GCContent()(soft).sum().backward()
    assert torch.allclose(soft.grad, torch.tensor([0.0, 1.0, 1.0, 0.0]).expand(3, 40, 4) / 40)
    assert GCContent()(TOKENS[:1]).item() == pytest.approx((SEQUENCES[0].count("G") + SEQUENCES[0].count("C")) / 40)


def test_they_are_predicates_of_a_constraint():
    tokens = RNA.encode(["GGAAUUCC", "GGAAUACC"])
    target = constraint(LacksSites(["EcoRI"]))
    assert target(tokens).tolist() == [-math.inf, 0.0]
    assert identity(constraint(LacksSites(["EcoRI"]))) == identity(target)
    assert identity(constraint(LacksSites(["BsaI"]))) != identity(target)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: LacksSites([]), ValueError, "sites: expected one at least, got none"),
        (lambda: LacksSites("EcoRI"), TypeError, "sites: expected a list of names, got str"),
        (lambda: LacksSites(["GAATTX"]), ValueError, r"sites\[0\]: expected one of BamHI, .* got 'GAATTX'"),
        (lambda: LacksUpstreamStarts("second"), ValueError, "frame: expected one of any, in, out, got 'second'"),
        (lambda: HasGCContent(0.6, 0.4), ValueError, "low, high: expected low <= high, got 0.6 and 0.4"),
        (lambda: HasGCContent(-0.1, 0.4), ValueError, "low: expected a finite number of at least 0"),
        (lambda: HasGCContent(window=41)(TOKENS), ValueError, "x: expected sequences of 41 letters or more, got 40"),
        (lambda: GCContent()(DNA.encode(["A_"])), ValueError, r"x\[0, 1\]: .* got a masked place"),
    ],
)
def test_bad_options_and_states_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
