"""The denoising loss of graphs: what a step decides, the atoms first, then the bonds."""

import torch

from svlearn.domains.molecules.masked_diffusion import MaskedGraphDiffusion
from svlearn.domains.molecules.masking import num_due
from svlearn.domains.molecules.transformer import GraphTransformer
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out


def test_it_is_the_cross_entropy_of_the_leaf_whose_turn_it_is():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        process = MaskedGraphDiffusion(GraphTransformer(4, width=16, pair_width=8, depth=1, num_heads=2), torch.ones(4))
    process = process.eval().requires_grad_(False)
    x_T = roll_out(process, 5, generator=seeded("cpu", 0), condition=torch.full((5,), 4))["states"][:, -1]
    for step in range(process.num_steps):
        t = torch.full((5,), step)
        x = process.noise(x_T, torch.full((5,), process.num_steps), t, generator=seeded("cpu", 1))
        prediction = process(x, t)
        wanted = torch.zeros(5, dtype=torch.float64)
        for name, due in zip(("atoms", "bonds"), num_due(x["mask"], t).unbind(dim=1), strict=True):
            law = prediction.clean_law.laws[name]
            masked = law.masked.sum(dim=1)
            wanted += torch.where(due > 0, due / masked.clamp(min=1), 0.0) * -law.log_prob(x_T[name])
        torch.testing.assert_close(process.denoising_loss(x_T, x, t, prediction), wanted)
        assert (wanted > 0).all()
