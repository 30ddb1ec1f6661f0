"""Letters of tokens and of soft one-hots: the same numbers, a gradient, and what is refused, with its place."""

import pytest
import torch

from svlearn.domains.sequences.alphabet import DNA, PROTEIN
from svlearn.domains.sequences.letters import letter_shares


def test_tokens_and_their_one_hots_are_the_same():
    tokens = DNA.encode(["ACGT", "TTGA"])
    shares = letter_shares(tokens, DNA)
    assert torch.equal(shares.argmax(dim=2), tokens) and torch.equal(shares.sum(dim=2), torch.ones(2, 4))
    assert torch.equal(letter_shares(shares, DNA), shares)
    assert letter_shares(tokens.int(), DNA, dtype=torch.float64).dtype == torch.float64


def test_the_share_of_the_mask_is_that_of_all_letters_alike():
    soft = torch.tensor([[[0.5, 0.0, 0.0, 0.1, 0.4], [0.0, 0.0, 0.0, 0.0, 1.0]]], requires_grad=True)
    shares = letter_shares(soft, DNA)
    assert torch.allclose(shares, torch.tensor([[[0.6, 0.1, 0.1, 0.2], [0.25] * 4]]))
    shares[0, 1, 2].backward()
    assert soft.grad[0, 1].tolist() == [0.0, 0.0, 1.0, 0.0, 0.25]


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (DNA.encode(["ACG", "A_G"]), {}, r"x\[1, 1\]: expected a letter of 'ACGT', got a masked place"),
        (torch.tensor([[0, 7]]), {}, r"x\[0, 1\]: expected a letter of 'ACGT', got the id 7"),
        (torch.tensor([[0, -1]]), {}, r"x\[0, 1\]: .* got the id -1"),
        (DNA.encode(["ACG"]), {"length": 4}, "x: expected sequences of 4 letters, got 3"),
        (
            torch.rand(2, 3, 6),
            {},
            r"x: expected token ids \(B, L\), or soft one-hots \(B, L, 4\), got shape \(2, 3, 6\)",
        ),
        (torch.tensor([0, 1]), {}, r"got shape \(2,\) of torch.int64"),
    ],
)
def test_what_is_refused(x, options, message):
    with pytest.raises(ValueError, match=message):
        letter_shares(x, DNA, **options)


def test_what_is_no_tensor_is_refused():
    with pytest.raises(TypeError, match="x: expected a Tensor, got list"):
        letter_shares(["ACGT"], DNA)


def test_any_alphabet_is_read():
    assert letter_shares(PROTEIN.encode(["ACDY"]), PROTEIN).argmax(dim=2).tolist() == [[0, 1, 2, 19]]
