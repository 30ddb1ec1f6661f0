"""Words of k letters: counted as a search counts them, fitted as the normal equations say, the same of soft letters."""

import pytest
import torch
from regressor_toys import sequences_of

from svlearn.domains.sequences.alphabet import DNA
from svlearn.domains.sequences.kmers import KmerRegression
from svlearn.domains.sequences.letters import letter_shares
from svlearn.domains.sequences.shipped_regressors import load_regressor, save_regressor

SEQUENCES = sequences_of(150, 20)
TOKENS = DNA.encode(SEQUENCES)


def other_strand(sequence: str) -> str:
    return sequence[::-1].translate(str.maketrans("ACGT", "TGCA"))


def counted(sequence: str, k: int) -> list[int]:
    words = ["".join(DNA.letters[(place // 4**power) % 4] for power in reversed(range(k))) for place in range(4**k)]
    found = [text[start : start + k] for text in (sequence, other_strand(sequence)) for start in range(21 - k)]
    return [found.count(word) for word in words]


def fitted(k: int = 2) -> KmerRegression:
    values = torch.tensor([float(sequence.count("CG")) for sequence in SEQUENCES])
    return KmerRegression(20, k).fit(TOKENS, values, torch.linspace(0.5, 1.0, 150), ridge=0.1)


@pytest.mark.parametrize("k", [1, 3])
def test_words_are_counted_on_both_strands(k):
    logarithms = KmerRegression(20, k).logarithms(letter_shares(TOKENS, DNA))
    wanted = torch.tensor([counted(sequence, k) for sequence in SEQUENCES], dtype=torch.float32)
    assert torch.allclose(logarithms.exp() - 1, wanted, atol=1e-5)


def test_the_fit_is_a_stationary_point_of_its_objective():
    """Σ w (r - y)² + ridge s |a|², by its gradient in a, in the place of the closed form."""
    network = fitted().double()
    values = torch.tensor([float(sequence.count("CG")) for sequence in SEQUENCES], dtype=torch.float64)
    weights, slopes = torch.linspace(0.5, 1.0, 150), network.slopes.clone().requires_grad_()
    centred = network.logarithms(letter_shares(TOKENS, DNA, dtype=torch.float64)) - network.centre
    penalty = 0.1 * centred.square().sum(dim=1).mean() * slopes.square().sum()
    (weights * (network.location + centred @ slopes - values).square()).sum().add(penalty).backward()
    assert slopes.grad.abs().max() < 1e-3 * slopes.detach().abs().max() * 150
    assert torch.corrcoef(torch.stack([network(TOKENS), values]))[0, 1] > 0.9


def test_soft_one_hots_and_the_other_strand_are_the_same_with_a_gradient():
    network, soft = fitted(), letter_shares(TOKENS[:5], DNA).requires_grad_()
    values = network(soft)
    assert network.reads_one_hot and torch.allclose(values, network(TOKENS[:5]), atol=1e-5)
    assert torch.allclose(network(DNA.encode(list(map(other_strand, SEQUENCES[:5])))), values, atol=1e-5)
    values.sum().backward()
    assert soft.grad.abs().amax(dim=(1, 2)).min() > 0


def test_there_and_back_through_a_file(tmp_path):
    again = load_regressor(save_regressor(fitted(), tmp_path / "words.safetensors"))
    assert isinstance(again, KmerRegression) and torch.equal(again(TOKENS), fitted()(TOKENS))


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"k: expected an integer of 1 ... 6, got 7"):
        KmerRegression(20, 7)
    with pytest.raises(ValueError, match="x: expected sequences of 20 letters, got 19"):
        fitted()(TOKENS[:, :19])
