"""Checkpoints as the authors write them, with random weights or theirs, and graphs of molecules to evaluate them on."""

import sys
from collections import OrderedDict
from itertools import pairwise
from types import ModuleType

import torch
from rdkit import Chem

from svlearn.domains.molecules.gdss.decode import SYMBOLS

SMALL = ["C", "CC", "C#N", "OCC", "CC(=O)O", "c1ccoc1", "FC(F)(F)C", "CN1C=NC=C1O", "OC1CC2CC1O2"]  # fit QM9's 9 atoms
LARGE = ["CC(=O)Oc1ccccc1C(=O)O", "Cn1cnc2c1c(=O)n(C)c(=O)n2C", "CC(C)Cc1ccc(cc1)C(C)C(=O)OCC(Br)CS(=O)(=O)Nc1ccccc1Cl"]
PARAMS_X = dict(model_type="ScoreNetworkX", max_feat_num=5, depth=3, nhid=6)
PARAMS_GMH = dict(
    model_type="ScoreNetworkX_GMH", max_feat_num=5, depth=3, nhid=6, num_linears=2, c_init=3, c_hid=5, c_final=2,
    adim=4, num_heads=2, conv="GCN",
)  # fmt: skip
PARAMS_ADJ = dict(
    model_type="ScoreNetworkA", max_feat_num=5, max_node_num=9, nhid=6, num_layers=4, num_linears=2, c_init=3, c_hid=5,
    c_final=2, adim=4, num_heads=2, conv="GCN",
)  # fmt: skip


class EasyDict(dict):
    """Pickles under the name of the class that the authors' config has, with its entries as attributes as well."""

    def __init__(self, **entries):
        super().__init__(entries)
        self.__dict__.update(entries)

    def __getstate__(self):
        """Its attributes, and one that would hide a method of a dict that is given them."""
        return self.__dict__ | {"items": "no method"}


EasyDict.__module__ = "easydict"


def config(kind_x="VP", kind_adj="VE"):
    sde = {name: EasyDict(type=kind, beta_min=0.1, beta_max=1, num_scales=1000) for name, kind in
           (("x", kind_x), ("adj", kind_adj))}  # fmt: skip
    data = EasyDict(data="ZINC250k", max_node_num=9, max_feat_num=5)
    return EasyDict(data=data, sde=EasyDict(**sde))


def random_content(params_x=PARAMS_X, params_adj=PARAMS_ADJ, seed=0):
    """What a file holds, with random weights."""
    generator = torch.Generator().manual_seed(seed)
    states = [{name: 0.3 * torch.randn(shape, generator=generator) for name, shape in shapes(params).items()}
              for params in (params_x, params_adj)]  # fmt: skip
    return dict(
        model_config=config(),
        params_x=params_x,
        params_adj=params_adj,
        x_state_dict=OrderedDict(states[0]),
        adj_state_dict=OrderedDict(states[1]),
    )


def shapes(params):
    """The names and shapes of the weights in the authors' modules."""
    features, hidden, sizes = params["max_feat_num"], params["nhid"], {}

    def linears(name, depth, inputs, width, outputs):
        widths = [inputs, *[width] * (depth - 1), outputs]
        for place, (before, after) in enumerate(pairwise(widths)):
            sizes[f"{name}.linears.{place}.weight"], sizes[f"{name}.linears.{place}.bias"] = (after, before), (after,)

    depth = params.get("num_layers", params.get("depth"))
    for layer in range(depth):
        inputs = features if layer == 0 else hidden
        if params["model_type"] == "ScoreNetworkX":
            sizes[f"layers.{layer}.weight"], sizes[f"layers.{layer}.bias"] = (inputs, hidden), (hidden,)
            continue
        before, after = (params["c_init"] if layer == 0 else params["c_hid"]), params["c_hid"]
        after = params["c_final"] if layer == depth - 1 else after
        attention = hidden if layer == 0 else params["adim"]
        for channel in range(before):
            for letter, width in (("q", attention), ("k", attention), ("v", hidden)):
                name = f"layers.{layer}.attn.{channel}.gnn_{letter}"
                sizes[f"{name}.weight"], sizes[f"{name}.bias"] = (inputs, width), (width,)
        linears(f"layers.{layer}.mlp", params["num_linears"], 2 * before, 2 * max(before, after), after)
        linears(f"layers.{layer}.multi_channel", 2, before * hidden, 2 * max(before, after), hidden)
    width_in, outputs = features + depth * hidden, features
    if params["model_type"] == "ScoreNetworkA":
        width_in, outputs = params["c_init"] + (depth - 1) * params["c_hid"] + params["c_final"], 1
    linears("final", 3, width_in, 2 * width_in, outputs)
    return sizes


def write(content, path):
    """Save it; the class of the config is found under its own name only meanwhile."""
    sys.modules["easydict"] = module = ModuleType("easydict")
    module.EasyDict = EasyDict
    try:
        torch.save(content, path)
    finally:
        del sys.modules["easydict"]
    return path


def raw(path):
    """What a file of the authors holds, read without svlearn."""
    with torch.serialization.safe_globals([(OrderedDict, "easydict.EasyDict")]):
        return torch.load(path, map_location="cpu", weights_only=True)


def molecules(smiles, num_nodes, num_features, dtype=torch.float64, noise=0.0, seed=0):
    """(x, adj, mask) of molecules, kekulized, with Gaussian noise on all that exists."""
    generator = torch.Generator().manual_seed(seed)
    x, adj = torch.zeros(len(smiles), num_nodes, num_features), torch.zeros(len(smiles), num_nodes, num_nodes)
    mask = torch.zeros(len(smiles), num_nodes, dtype=torch.bool)
    for row, each in enumerate(smiles):
        molecule = Chem.MolFromSmiles(each)
        Chem.Kekulize(molecule, clearAromaticFlags=True)
        for atom in molecule.GetAtoms():
            x[row, atom.GetIdx(), SYMBOLS.index(atom.GetSymbol())] = 1.0
        for bond in molecule.GetBonds():
            ends = [bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()]
            adj[row, ends, ends[::-1]] = bond.GetBondTypeAsDouble()
        mask[row, : molecule.GetNumAtoms()] = True
    x = (x + noise * torch.randn(x.shape, generator=generator)) * mask.unsqueeze(2)
    upper = torch.randn(adj.shape, generator=generator).triu(1)
    adj = (adj + noise * (upper + upper.mT)) * mask.unsqueeze(2) * mask.unsqueeze(1)
    return x.to(dtype), adj.to(dtype), mask


def shuffled(x, adj, mask, seed=0):
    """The same graphs, each with its nodes in another order, padding among them, and the orders (B, N)."""
    generator = torch.Generator().manual_seed(seed)
    orders = torch.rand(mask.shape, generator=generator).argsort(dim=1)
    rows = torch.arange(len(mask)).unsqueeze(1)
    return x[rows, orders], adj[rows.unsqueeze(2), orders.unsqueeze(2), orders.unsqueeze(1)], mask[rows, orders], orders
