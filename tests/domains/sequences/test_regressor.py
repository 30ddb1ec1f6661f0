"""A regressor: the mean of its members, both strands alike, the same of soft letters; there and back through a file."""

import pytest
import torch
from regressor_toys import sequences_of

from svlearn import checkpoints
from svlearn.domains.sequences.alphabet import DNA
from svlearn.domains.sequences.letters import letter_shares
from svlearn.domains.sequences.regressor import SequenceRegressor
from svlearn.domains.sequences.rewards import Regression
from svlearn.domains.sequences.shipped_regressors import load_regressor, save_regressor

SMALL = dict(length=20, width=8, depth=2, narrow=4, hidden=8)


def made(seed: int = 0, **options) -> SequenceRegressor:
    torch.manual_seed(seed)
    network = SequenceRegressor(**SMALL, **options).eval()
    network.standardise(torch.tensor([1.0, 3.0, 5.0]))
    return network


def test_it_is_location_and_spread_of_the_mean_of_its_members():
    network, tokens = made(members=3), DNA.encode(sequences_of(5, 20))
    letters = letter_shares(tokens, DNA).transpose(1, 2)
    each = torch.stack([member(letters) for member in network.members])
    assert torch.allclose(network(tokens), 3.0 + 2.0 * each.mean(dim=0)) and each.std(dim=0).min() > 0


@pytest.mark.parametrize("start_codons", [0, 1])
def test_soft_one_hots_are_read_as_tokens_and_have_a_gradient(start_codons):
    network, tokens = made(start_codons=start_codons), DNA.encode(sequences_of(5, 20))
    soft = letter_shares(tokens, DNA).requires_grad_()
    value = network(soft)
    assert torch.allclose(value, network(tokens))
    value.sum().backward()
    assert soft.grad.abs().amax(dim=(1, 2)).min() > 0


def test_both_strands_are_the_same_sequence():
    sequences = sequences_of(5, 20)
    other = [sequence[::-1].translate(str.maketrans("ACGT", "TGCA")) for sequence in sequences]
    both, one = made(both_strands=1), made()
    assert torch.allclose(both(DNA.encode(sequences)), both(DNA.encode(other)), atol=1e-5)
    assert not torch.allclose(one(DNA.encode(sequences)), one(DNA.encode(other)), atol=1e-3)


def test_a_start_codon_that_the_convolution_cannot_reach_the_stop_of_is_told():
    """ATG at 2, and a stop in its frame or beside it 12 letters on: the members see 7 letters each way."""
    torch.manual_seed(0)
    network = SequenceRegressor(length=20, width=8, depth=0, narrow=4, hidden=8, first=3, start_codons=1).eval()
    plain = SequenceRegressor(length=20, width=8, depth=0, narrow=4, hidden=8, first=3).eval()
    stopped, runs_on = "CCATGCCCCCCCCCTAACCC", "CCATGCCCCCCCCTAACCCC"
    channels = [network.members[0].first, plain.members[0].first]
    assert [layer.in_channels for layer in channels] == [16, 4]
    here = [letter_shares(DNA.encode([each]), DNA).transpose(1, 2) for each in (stopped, runs_on)]
    assert torch.equal(plain.members[0].first(here[0])[..., :5], plain.members[0].first(here[1])[..., :5])
    one, other = (network.standardised(each) for each in here)
    assert not torch.allclose(one, other)


def test_there_and_back_through_a_file(tmp_path):
    network, tokens = made(members=2, start_codons=1, both_strands=0), DNA.encode(sequences_of(5, 20))
    path = save_regressor(network, tmp_path / "regressor.safetensors", measurement="toy")
    again = load_regressor(path)
    assert torch.equal(again(tokens), network(tokens)) and not again.training
    assert not any(parameter.requires_grad for parameter in again.parameters())
    reward = Regression(path)
    assert torch.equal(reward.train()(tokens), network(tokens)) and not reward.network.training


def test_another_length_and_masked_places_are_refused():
    with pytest.raises(ValueError, match="x: expected sequences of 20 letters, got 19"):
        made()(DNA.encode(sequences_of(1, 19)))
    with pytest.raises(ValueError, match=r"x\[0, 19\]: expected a letter of 'ACGT', got a masked place"):
        made()(DNA.encode(["A" * 19 + "_"]))


def test_what_is_no_regressor_is_refused(tmp_path):
    with pytest.raises(ValueError, match="name_or_path: expected a file or one of mrl, hepg2-activity, .* got 'mlr'"):
        load_regressor("mlr")
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        load_regressor(tmp_path / "none.safetensors")
    path = checkpoints.save(torch.nn.Linear(1, 1), tmp_path / "other.safetensors", family="qm9")
    with pytest.raises(ValueError, match="of family sequence-regressor or kmer-regression, got 'qm9'"):
        load_regressor(path)
