"""What a sequence must not hold: restriction sites on either strand, and start codons before a coding region."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from svlearn.arguments import names_of
from svlearn.domains.sequences.alphabet import DNA
from svlearn.domains.sequences.letters import letter_shares

AMBIGUOUS = {
    **{letter: letter for letter in DNA.letters},
    **dict(U="T", R="AG", Y="CT", S="CG", W="AT", K="GT", M="AC", B="CGT", D="AGT", H="ACT", V="ACG", N="ACGT"),
}  # IUPAC's letters for several
ENZYMES = {
    "BamHI": "GGATCC",
    "BbsI": "GAAGAC",
    "BsaI": "GGTCTC",
    "BsmBI": "CGTCTC",
    "EcoRI": "GAATTC",
    "HindIII": "AAGCTT",
    "KpnI": "GGTACC",
    "NcoI": "CCATGG",
    "NdeI": "CATATG",
    "NotI": "GCGGCCGC",
    "PstI": "CTGCAG",
    "SacI": "GAGCTC",
    "SalI": "GTCGAC",
    "SapI": "GCTCTTC",
    "SpeI": "ACTAGT",
    "XbaI": "TCTAGA",
    "XhoI": "CTCGAG",
}
FRAMES = ("any", "in", "out")


@dataclass(frozen=True)
class LacksSites:
    """Whether a sequence holds none of the sites, bool (B,), of token ids (B, L) of DNA: `targets.constraint` takes it.

    sites: names of `ENZYMES`, or sites in IUPAC's letters, as "GAATTC" or "GCNNGC". both_strands: nor their reverse
    complements. Raises ValueError for no sites and an unknown letter in one, and for masked places.
    """

    sites: Sequence[str]
    both_strands: bool = True

    def __post_init__(self) -> None:
        sites = tuple(names_of(self.sites, "sites"))
        if not sites:
            raise ValueError("sites: expected one at least, got none")
        for place, site in enumerate(sites):
            pattern = ENZYMES.get(site, site.upper())
            if not pattern or not set(pattern) <= AMBIGUOUS.keys():
                raise ValueError(
                    f"sites[{place}]: expected one of {', '.join(ENZYMES)}, or letters of {''.join(AMBIGUOUS)}, got "
                    f"{site!r}"
                )
        object.__setattr__(self, "sites", sites)

    def __call__(self, x: Tensor) -> Tensor:
        letters = letter_shares(x, DNA, dtype=torch.float64)
        held = torch.zeros(len(letters), dtype=torch.bool, device=letters.device)
        for site in self.sites:
            allowed = _allowed(ENZYMES.get(site, site.upper()))
            for pattern in (allowed, allowed.flip(0, 1)) if self.both_strands else (allowed,):
                held |= matches(letters, pattern).any(dim=1)
        return ~held


@dataclass(frozen=True)
class LacksUpstreamStarts:
    """Whether a 5'UTR holds no ATG, bool (B,), of token ids (B, L): a predicate for `targets.constraint`.

    frame, before the coding region that follows: of those that count: "any", "in" (that of the coding region) or "out".
    Raises ValueError for another frame and for masked places.
    """

    frame: str = "any"

    def __post_init__(self) -> None:
        if self.frame not in FRAMES:
            raise ValueError(f"frame: expected one of {', '.join(FRAMES)}, got {self.frame!r}")

    def __call__(self, x: Tensor) -> Tensor:
        letters = letter_shares(x, DNA, dtype=torch.float64)
        starts = matches(letters, _allowed("ATG"))
        if self.frame != "any":
            in_frame = (x.shape[1] - torch.arange(starts.shape[1], device=x.device)) % 3 == 0
            starts = starts & (in_frame if self.frame == "in" else ~in_frame)
        return ~starts.any(dim=1)


def matches(letters: Tensor, allowed: Tensor) -> Tensor:
    """Where a pattern begins, bool (B, L - K + 1), of letters (B, L, 4) and what is allowed at its places (K, 4)."""
    if letters.shape[1] < len(allowed):
        return torch.zeros(len(letters), 0, dtype=torch.bool, device=letters.device)
    windows = letters.unfold(1, len(allowed), 1)  # (B, places, 4, K)
    return torch.einsum("bpvk,kv->bp", windows, allowed.to(letters)) == len(allowed)


def _allowed(pattern: str) -> Tensor:
    return torch.tensor([[letter in AMBIGUOUS[each] for letter in DNA.letters] for each in pattern])
