"""GDSS in every kind of floats: the schedule keeps its digits, the networks run."""

import pytest
import torch
from gdss_files import random_content, write

import svlearn as sv
from svlearn.domains.molecules.gdss.checkpoint import read
from svlearn.domains.molecules.gdss.corrector import Langevin
from svlearn.domains.molecules.gdss.networks import ScoreNetworks
from svlearn.domains.molecules.gdss.reference import GDSS
from svlearn.domains.molecules.gdss.sde import VE, VP
from svlearn.randomness import seeded


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_a_network_in_other_floats_draws_graphs(dtype, tmp_path):
    write(random_content(), tmp_path / "random.pth")
    content = read(tmp_path / "random.pth")
    networks = ScoreNetworks(content.network_x, content.network_adj)
    sizes = torch.ones(4)
    reference = GDSS(
        networks, VP(0.1, 1.0), VE(0.2, 1.0), sizes, content.max_feat_num, num_steps=2, corrector=Langevin()
    ).eval()
    noise = reference.of_x.noise.clone()
    reference.to(dtype)
    assert torch.equal(reference.of_x.noise, noise) and noise.dtype == torch.float64
    drawn = sv.ancestral(reference).sample(3, generator=seeded("cpu", 0)).states
    assert drawn["x"].dtype == dtype and drawn["x"].isfinite().all() and drawn["adj"].isfinite().all()
