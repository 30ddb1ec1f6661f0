"""The denoiser of masked graphs: a small transformer over atoms whose attention reads, and writes, the pairs."""

import torch
from tensordict import TensorDict
from torch import Tensor, nn
from torch.nn import functional as F

from svlearn.domains.molecules.features import NUM_ATOM_FEATURES, NUM_PAIR_FEATURES, structural_features
from svlearn.domains.molecules.graph import ATOMS, BOND_ORDERS, num_pairs, pair_indices, pair_mask, to_dense


def incidence(num_atoms: int) -> Tensor:
    """(n, P), one where the atom belongs to the pair."""
    first, second = pair_indices(num_atoms)
    matrix = torch.zeros(num_atoms, num_pairs(num_atoms))
    columns = torch.arange(num_pairs(num_atoms))
    matrix[first, columns] = matrix[second, columns] = 1.0
    return matrix


class GraphTransformer(nn.Module):
    """p(x_T | x_t), a product over places, equivariant to the numbering of atoms.

    forward(state) -> (atom logits (B, n, 4), bond logits (B, P, 4)), for every place, decided or not. It reads no
    time: how much is masked tells it (masked diffusion, arXiv 2406.04329).
    """

    def __init__(self, num_atoms: int = 9, width: int = 64, pair_width: int = 64, depth: int = 5, num_heads: int = 4):
        super().__init__()
        self.hyperparameters = dict(
            num_atoms=num_atoms, width=width, pair_width=pair_width, depth=depth, num_heads=num_heads
        )
        self.atom_embedding = nn.Embedding(len(ATOMS) + 1, width)
        self.bond_embedding = nn.Embedding(len(BOND_ORDERS) + 1, pair_width)
        self.atom_features = nn.Linear(NUM_ATOM_FEATURES + 1, width)
        self.pair_features = nn.Linear(NUM_PAIR_FEATURES, pair_width)
        self.layers = nn.ModuleList(GraphLayer(num_atoms, width, pair_width, num_heads) for _ in range(depth))
        self.atom_logits = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, len(ATOMS)))
        self.bond_logits = nn.Sequential(nn.LayerNorm(pair_width), nn.Linear(pair_width, len(BOND_ORDERS)))

    @classmethod
    def from_weights(cls, weights: dict[str, Tensor], num_atoms: int = 9) -> "GraphTransformer":
        """The network whose state_dict this is; its sizes are read off the shapes."""
        network = cls(
            num_atoms=num_atoms,
            width=weights["atom_embedding.weight"].shape[1],
            pair_width=weights["bond_embedding.weight"].shape[1],
            depth=1 + max(int(name.split(".")[1]) for name in weights if name.startswith("layers.")),
            num_heads=weights["layers.0.attention_bias.weight"].shape[0],
        )
        network.load_state_dict(weights)
        return network

    def forward(self, state: TensorDict) -> tuple[Tensor, Tensor]:
        atoms, mask = state["atoms"], state["mask"]
        of_atoms, of_pairs = structural_features(state)
        kind = self.atom_embedding.weight.dtype  # the features are counts, which float32 has exactly
        size = (mask.sum(1, keepdim=True) / mask.shape[1]).expand_as(mask).unsqueeze(-1)
        nodes = self.atom_embedding(atoms) + self.atom_features(torch.cat([of_atoms, size], dim=-1).to(kind))
        pairs = self.bond_embedding(state["bonds"]) + self.pair_features(of_pairs.to(kind))
        real_pairs = pair_mask(mask).unsqueeze(-1)
        for layer in self.layers:
            nodes, pairs = layer(nodes, pairs * real_pairs, mask)
        return self.atom_logits(nodes), self.bond_logits(pairs)


class GraphLayer(nn.Module):
    """One round: atoms attend to atoms, biased by their pair; each pair then reads its two atoms."""

    incidence: Tensor

    def __init__(self, num_atoms: int, width: int, pair_width: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.register_buffer("incidence", incidence(num_atoms), persistent=False)
        self.node_norm, self.pair_norm = nn.LayerNorm(width), nn.LayerNorm(pair_width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attention_bias = nn.Linear(pair_width, num_heads)
        self.attention_out = nn.Linear(width, width)
        self.from_pairs = nn.Linear(pair_width, width)
        self.node_update = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.pair_in = nn.Linear(pair_width, pair_width)
        self.pair_sum = nn.Linear(width, pair_width, bias=False)
        self.pair_product = nn.Linear(width, pair_width)
        self.pair_out = nn.Linear(pair_width, pair_width)

    def forward(self, nodes: Tensor, pairs: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        batch, num_atoms, width = nodes.shape
        read = self.pair_norm(pairs)
        bias = to_dense(self.attention_bias(read), num_atoms).permute(0, 3, 1, 2)
        bias = bias.masked_fill(~mask[:, None, None, :], torch.finfo(bias.dtype).min)
        qkv = self.query_key_value(self.node_norm(nodes)).view(batch, num_atoms, 3, self.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        nodes = nodes + self.attention_out(attended.transpose(1, 2).reshape(batch, num_atoms, width))
        nodes = nodes + self.from_pairs(self.incidence @ read / num_atoms)
        nodes = nodes + self.node_update(nodes)

        first, second = pair_indices(num_atoms).to(nodes.device)
        factor = self.pair_product(nodes)
        product = factor.index_select(1, first) * factor.index_select(1, second)
        hidden = self.pair_in(read) + self.incidence.T @ self.pair_sum(nodes) + product
        return nodes, pairs + self.pair_out(F.gelu(hidden))
