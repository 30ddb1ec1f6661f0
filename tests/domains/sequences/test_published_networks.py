"""The field's own networks: the outputs are those of a forward pass written out in NumPy, and agree with experiment."""

import numpy as np
import pytest
import torch
from keras_files import convolved, forward, layers_of, one_hot, weights_of
from scipy.stats import pearsonr

from svlearn.domains.sequences.alphabet import DNA
from svlearn.domains.sequences.letters import letter_shares
from svlearn.domains.sequences.measurements import measured
from svlearn.domains.sequences.rewards import MPRADragoNN, Optimus5Prime
from svlearn.domains.sequences.rewards.dragonn import FILE, TASKS
from svlearn.domains.sequences.rewards.optimus import MODELS
from svlearn.randomness import seeded


def sequences_of(number: int, length: int) -> list[str]:
    return DNA.decode(torch.randint(4, (number, length), generator=seeded("cpu", 3)))


@pytest.mark.parametrize("task", TASKS)
def test_mpra_dragonn_is_a_forward_pass_of_its_json(assets, task):
    path, layers = assets(FILE), layers_of(assets("dna/mpra_dragonn_convmodel.json"))
    sequences = sequences_of(3, 145)
    wanted = [forward(layers, weights_of(path), one_hot(each))[TASKS[task]] for each in sequences]
    assert MPRADragoNN(*task)(DNA.encode(sequences)).tolist() == pytest.approx(wanted, rel=1e-4, abs=1e-4)
    assert np.ptp(wanted) > 0.1


def test_of_a_longer_sequence_windows_are_averaged(assets):
    assets(FILE)
    (sequence,) = sequences_of(1, 171)
    reward = MPRADragoNN("K562", "minP", stride=10)
    windows = [sequence[start : start + 145] for start in (0, 10, 20, 26)]
    wanted = reward(DNA.encode(windows)).mean().item()
    assert reward(DNA.encode([sequence])).item() == pytest.approx(wanted, abs=1e-5)
    assert MPRADragoNN("K562", "minP", stride=13)(DNA.encode([sequence])).item() == pytest.approx(
        reward(DNA.encode([sequence[start : start + 145] for start in (0, 13, 26)])).mean().item(), abs=1e-5
    )


def test_optimus_is_a_forward_pass_of_its_layers(assets):
    """The coding region's ATGG follows the 5'UTR, and what is flattened comes place by place."""
    path, sequences = assets(MODELS["retrained"]), sequences_of(3, 50)
    by_layer, wanted = weights_of(path), []
    for each in sequences:
        x = one_hot(each + "ATGG")
        for layer in ("convolution1d_1", "convolution1d_2"):
            x = np.maximum(convolved(x, by_layer[layer]["kernel"], by_layer[layer]["bias"]), 0)
        x = np.maximum(x.reshape(-1) @ by_layer["dense_1"]["kernel"] + by_layer["dense_1"]["bias"], 0)
        wanted.append((x @ by_layer["dense_2"]["kernel"] + by_layer["dense_2"]["bias"]).item())
    assert Optimus5Prime("retrained")(DNA.encode(sequences)).tolist() == pytest.approx(wanted, abs=1e-4)


def test_optimus_agrees_with_experiment_as_published(assets):
    assets(MODELS["evolution"])
    assets("utr5/mrl_egfp_m1pseudo2_20k.csv")
    train, _ = measured("mrl")
    foretold = Optimus5Prime()(train["tokens"][:4000])
    assert pearsonr(foretold, train["values"][:4000]).statistic == pytest.approx(0.852, abs=5e-4)


@pytest.mark.parametrize(
    ("made", "file", "length"), [(Optimus5Prime, MODELS["evolution"], 50), (MPRADragoNN, FILE, 150)]
)
def test_soft_one_hots_are_read_as_tokens_and_have_a_gradient(assets, made, file, length):
    assets(file)
    reward, tokens = made(), DNA.encode(sequences_of(3, length))
    soft = letter_shares(tokens, DNA).requires_grad_()
    values = reward(soft)
    assert reward.reads_one_hot and torch.allclose(values, reward(tokens), atol=1e-5)
    values.sum().backward()
    assert soft.grad.abs().amax(dim=(1, 2)).min() > 0
    assert not any(parameter.requires_grad for parameter in reward.parameters())


def test_what_does_not_fit_is_refused(assets):
    assets(FILE)
    assets(MODELS["evolution"])
    with pytest.raises(ValueError, match="x: expected sequences of 50 letters, got 51"):
        Optimus5Prime()(DNA.encode(["A" * 51]))
    with pytest.raises(ValueError, match="x: expected sequences of 145 letters or more, got 144"):
        MPRADragoNN()(DNA.encode(["A" * 144]))
    with pytest.raises(ValueError, match="cells, promoter: expected K562 with minP or .*, got HeLa with minP"):
        MPRADragoNN("HeLa", "minP")
