"""Letters and their ids: there and back, aliases, lower case, and what is refused, with its place."""

import pytest
import torch

from svlearn.domains.sequences.alphabet import DNA, PROTEIN, RNA, Alphabet


def test_there_and_back():
    tokens = DNA.encode(["ACGT", "TT_A"])
    assert torch.equal(tokens, torch.tensor([[0, 1, 2, 3], [3, 3, 4, 0]]))
    assert DNA.decode(tokens) == ["ACGT", "TT_A"]
    assert (DNA.size, DNA.mask, PROTEIN.size) == (4, 4, 20)


def test_aliases_and_lower_case_are_read_as_the_letters():
    assert DNA.decode(DNA.encode(["acgU", "ACGu"])) == ["ACGT", "ACGT"]
    assert RNA.decode(RNA.encode(["ACGT"])) == ["ACGU"]


def test_an_alphabet_with_lower_case_of_its_own_keeps_it():
    alphabet = Alphabet("Aa")
    assert alphabet.decode(alphabet.encode(["Aa"])) == ["Aa"]


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        (["ACGT", "ACNT"], r"sequences\[1\]\[2\]: expected a letter of 'ACGT' or '_', got 'N'"),
        (["ACGT", "ACG"], r"sequences\[1\]: expected 4 letters, got 3"),
        ([], "expected at least one, got none"),
    ],
)
def test_what_is_refused(sequences, message):
    with pytest.raises(ValueError, match=message):
        DNA.encode(sequences)


def test_one_text_is_no_list():
    with pytest.raises(TypeError, match="sequences"):
        DNA.encode("ACGT")


def test_ids_outside_are_refused():
    with pytest.raises(ValueError, match="expected ids from 0 to 4, got 0 to 5"):
        DNA.decode(torch.tensor([[0, 5]]))


@pytest.mark.parametrize("letters", ["", "AA", "A_"])
def test_letters_are_different_and_no_mask(letters):
    with pytest.raises(ValueError, match="letters"):
        Alphabet(letters)


def test_an_alias_stands_for_a_letter():
    with pytest.raises(ValueError, match="aliases"):
        Alphabet("ACGT", {"U": "N"})
