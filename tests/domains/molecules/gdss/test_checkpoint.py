"""Reading the authors' files: what they hold, and that nothing else gets in."""

import math
import os
from collections import OrderedDict
from fractions import Fraction

import pytest
import torch
from gdss_files import PARAMS_ADJ, PARAMS_GMH, PARAMS_X, config, random_content, write

from svlearn.domains.molecules.gdss.checkpoint import SDEConfig, product, read
from svlearn.domains.molecules.gdss.networks import AttentionScoreX, ConvolutionScoreX
from svlearn.randomness import seeded

VP, VE = SDEConfig("VP", 0.1, 1.0, 1000), SDEConfig("VE", 0.2, 1.0, 1000)
FILES = {
    "gdss/gdss_zinc250k.pth": (ConvolutionScoreX, VP, VE, "ZINC250k", 38, 9),
    "gdss/gdss_zinc250k_v2.pth": (AttentionScoreX, VP, VE, "ZINC250k", 38, 9),
    "gdss/gdss_qm9.pth": (
        ConvolutionScoreX,
        SDEConfig("VE", 0.1, 1.0, 1000),
        SDEConfig("VE", 0.1, 1.0, 1000),
        "QM9",
        9,
        4,
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_the_authors_files(name, assets):
    file = read(assets(name))
    content = type(file.network_x), file.sde_x, file.sde_adj, file.data, file.max_node, file.max_feat_num
    assert content == FILES[name]
    assert not file.network_x.training and not file.network_adj.training
    assert all(each.dtype == torch.float32 for each in file.network_adj.parameters())


@pytest.mark.parametrize("params_x", [PARAMS_X, PARAMS_GMH], ids=lambda params: params["model_type"])
def test_a_file_that_the_authors_could_have_written(params_x, tmp_path):
    file = read(write(random_content(params_x), tmp_path / "ours.pth"), torch.float64)
    assert file.sde_x == VP and file.sde_adj == SDEConfig("VE", 0.1, 1.0, 1000)
    assert (file.data, file.max_node, file.max_feat_num) == ("ZINC250k", 9, 5)
    assert all(each.dtype == torch.float64 for each in [*file.network_x.parameters(), *file.network_adj.parameters()])


class Harm:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_pickled_code_is_not_run(tmp_path):
    content = random_content() | {"model_config": Harm(tmp_path / "harm")}
    path = write(content, tmp_path / "harmful.pth")
    with pytest.raises(
        ValueError, match=r"harmful.pth: .*got one that names \w+.mkdir; it was not loaded: svlearn.assets.fetch"
    ):
        read(path)
    assert not (tmp_path / "harm").exists()


def test_no_other_class_is_let_in(tmp_path):
    path = write(random_content() | {"model_config": SDEConfig("VP", 0.1, 1.0, 1000)}, tmp_path / "class.pth")
    with pytest.raises(
        ValueError, match="got one that names svlearn.domains.molecules.gdss.checkpoint.SDEConfig; it was not loaded"
    ):
        read(path)


@pytest.mark.parametrize("keep", [0, 5, 1000])
def test_a_broken_file(keep, tmp_path):
    path = write(random_content(), tmp_path / "broken.pth")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="broken.pth: expected a GDSS checkpoint, got a corrupt file"):
        read(path)


def test_a_text(tmp_path):
    path = tmp_path / "page.pth"
    path.write_text("<html>404: Not Found</html>")
    with pytest.raises(ValueError, match="page.pth: expected a GDSS checkpoint, got a corrupt file"):
        read(path)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent.pth: no such checkpoint; svlearn.assets.fetch brings"):
        read(tmp_path / "absent.pth")


def without(content, name):
    return OrderedDict((key, content[key]) for key in content if key != name)


def with_weights(part, change):
    content = random_content(PARAMS_GMH)
    return content | {part: change(content[part])}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.zeros(3), "expected a GDSS checkpoint of model_config, .*, got Tensor"),
        (without(random_content(), "params_x"), "expected a GDSS checkpoint of .*, got model_config, params_adj"),
        (random_content() | {"ema_x": 1.0}, "adj_state_dict, ema_x; "),
        (random_content() | {"optimizer": 1.0}, "adj_state_dict, optimizer; "),
        (random_content() | {"model_config": without(config(), "sde")}, "with an entry 'sde', got one without"),
        (random_content() | {"params_x": without(PARAMS_X, "nhid")}, "with an entry 'nhid', got one without"),
        (random_content() | {"params_x": PARAMS_X | {"model_type": "EDP"}}, "ScoreNetworkX or .*GMH, got 'EDP'"),
        (random_content() | {"params_adj": PARAMS_X}, "expected ScoreNetworkA, got 'ScoreNetworkX'"),
        (random_content() | {"params_adj": PARAMS_ADJ | {"conv": "MLP"}}, "conv: expected GCN, got 'MLP'"),
        (random_content() | {"params_adj": PARAMS_ADJ | {"num_heads": 4}}, "divisor of the width 6, got 4"),
        (random_content() | {"params_adj": PARAMS_ADJ | {"nhid": 8}}, "size mismatch for layers.0"),
        (random_content() | {"params_adj": PARAMS_ADJ | {"num_layers": 3}}, "Unexpected key.*layers.3"),
        (random_content() | {"model_config": config("subVP")}, "sde: expected VP or VE, got 'subVP'"),
        (random_content() | {"model_config": config() | {"data": 3}}, "expected a GDSS checkpoint whose parts fit"),
        (random_content() | {"model_config": config() | {"data": None}}, "expected a GDSS checkpoint whose parts fit"),
        (random_content() | {"params_x": [1, 2]}, "expected a GDSS checkpoint whose parts fit"),
        (random_content() | {"params_x": PARAMS_X | {"model_type": [1]}}, "model_type: expected a string or a number"),
        (random_content() | {"params_x": PARAMS_X | {"depth": -1}}, "depth: expected an integer of 1 ... 100, got -1"),
        (
            random_content() | {"params_x": PARAMS_X | {"nhid": 2.5}},
            "nhid: expected an integer of 1 ... 10000, got 2.5",
        ),
        (with_weights("x_state_dict", list), "expected a GDSS checkpoint whose parts fit"),
        (with_weights("x_state_dict", lambda state: state | {"final.linears.0.bias": 3}), "got int as final.lin"),
        (
            with_weights("x_state_dict", lambda state: {name: tensor.long() for name, tensor in state.items()}),
            "x_state_dict: expected floating-point weights, got torch.int64 as layers.0",
        ),
        (
            with_weights("adj_state_dict", lambda state: state | {"final.linears.0.bias": torch.full((34,), math.nan)}),
            "adj_state_dict: expected finite weights, got final.linears.0.bias with NaN or infinity",
        ),
        (random_content() | {"adj_state_dict": 3.0}, "expected a GDSS checkpoint whose parts fit"),
        (with_weights("x_state_dict", lambda state: without(state, "final.linears.0.bias")), "Missing key.*final"),
        (with_weights("x_state_dict", lambda state: state | {"final.extra": torch.zeros(2)}), "Unexpected.*extra"),
        (
            with_weights("adj_state_dict", lambda state: without(state, "layers.1.attn.3.gnn_k.weight")),
            "with an entry 'attn.3.gnn_k.weight', got one without",
        ),
        (
            with_weights("adj_state_dict", lambda state: state | {"layers.1.attn.0.extra": torch.zeros(2)}),
            "an attention layer with unexpected weights attn.0.extra",
        ),
    ],
)
def test_a_file_of_something_else(content, message, tmp_path):
    with pytest.raises(ValueError, match=f"other.pth: .*{message}.*svlearn.assets.fetch"):
        read(write(content, tmp_path / "other.pth"))


def test_a_product_of_weights_has_the_same_bits_on_every_machine():
    """Those of the exact sum of products, rounded once; a library's product rounds as its processor sums."""
    left, right = (torch.randn(2, *shape, generator=seeded("cpu", 0)) for shape in ((5, 33), (33, 7)))
    products = product(left, right)
    for c, f, h in ((c, f, h) for c in range(2) for f in range(5) for h in range(7)):
        exact = sum(
            Fraction(a) * Fraction(b) for a, b in zip(left[c, f].tolist(), right[c, :, h].tolist(), strict=True)
        )
        assert products[c, f, h] == torch.tensor(float(exact), dtype=torch.float64).float()
