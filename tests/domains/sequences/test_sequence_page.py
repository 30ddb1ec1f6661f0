"""The examples of docs/sequences.md run in their order, with small models in the place of those that are fetched."""

import re
from pathlib import Path

import pytest
import torch

from svlearn.domains.sequences.networks.fourier_cnn import FourierCNN

PAGE = Path(__file__).parents[3] / "docs/sequences.md"
TOKENS = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWC", "<mask>"]


def write_mdlm(path):
    """A checkpoint in MDLM's layout, whose average is that of its weights."""
    network = FourierCNN(4, 8, 1)
    trained = [each.detach().clone() for each in network.parameters() if each.requires_grad]
    state = {f"backbone.{name}": each for name, each in network.state_dict().items()}
    settings = {"backbone": "cnn", "noise": {"type": "loglinear"}}
    torch.save({"state_dict": state, "ema": {"shadow_params": trained}, "hyper_parameters": settings}, path)


def write_esm(folder):
    transformers = pytest.importorskip("transformers", reason="from_transformers needs the extra `sequences`")
    folder.mkdir()
    (folder / "words.txt").write_text("\n".join(TOKENS))
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    ids = {"vocab_size": len(TOKENS), "pad_token_id": 1, "mask_token_id": TOKENS.index("<mask>")}
    settings = transformers.EsmConfig(**sizes, **ids, position_embedding_type="rotary")
    transformers.EsmForMaskedLM(settings).save_pretrained(folder)
    transformers.EsmTokenizer(str(folder / "words.txt")).save_pretrained(folder)


def test_the_examples_of_sequences_run_in_their_order(tmp_path, monkeypatch, capsys):
    write_mdlm(tmp_path / "mdlm.ckpt")
    write_esm(tmp_path / "esm")
    monkeypatch.chdir(tmp_path)
    names, printed = {}, []
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(compile(code.replace("facebook/esm2_t6_8M_UR50D", "esm"), str(PAGE), "exec"), names)
        printed.append(capsys.readouterr().out)
    assert all(each.startswith("GGGACACC") and each.endswith("CACC") for each in eval(printed[1]))
    particles = names["particles"]
    assert bool(particles.rewards[particles.log_weights.isfinite()].isfinite().all())
    assert names["own"].num_steps == 12 and printed[4].split("tensor")[0].count("_") == 0
    assert names["dna"].num_steps == 128 and names["protein"].length == 60
    figures = names["comparison"].table
    assert {"bits_per_letter", "uniqueness", "edit_distance", "longest run of A", "GC from 40 to 60 %"} <= {
        *figures.columns
    }
    assert 1.9 < figures.loc["pretrained", "bits_per_letter"] < 2.1
    assert (tmp_path / "sequences.html").read_text().count('class="all"') == 3
