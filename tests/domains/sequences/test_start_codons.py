"""Start codons before a coding region, against a plain search in the text."""

import pytest
import torch

from svlearn.domains.sequences.alphabet import DNA
from svlearn.domains.sequences.letters import letter_shares
from svlearn.domains.sequences.start_codons import start_codon_channels
from svlearn.randomness import seeded

STOPS = ("TAA", "TAG", "TGA")


def searched(sequence: str) -> torch.Tensor:
    """(12, L): starts that run on, starts that are stopped, stops, and 1, each by frame."""
    length = len(sequence)
    found = torch.zeros(4, 3, length)
    for place in range(length):
        frame = (length - place) % 3
        codons = [sequence[start : start + 3] for start in range(place, length, 3)]
        if codons[0] == "ATG":
            found[1 if any(codon in STOPS for codon in codons) else 0, frame, place] = 1
        if codons[0] in STOPS:
            found[2, frame, place] = 1
        found[3, frame, place] = 1
    return found.flatten(0, 1)


@pytest.mark.parametrize("length", [3, 50, 52])
def test_channels_are_what_a_search_finds(length):
    tokens = torch.randint(4, (300, length), generator=seeded("cpu", 0))
    tokens[:100] = torch.tensor([0, 3, 2, 3])[torch.randint(4, (100, length), generator=seeded("cpu", 1))]  # many ATG
    channels = start_codon_channels(letter_shares(tokens, DNA).transpose(1, 2))
    assert torch.equal(channels, torch.stack([searched(sequence) for sequence in DNA.decode(tokens)]))
    assert length == 3 or all(channels[:, kind : kind + 3].sum() > 20 for kind in (0, 3, 6))


def test_a_start_is_worth_what_its_letters_are():
    """A, T and G at half a share each: an eighth of a start."""
    letters = letter_shares(DNA.encode(["CCATGC"]), DNA)
    letters[0, 2:5] = 0.5 * letters[0, 2:5] + 0.5 * letter_shares(DNA.encode(["CCC"]), DNA)[0]
    channels = start_codon_channels(letters.transpose(1, 2))
    assert channels[0, 1, 2].item() == pytest.approx(0.125)  # 4 letters before the coding region: frame 1
