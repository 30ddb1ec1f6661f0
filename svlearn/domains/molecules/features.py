"""What a chemist reads off a half-drawn molecule: free valences, pieces, rings that a bond would close.

A message-passing network of a few layers cannot count these, and validity hangs on them; so they are computed
from the decided bonds and given to the networks as inputs, as DiGress (arXiv 2209.14734, section 4.1) does.
"""

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.domains.molecules.graph import MASKED_BOND, VALENCES, pair_indices, pair_mask, to_dense

NUM_ATOM_FEATURES = 5
NUM_PAIR_FEATURES = 5


def structural_features(state: TensorDict) -> tuple[Tensor, Tensor]:
    """Features of the decided part of a graph, invariant to how its atoms are numbered.

    Returns (B, n, 5): used valence, free valence (valence 4 where the atom is not decided), undecided bonds, and
    the free valence and the undecided bonds to the outside of the atom's connected piece; and (B, P, 5): whether
    the two atoms are in one piece, the walks of length 2, 3 and 4 between them (a bond would close a ring of 3, 4
    or 5), and the undecided bonds between their two pieces. All are scaled to be of order one.

    Of one-hots in the place of tokens, floats, the same, with a gradient; what is one piece has none.
    """
    atoms, bonds, mask = state["atoms"], state["bonds"], state["mask"]
    num_atoms = atoms.shape[1]
    valences = torch.tensor([*VALENCES, 4], device=atoms.device)
    if atoms.is_floating_point():
        undecided = to_dense(bonds[..., MASKED_BOND] * pair_mask(mask), num_atoms)
        order = to_dense(bonds[..., :MASKED_BOND] @ torch.arange(MASKED_BOND).to(bonds), num_atoms)
        linked = to_dense(bonds[..., 1:MASKED_BOND].sum(dim=-1), num_atoms)
        valence = atoms @ valences.to(atoms) * mask
    else:
        undecided = to_dense(((bonds == MASKED_BOND) & pair_mask(mask)).float(), num_atoms)
        order = to_dense(torch.where(bonds == MASKED_BOND, 0, bonds).float(), num_atoms)
        linked = (order > 0).float()
        valence = valences[atoms] * mask
    used = order.sum(-1)
    free = valence - used

    walks_2 = linked @ linked
    walks_3 = walks_2 @ linked
    walks_4 = walks_2 @ walks_2
    same_piece = linked + torch.eye(num_atoms, device=atoms.device)
    for _ in range(max(1, (num_atoms - 1).bit_length())):  # squaring doubles the reach of a walk
        same_piece = ((same_piece @ same_piece) > 0).to(linked.dtype)
    between = same_piece @ undecided @ same_piece
    outward = (same_piece @ (undecided * (1 - same_piece))).sum(-1)
    piece_free = (same_piece @ free.unsqueeze(-1)).squeeze(-1)

    of_atoms = torch.stack(
        [used / 4, free / 4, undecided.sum(-1) / num_atoms, piece_free / num_atoms, torch.log1p(outward) / 3], dim=-1
    )
    dense = torch.stack(
        [same_piece, walks_2.clamp(max=2) / 2, walks_3.clamp(max=3) / 3, walks_4.clamp(max=4) / 4]
        + [torch.log1p(between) / 3],
        dim=-1,
    )
    first, second = pair_indices(num_atoms).to(atoms.device)
    return of_atoms * mask.unsqueeze(-1), dense[:, first, second]
