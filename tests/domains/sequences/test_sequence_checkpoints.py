"""References of sequences on disk: saved, loaded, refused, and exported from a training."""

import json

import pytest
import torch
from torch import nn

from svlearn import checkpoints
from svlearn.domains.sequences import pretrained
from svlearn.domains.sequences.alphabet import DNA, PROTEIN
from svlearn.domains.sequences.export import export
from svlearn.domains.sequences.masked_diffusion import MaskedDiffusion
from svlearn.domains.sequences.networks import DilatedCNN, RotaryTransformer
from svlearn.domains.sequences.networks.fourier_cnn import FourierCNN
from svlearn.domains.sequences.remasking import RemaskingDiffusion
from svlearn.fingerprint import fingerprint

NETWORKS = [lambda size: DilatedCNN(size, 8, 3, 2), lambda size: RotaryTransformer(size, 8, 1, 2, time_width=4)]


@pytest.mark.parametrize("make", NETWORKS)
@pytest.mark.parametrize("alphabet", [DNA, PROTEIN])
def test_a_reference_comes_back_as_it_was(make, alphabet, tmp_path):
    reference = MaskedDiffusion(make(alphabet.size), alphabet, 5, 9, "cosine", fixed="AC___").eval()
    path = pretrained.save(reference, tmp_path / "a.safetensors", "utr5", steps=3)
    again = pretrained.utr5(path)
    assert fingerprint(again) == fingerprint(reference)
    assert (again.num_steps, again.schedule, again.alphabet) == (9, "cosine", alphabet)
    assert not any(each.requires_grad for each in again.parameters())


def test_what_could_not_be_built_again_is_not_written(tmp_path):
    reference = MaskedDiffusion(DilatedCNN(4, 8, 3, 2), DNA, 5, 9)
    with pytest.raises(TypeError, match="expected a MaskedDiffusion .*, got a RemaskingDiffusion of a DilatedCNN"):
        pretrained.save(RemaskingDiffusion(reference), tmp_path / "a.safetensors", "utr5")
    with pytest.raises(TypeError, match="got a MaskedDiffusion of a FourierCNN"):
        pretrained.save(MaskedDiffusion(FourierCNN(4, 8, 1), DNA, 5), tmp_path / "a.safetensors", "utr5")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"family": "qm9"}, "expected a reference of family 'utr5', got 'qm9'"),
        ({"kind": "Perceptron"}, "expected a network of DilatedCNN, RotaryTransformer, got 'Perceptron'"),
        ({"network": {"width": 9, "kernel_size": 2}}, "expected the arguments of a DilatedCNN"),
        ({"process": {}}, "the record's process does not fit: expected alphabet, length"),
        ({"process": {"alphabet": 3}}, "the record's process does not fit"),
        ({"process": {"length": "x"}}, "the record's process does not fit: length"),
    ],
)
def test_another_record_is_refused(change, error, tmp_path):
    record = {
        "family": "utr5",
        "kind": "DilatedCNN",
        "network": {"width": 8, "kernel_size": 3, "depth": 2},
        "process": {"alphabet": "ACGT", "length": 5, "num_steps": 5, "schedule": "one_place", "fixed": "_____"},
    }
    if change.get("process"):
        change = {"process": record["process"] | change["process"]}
    path = checkpoints.save(nn.Linear(1, 1), tmp_path / "a.safetensors", **record | change)
    with pytest.raises(ValueError, match=error):
        pretrained.utr5(path)


def test_an_export_measures_and_writes(tmp_path):
    letters = torch.randint(4, (300, 50), generator=torch.Generator().manual_seed(0))
    table = tmp_path / "utr.csv"
    table.write_text("utr\n" + "".join(f"{text}\n" for text in DNA.decode(letters.repeat(8, 1)[:2300])))
    network = {"class_path": "svlearn.domains.sequences.networks.DilatedCNN"}
    network["init_args"] = {"num_letters": 4, "width": 8, "kernel_size": 3, "depth": 2, "cycle": 2}
    (tmp_path / "config.yaml").write_text(json.dumps({"model": {"init_args": {"network": network}}}))
    state = {f"network.{name}": each for name, each in DilatedCNN(4, 8, 3, 2, 2).state_dict().items()}
    torch.save({"state_dict": state, "global_step": 7}, tmp_path / "last.ckpt")
    told = export("utr5", tmp_path / "last.ckpt", tmp_path, tmp_path, num_samples=4, data=str(table))
    figures = json.loads((tmp_path / "sequences_utr5.json").read_text())
    assert (figures["num_training"], figures["num_held_out"], figures["num_steps"]) == (300, 2000, 50)
    assert figures["bits"] == pytest.approx(2.0, abs=0.5)
    assert f"{figures['bits']:.4f}" in told and (tmp_path / "utr5.md").read_text() in told
    assert pretrained.utr5(tmp_path / "utr5.safetensors").num_steps == 50
