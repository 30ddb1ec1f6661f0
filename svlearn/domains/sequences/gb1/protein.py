"""Protein GB1: its 56 letters, and the four sites of which all 20^4 variants make a landscape."""

from collections.abc import Sequence

from svlearn.arguments import each_of

SEQUENCE = "MQYKLILNGKTLKGETTTEAVDAATAEKVFKQYANDNGVDGEWTYDDATKTFTVTE"
SITES = (39, 40, 41, 54)  # counted from 1, as in V39, D40, G41, V54
LENGTH = len(SITES)
WILD_TYPE = "".join(SEQUENCE[site - 1] for site in SITES)


def whole_sequences(variants: Sequence[str]) -> list[str]:
    """The 56 letters of variants at the four sites, each a text of four letters ("_" for one that is masked).

    Raises TypeError for one text instead of a list, ValueError for another number of letters.
    """
    found = []
    for row, variant in enumerate(each_of(variants, str, "variants")):
        if len(variant) != LENGTH:
            raise ValueError(f"variants[{row}]: expected {LENGTH} letters, got {len(variant)}")
        letters = list(SEQUENCE)
        for site, letter in zip(SITES, variant, strict=True):
            letters[site - 1] = letter
        found.append("".join(letters))
    return found
