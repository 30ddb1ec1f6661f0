"""Masked diffusion of molecular graphs: the pretrained process that this domain ships."""

from typing import Any

import torch
from rdkit import Chem
from tensordict import TensorDict
from torch import Tensor

from svlearn.denoising import unmasking_loss
from svlearn.domains.molecules import codec, drawing, metrics
from svlearn.domains.molecules.graph import (
    MASKED,
    MASKED_ATOM,
    MASKED_BOND,
    draw_mask,
    graph_state,
    num_pairs,
    pair_mask,
)
from svlearn.domains.molecules.masking import hide, num_due, num_steps
from svlearn.domains.molecules.transformer import GraphTransformer
from svlearn.process import Prediction, Reference
from svlearn.state import State
from svlearn.transitions import FieldTransition, MaskedTransition


class MaskedGraphDiffusion(Reference):
    """x_0: all atoms and bonds of a graph of drawn size are masked; each step decides places; x_T: a molecule.

    The atoms are decided first, then the bonds, in uniform order (`masking`); a decided place stays. The network
    gives p(x_T | x_t) place by place; where a step decides one place, as for graphs of n_max atoms, the step is
    exactly that law. clean is its argmax, clean_law decides all places at once.

    size_weights (n_max,): unnormalised probabilities of 1 ... n_max atoms.
    """

    size_weights: Tensor

    def __init__(self, network: GraphTransformer, size_weights: Tensor):
        super().__init__()
        self.network = network
        self.register_buffer("size_weights", size_weights)
        self.max_atoms = len(size_weights)
        self.num_steps = num_steps(self.max_atoms)

    def initial(
        self, batch_size: int, *, condition: Any = None, generator: torch.Generator | None = None
    ) -> TensorDict:
        """condition (B,) long: the numbers of atoms; drawn by `size_weights` where it is not given."""
        mask = draw_mask(self.size_weights, batch_size, condition, generator=generator)
        atoms = torch.where(mask, MASKED_ATOM, 0)
        bonds = torch.where(pair_mask(mask), MASKED_BOND, 0)
        return graph_state(atoms, bonds.view(batch_size, num_pairs(self.max_atoms)), mask)

    def forward(self, x: TensorDict, t: Tensor, previous: Prediction | None = None) -> Prediction:
        due = num_due(x["mask"], t)
        parts = zip(("atoms", "bonds"), self.network(x), due.unbind(dim=1), strict=True)
        laws = {name: MaskedTransition(x[name], logits, MASKED, number=number) for name, logits, number in parts}
        clean = x.copy()
        for name, law in laws.items():
            clean[name] = law.most_probable()
        completed = {name: law.completed() for name, law in laws.items()}
        return Prediction(FieldTransition(laws, x), clean=clean, clean_law=FieldTransition(completed, x))

    def noise(
        self, x: TensorDict, t_from: Tensor, t_to: Tensor, *, generator: torch.Generator | None = None
    ) -> TensorDict:
        """Mask places again, drawn uniformly among the decided, the bonds before the atoms."""
        return hide(x, t_to, generator=generator)

    def denoising_loss(self, x_T: State | Prediction, x_t: State, t: Tensor, prediction: Prediction) -> Tensor:
        """The negative ELBO's term of t, `denoising.unmasking_loss`: of the atoms, then of the bonds."""
        return unmasking_loss(x_T, prediction)

    def decode(self, x: TensorDict, correct: bool = False) -> list[Chem.Mol | None]:
        return codec.decode(x, correct=correct)

    def describe(self, objects: list) -> dict[str, float]:
        return metrics.describe(objects)

    def draw(self, objects: list, captions: list[str]) -> str:
        return drawing.draw_grid(objects, captions)
