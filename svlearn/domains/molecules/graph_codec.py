"""How a reward reads graph states: a cheap key of the quantised graph, and the molecule of a key."""

from abc import ABC, abstractmethod

import torch
from rdkit import Chem
from tensordict import TensorDict

from svlearn.domains.molecules.codec import build
from svlearn.domains.molecules.graph import MASKED_ATOM, MASKED_BOND


class Codec(ABC):
    """What a scorer must know of a kind of graph states; it is sent to worker processes, so it can be pickled."""

    @abstractmethod
    def keys(self, states: TensorDict) -> list[bytes]:
        """The quantised graph of every finished state (B,): cheap, and equal only for the same molecule."""

    @abstractmethod
    def build(self, key: bytes, correct: bool) -> Chem.Mol | None:
        """The molecule of one of the keys, sanitised, with its valences repaired or not; None where there is none."""


class MaskedGraphCodec(Codec):
    """The states of `graph`: a key is n, n atoms, P bonds and n flags of the mask.

    Raises ValueError for other states, and for a graph with masked atoms or bonds.
    """

    def keys(self, states: TensorDict) -> list[bytes]:
        names = sorted(map(str, states.keys()))
        if missing := {"atoms", "bonds", "mask"} - {*names}:
            raise ValueError(
                f"graphs: expected states with atoms, bonds and mask, got {', '.join(names)} without "
                f"{', '.join(sorted(missing))}; give the reward the codec of its reference"
            )
        atoms, bonds, mask = states["atoms"], states["bonds"], states["mask"]
        undecided = (atoms == MASKED_ATOM).any(1) | (bonds == MASKED_BOND).any(1)
        if bool(undecided.any()):
            index = int(undecided.nonzero()[0])
            raise ValueError(f"graphs: expected finished graphs, got one with masked atoms or bonds at index {index}")
        table = torch.cat([atoms, bonds, mask], dim=1).to(torch.int8).cpu().numpy()
        size, content, width = atoms.shape[1].to_bytes(2), table.tobytes(), table.shape[1]
        return [size + content[start : start + width] for start in range(0, len(content), width)]

    def build(self, key: bytes, correct: bool) -> Chem.Mol | None:
        size, row = int.from_bytes(key[:2]), key[2:]
        atoms, bonds, mask = row[:size], row[size:-size], row[-size:]
        return build(list(atoms), list(bonds), [flag != 0 for flag in mask], correct=correct)
