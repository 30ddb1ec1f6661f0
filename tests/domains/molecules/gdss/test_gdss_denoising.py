"""The denoising loss of GDSS: the squared error of the noise, of features and of edges, each counted once."""

import torch
from gdss_toys import GaussianGDSS

from svlearn.randomness import seeded
from svlearn.rollouts import roll_out


def test_it_is_the_squared_error_of_the_scores_in_units_of_their_noise():
    process = GaussianGDSS(num_steps=5)
    x_T = roll_out(process, 6, generator=seeded("cpu", 0))["states"][:, -1]
    t = torch.tensor([0, 1, 2, 3, 4, 4])
    x = process.noise(x_T, torch.full((6,), process.num_steps), t, generator=seeded("cpu", 1))
    found = process.denoising_loss(x_T, x, t, process(x, t))
    own, exact, level = process.scores(x, t), process.scores_of_clean(x, x_T, t), t // process.steps_a_level
    errors = {name: process.parts[name].std[level][:, None, None] * (own[name] - exact[name]) for name in own}
    edges = torch.stack([errors["adj"][:, i, j] for i in range(4) for j in range(i + 1, 4)], dim=1)
    wanted = torch.cat([errors["x"].flatten(1), edges], dim=1).square().mean(dim=1)
    torch.testing.assert_close(found, wanted)
    assert (found > 0).all()
