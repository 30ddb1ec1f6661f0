"""From finished states of GDSS to RDKit molecules: rounding, formal charges and the repair of valences.

As the authors' code does it (arXiv 2202.02514; repository harryjo97/GDSS, utils/mol_utils.py), but for the piece that
is kept of a molecule in several: here the one of most heavy atoms, there the one of the longest SMILES.
"""

from collections.abc import Sequence

import torch
from rdkit import Chem
from tensordict import TensorDict
from torch import Tensor

from svlearn.domains.molecules.codec import assemble, largest_piece
from svlearn.domains.molecules.graph import pair_indices
from svlearn.domains.molecules.graph_codec import Codec

SYMBOLS = ("C", "N", "O", "F", "P", "S", "Cl", "Br", "I")  # ZINC-250k's; QM9's are the first four
LARGEST_VALENCES = {"C": 4, "N": 3, "O": 2, "F": 1, "P": 5, "S": 6, "Cl": 1, "Br": 1, "I": 5}  # that RDKit permits
CHARGED_VALENCES = {"N": 4, "O": 3}  # of N+ and O+
ROUNDING = (0.5, 1.5, 2.5)  # an edge of at least so much is a bond of order 1, 2, 3


def quantise(state: TensorDict) -> tuple[Tensor, Tensor]:
    """Atoms (B, N) long, places in `SYMBOLS` or -1 for no atom, and bond orders (B, P) long, 0 ... 3.

    An atom is the first kind whose feature is above 0.5, and none where no feature is; an edge is rounded, 0.5, 1.5
    and 2.5 up.
    """
    x, adj, mask = state["x"], state["adj"], state["mask"]
    present = x > 0.5
    atoms = torch.where(present.any(dim=2) & mask, present.int().argmax(dim=2), -1)
    first, second = pair_indices(adj.shape[1]).to(adj.device)
    bonds = torch.bucketize(adj[:, first, second].contiguous(), adj.new_tensor(ROUNDING), right=True)
    real = atoms >= 0
    return atoms, torch.where(real[:, first] & real[:, second], bonds, 0)


def rows_of(state: TensorDict) -> list[bytes]:
    """Each finished state's molecule as bytes: how many atoms, their kinds, then (i, j, order), i > j, of each bond.

    The bonds come in the order in which the authors add them, which decides who is charged: by i, then by j.
    """
    atoms, bonds = (part.cpu() for part in quantise(state))
    first, second = pair_indices(atoms.shape[1])
    number = (atoms >= 0).long().cumsum(dim=1) - 1  # of an atom among those that exist
    in_order = torch.argsort(second * atoms.shape[1] + first)
    bonds, first, second = bonds[:, in_order], first[in_order], second[in_order]
    row, pair = bonds.nonzero(as_tuple=True)
    triples = torch.stack([number[row, second[pair]], number[row, first[pair]], bonds[row, pair]], dim=1)
    counts = (bonds > 0).sum(dim=1).tolist()
    kinds = [[kind for kind in kinds if kind >= 0] for kinds in atoms.tolist()]
    chunks = triples.to(torch.uint8).split(counts)
    return [bytes([len(own), *own]) + part.numpy().tobytes() for own, part in zip(kinds, chunks)]


def decode(state: TensorDict, correct: bool = False) -> list[Chem.Mol | None]:
    """RDKit molecules of a batch of finished states (B,); see `molecule_of`."""
    return [molecule_of(row, correct) for row in rows_of(state)]


def molecule_of(row: bytes, correct: bool) -> Chem.Mol | None:
    """The molecule of one of `rows_of`, or None where it has no atom or cannot be sanitised.

    Bonds are added one by one; where N or O then has one bond too many, and no atom before it has, it is charged +1.
    correct: then, while an atom is over its valence, its strongest bond loses one order; the largest piece is kept.
    """
    size = row[0]
    if size == 0:
        return None
    symbols = [SYMBOLS[kind] for kind in row[1 : size + 1]]
    neighbours: list[dict[int, int]] = [{} for _ in symbols]  # in the order in which RDKit would list them
    charges: dict[int, int] = {}
    for i, j, order in zip(row[size + 1 :: 3], row[size + 2 :: 3], row[size + 3 :: 3]):
        neighbours[i][j] = neighbours[j][i] = order
        over = _first_over(symbols, neighbours, charges)
        if over is not None and sum(neighbours[over].values()) == CHARGED_VALENCES.get(symbols[over]):
            charges[over] = 1
    while correct and (over := _first_over(symbols, neighbours, charges)) is not None:
        _weaken(neighbours, over)
    orders = {(i, j): order for i, own in enumerate(neighbours) for j, order in own.items() if i > j}
    molecule = assemble(symbols, orders, charges)
    return largest_piece(molecule) if correct and molecule is not None else molecule


class GDSSCodec(Codec):
    """How a reward reads the states of GDSS: `QED(correct=True, codec=GDSSCodec())`."""

    def keys(self, states: TensorDict) -> list[bytes]:
        return rows_of(states)

    def build(self, key: bytes, correct: bool) -> Chem.Mol | None:
        return molecule_of(key, correct)


def _first_over(symbols: Sequence[str], neighbours: list[dict[int, int]], charges: dict[int, int]) -> int | None:
    """The first atom with more bonds than its valence permits."""
    for place, (symbol, own) in enumerate(zip(symbols, neighbours)):
        limits = CHARGED_VALENCES if place in charges else LARGEST_VALENCES
        if sum(own.values()) > limits[symbol]:
            return place
    return None


def _weaken(neighbours: list[dict[int, int]], place: int) -> None:
    """Take one order from the strongest bond of an atom, the first of equals; what stays of it comes last."""
    other = max(neighbours[place], key=lambda each: neighbours[place][each])
    order = neighbours[place].pop(other) - 1
    del neighbours[other][place]
    if order > 0:
        neighbours[place][other] = neighbours[other][place] = order
